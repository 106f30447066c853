"""The figures of a report: labels, axes, the same bytes from the same runs."""

from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from pruneexp.engine.record import HISTORY, Trial
from pruneexp.pruning import Random
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.start import FromDense, Scratch
from pruneexp.quantisation import Aware, Rounding
from pruneexp.report import figures, report
from pruneexp.report.analysis import findings
from pruneexp.report.data.load import load
from pruneexp.report.figures import sizes, style
from pruneexp.report.figures.labels import Label, place
from pruneexp.report.figures.schedule import schedule, spread
from pruneexp.report.figures.trials import draw as draw_trials
from pruneexp.report.figures.trials import searched
from pruneexp.training import Training
from tests.results import PERPLEXITY, Results


def is_warm(colour: str) -> bool:
    """More red than blue."""
    red, _, blue = to_rgb(colour)
    return red > blue


class TestFigures:
    def many(self, results: Results) -> findings.Findings:
        for seed in range(3):
            off = seed / 3
            for width, nonzero, test in [(0.25, 24_464, 70.0), (0.5, 81_504, 78.0), (1, 3e5, 81.0)]:
                results.finish(int(nonzero), test + off, width, seed=seed)
            for sparsity, nonzero, test in [(0.5, 150_000, 80.0), (0.75, 79_808, 77.7)]:
                results.finish(nonzero, test + off, 1.0, sparsity, seed=seed)
                results.finish(nonzero, test - off, 1.0, sparsity, seed=seed, criterion=Random())
        return results.find()

    def test_no_label_lies_on_another(self, results: Results) -> None:
        figure = sizes.against("parameters", self.many(results))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        labels = figure.axes[0].texts[1:]  # the first is the subtitle
        # Both sparse curves have the same sizes, and share their labels.
        assert [label.get_text() for label in labels] == ["×0.25", "×0.5", "×1", "75 %", "50 %"]
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert [a for a, b in combinations(boxes, 2) if a.overlaps(b)] == []

    @pytest.mark.parametrize("shift", [0.0, 1.0])
    def test_labels_of_five_curves_stay_apart_and_inside(
        self, results: Results, shift: float
    ) -> None:
        """Sizes and accuracies of MobileNets on Fashion-MNIST; shifted, no two curves share a
        size, and each point has a label of its own if there is room."""
        dense = {0.25: 19_738, 0.5: 72_042, 0.75: 156_922, 1.0: 274_378}
        sparse = {0.5: 141_514, 0.75: 75_082, 0.9: 35_223, 0.95: 21_937}
        for curve in range(3):
            for at, (width, nonzero) in enumerate(dense.items()):
                size = round(nonzero * (1 + 0.05 * curve * shift))
                tests = 89.4 + 0.3 * curve + 0.6 * at
                for seed in (0, 1):
                    given: dict[str, Any] = {"training": Training(steps=800 + curve), "seed": seed}
                    results.finish(size, tests + seed / 2, width, **given)
        for curve, start in enumerate((Scratch(), FromDense())):
            for at, (sparsity, nonzero) in enumerate(sparse.items()):
                size = round(nonzero * (1 - 0.05 * curve * shift))
                results.finish(size, 92 - (0.5 + curve) * at, 1.0, sparsity, start=start)
        found = results.find()
        assert len(found.curves) == 5
        figure = sizes.against("parameters", found)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        axes = figure.axes[0]
        labels = axes.texts[1:]
        assert len(labels) == 8 if not shift else len(labels) >= 12
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert [a for a, b in combinations(boxes, 2) if a.overlaps(b)] == []
        frame = axes.get_window_extent()
        for box in boxes:
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1

    def test_a_label_without_a_place_is_left_out(self) -> None:
        figure = Figure()
        axes = figure.add_subplot()
        axes.set_xlim(0, 10_000)
        near = [
            Label(text=f"label {n}", x=n, y=0.5, colour="black", above=True) for n in range(200)
        ]
        place(axes, near, [np.array([[0.0, 0.5], [1.0, 0.5]])])
        assert 0 < len(axes.texts) < 100

    def test_hue_tells_dense_from_sparse(self, results: Results) -> None:
        for word in ("fp16", "bf16", "int8"):
            rounded = Rounding(values=word)
            results.finish(10_000, 60.0, 0.5, quantisation=rounded, history=history(0.0))
            for sparsity in (0.8, 0.9):
                rows = history(sparsity)
                results.finish(20_000, 60.0, 1.0, sparsity, quantisation=rounded, history=rows)
        results.finish(30_000, 60.0, 1.0, history=history(0.0))
        found = results.find()
        for look, curve in zip(sizes._looks(found), found.curves.values(), strict=True):
            assert is_warm(look.colour) == (curve[0].kind == "sparse")
        figure = schedule(found)
        assert figure is not None
        texts = figure.axes[2].texts
        assert {text.get_text().startswith("dense") for text in texts} == {True, False}
        for text in texts:
            is_sparse = not text.get_text().startswith("dense")
            assert is_warm(str(text.get_color())) == is_sparse

    def test_of_many_curves_none_looks_like_another(self, results: Results) -> None:
        """And their points are labelled once, as they follow each other alike."""
        for word in ("fp16", "bf16", "int8"):
            for option in (Rounding, Aware):
                rounded = option(values=word)
                results.finish(10_000, 60.0, 0.5, quantisation=rounded)
                results.finish(20_000, 60.0, 1.0, 0.8, quantisation=rounded)
        found = results.find()
        assert len(set(sizes._looks(found))) == len(found.curves) == 12
        axes = sizes.against("parameters", found).axes[0]
        assert [text.get_text() for text in axes.texts[1:]] == ["×0.5", "80 %"]

    def test_a_legend_of_long_names_stays_inside(self, results: Results) -> None:
        found = self.many(results)
        found.curves = {f"{name}, and much else beside": c for name, c in found.curves.items()}
        figure = sizes.against("parameters", found)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        legend = figure.legends[0].get_window_extent(canvas.get_renderer())
        assert legend.x0 >= 0 and legend.x1 <= figure.bbox.x1

    def test_the_same_runs_give_the_same_bytes(self, results: Results) -> None:
        found = self.many(results)
        first = figures.draw("megabytes", found, ["png", "svg", "pdf"])
        with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red"}):
            assert figures.draw("megabytes", found, ["png", "svg", "pdf"]) == first
            assert matplotlib.rcParams["font.size"] == 30.0
        assert b"<dc:date>" not in first["svg"] and b"CreationDate" not in first["pdf"]

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (20_000, 400_000, [20_000, 50_000, 100_000, 200_000]),
            (1_000, 1_000_000, [1_000, 10_000, 100_000, 1_000_000]),
            (0.9, 2.1, [0.9, 1, 1.2, 1.5, 2]),
            (0.78, 1.42, [0.8, 0.9, 1, 1.2]),
            (1.001, 1.049, [1.01, 1.02, 1.03, 1.04]),
            (1, 1e15, [1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12, 1e14]),
        ],
    )
    def test_ticks(self, low: float, high: float, expected: list[float]) -> None:
        assert style.ticks(low, high) == expected

    def test_small_ticks_show_powers(self) -> None:
        assert style.small_ticks(8, 40) == [8, 9, 10, 20, 30, 40]
        assert style.small_ticks(1, 1e15) == []

    def test_axes_and_title_say_what_is_shown(self, results: Results) -> None:
        axes = sizes.against("parameters", self.many(results)).axes[0]
        assert axes.get_xlabel() == "non-zero parameters" and axes.get_xscale() == "log"
        assert axes.get_ylabel() == "test accuracy (%)"
        assert axes.get_title(loc="left") == "Nets on glyphs: accuracy against parameters"
        assert "mean of 3 seeds, bars: 95 % t interval" in axes.texts[0].get_text()


