"""Parents of several sizes at one budget, made in rounds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruneexp.cli.compose import compose
from pruneexp.cli.grids import Grids, points
from pruneexp.cli.phases import Phases
from pruneexp.cli.points import Composer, read_points
from pruneexp.cli.slices import Slicer
from pruneexp.cli.sweep import Clock
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.plan import plan
from pruneexp.engine.record import Plan
from pruneexp.measure.fitting import dense_bytes
from pruneexp.measure.planned import network, nonzero
from tests.results import Results

LSTM = ["task=grammar", "model=lstm_lm", "training=grammar"]


def grids(words: list[str], **grid: Any) -> Grids:
    composed = compose(["-m", *words])
    assert composed.grids is not None
    found = composed.grids
    composer = Composer(found.loader, found.config)
    return replace(found, union=[grid], cut=Slicer(composer))


def budget_of(run: Run) -> int:
    budget = run.pruning.file_budget()
    return budget.bytes if budget else 0


class TestSlices:
    def test_a_dense_model_and_parents_pruned_to_its_bytes(self) -> None:
        found = grids([*LSTM, "results=nowhere"], budget="100kB", parents=[2, 5, 12], seed=0)
        (one,) = found.slices()
        assert one.times == [1, 2, 5, 12] and not one.impossible
        runs, unreadable = read_points(found, ask_first=True)
        assert not unreadable
        dense, *sparse = runs
        assert dense_bytes(dense) <= 100_000
        weights = nonzero(dense, network(dense)) or 0
        for times, run in zip((2, 5, 12), sparse, strict=True):
            assert budget_of(run) == dense_bytes(dense, least=True) < dense_bytes(dense)
            parent = sum(p.numel() for p in network(run).parameters())
            assert times <= parent / weights < 1.1 * times

    def test_parents_that_cannot_be_pruned_so_far_are_told(self) -> None:
        found = grids(["results=nowhere"], budget="30kB", parents=[2, 300], seed=0)
        (one,) = found.slices()
        assert one.times == [1, 2]
        assert "30kB, parent of 300 times: budget=" in one.impossible[0]
        assert "is below the" in one.impossible[0]

    def test_int8_files_hold_larger_models(self) -> None:
        words = ["quantisation=rounding", "quantisation.values=int8", "results=nowhere"]
        (plain,) = grids(["results=nowhere"], budget="50kB", parents=[2]).slices()
        (rounded,) = grids(words, budget="50kB", parents=[2]).slices()

        def width(one: Any) -> float:
            return float(one.searches[0].point[-1].partition("=")[2])

        assert width(rounded) > 1.5 * width(plain)

    @pytest.mark.parametrize("parents", [[], [1], [0.5, 2], "many", [2, "x"], None])
    def test_what_are_no_multiples_is_refused(self, parents: Any) -> None:
        with pytest.raises(Invalid, match="parents takes multiples"):
            points([{"budget": "50kB", "parents": parents}], [])

    def test_a_grid_without_a_budget_is_refused(self) -> None:
        with pytest.raises(Invalid, match="takes points with a budget"):
            grids(["results=nowhere"], seed=0, parents=[2]).slices()

    def test_it_is_shown_as_yaml_that_can_be_run_again(self) -> None:
        found = grids(["results=nowhere"], budget="50kB", parents="2,3", seed="0,1")
        (axes,) = found.axes()
        assert (axes["budget"], axes["seed"], axes["parents"]) == ("50kB", "0,1", [2.0, 3.0])


class Made:
    """Trains nothing: a run's value follows from its parent's size, its seed and its rate."""

    def __init__(self, results: Results, best: float, spread: float = 0.02) -> None:
        self.results, self.best, self.spread = results, best, spread
        self.plans: list[Plan] = []
        self.stop_after: int | None = None

    def __call__(self, planned: Plan) -> bool:
        self.plans.append(planned)
        for one in planned.runs:
            if self.results.store.folder(one.name).status() != "finished":
                if self.stop_after == 0:
                    return True
                if self.stop_after is not None:
                    self.stop_after -= 1
                self._finish(one.name)
        return False

    def _finish(self, called: str) -> None:
        run = next(run for run in self.runs if name(run) == called)
        width = getattr(run.model, "width", 1.0)
        rate = run.training.learning_rate
        value = 80 - 10 * abs(width - self.best) - 5 * abs(rate - 0.1)
        value += self.spread * ((hash((round(width, 3), run.seed)) % 7) - 3)
        self.results.finish_run(run, value)

    runs: Sequence[Run] = ()


def phases(results: Results, made: Made, **grid: Any) -> Phases:
    words = [f"results={results.store.results}"]
    found = grids(words, budget="60kB", parents=[1.5, 2, 3, 5, 8], **grid)
    runs, unreadable = read_points(found, ask_first=True)
    assert not unreadable

    def planned(some: Sequence[Run], trials: Any) -> Plan:
        made.runs = [*made.runs, *some]
        whole = plan("", "mine", [*some], [])
        whole.trials = [*trials]
        return whole

    return Phases(grids=found, runs=runs, plan=planned, make=made)


class TestRounds:
    def test_seeds_go_to_the_best_and_its_rivals(self, results: Results) -> None:
        made = Made(results, best=0.3)
        planned, stopped = phases(results, made, seed="0,1,2,3,4").through()
        assert not stopped
        seeds: dict[float, int] = {}
        for one in planned.runs:
            width = one.run["model"]["width"]
            seeds[width] = seeds.get(width, 0) + 1
        (dense, *_), best = sorted(seeds), min(seeds, key=lambda width: abs(width - 0.3))
        assert seeds[best] == seeds[dense] == 3
        assert min(seeds.values()) == 1 and all(one.wanted for one in planned.runs)

    def test_levels_that_could_not_matter_are_told(self, results: Results) -> None:
        made = Made(results, best=0.17)
        planned, _ = phases(results, made, seed="0,1,2").through()
        assert len(planned.left_out) == 1
        assert planned.left_out[0].startswith("60kB, parents of ")
        assert "levels nearer to the best are worse" in planned.left_out[0]

    def test_each_level_chooses_its_rate_among_as_many(self, results: Results) -> None:
        made = Made(results, best=0.3)
        search = {"training.learning_rate": "0.05,0.1,0.2"}
        planned, _ = phases(results, made, seed="0,1,2", search=search).through()
        tried: dict[str, int] = {}
        for trial in planned.trials:
            tried[trial.point] = tried.get(trial.point, 0) + 1
        assert set(tried.values()) == {3} and len(tried) >= 4
        assert all(t.values["training.learning_rate"] == "0.1" for t in planned.trials if t.chosen)

    def test_it_goes_on_where_it_was_stopped(self, results: Results, tmp_path: Path) -> None:
        made = Made(results, best=0.3)
        made.stop_after = 4
        _, stopped = phases(results, made, seed="0,1,2").through()
        assert stopped and not made.plans[-1].left_out  # what could matter is not known yet
        made.stop_after = None
        planned, stopped = phases(results, made, seed="0,1,2").through()
        whole = Results(tmp_path / "whole")
        same, _ = phases(whole, Made(whole, best=0.3), seed="0,1,2").through()
        assert not stopped
        assert sorted(one.name for one in planned.runs) == sorted(one.name for one in same.runs)


class TestHours:
    def test_time_that_is_up(self) -> None:
        assert Clock(1e-15).is_over and not Clock(1.0).is_over and not Clock(0).is_over
