"""Records that are odd and yet allowed end in a report: nothing left, nothing measured, one run,
equal sizes, values at the ends of what a record may hold."""

import random
from typing import Any

import pytest

from pruneexp.engine import files
from pruneexp.engine.record import LATENCY, Metric
from pruneexp.report import figures, report
from pruneexp.report.analysis import findings
from pruneexp.report.choice.choose import chooser_of
from pruneexp.report.data import load
from pruneexp.report.output import page, tables
from pruneexp.report.web.data import page_data
from pruneexp.report.web.render import html
from tests.results import ACCURACY, PERPLEXITY, Results, weights

SIZES = (0, 1, 1000, 1001, 10**6, 10**15)
TESTS = (0.0, -1.0, 5e-324, 1e-300, 50.0, 50.1, -1e12, 1e12 - 1)
METRICS = (ACCURACY, PERPLEXITY, Metric(name="", higher_is_better=True, digits=10))


def drawn(found: findings.Findings) -> dict[str, dict[str, bytes]]:
    """Every figure, table and page of a report, without writing it."""
    for make in tables.TABLES.values():
        make(found)
    html(page.story(found, [], []), page_data(found, chooser_of(found)))
    return {name: figures.draw(name, found, ["svg"]) for name in figures.FIGURES}


def test_masks_that_take_nothing_have_no_figure_of_positions(results: Results) -> None:
    for sparsity, positions in ((0.5, 0), (0.9, 0)):
        results.finish(
            1000, 70.0, sparsity=sparsity, weighed=weights(0, file=9, positions=positions)
        )
    assert drawn(results.find())["positions"] == {}


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_validation_below_one_needs_no_logarithm(results: Results, value: float) -> None:
    history = [{"step": 1.0, "rate": 0.1, "sparsity": 0.5, "valid_perplexity": value}]
    results.finish(1000, 5.0, sparsity=0.5, metric=PERPLEXITY, history=history)
    assert drawn(results.find())["schedule"]


def test_a_history_of_step_0_is_drawn(results: Results) -> None:
    row = {"step": 0.0, "rate": 0.0, "sparsity": 0.0, "valid_accuracy": 1.0}
    results.finish(1000, 5.0, sparsity=0.5, history=[row])
    assert drawn(results.find())["schedule"]


def test_a_history_beyond_every_axis_is_named(results: Results) -> None:
    row = {"step": 1.0, "rate": 0.1, "sparsity": 0.5, "valid_accuracy": 1e300}
    record = results.finish(1000, 5.0, sparsity=0.5, history=[row])
    found = results.find()
    assert drawn(found)["schedule"] == {}
    assert [record.name in warning for warning in found.warnings] == [True]


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e300])
def test_a_forged_measurement_of_time_is_named(results: Results, seconds: float) -> None:
    record = results.finish(1000, 70.0, seconds=seconds)
    results.finish(3000, 75.0, width=0.5, seconds=1.0)
    found = results.find()
    assert drawn(found)["latency"] == {}
    path = results.store.folder(record.name).path / LATENCY
    assert any(str(path) in warning and "dense" in warning for warning in found.warnings)


def test_a_measurement_of_time_may_be_damaged(results: Results) -> None:
    record = results.finish(1000, 70.0, seconds=1.0)
    (results.store.folder(record.name).path / LATENCY).write_bytes(b"{")
    assert report(results.store, results.plan).missing == []


@pytest.mark.parametrize("seed", range(6))
def test_any_record_that_is_allowed_ends_in_a_report(results: Results, seed: int) -> None:
    choose = random.Random(seed)
    metric = choose.choice(METRICS)
    for width, sparsity in ((1.0, None), (0.5, None), (1.0, 0.5), (1.0, 0.9), (0.5, 0.99)):
        size = choose.choice((0, 1, 10**9))
        given: dict[str, Any] = {
            "history": [{"step": 1.0, "rate": 1.0, "sparsity": 0.5, f"valid_{metric.name}": -1.0}],
            "references": choose.choice(({}, {"x": 0.0}, {"x": 1e12, "y": -5.0})),
            "work": choose.choice(((0, 0), (10**15, 10**15), (10, 0))),
            "weighed": weights(choose.choice((0, 10**6)), file=size, positions=size, folded=size),
            "seconds": choose.choice((None, 1e-9, 1e5)),
            "steps": choose.choice((0, 1000)),
        }
        results.finish(
            *(choose.choice(SIZES), choose.choice(TESTS), width, sparsity), metric=metric, **given
        )
    found = findings.find(results.plan, load.load(results.store, results.plan))
    assert set(drawn(found)) == set(figures.FIGURES)


def test_latency_of_another_shape_is_named(results: Results) -> None:
    record = results.finish(1000, 70.0)
    path = results.store.folder(record.name).path / LATENCY
    files.save_json(path, {"version": 1, "measured": {"batch": 1}})
    assert any(str(path) in warning for warning in results.find().warnings)
