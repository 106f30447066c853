"""The commands that work on plans and run folders: report, status, show, clean, and the worker that
a sweep starts. Those on finished models are the workbench's."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from pruneexp.cli import models, tables
from pruneexp.cli.live import Row, table, table_of
from pruneexp.cli.models import format_argument, run_argument
from pruneexp.engine import files
from pruneexp.engine.plan import standings
from pruneexp.engine.record import CHECKPOINT, LEASE, MASKS, PREVIOUS, PROGRESS, WEIGHTS, Plan
from pruneexp.engine.signals import stopping
from pruneexp.engine.store import Folder, Store
from pruneexp.engine.work import work


def do(command: str, given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"pruneexp {command}", description=_DOES[command])
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    _ARGUMENTS[command](parser)
    options = parser.parse_args(given)
    return _COMMANDS[command](options, Store(options.results))


def _plan_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", help="a plan's name or file; the latest without")
    format_argument(parser)


def _plan(options: argparse.Namespace, store: Store) -> Plan:
    if options.plan is None:
        names = store.plan_names()
        if not names:
            raise files.NotFound(
                f"no plan in {store.plans}; `pruneexp run experiment=...` makes one"
            )
        return store.find_plan(names[0])
    return store.find_plan(options.plan)


def _report(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.report import report

    made = report(store, _plan(options, store), options.out)
    if options.format == "json":
        print(json.dumps({"folder": str(made.folder), "files": list(map(str, made.files))}))
    else:
        made.print(Console(markup=False, highlight=False))
    return 0


def _status(options: argparse.Namespace, store: Store) -> int:
    plan = _plan(options, store)
    found = standings(store, plan)
    if options.format == "json":
        print(
            json.dumps(
                {
                    "plan": plan.name,
                    "runs": [
                        {
                            "name": one.planned.name,
                            "state": one.state,
                            "progress": asdict(one.progress) if one.progress else None,
                            "error": one.error,
                        }
                        for one in found
                    ],
                    "unreadable": plan.unreadable,
                }
            )
        )
        return 0
    console = Console(markup=False, highlight=False)
    done = sum(one.state == "finished" for one in found)
    rows = [Row(one.planned.name, one.state, one.progress, one.test, one.error) for one in found]
    console.print(table(rows, f"{plan.name} · {done} of {len(rows)} finished", console.width))
    for point in plan.unreadable:
        console.print(f"unreadable: {point['overrides']}: {point['error']}", style="red")
    others = [name for name in store.plan_names() if name != plan.name]
    if others and options.plan is None:
        console.print(f"other plans: {', '.join(others)}", style="dim")
    return 0


def _show(options: argparse.Namespace, store: Store) -> int:
    folder = store.find(options.run)
    record = folder.record()
    console = Console(markup=False, highlight=False)
    if record is not None:
        if options.format == "json":
            print(json.dumps(record.to_plain()))
        else:
            console.print(tables.record(record))
            console.print(f"in {folder.path}", style="dim")
        return 0
    facts = {
        "name": folder.path.name,
        "state": folder.status(),
        "progress": asdict(progress) if (progress := folder.progress()) else None,
        "failure": folder.failure(),
    }
    if options.format == "json":
        print(json.dumps(facts))
        return 0
    shown = table_of()
    shown.show_header = False
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for key, value in tables.flat(facts).items():
        if value is not None:
            shown.add_row(key, str(value))
    console.print(shown)
    return 0


def _clean(options: argparse.Namespace, store: Store) -> int:
    """List what can go, with its size; remove it with --yes."""
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
        things += [(path, "made data, made again when needed") for path in store.cache.iterdir()]
    shown = table_of()
    shown.add_column("what", overflow="fold")
    shown.add_column("why")
    shown.add_column("MB", justify="right")
    total = 0
    for path, why in things:
        total += _bytes(path)
        shown.add_row(str(path), why, f"{_bytes(path) / 1e6:.2f}")
    console = Console(markup=False, highlight=False)
    if things:
        console.print(shown)
    if options.yes:
        for path, _ in things:
            _remove(path)
        console.print(f"{total / 1e6:.1f} MB removed")
    else:
        hint = "; --yes removes them" if things else ""
        console.print(f"{total / 1e6:.1f} MB could go{hint}")
    return 0


def _remove(path: Path) -> None:
    """Nothing of a run that a process has taken up since it was listed."""
    folder = Folder(path if path.is_dir() else path.parent)
    if (folder.path / LEASE).exists():
        with folder.lease() as mine:
            if mine and path.is_dir():
                folder.remove()
            elif mine:
                path.unlink(missing_ok=True)
    else:
        path.unlink(missing_ok=True)


def _leftovers(store: Store) -> list[tuple[Path, str]]:
    """What kills have left: half-written files, and checkpoints of runs that ended since."""
    found: list[tuple[Path, str]] = []
    for folder in store.folders():
        state = folder.status()
        if state == "running":
            continue
        found += [(path, "half-written") for path in folder.path.glob(".*.tmp")]
        if state == "finished":
            names = (CHECKPOINT, PREVIOUS, PROGRESS)
            paths = [folder.path / name for name in names]
            found += [(path, "of a finished run") for path in paths if path.exists()]
    for place in (store.plans, store.cache):
        found += [(path, "half-written") for path in place.glob(".*.tmp")]
    return found


def _weights(store: Store) -> list[tuple[Path, str]]:
    """Weights of finished runs, except of those an unfinished run starts from."""
    needed = {
        parent
        for name in store.plan_names()
        for one in standings(store, store.find_plan(name))
        if one.state != "finished"
        for parent in one.planned.parents.values()
    }
    return [
        (folder.path / name, "of a finished run; its record stays")
        for folder in store.folders()
        if folder.status() == "finished" and folder.path.name not in needed
        for name in (WEIGHTS, MASKS)
        if (folder.path / name).exists()
    ]


def _bytes(path: Path) -> int:
    return Folder(path).size() if path.is_dir() else path.stat().st_size


def _work(options: argparse.Namespace, store: Store) -> int:
    alone = Event()
    if options.attached:  # the other end closes when the process that started this one is gone
        Thread(target=_wait_for_end_of_input, args=[alone], daemon=True).start()
    from pruneexp.engine.device import keep_freed_memory

    keep_freed_memory()
    with stopping() as stop:
        work(store, store.find_plan(options.plan), stop=lambda: stop() or alone.is_set())
    return 0


def _wait_for_end_of_input(ended: Event) -> None:
    sys.stdin.read()
    ended.set()


def _work_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan")
    parser.add_argument("--attached", action="store_true", help="leave when stdin closes")


def _clean_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="remove; without, only list")
    parser.add_argument(
        "--keep", choices=["weights", "none"], default="weights", help="of finished runs"
    )
    parser.add_argument("--unfinished", action="store_true", help="also runs that did not end")
    parser.add_argument("--cache", action="store_true", help="also data that can be made again")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    format_argument(parser)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    _plan_argument(parser)
    parser.add_argument("--out", type=Path, help="where to write; results/reports/PLAN without")


_DOES = {
    **models.DOES,
    "report": "Curves, tables and a page from a plan's finished runs.",
    "status": "Where the runs of a plan stand.",
    "show": "Everything about one run.",
    "clean": "List what takes space and is no longer needed; --yes removes it.",
    "work": "Take runs of a plan until none is left. A sweep starts this.",
}
_COMMANDS = {
    **models.COMMANDS,
    "report": _report,
    "status": _status,
    "show": _show,
    "clean": _clean,
    "work": _work,
}
_ARGUMENTS = {
    **models.ARGUMENTS,
    "report": _report_arguments,
    "status": _plan_argument,
    "show": _show_arguments,
    "clean": _clean_arguments,
    "work": _work_arguments,
}