class TestSizes:
    def test_work_is_an_axis_where_records_hold_it(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(200, 200))
        results.finish(90_000, 70.0, 1.0, work=(900, 900))
        results.finish(20_000, 66.0, 1.0, 0.9, work=(900, 300))
        figure = sizes.against("multiply_adds", results.find())
        assert figure is not None
        axes = figure.axes[0]
        assert axes.get_xlabel() == "multiply-adds for one picture, masked weights skipped"
        assert [list(np.asarray(line.get_xdata())) for line in axes.lines] == [[200, 900], [300]]

    def test_an_older_record_has_no_file_of_it(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25)
        names = {path.name for path in report(results.store, results.plan).files}
        assert "parameters.png" in names and "multiply_adds.png" not in names

    def test_settings_of_one_size_stand_side_by_side(self, results: Results) -> None:
        for interval in (5, 10, 20):
            results.finish(10_000, 60.0 + interval, 1.0, 0.9, schedule=Cubic(interval=interval))
        found = results.find()
        axes = sizes.against("parameters", found).axes[0]
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert names == ["interval 5", "interval 10", "interval 20"]
        assert axes.get_xlabel() == "10.0k non-zero parameters each, 90 % sparse"
        assert sizes.against("megabytes", found) is None


def history(sparsity: float, name: str = "accuracy", end: float = 80.0) -> list[dict[str, Any]]:
    """Ten steps, validated at the fifth and the tenth."""
    rows: list[dict[str, Any]] = []
    for step in range(1, 11):
        reached = sparsity if step > 3 else 0.0
        rows.append({"step": step, "rate": 0.1 / step, "loss": 1.0, "sparsity": reached})
    rows[4][f"valid_{name}"], rows[9][f"valid_{name}"] = end / 2, end
    return rows


