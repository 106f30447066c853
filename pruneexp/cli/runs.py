"""The commands on plans and run folders: report, status, show and clean, and the worker that a
launcher starts. Those on finished models are in `models.py`."""

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread

from pruneexp.cli import tables
from pruneexp.cli.console import Console
from pruneexp.cli.imports import import_torch
from pruneexp.cli.live import rows, table, table_of
from pruneexp.cli.messages import BAD_INPUT, FINISHED, complain, say
from pruneexp.cli.watching import watch
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.plan import parents_of, standings
from pruneexp.engine.record import (
    CHECKPOINT,
    LEASE,
    MASKS,
    PREVIOUS,
    PROGRESS,
    WEIGHTS,
    Plan,
    Record,
)
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.signals import stopping
from pruneexp.engine.store import Store
from pruneexp.engine.transfer import Taken, give, merge, take
from pruneexp.engine.work import work


def _plan(options: argparse.Namespace, store: Store) -> Plan:
    """The plan that the options name, or the latest."""
    if options.plan is None:
        names = store.plan_names()
        if not names:
            raise files.NotFound(
                f"no plan in {store.plans}; `pruneexp run experiment=...` makes one"
            )
        return store.find_plan(names[0])
    return store.find_plan(options.plan)


def report_command(options: argparse.Namespace, store: Store) -> int:
    """Write the report of a plan."""
    from pruneexp.report import report

    plan = _plan(options, store)
    written = report(store, plan, options.out)
    if options.runs:
        give(store, plan, written.folder)
    if options.format == "json":
        print(json.dumps({"folder": str(written.folder), "files": list(map(str, written.files))}))
    else:
        written.print(Console())
    return FINISHED


def take_command(options: argparse.Namespace, store: Store) -> int:
    """Take the runs of a published report into the results folder."""
    return _told(store, take(store, options.folder))


def merge_command(options: argparse.Namespace, store: Store) -> int:
    """Take all finished runs of another results folder."""
    return _told(store, merge(store, Store(options.folder.expanduser())))


def _told(store: Store, found: Taken) -> int:
    complain([*found.refused, *found.differing])
    runs = f"{len(found.taken)} run{'s' * (len(found.taken) != 1)}"
    refused = f", {len(found.refused)} refused" if found.refused else ""
    say(f"{runs} taken into {store.runs}, {len(found.there)} were there{refused}")
    return BAD_INPUT if found.refused else FINISHED


def status_command(options: argparse.Namespace, store: Store) -> int:
    """Where the runs of a plan stand, and which other plans there are."""
    if options.watch and options.format == "table":
        watch(store, lambda: _plan(options, store), Console())
        return FINISHED
    plan = _plan(options, store)
    now = standings(store, plan)
    if options.format == "json":
        print(
            json.dumps(
                {
                    "plan": plan.name,
                    "runs": [
                        {
                            "name": one.planned.name,
                            "state": one.state,
                            "test": one.test,
                            "progress": asdict(one.progress) if one.progress else None,
                            "error": one.error,
                        }
                        for one in now
                    ],
                    "unreadable": plan.unreadable,
                }
            )
        )
        return FINISHED
    console = Console()
    done = sum(one.state == "finished" for one in now)
    console.print(table(rows(now), f"{plan.name} · {done} of {len(now)} finished", console.width))
    for point in plan.unreadable:
        console.print(f"unreadable: {point['overrides']}: {point['error']}", style="red")
    others = [name for name in store.plan_names() if name != plan.name]
    if others and options.plan is None:
        console.print(f"other plans: {', '.join(others)}", style="dim")
    return FINISHED


def show_command(options: argparse.Namespace, store: Store) -> int:
    """Everything about one run: its record, or where it stands."""
    folder = store.find(options.run)
    record = folder.record()
    console = Console()
    if options.command:
        return _print_command(folder.record_or_fail())
    if record is not None:
        if options.format == "json":
            print(json.dumps(record.to_plain()))
        else:
            console.print(tables.record(record))
            console.print(f"in {folder.path}", style="dim")
            _show_command(console, record)
        return FINISHED
    facts = {
        "name": folder.path.name,
        "state": folder.status(),
        "progress": asdict(progress) if (progress := folder.progress()) else None,
        "failure": asdict(failure) if (failure := folder.failure()) else None,
    }
    if options.format == "json":
        print(json.dumps(facts))
        return FINISHED
    shown = table_of()
    shown.show_header = False
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for key, value in tables.flat(facts).items():
        if value is not None:
            shown.add_row(key, str(value))
    console.print(shown)
    return FINISHED


