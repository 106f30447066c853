"""The commands that work on what is planned or finished: report, status, show, bytes, pack, unpack,
inspect, clean, and the worker that a sweep starts."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from pruneexp import bytes_desk, files, terminal
from pruneexp.display import Row, table, table_of
from pruneexp.ending import BAD_INPUT, complain
from pruneexp.record import CHECKPOINT, LEASE, MASKS, PREVIOUS, PROGRESS, WEIGHTS, Plan
from pruneexp.stopping import stopping
from pruneexp.store import Folder, Store
from pruneexp.sweep import standings, work


def do(command: str, given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"pruneexp {command}", description=_DOES[command])
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    _ARGUMENTS[command](parser)
    options = parser.parse_args(given)
    return _COMMANDS[command](options, Store(options.results))


def _format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table")


def _plan_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", help="a plan's name or file; the latest without")
    _format(parser)


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
            console.print(terminal.record(record))
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
    for key, value in terminal.flat(facts).items():
        if value is not None:
            shown.add_row(key, str(value))
    console.print(shown)
    return 0


def _pack(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.storage.pack import contents, pack

    folder = store.find(options.run)
    try:
        state = bytes_desk.folded(folder) if options.fold else None
        made = pack(
            folder, options.out, kind=options.values, encoding=options.encoding, state=state
        )
    except ValueError as error:  # values that a type cannot hold, or nothing to fold
        complain([str(error)])
        return BAD_INPUT
    facts = contents(made)
    share = facts["bytes"] / facts["dense_bytes"] if facts["dense_bytes"] else 1.0
    print(f"{options.out}: {facts['bytes']:,} bytes, {share:.1%} of the dense weights")
    return 0


def _unpack(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.storage.archive import Archive
    from pruneexp.storage.pack import unpack

    unpack(Archive(options.file, limit=options.limit), options.out, options.masks)
    return 0


def _inspect(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.storage.archive import Archive
    from pruneexp.storage.pack import contents

    facts = contents(Archive(options.file))
    if options.format == "json":
        print(json.dumps(facts))
    else:
        console = Console(markup=False, highlight=False)
        console.print(terminal.contents(facts, console.width))
    return 0


def _latency(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.running.latency import latency_of

    folder = store.find(options.run)
    measured = [latency_of(folder, batch, options.threads) for batch in options.batch]
    if options.format == "json":
        print(json.dumps([one.to_plain() for one in measured]))
    else:
        console = Console(markup=False, highlight=False)
        for one in measured:
            console.print(terminal.latency(one))
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
        waiting
        for name in store.plan_names()
        for one in standings(store, store.find_plan(name))
        if one.state != "finished" and (waiting := one.planned.parent)
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
    parser.add_argument("run", help="a name, a fingerprint or its beginning, or a folder")
    _format(parser)


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    from pruneexp.storage import positions, values

    parser.add_argument("run", help="a name, a fingerprint or its beginning, or a folder")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--values", choices=values.WORDS, default="fp32", help="of kept weights")
    parser.add_argument(
        "--encoding", choices=positions.WORDS, default="auto", help="of their positions"
    )
    parser.add_argument(
        "--fold", action="store_true", help="batch-norm into the convolution before it"
    )


def _unpack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the safetensors to write")
    parser.add_argument("--masks", type=Path, help="another, for the masks")
    parser.add_argument(
        "--limit",
        type=int,
        help="bytes the tensors may take; else what the file's length justifies",
    )


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    _format(parser)


def _latency_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a finished run: name, fingerprint or folder")
    parser.add_argument(
        "--batch",
        type=_positive,
        nargs="+",
        default=[1, 16],
        help="pictures or texts at once, each measured (1 16)",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="of the CPU (1)")
    _format(parser)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"takes a whole number above 0, got {text}")
    return int(text)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    _plan_argument(parser)
    parser.add_argument("--out", type=Path, help="where to write; results/reports/PLAN without")


_DOES = {
    "report": "Curves, tables and a page from a plan's finished runs.",
    "status": "Where the runs of a plan stand.",
    "show": "Everything about one run.",
    "bytes": bytes_desk.DOES,
    "pack": "Write a finished run's weights and masks as one small file (docs/format.md).",
    "unpack": "Write a .pxp file as safetensors, dense, with zeros where masked.",
    "inspect": "What is in a .pxp file; the bound is log2 C(n, k), for masks without structure.",
    "latency": "How fast a finished run's model is on this CPU, dense against sparse.",
    "clean": "List what takes space and is no longer needed; --yes removes it.",
    "work": "Take runs of a plan until none is left. A sweep starts this.",
}
_COMMANDS = {
    "report": _report,
    "status": _status,
    "show": _show,
    "bytes": bytes_desk.weigh,
    "pack": _pack,
    "unpack": _unpack,
    "inspect": _inspect,
    "latency": _latency,
    "clean": _clean,
    "work": _work,
}
_ARGUMENTS = {
    "report": _report_arguments,
    "status": _plan_argument,
    "show": _show_arguments,
    "bytes": bytes_desk.arguments,
    "pack": _pack_arguments,
    "unpack": _unpack_arguments,
    "inspect": _inspect_arguments,
    "latency": _latency_arguments,
    "clean": _clean_arguments,
    "work": _work_arguments,
}