class TestSchedule:
    def test_three_panels_share_their_steps(self, results: Results) -> None:
        results.finish(9_000, 80.0, 1.0, history=history(0.0))
        results.finish(1_000, 70.0, 1.0, 0.9, history=history(0.9, end=70.0))
        results.finish(1_000, 71.0, 1.0, 0.9, history=history(0.9, end=71.0), seed=1)
        figure = schedule(results.find())
        assert figure is not None
        rate, sparsity, valid = figure.axes
        words = [axes.get_ylabel() for axes in figure.axes]
        assert words == ["learning rate", "sparsity (%)", "validation accuracy (%)"]
        assert valid.get_xlabel() == "steps" and rate.get_xlim() == valid.get_xlim()
        # Seed 0 of the dense and of the pruned setting.
        ends = [np.asarray(line.get_ydata())[-1] for line in valid.lines]
        assert ends == [80.0, 70.0]
        assert list(np.asarray(valid.lines[0].get_xdata())) == [5, 10]
        assert [text.get_text() for text in valid.texts] == ["90 %", "dense ×1"]
        assert [text.get_text() for text in sparsity.texts] == ["90 %"]
        assert rate.texts[0].get_text() == "seed 0 of each, markers: validations"
        assert {to_hex(line.get_color()) for line in rate.lines} == {style.GREY}

    def test_in_words_it_says_what_masking_cost(self, results: Results) -> None:
        rows = [
            {**row, "valid_accuracy": valid} if valid else row
            for row, valid in zip(history(0.95, end=70.0), [0, 60.0, 20.0, *[0.0] * 7], strict=True)
        ]
        results.finish(9_000, 80.0, 1.0, history=history(0.0))
        results.finish(1_000, 70.0, 1.0, 0.9, history=history(0.9, end=70.0))
        found = results.find()
        never = "The most sparse run, 90 %, ends at 70.0 of validation and never fell on its way."
        assert figures.alternative("schedule", found).endswith(never)
        results.finish(1_000, 70.0, 1.0, 0.95, history=rows)
        told = figures.alternative("schedule", results.find())
        assert "The most sparse run, 95 %, ends at 70.0 of validation" in told
        assert told.endswith("it fell from 60.0 to 20.0 by step 3.")

    def test_no_name_lies_on_another(self, results: Results) -> None:
        for number in range(6):
            row = history(0.9, end=80.0 + number / 10)
            results.finish(1_000, 80.0, 1.0, 0.9, history=row, schedule=Cubic(interval=2 + number))
        figure = schedule(results.find())
        assert figure is not None
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        texts = figure.axes[2].texts
        assert [text.get_text() for text in texts] == [f"interval {n}" for n in range(2, 8)]
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
        assert [a for a, b in combinations(boxes, 2) if a.overlaps(b)] == []
        assert all(box.x1 <= figure.bbox.x1 for box in boxes)
        assert [text.get_text() for text in figure.axes[1].texts] == ["90 %"]

    def test_of_many_the_most_sparse_of_each_curve(self, results: Results) -> None:
        for width in (1.0, 0.5):
            for sparsity in (0.5, 0.75, 0.9, 0.95):
                results.finish(1_000, 70.0, width, sparsity, history=history(sparsity))
        shown = results.find().runs.histories.shown
        assert [each.label for each in shown] == [
            *("width 1, 75 %", "width 1, 90 %", "width 1, 95 %"),
            *("width 0.5, 75 %", "width 0.5, 90 %", "width 0.5, 95 %"),
        ]
        figure = schedule(results.find())
        assert figure is not None
        assert "6 of 8 pruned settings" in figure.axes[0].texts[0].get_text()

    def test_a_stage_of_its_own_is_said(self, results: Results) -> None:
        results.finish(1_000, 70.0, 1.0, 0.9, start=FromDense(), steps=2000, history=history(0.9))
        figure = schedule(results.find())
        assert figure is not None
        assert figure.axes[2].get_xlabel() == "steps of its own stage"

    def test_perplexity_has_logarithms(self, results: Results) -> None:
        rows = history(0.9, "perplexity")
        results.finish(1_000, 70.0, 1.0, 0.9, metric=PERPLEXITY, history=rows)
        figure = schedule(results.find())
        assert figure is not None and figure.axes[2].get_yscale() == "log"

    def test_nothing_pruned_or_no_history_is_no_figure(self, results: Results) -> None:
        results.finish(9_000, 80.0, 1.0, history=history(0.0))
        assert schedule(results.find()) is None
        results.finish(1_000, 80.0, 1.0, 0.9)
        assert schedule(results.find()) is None

    @pytest.mark.parametrize("text", ["step,rate\n1,fast\n", "step,loss\n1,2\n", "a\n1,2\n"])
    def test_a_damaged_history_is_named(self, results: Results, text: str) -> None:
        record = results.finish(1_000, 80.0, 1.0, 0.9, history=history(0.9))
        (results.store.folder(record.name).path / HISTORY).write_text(text)
        found = results.find()
        assert schedule(found) is None
        (warning,) = found.warnings
        assert warning.startswith(f"The history of {record.name} is not shown: ")

    def test_a_history_is_read_as_it_was_written(self, results: Results) -> None:
        record = results.finish(1_000, 80.0, 1.0, 0.9, history=history(0.9))
        assert results.store.folder(record.name).history() == history(0.9)

    @pytest.mark.parametrize(
        ("places", "apart"),
        [
            ([], []),
            ([0, 50], [0, 50]),
            ([0, 4], [-3, 7]),
            ([0, 4, 50], [-3, 7, 50]),
            ([0, 9, 10], [-11 / 3, 19 / 3, 49 / 3]),
        ],
    )
    def test_names_move_as_little_as_they_must(
        self, places: list[float], apart: list[float]
    ) -> None:
        assert spread(places, 10) == pytest.approx(apart)


