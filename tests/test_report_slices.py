"""Models of several sizes at one budget: figure, table and verdict."""

import pytest

from pruneexp.config.run import Run
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual
from pruneexp.report import figures, report
from pruneexp.report.analysis.slices import slices, verdict
from pruneexp.tasks import Glyphs
from pruneexp.training import Training
from tests.results import Results, weights


def make(results: Results, budget: int, levels: dict[float, list[float]]) -> None:
    """A dense model of 1,000 weights whose file has as many bytes as the budget, and parents."""
    for times, values in levels.items():
        dense = times == 1
        pruning = Dense() if dense else Gradual(budget=f"{budget - 100}B")
        for seed, value in enumerate(values):
            run = Run(
                task=Glyphs(),
                model=MobileNetV1(width=round(budget / 10**6 + times / 10, 3), layout="small"),
                training=Training(),
                pruning=pruning,
                seed=seed,
            )
            parameters = round(budget / 10 * times)
            file = budget if dense else budget - 150
            results.finish_run(
                run, value, parameters=parameters, weighed=weights(parameters, file=file)
            )


@pytest.fixture
def budgets(results: Results) -> Results:
    make(results, 100_000, {1: [70.0, 70.2], 2: [74.0, 74.1], 5: [76.0, 76.1], 12: [75.9, 76.1]})
    make(results, 200_000, {1: [80.0, 80.2], 2: [79.0, 79.1], 5: [76.0, 76.1]})
    return results


def test_a_slice_for_each_budget(budgets: Results) -> None:
    small, large = slices(budgets.find())
    assert small.bytes == 99_900 and large.bytes == 199_900
    assert [rung.times for rung in small.rungs] == [1, 2, 5, 12]
    assert small.best.times == 5 and [rung.times for rung in small.as_good] == [5, 12]
    assert large.best.times == 1 and [rung.times for rung in large.as_good] == [1]


def test_a_verdict_on_five_to_ten_times(budgets: Results, results: Results) -> None:
    made = slices(budgets.find())
    assert verdict(made) == (
        "How large a parent: at 0.100 MB a parent of 5 times the weights is best, not worse beyond "
        "chance from 5 times to 12 times; at 0.200 MB the dense model itself is best."
    )
    assert verdict(made[:1]).endswith("is not worse than the best at it.")
    assert verdict(made[1:]).endswith("is worse than the best at it.")
    assert verdict([]) == ""


def test_budgets_are_points_of_one_curve(budgets: Results) -> None:
    found = budgets.find()
    assert sorted(curve[0].kind for curve in found.curves.values()).count("sparse") >= 1
    assert all("budget" not in name for name in found.curves)
    labels = {point.label for point in found.points if point.kind == "sparse"}
    assert all(label.endswith("%") and len(label) <= 8 for label in labels)


def test_it_is_drawn_and_tabled(budgets: Results) -> None:
    found = budgets.find()
    assert figures.draw("slices", found, ["svg"])["svg"].startswith(b"<?xml")
    made = report(budgets.store, budgets.plan)
    assert {"slices.png", "slices.csv"} <= {path.name for path in made.files}
    assert any(text.startswith("How large a parent") for text in made.verdicts)
    raw = made.tables["slices"].raw
    assert list(raw[raw.best_on_validation].parent_times) == [5, 1]


def test_without_budgets_there_is_nothing(results: Results) -> None:
    results.finish(1000, 70.0)
    assert figures.draw("slices", results.find(), ["svg"]) == {}
    assert "slices" not in report(results.store, results.plan).tables
