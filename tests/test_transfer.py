"""Finished runs without weights, from one results folder to another."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine.execute import execute
from pruneexp.engine.files import NotFound, save_json
from pruneexp.engine.record import HISTORY, OUTCOMES, RECORD, WEIGHTS, Plan, Planned
from pruneexp.engine.store import Store
from pruneexp.engine.transfer import give, merge, take
from pruneexp.pruning.start import FromDense
from pruneexp.report import report
from tests.conftest import Make, silent, tiny_gradual
from tests.test_sweep import pruneexp


def planned(run: Run) -> Planned:
    data = asked(run) | {"results": run.results}
    return Planned(fingerprint=fingerprint(run), name=name(run), run=data)


@pytest.fixture
def given(tiny: Make, tmp_path: Path) -> tuple[Run, Plan, Path]:
    """A finished run, its plan, and the folder that both were copied to."""
    run = tiny(tiny_gradual())
    execute(run, say=silent)
    plan = Plan(name="mine", title="Mine", runs=[planned(run)])
    folder = tmp_path / "published"
    assert give(run.store, plan, folder) == 1
    return run, plan, folder


def test_a_run_that_was_taken_is_finished(given: tuple[Run, Plan, Path], tmp_path: Path) -> None:
    run, plan, folder = given
    store = Store(tmp_path / "elsewhere")
    found = take(store, folder)
    assert (found.taken, found.there, found.refused) == ([name(run)], [], [])
    there = replace(run, results=str(store.results))
    before = (store.folder(name(run)).path / RECORD).stat().st_mtime_ns
    record = execute(there, say=silent)
    assert record.to_plain() == run.store.folder(name(run)).record_or_fail().to_plain()
    assert (store.folder(name(run)).path / RECORD).stat().st_mtime_ns == before
    texts = [report(each, plan).tables["runs"].csv() for each in (run.store, store)]
    assert texts[0] == texts[1]
    again = take(store, folder)
    assert (again.taken, again.there, again.refused) == ([], [name(run)], [])
    assert store.plan_names() == ["mine"]


def test_nothing_large_is_copied_and_no_path(given: tuple[Run, Plan, Path]) -> None:
    run, _, folder = given
    for path in folder.rglob("*.json"):
        assert run.results not in path.read_text()
    there = {path.name for path in (folder / "runs" / name(run)).iterdir()}
    assert there == {RECORD, HISTORY, OUTCOMES, "bytes.json"}


def test_a_parent_whose_weights_are_needed_is_made_again(
    given: tuple[Run, Plan, Path], tiny: Make, tmp_path: Path
) -> None:
    child = tiny(tiny_gradual(sparsity=0.5, start=FromDense()))
    whole = execute(child, say=silent)
    plan = Plan(name="child", title="", runs=[planned(child)])
    made_from = set(whole.parents.values())
    (parent,) = [f for f in child.store.folders() if f.fingerprint in made_from]
    for folder in (parent.path.name,):
        record = child.store.folder(folder).record_or_fail()
        plan.runs.insert(
            0, Planned(fingerprint=record.fingerprint, name=record.name, run=record.configuration)
        )
    give(child.store, plan, tmp_path / "both")
    shutil.rmtree(tmp_path / "both" / "runs" / whole.name)
    store = Store(tmp_path / "elsewhere")
    take(store, tmp_path / "both")
    again = execute(replace(child, results=str(store.results)), say=silent)
    assert again.checksums == whole.checksums


@pytest.mark.parametrize("damage", [RECORD, HISTORY, OUTCOMES, "bytes.json"])
def test_what_was_changed_is_refused(
    given: tuple[Run, Plan, Path], tmp_path: Path, damage: str
) -> None:
    run, _, folder = given
    path = folder / "runs" / name(run) / damage
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    store = Store(tmp_path / "elsewhere")
    found = take(store, folder)
    assert found.taken == [] and len(found.refused) == 1 and damage in found.refused[0]
    assert store.folder(name(run)).status() == "waiting"


def test_a_link_and_a_run_under_another_name_are_refused(
    given: tuple[Run, Plan, Path], tmp_path: Path
) -> None:
    run, _, folder = given
    runs = folder / "runs"
    shutil.copytree(runs / name(run), runs / "other-0123456789ab")
    (runs / name(run) / HISTORY).unlink()
    (runs / name(run) / HISTORY).symlink_to("/etc/passwd")
    found = take(Store(tmp_path / "elsewhere"), folder)
    assert found.taken == []
    assert sorted(line.rpartition(": ")[2] for line in found.refused) == [
        "it is a link",
        "it is not there, or of another run",
    ]


def test_the_commands(given: tuple[Run, Plan, Path], tmp_path: Path) -> None:
    run, plan, _ = given
    run.store.save_plan(plan)
    words = ["report", "mine", "--results", run.results, "--out", "out", "--runs"]
    done = pruneexp(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "runs" / name(run) / RECORD).exists()
    done = pruneexp("take", "out", "--results", "new", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 run taken into new/runs, 0 were there\n")
    done = pruneexp("take", "nowhere", "--results", "new", cwd=tmp_path)
    assert done.returncode != 0 and "no runs/ in nowhere" in done.stderr


def test_what_is_held_is_left_alone(given: tuple[Run, Plan, Path], tmp_path: Path) -> None:
    run, _, folder = given
    store = Store(tmp_path / "elsewhere")
    with store.folder(name(run)).lease() as is_ours:
        assert is_ours
        found = take(store, folder)
    assert found.taken == [] and "another process makes it" in found.refused[0]


class TestMerge:
    def test_whole_runs_of_two_machines(self, tiny: Make, tmp_path: Path) -> None:
        """A child of a dense parent goes on elsewhere without the parent being trained again."""
        dense = tiny()
        parent = execute(dense, say=silent)
        plan = Plan(name="mine", title="Mine", runs=[planned(dense)])
        dense.store.save_plan(plan)
        store = Store(tmp_path / "elsewhere")
        found = merge(store, dense.store)
        assert (found.taken, found.refused, found.differing) == ([parent.name], [], [])
        assert store.plan_names() == ["mine"]
        there = store.folder(parent.name)
        assert there.weights_are_good(there.record_or_fail())
        assert there.usage() == dense.store.folder(parent.name).usage()
        before = (there.path / RECORD).stat().st_mtime_ns
        child = tiny(tiny_gradual(start=FromDense()), keep="none")
        record = execute(replace(child, results=str(store.results)), say=silent)
        assert (there.path / RECORD).stat().st_mtime_ns == before
        assert record.parents["weights"] == parent.fingerprint
        again = merge(store, dense.store)
        assert (again.taken, again.there) == ([], [parent.name])

    def test_other_results_are_told(self, tiny: Make, tmp_path: Path) -> None:
        run = tiny()
        record = execute(run, say=silent)
        store = Store(tmp_path / "elsewhere")
        merge(store, run.store)
        path = store.folder(record.name).path / RECORD
        plain = record.to_plain()
        plain["test"]["accuracy"] = 99.0
        save_json(path, plain)
        found = merge(store, run.store)
        (told,) = found.differing
        assert "test accuracy 99 here" in told and "this one stays" in told
        assert store.folder(record.name).record_or_fail().test["accuracy"] == 99.0

    def test_damaged_weights_stay_behind(self, tiny: Make, tmp_path: Path) -> None:
        run = tiny()
        record = execute(run, say=silent)
        weights = run.store.folder(record.name).path / WEIGHTS
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        store = Store(tmp_path / "elsewhere")
        assert merge(store, run.store).taken == [record.name]
        there = store.folder(record.name)
        assert there.status() == "finished"
        assert not (there.path / WEIGHTS).exists()
        assert not list(there.path.glob("*.part"))

    def test_links_and_folders_that_are_none(self, tiny: Make, tmp_path: Path) -> None:
        run = tiny()
        record = execute(run, say=silent)
        store = Store(tmp_path / "elsewhere")
        with pytest.raises(NotFound, match="it should be a results folder"):
            merge(store, Store(tmp_path / "nothing"))
        with pytest.raises(NotFound, match="is the results folder itself"):
            merge(run.store, run.store)
        weights = run.store.folder(record.name).path / WEIGHTS
        weights.rename(tmp_path / "secret")
        weights.symlink_to(tmp_path / "secret")
        found = merge(store, run.store)
        assert found.taken == [] and "it is a link" in found.refused[0]
