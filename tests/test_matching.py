"""Dense rivals of the sizes that sparse models are pruned to."""

from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from pruneexp.cli.compose import compose
from pruneexp.cli.grids import Grids, points
from pruneexp.cli.matching import Matcher
from pruneexp.cli.points import Composer, read_points, read_trials
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine.record import NEAR
from pruneexp.measure.planned import size

LSTM = ["task=grammar", "model=lstm_lm", "training=grammar"]


def grids(words: list[str], **grid: Any) -> Grids:
    composed = compose(["-m", "results=nowhere", *words])
    assert composed.grids is not None
    found = composed.grids
    matcher = Matcher(Composer(found.loader, found.config))
    return replace(found, union=[grid], matcher=matcher)


def made(found: Grids) -> list[Run]:
    runs, unreadable = read_points(found, ask_first=True)
    assert not unreadable
    return runs


def described(runs: list[Run]) -> list[tuple[Any, ...]]:
    rows = []
    for run in runs:
        number = getattr(run.model, "hidden_size", None) or getattr(run.model, "width", None)
        rows.append((number, getattr(run.pruning, "sparsity", None), size(run).nonzero))
    return rows


def test_a_sparse_point_stands_beside_the_smallest_dense_model_not_below_it() -> None:
    found = grids(LSTM, **{"model.hidden_size": 128, "pruning.sparsity": "0.8", "matched": True})
    assert described(made(found)) == [(128, 0.8, 83_290), (45, None, 83_352)]


def test_where_no_dense_model_is_as_large_the_sparsity_meets_the_next() -> None:
    found = grids(LSTM, **{"model.hidden_size": 128, "pruning.sparsity": 0.95, "matched": True})
    sparse, dense = described(made(found))
    assert dense == (17, None, 24_216)
    assert sparse[1] == 0.9464 and abs(sparse[2] / dense[2] - 1) < 0.001


def test_widths_are_solved_to_a_thousandth() -> None:
    found = grids([], **{"pruning.sparsity": "0.5,0.75,0.9,0.95", "matched": True})
    rows = described(made(found))
    assert [row[0] for row in rows[1::2]] == [0.704, 0.497, 0.321, 0.243]
    for sparse, dense in zip(rows[::2], rows[1::2], strict=True):
        assert dense[2] >= sparse[2] * 0.999 and dense[2] <= sparse[2] * (1 + NEAR)


def test_rivals_may_differ_in_other_settings() -> None:
    grid = {"model.hidden_size": 128, "pruning.sparsity": 0.9}
    runs = made(grids(LSTM, **grid, matched=[{}, {"model.tied": True}]))
    assert [row[:2] for row in described(runs)] == [(128, 0.8963), (28, None), (38, None)]
    assert [run.model.tied for run in runs] == [False, False, True]


def test_a_rival_of_a_model_with_a_start_is_given_both_stages() -> None:
    found = grids([], **{"pruning/start": "dense", "pruning.sparsity": 0.9, "matched": True})
    sparse, dense = made(found)
    assert dense.pruning.starts_from.word == "dense" and dense.pruning.sparsity == 0
    assert dense.model.width == 0.321
    assert dense.steps == sparse.steps


def test_every_rival_has_its_own_trials_and_all_seeds() -> None:
    search = {"training.learning_rate": "0.1,0.2"}
    found = grids([], **{"seed": "3,4", "matched": True, "search": search})
    assert [one.seeds for one in found.searches()] == [("seed=3", "seed=4")] * 2
    tried = read_trials(found, found.searches())
    assert [(one.run.seed, one.run.training.rate) for one in tried] == [(3, 0.1), (3, 0.2)] * 2
    assert found.count() == len(made(found)) == 4


def test_what_the_command_line_says_is_what_is_matched() -> None:
    words = [*LSTM, "model.hidden_size=128", "pruning.sparsity=0.95"]
    found = grids(words, **{"pruning.sparsity": 0.8, "matched": True})
    assert described(made(found))[1][0] == 17


def test_matching_is_printed_as_it_was_asked_for() -> None:
    found = grids([], **{"pruning.sparsity": 0.9, "matched": True})
    assert found.axes() == [{"pruning.sparsity": "0.9", "results": "nowhere", "matched": True}]


@pytest.mark.parametrize("wrong", [False, "true", [], ["model.tied=true"], {"model.tied": True}])
def test_what_is_no_list_of_rivals_is_refused(wrong: Any) -> None:
    with pytest.raises(Invalid, match=r"^matched takes true, or a list of rivals"):
        points([{"seed": 1, "matched": wrong}], [])


def test_a_dense_point_has_nothing_to_match() -> None:
    with pytest.raises(Invalid, match=r"^matched takes points with a pruning\.sparsity, got pruni"):
        made(grids([], **{"pruning": "none", "matched": True}))


def net() -> nn.Module:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 47)]
    return nn.Sequential(nn.Conv2d(1, 8, 3), *pooled)


def test_a_model_without_a_size_is_refused() -> None:
    words = ["model=custom", "model.factory=tests.test_matching:net"]
    with pytest.raises(Invalid, match="matched takes a model with one size to turn, got custom"):
        made(grids(words, **{"pruning.sparsity": 0.9, "matched": True}))


def test_a_point_that_cannot_be_read_is_refused_as_others_are() -> None:
    found = grids([], **{"pruning.sparsity": "0.9,1.9", "matched": True})
    runs, unreadable = read_points(found, ask_first=True)
    assert len(runs) == 2
    assert [point["overrides"] for point in unreadable] == ["pruning.sparsity=1.9 results=nowhere"]
