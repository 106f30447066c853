"""Points that choose a setting on validation, dense and sparse alike by as many trials."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruneexp.cli.compose import compose
from pruneexp.cli.grids import Search, count, points
from pruneexp.cli.search import Tried, choose, grown, words
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import name
from pruneexp.engine.execute import execute
from pruneexp.engine.record import Trial
from pruneexp.engine.store import Store
from pruneexp.report import report
from tests.conftest import Make, silent
from tests.test_sweep import TINY, pruneexp

UNION = [
    {"pruning.sparsity": "0.5,0.9", "seed": "3,4", "search": {"training.learning_rate": "0.1,0.2"}},
    {"pruning": "none"},
]


def test_the_points_of_a_search_are_its_trials_at_the_first_seed() -> None:
    rates = ["training.learning_rate=0.1", "training.learning_rate=0.2"]
    assert points(UNION, []) == [
        *(["pruning.sparsity=0.5", "seed=3", rate] for rate in rates),
        *(["pruning.sparsity=0.9", "seed=3", rate] for rate in rates),
        ["pruning=none"],
    ]


def test_what_the_command_line_gives_is_not_searched() -> None:
    assert points(UNION, ["training.learning_rate=0.7", "seed=5"]) == [
        ["pruning.sparsity=0.5", "training.learning_rate=0.7", "seed=5"],
        ["pruning.sparsity=0.9", "training.learning_rate=0.7", "seed=5"],
        ["pruning=none", "training.learning_rate=0.7", "seed=5"],
    ]


def test_a_search_takes_short_forms() -> None:
    union = [{"pruning.start": "dense", "search": {"pruning.rate": [0.1, 1.0]}}]
    assert points(union, []) == [
        ["pruning/start=dense", "pruning.start.rate=0.1"],
        ["pruning/start=dense", "pruning.start.rate=1.0"],
    ]


def test_without_seeds_the_configurations_own_makes_the_trials() -> None:
    composed = compose(["-m", "title=a"])
    assert composed.grids is not None
    composed.grids.config.seed = 7
    searched = replace(composed.grids, union=[{"search": {"training.learning_rate": "0.1,0.2"}}])
    assert [one.seeds for one in searched.searches()] == [("seed=7",)]


def test_a_search_is_printed_as_one() -> None:
    composed = compose(["-m", "model.width=0.5"])
    assert composed.grids is not None
    assert replace(composed.grids, union=UNION).axes() == [
        {
            "pruning.sparsity": "0.5,0.9",
            "seed": "3,4",
            "model.width": "0.5",
            "search": {"training.learning_rate": "0.1,0.2"},
        },
        {"pruning": "none", "model.width": "0.5"},
    ]


def test_trials_are_counted() -> None:
    assert count(UNION, []) == len(points(UNION, [])) == 5


@pytest.mark.parametrize("wrong", ["0.1,0.2", {}, None])
def test_a_search_that_names_no_keys_is_refused(wrong: Any) -> None:
    with pytest.raises(Invalid, match=r"^search takes keys with the values to try"):
        points([{"seed": 1, "search": wrong}], [])


def test_a_key_without_values_to_try_is_refused() -> None:
    with pytest.raises(Invalid, match=r"^search: training.learning_rate takes values to try, got"):
        points([{"seed": 1, "search": {"training.learning_rate": []}}], [])


def test_a_misspelt_search_is_told() -> None:
    with pytest.raises(Invalid, match=r"union: serach takes values.*`search` is what"):
        points([{"seed": 1, "serach": {"training.learning_rate": [0.1, 0.2]}}], [])


def search(point: str, rates: str) -> Search:
    axes = {"training.learning_rate": tuple(rates.split(","))}
    return Search((point,), ("seed=0",), axes)


def tried(point: str, valid: dict[str, float], *, higher: bool = True) -> list[Trial]:
    """The trials of a point by rate, the best marked."""
    best = (max if higher else min)(valid, key=lambda rate: valid[rate])
    return [
        Trial(
            point=point,
            values={"training.learning_rate": rate},
            name="a",
            valid=value,
            chosen=rate == best,
        )
        for rate, value in valid.items()
    ]


INSIDE = {"0.1": 1.0, "0.2": 9.0, "0.4": 2.0}


@pytest.mark.parametrize(
    ("other", "rates"),
    [
        (INSIDE, ("0.1,0.2,0.4", "0.1,0.2,0.4")),  # nobody's best value lies at an end
        ({"0.1": 9.0, "0.2": 5.0, "0.4": 2.0}, ("0.1,0.2,0.4,0.8", "0.1,0.2,0.4,0.05")),
        ({"0.1": 1.0, "0.2": 5.0, "0.4": 9.0}, ("0.1,0.2,0.4,0.8", "0.1,0.2,0.4,0.8")),
    ],
)
@pytest.mark.parametrize("higher", [True, False])
def test_every_axis_grows_towards_its_points_own_best_values(
    other: dict[str, float], rates: tuple[str, str], higher: bool
) -> None:
    searches = [search("a", "0.1,0.2,0.4"), search("b", "0.1,0.2,0.4")]
    sign = 1 if higher else -1
    trials = [
        one
        for point, values in (("a", INSIDE), ("b", other))
        for one in tried(point, {r: sign * v for r, v in values.items()}, higher=higher)
    ]
    assert grown(searches, trials) == [search("a", rates[0]), search("b", rates[1])]


def test_a_point_without_a_trial_stays_as_it_is() -> None:
    """Such as one whose settings cannot be read: the others go on."""
    searches = [search("a", "0.1,0.2,0.4"), search("unreadable", "0.1,0.2,0.4")]
    at_the_end = tried("a", {"0.1": 1.0, "0.2": 5.0, "0.4": 9.0})
    assert grown(searches, at_the_end) == [search("a", "0.1,0.2,0.4,0.8"), searches[1]]
    assert grown(searches[1:], []) == searches[1:]


def test_what_are_no_numbers_does_not_grow() -> None:
    axes = {"training/decay": ("cosine", "linear")}
    one = Search(("a",), ("seed=0",), axes)
    values = {"training/decay": "cosine"}
    best = Trial(point="a", values=values, name="a", valid=1.0, chosen=True)
    assert grown([one], [best]) == [one]


def test_validation_chooses_and_a_failed_trial_is_never_chosen(tiny: Make) -> None:
    runs = [tiny(learning_rate=rate) for rate in (0.01, 0.2, 0.05)]
    records = [execute(run, say=silent) for run in runs[:2]]
    of = Search(("pruning=none",), ("seed=0",), {"training.learning_rate": ("0.01", "0.2", "0.05")})
    tried = [
        Tried(of, {"training.learning_rate": str(run.training.learning_rate)}, run) for run in runs
    ]
    trials = choose(runs[0].store, tried)
    valid = [record.valid["accuracy"] for record in records]
    assert [one.valid for one in trials] == [*valid, None]
    assert [one.chosen for one in trials].index(True) == valid.index(max(valid))
    with pytest.raises(Invalid, match=r"^search all 1 trials of pruning=none failed"):
        choose(runs[0].store, tried[2:])


def test_a_point_is_called_without_where_and_how_fast() -> None:
    one = Search(("results=/a", "workers=2", "experiment=x", "pruning=none"), ("seed=0",), {})
    assert words(one) == "pruning=none"


def test_a_search_from_yaml_to_report(tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "searched.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n"
        "  mode: MULTIRUN\n"
        "  sweeper:\n"
        "    union:\n"
        "      - {pruning: none, seed: '0,1', search: {training.learning_rate: '0.002,0.02,0.2'}}\n"
        "      - pruning.sparsity: 0.5\n"
        "        seed: '0,1'\n"
        "        search: {training.learning_rate: '0.002,0.02,0.2'}\n"
    )
    words = ["run", "--config-dir", "conf", "experiment=searched", *TINY]
    words += ["pruning.schedule.interval=2"]
    done = pruneexp(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "results")
    plan = store.find_plan(store.plan_names()[0])
    by_point: dict[str, list[Trial]] = {}
    for one in plan.trials:
        by_point.setdefault(one.point, []).append(one)
    assert len(by_point) == 2
    counts = {len(trials) for trials in by_point.values()}
    assert len(counts) == 1 and counts.pop() >= 3  # as many for the dense point as for the sparse
    for trials in by_point.values():
        (chosen,) = [one for one in trials if one.chosen]
        assert chosen.valid == max(one.valid for one in trials if one.valid is not None)
        rates = sorted(float(one.values["training.learning_rate"]) for one in trials)
        assert rates[0] < float(chosen.values["training.learning_rate"]) < rates[-1]
    wanted = [one for one in plan.runs if one.wanted]
    assert len(wanted) == 4  # two points at two seeds
    assert sorted(one.run["seed"] for one in wanted) == [0, 0, 1, 1]
    made = report(store, plan)
    assert set(made.tables["runs"].raw["series"]) == {"dense", "sparse"}  # whatever was chosen
    assert len(made.tables["trials"].raw) == len(plan.trials)
    assert "How settings were chosen" in made.text()
    before = {path: path.stat().st_mtime_ns for path in store.runs.glob("*/record.json")}
    assert pruneexp(*words, cwd=tmp_path).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in store.runs.glob("*/record.json")} == before


def test_a_search_that_is_stopped_tells_points_from_trials(tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "searched.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n"
        "  mode: MULTIRUN\n"
        "  sweeper:\n"
        "    union:\n"
        "      - {pruning: none, seed: '0,1', search: {training.learning_rate: '0.02,0.2'}}\n"
    )
    words = ["run", "--config-dir", "conf", "experiment=searched", *TINY, "hours=0.0000001"]
    pruneexp(*words, cwd=tmp_path)
    store = Store(tmp_path / "results")
    plan = store.find_plan(store.plan_names()[0])
    assert len(plan.runs) == 2 and not plan.trials
    assert {one.trial_of for one in plan.runs} == {plan.runs[0].trial_of} != {""}
    assert all(one.chosen == ["training.learning_rate"] for one in plan.runs)


def test_the_names_of_trials_are_those_of_ordinary_runs() -> None:
    composed = compose(["-m", "training.learning_rate=0.1", "seed=3"])
    assert composed.grids is not None
    from pruneexp.cli.points import read_points, read_trials

    (run,) = read_points(composed.grids, ask_first=True)[0]
    one = Search((), ("seed=3",), {"training.learning_rate": ("0.1",)})
    (tried,) = read_trials(composed.grids, [one])
    assert name(tried.run) == name(run)
