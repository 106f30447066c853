"""Finished runs from one results folder to another: without their weights as small files that can
lie in a repository, or whole (`merge`); a later start elsewhere accepts both as finished.

What is taken comes from elsewhere: each file is read with a bound, the record and the outcomes are
checked as such, the history by the record's checksum, and nothing else is copied.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    HISTORY,
    MASKS,
    OUTCOMES,
    RECORD,
    WEIGHTS,
    Plan,
    Record,
)
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store

RUNS, PLAN = "runs", "plan.json"  # in the folder that holds them
BESIDE = (HISTORY, OUTCOMES, BYTES)  # copied with the record, where they are there
LARGE = (WEIGHTS, MASKS)  # what a whole run has beside these
OF_A_MACHINE = ("results", "workers")  # keys of a planned run that say nothing elsewhere
MOST_BYTES = 40 * 10**6  # of one of these files


@dataclass(slots=True)
class Taken:
    """What became of the runs of a folder."""

    taken: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)  # finished before
    refused: list[str] = field(default_factory=list)  # with the reason
    differing: list[str] = field(default_factory=list)  # finished on both sides with other results


def give(store: Store, plan: Plan, folder: Path) -> int:
    """Copy a plan and the small files of its finished runs into a folder. Returns how many runs
    were copied."""
    given = give_runs(store, plan, folder)
    plain = plan.to_plain()
    for run in plain["runs"]:
        for key in OF_A_MACHINE:
            run["run"].pop(key, None)
    files.save_json(folder / PLAN, plain)
    return given


def give_runs(store: Store, plan: Plan, folder: Path) -> int:
    """The same without the plan, of one that has not come to its end. Outcomes, which are the
    largest, are copied of runs that the plan wants; runs that lie there and are not of the plan
    stay."""
    names = dict.fromkeys([*(run.name for run in plan.runs), *(one.name for one in plan.trials)])
    wanted = {run.name for run in plan.runs if run.wanted}
    given = 0
    for name in names:
        source = store.folder(name)
        if source.status() != "finished":
            continue
        beside = [file for file in BESIDE if name in wanted or file != OUTCOMES]
        _copy(source, folder / RUNS / name, [*beside, RECORD])
        given += 1
    return given


def take(store: Store, folder: Path) -> Taken:
    """Copy the finished runs that lie in a folder into the results, and its plan. A run that is
    finished there or is being made stays as it is."""
    found = Taken()
    runs = folder / RUNS
    if not runs.is_dir():
        raise files.NotFound(f"no {RUNS}/ in {folder}; `pruneexp report PLAN --runs` makes one")
    for path in sorted(runs.iterdir()):
        if not path.is_dir():
            continue
        try:
            _take_run(store, path, found)
        except (files.Damaged, OSError, ValueError) as error:
            found.refused.append(f"{path.name}: {error}")
    _take_plan(store, folder / PLAN, found)
    return found


def merge(store: Store, other: Store) -> Taken:
    """Copy the finished runs of another results folder, weights too where they are undamaged, and
    the plans that are not here. A run that is finished here or is being made stays as it is."""
    found = Taken()
    if not other.runs.is_dir():
        raise files.NotFound(f"no {RUNS}/ in {other.results}; it should be a results folder")
    if other.results.resolve() == store.results.resolve():
        raise files.NotFound(f"{other.results} is the results folder itself")
    for path in sorted(other.runs.iterdir()):
        if not path.is_dir() or RunFolder(path).status() != "finished":
            continue
        try:
            _take_run(store, path, found, whole=True)
        except (files.Damaged, OSError, ValueError) as error:
            found.refused.append(f"{path.name}: {error}")
    for name in other.plan_names():
        _take_plan(store, other.plans / f"{name}.json", found)
    return found


def _take_run(store: Store, path: Path, found: Taken, *, whole: bool = False) -> None:
    source, target = RunFolder(path), store.folder(path.name)
    large = LARGE if whole else ()
    for each in (path, *(path / name for name in (RECORD, *BESIDE, *large))):
        if each.is_symlink():
            raise files.Damaged(each, "it is a link")
    record = source.record()
    if record is None or record.name != path.name:
        raise files.Damaged(path / RECORD, "it is not there, or of another run")
    if target.status() == "finished":
        found.there.append(path.name)
        if words := _difference(record, target):
            found.differing.append(f"{path.name}: {words}")
        return
    source.history()  # raises where it is not what the record says
    source.outcomes()
    source.packed_sizes()
    with target.lease() as is_ours:
        if not is_ours:
            found.refused.append(f"{path.name}: another process makes it")
            return
        if target.status() == "finished":
            found.there.append(path.name)
            return
        _copy(source, target.path, BESIDE)
        if whole:
            _copy_large(source, target.path, record)
            target.save_usage(source.usage())
        target.finish_with(files.load_bytes(path / RECORD))
    found.taken.append(path.name)


def _difference(record: Record, target: RunFolder) -> str:
    """How the result of an equal run here differs; nothing where it does not."""
    try:
        own = target.record()
    except files.Damaged:
        return ""
    if own is None or own.test == record.test:
        return ""
    name = record.metric.name
    return (
        f"test {name} {own.test.get(name):g} here, {record.test.get(name):g} there; this one stays"
    )


def _copy_large(source: RunFolder, target: Path, record: Record) -> None:
    """Weights and masks, each as its record's checksum says; left out where they are not so."""
    for name in LARGE:
        if not (source.path / name).is_file():
            continue
        part = target / f"{name}.part"
        with (source.path / name).open("rb") as content, part.open("wb") as copy:
            shutil.copyfileobj(content, copy, 1 << 20)
        if files.checksum_of(part) == record.checksums.get(name.partition(".")[0]):
            part.replace(target / name)
        else:
            part.unlink()


def _take_plan(store: Store, path: Path, found: Taken) -> None:
    try:
        plan = Plan.from_plain(files.load_json(path))
        if not (store.plans / f"{plan.name}.json").exists():
            store.save_plan(plan)
    except FileNotFoundError:
        pass
    except (files.Damaged, OSError, TypeError) as error:
        found.refused.append(f"{path.name}: {error}")


def _copy(source: RunFolder, target: Path, names: Iterable[str]) -> None:
    for name in names:
        if (source.path / name).is_file():
            content = files.load_bytes(source.path / name, most_bytes=MOST_BYTES)
            files.save_bytes(target / name, content)