def _show_command(console: Console, record: Record) -> None:
    """How the run is asked for again, where its configuration can still be read."""
    words, why = _command(record)
    if why:
        console.print(f"it cannot be asked for again: {why}", style="dim")
        return
    console.print(f"made by: {words}", style="dim", soft_wrap=True)


def _print_command(record: Record) -> int:
    words, why = _command(record)
    if why:
        complain([f"{record.name} cannot be asked for again: {why}"])
        return BAD_INPUT
    say(words)
    return FINISHED


def _command(record: Record) -> tuple[str, str]:
    """The line that makes the run again, or why there is none."""
    from pruneexp.cli.again import command
    from pruneexp.cli.hydra_errors import EXPECTED
    from pruneexp.config.read import restore

    try:
        return command(restore(record.configuration, trust=False, origin=record.name)), ""
    except (Invalid, *EXPECTED) as error:
        return "", str(error)


def clean_command(options: argparse.Namespace, store: Store) -> int:
    """List what can be removed, with its size; remove it with --yes."""
    if not store.results.is_dir():
        raise files.NotFound(f"there is no folder {store.results} to clean")
    things = list(_leftovers(store))
    if options.keep == "none":
        things += _weights(store)
    if options.unfinished:
        things += [
            (folder.path, f"a run that is {folder.status()}")
            for folder in store.folders()
            if folder.status() in ("failed", "interrupted", "waiting")
        ]
    if options.cache and store.cache.is_dir():
        things += [(path, "data that is made again when needed") for path in store.cache.iterdir()]
    shown = table_of()
    shown.add_column("what", overflow="fold")
    shown.add_column("why")
    shown.add_column("MB", justify="right")
    total = 0
    for path, why in things:
        total += _bytes(path)
        shown.add_row(str(path), why, f"{_bytes(path) / 1e6:.2f}")
    console = Console()
    if things:
        console.print(shown)
    if options.yes:
        for path, _ in things:
            _remove(path)
        console.print(f"{total / 1e6:.1f} MB removed")
    else:
        hint = "; --yes removes them" if things else ""
        console.print(f"{total / 1e6:.1f} MB could go{hint}")
    return FINISHED


def _remove(path: Path) -> None:
    """Remove a file or a run's folder, unless a process works in it by now."""
    folder = RunFolder(path if path.is_dir() else path.parent)
    if not (folder.path / LEASE).exists():  # no run's folder
        _delete(path)
        return
    with folder.lease() as is_free:
        if is_free:
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
    else:
        path.unlink(missing_ok=True)


def _leftovers(store: Store) -> list[tuple[Path, str]]:
    """What killed processes have left: half-written files, and checkpoints of runs that finished
    later. Each path with the reason."""
    leftovers: list[tuple[Path, str]] = []
    for folder in store.folders():
        state = folder.status()
        if state == "running":
            continue
        leftovers += [(path, "half-written") for path in folder.path.glob(".*.tmp")]
        if state == "finished":
            names = (CHECKPOINT, PREVIOUS, PROGRESS)
            paths = [folder.path / name for name in names]
            leftovers += [(path, "of a finished run") for path in paths if path.exists()]
    for folder_of_files in (store.plans, store.cache):
        leftovers += [(path, "half-written") for path in folder_of_files.glob(".*.tmp")]
    return leftovers


def _weights(store: Store) -> list[tuple[Path, str]]:
    """Weights of finished runs, except of those that an unfinished run starts from."""
    needed = {
        parent
        for name in store.plan_names()
        for standing in standings(store, store.find_plan(name))
        if standing.state != "finished"
        for parent in parents_of(standing.planned)
    }
    return [
        (folder.path / name, "of a finished run; its record stays")
        for folder in store.folders()
        if folder.status() == "finished" and folder.path.name not in needed
        for name in (WEIGHTS, MASKS)
        if (folder.path / name).exists()
    ]


def _bytes(path: Path) -> int:
    inside = list(path.rglob("*")) if path.is_dir() else [path]
    return sum(map(files.size_of, inside))


def work_command(options: argparse.Namespace, store: Store) -> int:
    """Take runs of a plan until none is left."""
    alone = Event()
    if options.attached:  # the other end closes when the process that started this one is gone
        Thread(target=_wait_for_end_of_input, args=[alone], daemon=True).start()
    import_torch()
    from pruneexp.engine.device import keep_freed_memory

    keep_freed_memory()
    with stopping() as stop:
        work(
            store,
            store.find_plan(options.plan),
            trust=options.trust,
            stop=lambda: stop() or alone.is_set(),
        )
    return FINISHED


def _wait_for_end_of_input(ended: Event) -> None:
    sys.stdin.read()
    ended.set()
