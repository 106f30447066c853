"""The report: made from records written by hand, held against numbers worked out by hand."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from pruneexp.config.recipe import Invalid
from pruneexp.engine.record import CHECKPOINT, FAILURE, RECORD, Failure, Progress
from pruneexp.models import CustomModel, MobileNetV1
from pruneexp.pruning import Random
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.scope import ModelScope, Named
from pruneexp.pruning.start import FromDense
from pruneexp.report import CONTENTS, figures, read_contents, report
from pruneexp.report.analysis import points
from pruneexp.report.figures import sizes
from pruneexp.report.format import TABLE_FORMATS
from pruneexp.report.output.tables import TABLES, table
from pruneexp.tasks import Glyphs
from pruneexp.training import Training
from tests.results import PERPLEXITY, Results, paper


class TestIntervals:
    def test_three_numbers(self) -> None:
        # mean 71, standard deviation 1, t for two degrees of freedom 4.30265
        assert points.half_width([70, 71, 72]) == pytest.approx(4.30265 / math.sqrt(3))

    def test_one_number_has_none(self) -> None:
        assert points.half_width([70]) is None

    def test_seeds_fold_into_one_point(self, results: Results) -> None:
        for seed, test in enumerate([70.0, 71.0, 72.0]):
            results.finish(1000, test, seed=seed)
        (point,) = results.find().points
        assert (point.n, point.test, point.valid) == (3, 71.0, 72.0)
        assert point.test_half == pytest.approx(2.48414, abs=1e-5)

    def test_a_run_planned_twice_is_one_seed(self, results: Results) -> None:
        results.finish(1000, 70.0)
        results.ask()
        (point,) = results.find().points
        assert point.n == 1


class TestComparison:
    def test_half_way_between_sizes_is_their_geometric_mean(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25)
        results.finish(1_000_000, 80.0, 1.0)
        results.finish(100_000, 73.0, 1.0, 0.9)
        (gap,) = results.find().pairs[0].gaps
        error = math.sqrt(40 * 20)  # straight over the logarithms of size and of error
        assert gap.theirs.mean == pytest.approx(100 - error)
        assert gap.difference.value == pytest.approx(73 - (100 - error))
        assert gap.ratio is not None and gap.ratio.value == pytest.approx(27 / error)
        assert (gap.ours.measured, gap.theirs.measured, gap.better) == (True, False, "sparse")
        assert gap.difference.low is None and not gap.is_known

    def test_lower_may_be_better(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, metric=PERPLEXITY)
        results.finish(1_000_000, 80.0, 1.0, metric=PERPLEXITY)
        results.finish(100_000, 73.0, 1.0, 0.9, metric=PERPLEXITY)
        found = results.find()
        (gap,) = found.pairs[0].gaps
        assert gap.difference.value == pytest.approx(73 - math.sqrt(60 * 80))
        assert gap.better == "dense"
        assert "dense has the better test perplexity by 3.72;" in found.verdicts[0]

    def seeds(self, results: Results, *points: tuple[int, float, float, float | None]) -> None:
        """Three seeds of each: size, mean, width and sparsity; what seeds differ by is no noise
        alone, and no two points differ by the same."""
        offs = [(-1.0, 0.2, 0.9), (-0.8, -0.1, 1.1), (-1.2, 0.1, 0.8), (-0.9, 0.0, 1.2)]
        for (nonzero, mean, width, sparsity), off in zip(points, offs, strict=False):
            for seed, each in enumerate(off):
                results.finish(nonzero, mean + each, width, sparsity, seed=seed)

    def test_points_share_their_spread_and_seeds_are_blocks(self, results: Results) -> None:
        self.seeds(results, (1000, 60, 0.25, None), (9000, 80, 1, None), (1000, 63, 1, 0.9))
        (gap,) = results.find().pairs[0].gaps
        assert gap.found.freedom == 2  # two points at three seeds, less two means and two seeds
        assert gap.better == "sparse"
        assert gap.difference.low is not None and gap.difference.low > 0
        assert gap.difference.value == pytest.approx(3.0, abs=0.2)

    def test_what_is_within_the_interval_is_a_tie(self, results: Results) -> None:
        self.seeds(results, (1000, 60, 0.25, None), (1000, 60.1, 1, 0.9))
        found = results.find()
        (pair,) = found.pairs
        assert pair.gaps[0].better in ("tie", "equal")
        assert pair.overall is not None and pair.overall.matched
        assert "sparse and dense cannot be told apart" in found.verdicts[0] or (
            "are equal within half a point" in found.verdicts[0]
        )

    def test_matched_sizes_are_compared_and_nothing_between(self, results: Results) -> None:
        """Dense models of the sizes of both sparse ones, and a third between them."""
        for nonzero, test, width in [(1000, 60, 0.2), (3000, 68, 0.4), (9000, 80, 1)]:
            results.finish(nonzero, test, width)
        for nonzero, test, sparsity in [(1005, 63, 0.9), (8990, 79, 0.1)]:
            results.finish(nonzero, test, 1.0, sparsity)
        (pair,) = results.find().pairs
        assert [gap.nonzero for gap in pair.gaps] == [1005, 8990]
        assert all(gap.ours.measured and gap.theirs.measured for gap in pair.gaps)
        assert "at which sparse and dense were both measured" in results.find().verdicts[0]

    def test_a_rival_just_beyond_the_end_of_a_curve_is_one(self, results: Results) -> None:
        """The smallest sparse model has half a per cent fewer weights than its dense rival."""
        for nonzero, test, width in [(1005, 60, 0.2), (9000, 80, 1)]:
            results.finish(nonzero, test, width)
        for nonzero, test, sparsity in [(1000, 63, 0.9), (8990, 79, 0.1)]:
            results.finish(nonzero, test, 1.0, sparsity)
        (pair,) = results.find().pairs
        assert [gap.nonzero for gap in pair.gaps] == [1000, 8990]

    def test_levels_of_a_parent_are_no_more_than_its_seeds(self, results: Results) -> None:
        for seed in range(3):
            results.finish(1000, 60.0 + seed**2 / 5, 0.25, seed=seed)
            for nonzero, sparsity in [(1000, 0.9), (1001, 0.8)]:
                start = FromDense()
                off = seed * seed
                results.finish(nonzero, 63.0 + off, 1.0, sparsity, seed=seed, start=start)
        (pair,) = results.find().pairs
        assert pair.overall is not None and pair.overall.found.freedom == 2

    def test_several_comparisons_are_adjusted(self, results: Results) -> None:
        for seed in range(3):
            results.finish(1000, 60.0 + seed**2 / 5, 0.25, seed=seed)
            for interval in (5, 6):
                cubic = Cubic(interval=interval)
                results.finish(1000, 62.0 + seed * 0.9, 1.0, 0.9, seed=seed, schedule=cubic)
        first, second = (pair.overall for pair in results.find().pairs)
        assert first is not None and second is not None
        alone = first.found.probability()
        assert first.comparisons == 2 and alone is not None
        assert first.probability == pytest.approx(min(1.0, 2 * alone))

    def test_only_sizes_that_both_reach(self, results: Results) -> None:
        gaps = paper(results).find().pairs[0].gaps
        assert [gap.nonzero for gap in gaps] == [460_000, 1_090_000, 1_320_000, 2_130_000]
        assert gaps[0].measured == "dense ×0.25 and sparse 90 %"
        assert gaps[0].difference.value == pytest.approx(11.2)

    def test_the_verdict_says_who_and_by_how_much(self, results: Results) -> None:
        # Dense 0.5 lies log(1.32/1.09) / log(2.13/1.09) = 0.2858 of the way from 67.7 to 69.5,
        # at 68.21; dense at 2.13M log(2.13/1.32) / log(2.57/1.32) = 0.7181 of 63.7 to 68.4: 67.08.
        (verdict,) = paper(results).find().verdicts
        assert verdict == (
            "At the 4 sizes that sparse and dense both reach (0.46M to 2.13M non-zero parameters), "
            "sparse has the better test accuracy at all 4, by 2.4 to 11.2 points; with one seed a "
            "point, how much of that is chance is not known."
        )

    def test_the_verdict_gives_dense_its_due(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.25)
        results.finish(9_000, 60.0, 1.0)
        for nonzero, test, sparsity in [(1_000, 55.0, 0.9), (3_000, 60.0, 0.5), (9_000, 62.0, 0.1)]:
            results.finish(nonzero, test, 1.0, sparsity)
        (verdict,) = results.find().verdicts
        assert (
            "sparse has the better test accuracy at 1, by 2.0 points, and dense at 1, by 5.0 "
            "points, and they are equal at 1;" in verdict
        )

    def test_sizes_that_do_not_overlap(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.25)
        results.finish(5_000, 60.0, 1.0, 0.5)
        found = results.find()
        assert found.pairs[0].gaps == []
        assert found.verdicts[0].endswith("do not overlap, so they are not compared.")

    def test_a_better_value_with_fewer_weights_is_said(self, results: Results) -> None:
        results.finish(5_000, 60.0, 0.5)
        results.finish(9_000, 61.0, 1.0)
        results.finish(1_000, 55.0, 1.0, 0.9)
        results.finish(2_000, 62.5, 1.0, 0.8)
        (verdict,) = results.find().verdicts
        assert verdict.endswith(
            "Yet sparse is better with fewer: 62.5 at 2.0k against 61.0 at 9.0k."
        )


class TestRivals:
    def intervals(self, results: Results, *settings: tuple[int, int, float]) -> None:
        """Two seeds, 1 on either side, for each interval, size and test metric."""
        for interval, nonzero, test in settings:
            for seed, off in enumerate([-1, 1]):
                cubic = Cubic(interval=interval)
                results.finish(nonzero, test + off, 1.0, 0.9, seed=seed, schedule=cubic)

    def test_two_sparse_curves_are_held_against_each_other(self, results: Results) -> None:
        for width, tests in ((1.0, (70.0, 80.0)), (0.5, (71.0, 84.0))):
            for nonzero, test in zip((10_000, 20_000), tests, strict=True):
                results.finish(nonzero, test, width, 1 - nonzero / 40_000)
        assert results.find().verdicts == [
            "At the 2 sizes at which “sparse, width 1” and “sparse, width 0.5” were both measured "
            "(10.0k to 20.0k non-zero parameters), “sparse, width 0.5” has the better test "
            "accuracy at all 2, by 1.0 to 4.0 points; with one seed a point, how much of that is "
            "chance is not known."
        ]
        made = report(results.store, results.plan)
        assert "Sparse, width 1 (A) against sparse, width 0.5 (B) at equal size" in made.text(100)
        assert made.tables["rivals"].header[:4] == ["NNZ params", "Measured", "A", "B"]
        assert made.tables["rivals"].cells[0][:3] == ["10.0k", "both 75 %", "70.0"]

    def test_of_several_the_largest_difference_is_told(self, results: Results) -> None:
        self.intervals(results, (5, 1000, 70.0), (10, 1000, 60.0), (20, 1000, 95.0))
        found = results.find()
        assert found.verdicts == [
            "Of 3 sparse curves, two by two at equal size (1.0k non-zero parameters), “sparse, "
            "interval 20” is furthest ahead of “sparse, interval 10”, by 35.1 points of test "
            "accuracy at 1.0k; adjusted for 3 comparisons (Holm), 0 of them differ beyond chance."
        ]
        made = TABLES["rivals"](found)
        assert made is not None
        assert made.cells[1] == [
            *("interval 5", "interval 20", "1.0k", "both 90 %"),
            *("70.0 ± 12.7", "95.0 ± 12.7", "−25.1 (−253.1 to +1.4)", "tie"),
        ]
        assert made.raw["a_series"][0] == "sparse, interval 5"

    def test_a_point_that_stands_alone_is_named(self, results: Results) -> None:
        self.intervals(results, (5, 1000, 70.0), (10, 1000, 60.0), (20, 9000, 90.0))
        assert results.find().verdicts[1] == (
            "The sizes of “sparse, interval 20” (9.0k non-zero parameters) are those of no other "
            "sparse curve, so it is compared with none of them."
        )

    def test_a_few_weights_that_rounding_left_make_no_other_size(self, results: Results) -> None:
        for seed, (nonzero, interval) in enumerate([(10_000, 5), (10_009, 6), (10_002, 7)]):
            results.finish(nonzero, 70.0 + seed, 1.0, 0.9, schedule=Cubic(interval=interval))
        gaps = [gap for pair in results.find().rivals for gap in pair.gaps]
        assert [gap.difference.value for gap in gaps] == pytest.approx([-1.0, -2.0, -1.0])
        assert all(gap.ours.measured and gap.theirs.measured for gap in gaps)

    def test_other_data_and_other_families_are_no_rivals(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.5)
        results.finish(1000, 70.0, 0.5, 0.5, data="999999ffff")
        results.finish(1000, 70.0, 1.0, 0.5, model=MobileNetV1(width=1.0))
        assert results.find().rivals == []

    def test_unequal_budgets_are_said(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.5, steps=1000)
        results.finish(1000, 70.0, 1.0, 0.5, steps=2000, schedule=Cubic(interval=5))
        (warning,) = results.find().warnings
        assert warning.startswith("Not the same budget: “sparse, interval unset” was given")

    def test_those_given_alike_are_said_together(self, results: Results) -> None:
        for interval, steps in [(5, 1000), (6, 1000), (7, 2000)]:
            results.finish(1000, 70.0, 1.0, 0.5, steps=steps, schedule=Cubic(interval=interval))
        (warning,) = results.find().warnings
        assert warning.startswith(
            "Not the same budget: “sparse, interval 5” and “sparse, interval 6” were given 1,000 "
            "steps (9,000 examples), “sparse, interval 7” 2,000 steps (18,000 examples)."
        )

    def test_one_sparse_curve_has_none(self, results: Results) -> None:
        found = paper(results).find()
        assert found.rivals == [] and TABLES["rivals"](found) is None


class TestWork:
    def test_equal_size_is_not_equal_work(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(100, 100))
        results.finish(1_000_000, 80.0, 1.0, work=(10_000, 10_000))
        results.finish(100_000, 73.0, 1.0, 0.9, work=(10_000, 3_000))
        found = results.find()
        (gap,) = found.pairs[0].gaps
        assert gap.work == pytest.approx(3.0)  # a dense one half way takes sqrt(100 * 10,000)
        assert found.verdicts[0].endswith(
            " At equal size sparse takes 3 times the multiply-adds of dense."
        )

    def test_as_many_are_not_one_times_as_many(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(100, 100))
        results.finish(1_000_000, 80.0, 1.0, work=(10_000, 10_000))
        results.finish(100_000, 73.0, 1.0, 0.9, work=(10_000, 1_000))
        (verdict, *_) = results.find().verdicts
        assert verdict.endswith(" At equal size sparse takes as many multiply-adds as dense.")

    def test_one_older_record_and_nothing_is_said(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(100, 100))
        results.finish(10_000, 61.0, 1.0, 0.9)
        found = results.find()
        assert not found.work_is_known and "multiply" not in found.verdicts[0]
        assert sizes.against("multiply_adds", found) is None
        page = (report(results.store, results.plan).folder / "report.md").read_text()
        assert "Multiply-adds are not shown: 1 of 2 records lack them." in page


class TestSeries:
    def names(self, results: Results) -> set[str]:
        return set(results.find().curves)

    def test_seed_width_and_sparsity_do_not_part_a_curve(self, results: Results) -> None:
        assert self.names(paper(results)) == {"dense", "sparse"}

    def test_a_pruned_model_without_sparsity_is_sparse(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.0)
        assert [point.kind for point in results.find().points] == ["sparse"]

    def test_what_differs_names_a_curve(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.5)
        results.finish(1000, 70.0, 1.0, 0.5, criterion=Random())
        assert self.names(results) == {"sparse, magnitude", "sparse, random"}

    def test_widths_that_were_pruned(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.5)
        results.finish(900, 70.0, 0.5, 0.5)
        assert self.names(results) == {"sparse, width 1", "sparse, width 0.5"}

    def test_where_pruning_started_and_what_goes_with_it(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0, 0.5)
        results.finish(1000, 70.0, 1.0, 0.5, start=FromDense(rate=0.5))
        assert self.names(results) == {"sparse, from scratch", "sparse, from dense"}

    def test_dense_runs_of_differing_training(self, results: Results) -> None:
        results.finish(1000, 70.0, 1.0)
        results.finish(1000, 71.0, 1.0, training=Training(steps=2000))
        results.finish(1000, 71.0, 1.0, training=Training(steps=2000), seed=1)
        assert self.names(results) == {"dense, steps 1000", "dense, steps 2000"}

    def test_numbers_are_the_size_of_any_model(self, results: Results) -> None:
        for hidden in (200, 650):
            network = CustomModel(factory="tests.test_report:x", arguments={"hidden": hidden})
            results.finish(hidden * 100, 70.0, model=network)
        found = results.find()
        assert [point.label for point in found.curves["dense"]] == ["hidden 200", "hidden 650"]
        assert table(found).header[0] == "Model"

    def test_a_family_is_compared_with_its_own(self, results: Results) -> None:
        large = MobileNetV1(width=1.0)
        results.finish(9_000, 60.0, 1.0)
        results.finish(9_000, 60.0, model=large)
        results.finish(9_000, 60.0, 1.0, 0.5)
        results.finish(9_000, 60.0, 1.0, 0.5, model=large)
        compared = [(p.theirs[0].series, p.ours[0].series) for p in results.find().pairs]
        assert compared == [
            ("dense, layout small", "sparse, layout small"),
            ("dense, layout published", "sparse, layout published"),
        ]

    def test_differing_data_are_never_one_curve(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.25)
        results.finish(9_000, 70.0, 1.0, data="999999ffff")
        results.finish(5_000, 70.0, 1.0, 0.5, data="999999ffff")
        found = results.find()
        assert list(found.curves) == [
            "dense (data abcdef)",
            "dense (data 999999)",
            "sparse (data 999999)",
        ]
        assert [pair.theirs[0].data for pair in found.pairs] == ["999999ffff"]
        assert found.warnings == [
            "The runs are on differing data, abcdef (1 of 3 runs), 999999 (2 of 3 runs): no curve "
            "mixes them."
        ]

    def test_a_scope_says_that_it_is_one(self, results: Results) -> None:
        for scope in (ModelScope(), ModelScope(recurrent="apart"), Named(include=["a*"])):
            results.finish(1000, 70.0, 1.0, 0.9, scope=scope)
        assert self.names(results) == {
            "sparse, scope model, recurrent together",
            "sparse, scope model, recurrent apart",
            "sparse, scope named, recurrent together",
        }

    def test_data_are_named_by_their_checksum_alone(self, results: Results) -> None:
        results.finish(1_000, 60.0)
        results.finish(1_000, 60.0, task=Glyphs(seed=1), data="999999ffff")
        assert self.names(results) == {"dense (data abcdef)", "dense (data 999999)"}

    def test_without_a_checksum_the_task_tells_data_apart(self, results: Results) -> None:
        results.finish(1_000, 60.0, data="")
        results.finish(1_000, 60.0, task=Glyphs(seed=1), data="")
        assert self.names(results) == {"dense, seed 0", "dense, seed 1"}


class TestMissing:
    def says(self, results: Results) -> list[str]:
        return [str(missing) for missing in results.find().runs.missing]

    def test_failed_interrupted_running_and_never_ran(self, results: Results) -> None:
        failed, stopped, held, never = (results.ask(seed=seed) for seed in range(4))
        failure = Failure(error="Diverged", message="the loss turned NaN", step=30)
        results.store.folder(failed.name).fail(failure)
        results.store.folder(stopped.name).save_checkpoint(b"")
        assert (results.store.folder(stopped.name).path / CHECKPOINT).exists()
        with results.store.folder(held.name).lease():
            assert self.says(results) == [
                f"failed: {failed.name} (at step 30, Diverged: the loss turned NaN)",
                f"interrupted: {stopped.name}",
                f"running: {held.name}",
                f"never ran: {never.name}",
            ]

    def test_how_far_a_run_is(self, results: Results) -> None:
        folder = results.store.folder(results.ask().name)
        with folder.lease():
            folder.show(Progress(step=400, steps=1000))
            assert self.says(results) == [f"running: {folder.path.name} (at step 400 of 1,000)"]

    def test_a_parent_that_nobody_asked_for_is_no_result(self, results: Results) -> None:
        results.finish(1000, 70.0)
        results.plan.runs[0].wanted = False
        runs = results.find().runs
        assert (len(runs.rows), runs.asked, runs.missing) == (0, 0, [])

    def test_a_run_whose_parent_failed(self, results: Results) -> None:
        parent, child = results.ask(), results.ask(1.0, 0.9)
        parent.wanted, child.parents = False, {"weights": parent.name}
        results.store.folder(parent.name).fail(Failure(error="E", message="no"))
        assert self.says(results) == [
            f"never ran: {child.name} (it starts from {parent.name}, failed: E: no)"
        ]

    def test_points_that_could_not_be_read(self, results: Results) -> None:
        results.plan.unreadable = [{"overrides": "model.width=7", "error": "model.width\ntakes"}]
        assert self.says(results) == ["unreadable: model.width=7 (model.width takes)"]
        assert results.find().runs.asked == 1

    def test_damage_is_named_and_stops_nothing(self, results: Results) -> None:
        good, bad = results.finish(1000, 70.0), results.finish(1000, 71.0, seed=1)
        failed = results.ask(seed=2)
        (results.store.folder(bad.name).path / RECORD).write_bytes(b'{"name": 1')
        results.store.folder(failed.name).fail(Failure(error="E", message="no"))
        (results.store.folder(failed.name).path / FAILURE).write_bytes(b"")
        damaged, failure = self.says(results)
        assert damaged.startswith(f"damaged: {bad.name} (") and RECORD in damaged
        assert failure.startswith(f"failed: {failed.name} (") and FAILURE in failure
        assert list(results.find().runs.frame["name"]) == [good.name]

    def test_a_record_without_the_test_metric(self, results: Results) -> None:
        record = results.finish(1000, 70.0)
        record.test = {}
        results.store.folder(record.name).finish(record)
        (said,) = self.says(results)
        assert said.startswith("damaged: ") and "no accuracy of valid and test" in said

    def test_another_metric_is_left_out_and_named(self, results: Results) -> None:
        results.finish(1000, 70.0)
        other = results.finish(1000, 99.0, seed=1, metric=PERPLEXITY)
        assert self.says(results) == [
            f"left out: {other.name} (measured by perplexity, the others by accuracy)"
        ]

    def test_tensors_left_with_nothing(self, results: Results) -> None:
        record = results.finish(1000, 70.0, 1.0, 0.99)
        record.counts.empty = ["conv.weight"]
        results.store.folder(record.name).finish(record)
        assert results.find().warnings == [f"Nothing is left of conv.weight in {record.name}."]


class TestReport:
    def test_everything_that_is_listed_is_written(self, results: Results) -> None:
        paper(results).plan.unreadable = [{"overrides": "model.width=7", "error": "<b> no"}]
        made = report(results.store, results.plan)
        assert made.folder == results.store.reports / "mine"
        names = {path.name for path in made.files} | {".files.json"}
        assert names == {path.name for path in made.folder.iterdir()}
        text = (made.folder / "report.md").read_text()
        for part in (made.verdicts[0], "](parameters.svg)", "| 0.25 | 0 % | 0.46M", "\\<b> no"):
            assert part in text
        assert "dense: 4 runs, each given 1,000 steps" in text and "torch: 2.99" in text
        html = (made.folder / "report.html").read_text()
        assert "&lt;b&gt; no" in html and html.count('src="data:image/svg+xml;base64,') == 2
        assert (made.folder / "parameters.png").read_bytes().startswith(b"\x89PNG")

    def test_the_same_runs_give_the_same_files(self, results: Results, tmp_path: Path) -> None:
        paper(results)
        first = report(results.store, results.plan)
        second = report(results.store, results.plan, tmp_path / "elsewhere")
        assert [path.parent for path in second.files] == [tmp_path / "elsewhere"] * len(first.files)
        for one, other in zip(first.files, second.files, strict=True):
            assert one.read_bytes() == other.read_bytes(), one

    @pytest.mark.parametrize("width", [36, 60, 100])
    def test_text_fits_and_is_plain(self, results: Results, width: int) -> None:
        for seed in range(2):
            results.finish(24_464, 70.0 + seed, 0.25, seed=seed)
            results.finish(293_000, 81.0 + seed, 1.0, seed=seed)
            results.finish(79_808, 80.0 + seed, 1.0, 0.75, seed=seed)
        never = results.ask(0.5)
        text = report(results.store, results.plan).text(width)
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text and "…" not in text
        assert never.name in text.replace("\n  ", "")
        # ln(79808 / 24464) / ln(293000 / 24464) = 0.4762 of the way from an error of 29.5 to 18.5,
        # on logarithms: 23.6
        row = "79.8k sparse 75 % 80.5 ± 6.4 ≈76.4 +4.1 (+3.6 to +4.7) sparse"
        assert all(word in text for word in row.split())
        if width >= 100:
            assert row in [" ".join(line.split()) for line in text.splitlines()]

    def test_nothing_is_finished(self, results: Results) -> None:
        never = results.ask()
        made = report(results.store, results.plan)
        assert made.verdicts == ["No run of this plan is finished, so there is nothing to compare."]
        assert {path.name for path in made.files} == {"report.md", "report.html"}
        assert f"never ran: {never.name}" in made.text()

    @pytest.mark.parametrize(
        ("sparsity", "verdict"),
        [
            (None, "Only dense runs are finished; without a sparse one there is no comparison."),
            (0.5, "Only sparse runs are finished; without a dense one there is no comparison."),
        ],
    )
    def test_one_side_and_one_point(
        self, results: Results, sparsity: float | None, verdict: str
    ) -> None:
        results.finish(1000, 70.0, 1.0, sparsity)
        made = report(results.store, results.plan)
        assert made.verdicts == [verdict]
        assert made.tables["comparison"].cells == [] and len(made.tables["table"].cells) == 1

    def test_the_shipped_list_holds_everything(self) -> None:
        contents = read_contents(CONTENTS)
        assert list(contents["figures"]) == list(figures.FIGURES)
        assert list(contents["tables"]) == list(TABLES)

    def test_unknown_entries_are_refused_together(self, tmp_path: Path) -> None:
        path = tmp_path / "report.yaml"
        path.write_text("figures: {pie: [svg]}\ntables: {runs: [xls]}\nfigure: {}\npages: [doc]\n")
        with pytest.raises(Invalid) as invalid:
            read_contents(path)
        assert str(invalid.value).splitlines() == [
            f"{path} takes figures, tables, pages, got figure",
            f"{path}: figures takes {', '.join(figures.FIGURES)}, got pie",
            f"{path}: tables.runs takes {', '.join(TABLE_FORMATS)}, got xls",
            f"{path}: pages takes md, html, got doc",
        ]

    def test_it_never_imports_torch(self, results: Results) -> None:
        results.store.save_plan(paper(results).plan)
        program = (
            "import sys; from pathlib import Path\n"
            "from pruneexp.report import report\n"
            "from pruneexp.engine.store import Store\n"
            "heavy = {'torch', 'pandas', 'matplotlib', 'rich', 'omegaconf'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
            f"store = Store(Path({str(results.store.results)!r}))\n"
            "print(report(store, store.find_plan('mine')).text())\n"
            "assert 'pandas' in sys.modules and 'torch' not in sys.modules\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "sparse has the better test accuracy at all 4" in done.stdout.replace("\n", " ")


def test_a_dense_model_with_a_stage_more_is_a_dense_curve(results: Results) -> None:
    """What the paper gave its sparse models, given to dense ones: pruning at sparsity 0."""
    long = Training(steps=2000)
    for width, nonzero in ((0.5, 200_000), (1.0, 400_000)):
        results.finish(nonzero, 70.0, width)
        results.finish(nonzero, 71.0, width, 0.0, start=FromDense(), steps=2000)
        results.finish(nonzero, 72.0, width, training=long, steps=2000)
    results.finish(300_000, 73.0, 1.0, 0.25, start=FromDense(), steps=2000)
    found = results.find()
    kinds = {name: curve[0].kind for name, curve in found.curves.items()}
    assert kinds == {
        "dense, steps 1000": "dense",
        "dense, trained on, steps 1000": "dense",
        "dense, steps 2000": "dense",
        "sparse": "sparse",
    }


def test_many_curves_of_other_sizes_than_the_dense_one_share_a_sentence(results: Results) -> None:
    results.finish(400_000, 85.0)
    for interval in (1, 2, 3):
        results.finish(1_000, 60.0, 1.0, 0.9, schedule=Cubic(interval=interval))
    verdicts = results.find().verdicts
    assert verdicts[0] == (
        "The sizes of dense (400.0k non-zero parameters) are those of none of 3 sparse curves, so "
        "they are not compared."
    )
    assert len(verdicts) == 2 and verdicts[1].startswith("Of 3 sparse curves")
