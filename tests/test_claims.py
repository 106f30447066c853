"""The papers' claims as data, judged by invented runs of which the verdict is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruneexp.config.recipe import Invalid
from pruneexp.engine.record import Metric
from pruneexp.models import InceptionV3, LSTMLanguageModel, MobileNetV1
from pruneexp.pruning import L0, Lottery, Random, RigL
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.scope import ModelScope, Named
from pruneexp.quantisation import Rounding
from pruneexp.report import CLAIMS, report
from pruneexp.report.analysis import claims
from pruneexp.report.analysis.endpoints import ENDPOINTS
from pruneexp.tasks import Grammar
from tests.results import PERPLEXITY, Results, weights

CLAIM = {
    path.stem: claim
    for path, claim in zip(sorted(CLAIMS.glob("*.yaml")), claims.read_claims(CLAIMS), strict=True)
}
NAMES = ("sparse_above_dense", "mobilenet_75_above_half_width")  # of the ways to compare


def test_every_endpoint_has_a_claim_and_every_claim_says_where_it_stands() -> None:
    assert {claim.endpoint for claim in CLAIM.values()} == set(ENDPOINTS)
    papers = ("Zhu and Gupta 2017", "Gale et al. 2019")
    assert all(claim.source.startswith(papers) for claim in CLAIM.values())


class TestComparisons:
    def judge(self, results: Results, name: str) -> list[claims.Verdict]:
        return claims.judged([CLAIM[name]], results.find())

    def seeds(self, results: Results, gap: float, spread: float = 0.1) -> None:
        for seed in range(3):
            shift = spread * (seed - 1)
            results.finish(1_000, 60.0 + shift, 0.5, seed=seed)
            results.finish(4_000, 70.0 + shift, 1.0, seed=seed)
            results.finish(1_000, 60.0 + gap + spread * (seed % 2), 1.0, 0.75, seed=seed)

    @pytest.mark.parametrize(
        ("gap", "spread", "verdict"),
        [(3.0, 0.1, claims.HOLDS), (-3.0, 0.1, claims.FAILS), (0.1, 0.5, claims.UNTOLD)],
    )
    def test_a_claim_is_judged_by_its_endpoint(
        self, results: Results, gap: float, spread: float, verdict: str
    ) -> None:
        self.seeds(results, gap, spread)
        for name in NAMES:
            (judged,) = self.judge(results, name)
            assert judged.verdict == verdict, name
            assert bool(judged.settle) == (verdict == claims.UNTOLD)
        text = report(results.store, results.plan).text(100)
        assert "What the papers claim" in text and verdict in text

    def seeded(
        self, results: Results, test: float, *what: Any, nonzero: int = 1000, **more: Any
    ) -> None:
        for seed in range(3):
            results.finish(nonzero, test + 0.1 * seed, *what, seed=seed, **more)

    @pytest.mark.parametrize(
        ("other", "name"),
        [
            ({"criterion": Random()}, "sparse, random"),
            ({"quantisation": Rounding(values="int8")}, "int8 after training"),
        ],
    )
    @pytest.mark.parametrize("control_first", [True, False])
    def test_another_curve_does_not_speak_for_the_method(
        self, results: Results, control_first: bool, other: dict[str, Any], name: str
    ) -> None:
        """Whichever of them comes first in the plan."""
        sparse = [(67.0, {}), (50.0, other)]
        for test, more in reversed(sparse) if control_first else sparse:
            self.seeded(results, test, 1.0, 0.75, **more)
        self.seeded(results, 60.0, 0.5)
        self.seeded(results, 70.0, 1.0, nonzero=4000)
        for endpoint in NAMES:
            told = {each.curves: each.verdict for each in self.judge(results, endpoint)}
            control = [verdict for curves, verdict in told.items() if name in curves]
            method = [verdict for curves, verdict in told.items() if name not in curves]
            assert method == [claims.HOLDS], endpoint
            # Claims speak of magnitudes, and rounded runs have no dense ones of their type here.
            assert control == [], endpoint

    @pytest.mark.parametrize(
        "dense", [{"data": "b" * 10}, {"model": MobileNetV1(width=0.5, layout="published")}]
    )
    def test_what_is_not_alike_is_not_held_against_each_other(
        self, results: Results, dense: dict[str, Any]
    ) -> None:
        self.seeded(results, 67.0, 1.0, 0.75)
        self.seeded(results, 60.0, 0.5, **dense)
        assert all(self.judge(results, name) == [] for name in NAMES)

    def test_a_difference_has_the_sign_that_its_words_say(self, results: Results) -> None:
        """Of a perplexity less is better."""
        self.seeded(results, 100.0, 0.5, metric=PERPLEXITY)
        self.seeded(results, 90.0, 1.0, 0.75, metric=PERPLEXITY)
        for name, figures_ in (
            ("sparse_above_dense", "a ratio of 0.900 (0.900) at 1 size"),
            (
                "mobilenet_75_above_half_width",
                "90.10 ± 0.25 against 100.10 ± 0.25, a difference of −10.02 to −9.98",
            ),
        ):
            (judged,) = self.judge(results, name)
            assert (judged.verdict, judged.figures) == (claims.HOLDS, figures_)

    def test_seeds_are_counted_where_the_claim_looks(self, results: Results) -> None:
        self.seeds(results, 3.0)
        results.finish(500, 40.0, 0.25)
        for name in NAMES:
            (judged,) = self.judge(results, name)
            assert judged.verdict == claims.HOLDS, name

    def test_a_lead_within_the_margin_does_not_hold(self, results: Results) -> None:
        self.seeds(results, 3.0)
        claim = CLAIM["mobilenet_75_above_half_width"]
        for margin, verdict in ((1.0, claims.HOLDS), (3.0, claims.UNTOLD), (5.0, claims.FAILS)):
            (judged,) = claims.judged([replace(claim, points=margin)], results.find())
            assert judged.verdict == verdict, margin

    def test_one_seed_tells_nothing(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.5)
        results.finish(1_000, 90.0, 1.0, 0.75)
        (judged,) = self.judge(results, "mobilenet_75_above_half_width")
        assert judged.verdict == claims.UNTOLD
        assert "3 seeds on both sides would tell; there is 1" in str(judged)

    def test_runs_that_cannot_speak_to_it_are_silent(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.5)
        assert all(self.judge(results, name) == [] for name in NAMES)
        assert "claim" not in report(results.store, results.plan).text(100)

    def test_what_is_no_claim_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        for data, message in (
            ({"sentence": "x"}, "is no claim: Claim lacks endpoint"),
            ({"sentence": "x", "source": "y", "endpoint": "z"}, "endpoint takes sparse_above"),
        ):
            path.write_text(yaml.safe_dump(data))
            with pytest.raises(Invalid, match=message):
                claims.read_claims(tmp_path)


class TestMethods:
    """Gradual magnitude pruning beside other methods, at one size."""

    def judged(self, results: Results, name: str, gap: float) -> list[claims.Verdict]:
        for seed in range(3):
            results.finish(1_000, 60.0 + 0.1 * seed, 1.0, 0.9, seed=seed)
            run = results.runs[results.plan.runs[-1].name]
            for method in (Lottery(sparsity=0.9), L0(sparsity=0.9), RigL(sparsity=0.9)):
                test = 60.0 + gap + 0.1 * (seed % 2)
                results.finish_run(replace(run, pruning=method), test)
        return claims.judged([CLAIM[name]], results.find())

    @pytest.mark.parametrize(
        ("gap", "verdict"), [(-5.0, claims.FAILS), (0.1, claims.HOLDS), (-0.2, claims.HOLDS)]
    )
    def test_on_a_par_is_no_more_than_the_margin_below(
        self, results: Results, gap: float, verdict: str
    ) -> None:
        (judged,) = self.judged(results, "magnitude_on_a_par", -gap)
        assert judged.verdict == verdict
        assert "gradual" in judged.curves and "l0" in judged.curves

    @pytest.mark.parametrize(("gap", "verdict"), [(-5.0, claims.HOLDS), (5.0, claims.FAILS)])
    def test_tickets_are_below(self, results: Results, gap: float, verdict: str) -> None:
        (judged,) = self.judged(results, "lottery_and_scratch_below", gap)
        assert judged.verdict == verdict and "lottery" in judged.curves

    def test_other_methods_do_not_speak_for_magnitudes(self, results: Results) -> None:
        for seed in range(3):
            results.finish(1_000, 60.0, 0.5, seed=seed)
            results.finish(4_000, 70.0, 1.0, seed=seed)
        run = results.runs[results.plan.runs[-1].name]
        for seed in range(3):
            results.finish_run(replace(run, pruning=RigL(sparsity=0.9), seed=seed), 30.0)
        assert claims.judged([CLAIM["sparse_above_dense"]], results.find()) == []


def test_a_moved_sparsity_is_what_it_was_called(results: Results) -> None:
    for seed in range(3):
        results.finish(4_000, 70.0 + seed / 10, seed=seed)
        results.finish(440, 69.8 + seed / 9, 1.0, 0.8963, seed=seed)
    (judged,) = claims.judged([CLAIM["ten_times_smaller_at_minimal_loss"]], results.find())
    assert judged.verdict == claims.HOLDS


class TestOthers:
    """One test for each further endpoint, with numbers for which it holds and for which not."""

    def verdict(self, results: Results, name: str) -> str:
        (judged,) = claims.judged([CLAIM[name]], results.find())
        return judged.verdict

    def point(self, results: Results, nonzero: int, test: float, *what: Any, **more: Any) -> None:
        noise = more.pop("noise", (0.0, 0.03, -0.02))
        for seed, each in enumerate(noise):
            results.finish(nonzero, test + each, *what, seed=seed, **more)

    @pytest.mark.parametrize(("folded", "verdict"), [(4_000, claims.HOLDS), (9_000, claims.FAILS)])
    def test_bytes_place_a_model_otherwise_than_weights(
        self, results: Results, folded: int, verdict: str
    ) -> None:
        """A sparse model that is ahead at its weights, and at its bytes behind."""
        for nonzero, test, width in [(1_000, 60.0, 0.25), (2_500, 75.0, 1.0)]:
            weighed = weights(nonzero, file=4 * nonzero)
            self.point(results, nonzero, test, width, weighed=weighed, noise=(0.0, 0.03, -0.02))
        self.point(
            *(results, 1_000, 65.0, 1.0, 0.9),
            weighed=weights(1_000, file=folded),
            noise=(0.01, -0.02, 0.02),
        )
        assert self.verdict(results, "sparse_above_dense") == claims.HOLDS
        assert self.verdict(results, "sparse_above_dense_in_bytes") == verdict

    @pytest.mark.parametrize(
        ("test", "verdict"),
        [(70.2, claims.HOLDS), (69.6, claims.UNTOLD), (60.0, claims.FAILS), (80.0, claims.FAILS)],
    )
    def test_equal_is_within_the_margin_on_both_sides(
        self, results: Results, test: float, verdict: str
    ) -> None:
        model = InceptionV3(width=0.25, layout="small")
        noise = (0.3, -0.3, 0.0) if verdict == claims.UNTOLD else (0.01, -0.01, 0.02)
        self.point(results, 4_000, 70.0, model=model)
        self.point(results, 2_000, test, 1.0, 0.5, model=model, noise=noise)
        self.point(
            results, 4_000, 50.0, model=InceptionV3(width=0.125, layout="small")
        )  # of another size
        assert self.verdict(results, "inception_50_equals_dense") == verdict

    @pytest.mark.parametrize(
        ("metric", "dense", "sparse", "verdict"),
        [
            (PERPLEXITY, 100.0, 104.0, claims.HOLDS),
            (PERPLEXITY, 100.0, 106.0, claims.FAILS),
            (PERPLEXITY, 100.0, 80.0, claims.HOLDS),
            (Metric(name="accuracy", unit="%", higher_is_better=True), 90.0, 89.5, claims.HOLDS),
            (Metric(name="accuracy", unit="%", higher_is_better=True), 90.0, 88.0, claims.FAILS),
        ],
    )
    def test_a_minimal_loss_is_one_sided(
        self, results: Results, metric: Metric, dense: float, sparse: float, verdict: str
    ) -> None:
        self.point(results, 4_000, dense, metric=metric)
        self.point(results, 400, sparse, 1.0, 0.9, metric=metric, noise=(0.02, 0.0, -0.04))
        assert self.verdict(results, "ten_times_smaller_at_minimal_loss") == verdict

    @pytest.mark.parametrize(
        ("last", "verdict"), [(70.1, claims.HOLDS), (65.0, claims.FAILS), (69.6, claims.UNTOLD)]
    )
    def test_a_setting_that_does_not_matter(
        self, results: Results, last: float, verdict: str
    ) -> None:
        noise = (0.4, -0.4, 0.1) if verdict == claims.UNTOLD else (0.02, -0.01, 0.0)
        for interval, test in ((100, 70.0), (1000, last)):
            cubic = Cubic(interval=interval)
            seeds = noise if interval == 100 else noise[::-1]
            self.point(results, 1_000, test, 1.0, 0.9, schedule=cubic, noise=seeds)
        assert self.verdict(results, "interval_does_not_matter") == verdict

    @pytest.mark.parametrize(("late", "verdict"), [(60.0, claims.HOLDS), (75.0, claims.FAILS)])
    def test_the_latest_start_is_held_against_the_best_of_the_others(
        self, results: Results, late: float, verdict: str
    ) -> None:
        for begin, end, test in ((0.0, 0.1, 65.0), (0.2, 0.5, 70.0), (0.8, 1.0, late)):
            cubic = Cubic(begin=begin, end=end, interval=5)
            self.point(results, 1_000, test, 1.0, 0.9, schedule=cubic)
        assert self.verdict(results, "pruning_too_late_cannot_heal") == verdict

    def test_points_that_differ_otherwise_say_nothing_of_the_latest_start(
        self, results: Results
    ) -> None:
        for interval in (5, 10):
            self.point(results, 1_000, 65.0, 1.0, 0.9, schedule=Cubic(interval=interval))
        claim = CLAIM["pruning_too_late_cannot_heal"]
        assert claims.judged([claim], results.find()) == []

    @pytest.mark.parametrize(("far", "verdict"), [(60.0, claims.HOLDS), (75.0, claims.FAILS)])
    def test_the_best_parent_is_looked_for_inside_and_outside_of_the_range(
        self, results: Results, far: float, verdict: str
    ) -> None:
        """Parents of one million weights and of four, pruned to 150,000."""
        self.point(results, 150_000, 70.0, 0.5, 0.85)
        for seed, each in enumerate((0.0, 0.03, -0.02)):
            record = results.finish(150_000, far + each, 1.0, 0.9625, seed=seed)
            record.counts.parameters = record.counts.prunable = 4_000_000
            results.store.folder(record.name).finish(record)
        assert self.verdict(results, "parent_five_to_ten_times") == verdict

    @pytest.mark.parametrize(("large", "verdict"), [(78.0, claims.HOLDS), (72.5, claims.FAILS)])
    def test_the_lead_grows_with_size(self, results: Results, large: float, verdict: str) -> None:
        self.point(results, 1_000, 60.0, 0.25)
        self.point(results, 9_000, 72.0, 1.0)
        self.point(results, 1_000, 64.0, 1.0, 0.9, noise=(0.01, -0.02, 0.02))
        self.point(results, 9_000, large, 1.0, 0.1, noise=(0.02, 0.01, -0.02))
        assert self.verdict(results, "gap_grows_with_model_size") == verdict

    @pytest.mark.parametrize(("all_of_it", "verdict"), [(30.2, claims.HOLDS), (36.0, claims.FAILS)])
    def test_all_matrices_are_held_against_the_layers_alone(
        self, results: Results, all_of_it: float, verdict: str
    ) -> None:
        common: dict[str, Any] = {
            "metric": PERPLEXITY,
            "task": Grammar(),
            "model": LSTMLanguageModel(hidden_size=64),
        }
        for scope, test in ((ModelScope(), all_of_it), (Named(include=["layers.*"]), 30.0)):
            self.point(results, 1_000, test, 1.0, 0.9, scope=scope, **common)
        assert self.verdict(results, "embedding_prunes_as_well") == verdict

    @pytest.mark.parametrize(("deepest", "verdict"), [(20.0, claims.HOLDS), (60.0, claims.FAILS)])
    def test_a_collapse_is_read_from_histories(
        self, results: Results, deepest: float, verdict: str
    ) -> None:
        for sparsity, low in ((0.5, 55.0), (0.875, deepest)):
            values = [(0.0, 40.0), (0.0, 60.0), (sparsity / 2, low), (sparsity, 65.0)]
            history = [
                {"step": step, "rate": 0.1, "loss": 1.0, "sparsity": s, "valid_accuracy": v}
                for step, (s, v) in enumerate(values, 1)
            ]
            model = InceptionV3(width=0.25, layout="small")
            results.finish(1_000, 65.0, 1.0, sparsity, model=model, history=history)
        (judged,) = claims.judged([CLAIM["collapse_grows_with_sparsity"]], results.find())
        assert judged.verdict == verdict
        assert judged.figures.startswith("at 50 % 5.0 lost and 10.0 won back, at 87.5 %")

    def test_positions_are_read_from_what_files_weigh(self, results: Results) -> None:
        for sparsity, positions in ((0.5, 1000), (0.95, 200)):
            weighed = weights(8_000, file=4_000, positions=positions, bound=1000.0)
            kept = weighed["batch_norm_kept"]["encodings"]
            kept["bitmask"] = {**kept["bitmask"], "position_bytes": 600}
            results.finish(1_000, 65.0, 1.0, sparsity, weighed=weighed)
        assert self.verdict(results, "bit_mask_and_counts_cross") == claims.HOLDS
        assert self.verdict(results, "positions_weigh_more_at_int8") == claims.HOLDS
        assert self.verdict(results, "masks_without_structure") == claims.FAILS  # 200 of 1000