class TestTrials:
    def searched(self, results: Results, **values: float | None) -> findings.Findings:
        """One sparse point of 75 % and a dense one; the sparse one chose among these trials."""
        results.finish(81_504, 78.0, 0.5)
        record = results.finish(79_808, 77.7, 1.0, 0.75)
        for name, valid in values.items():
            own = record.name if name == "own" else name
            results.plan.trials.append(
                Trial(
                    point="75 %", values={"rate": name}, name=own, valid=valid, chosen=name == "own"
                )
            )
        return findings.find(results.plan, load(results.store, results.plan))

    def test_every_trial_has_a_mark_beside_what_was_chosen(self, results: Results) -> None:
        found = self.searched(results, own=78.7, low=76.5, high=77.0, lost=None)
        (one,) = searched(found)
        assert sorted(one.trials) == [76.5, 77.0, 78.7] and one.failed == 1
        figure = draw_trials(found)
        assert figure is not None
        (axes,) = figure.axes
        marks = [line for line in axes.lines if line.get_marker() == "|"]
        assert sorted(np.asarray(marks[0].get_xdata())) == [76.5, 77.0, 78.7]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["sparse, 75 %"]
        told = figures.alternative("trials", found)
        assert "lie furthest apart, 2.2" in told

    def test_what_lies_far_out_is_an_arrow_at_the_end(self, results: Results) -> None:
        figure = draw_trials(self.searched(results, own=78.7, low=2.0, high=77.0))
        assert figure is not None
        (axes,) = figure.axes
        (arrow,) = [line for line in axes.lines if line.get_marker() == "<"]
        assert (
            min(axes.get_xlim()) < np.asarray(arrow.get_xdata())[0] < 78
            and min(axes.get_xlim()) > 60
        )

    def test_the_arrow_points_outwards_where_less_is_better(self, results: Results) -> None:
        results.finish(81_504, 40.0, 0.5, metric=PERPLEXITY)
        record = results.finish(79_808, 20.0, 1.0, 0.75, metric=PERPLEXITY)
        for name, valid in ((record.name, record.valid["perplexity"]), ("far", 900.0)):
            values = {"rate": name}
            chosen = name == record.name
            trial = Trial(point="75 %", values=values, name=name, valid=valid, chosen=chosen)
            results.plan.trials.append(trial)
        figure = draw_trials(findings.find(results.plan, load(results.store, results.plan)))
        assert figure is not None
        (axes,) = figure.axes
        left, right = axes.get_xlim()
        assert left > right
        (arrow,) = [line for line in axes.lines if line.get_marker() == "<"]
        assert abs(np.asarray(arrow.get_xdata())[0] - left) < 0.1 * (left - right)

    def test_without_a_search_there_is_none(self, results: Results) -> None:
        assert draw_trials(self.searched(results)) is None
        assert draw_trials(self.searched(results, own=78.7)) is None
