"""The commands on finished models: bytes, pack, unpack, inspect, latency and export."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pruneexp.cli import tables
from pruneexp.cli.messages import BAD_INPUT, complain
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.record import BYTES
from pruneexp.engine.store import Folder, Store
from pruneexp.measure.packed_sizes import PackedSizes

# What a run may lack that another has: its file, its weights, the code of its network.
EXPECTED = (files.NotFound, files.Damaged, Invalid)

if TYPE_CHECKING:
    from pruneexp.running.source import Source
    from pruneexp.storage.archive import Array


def format_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table")


def run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a name, a fingerprint or its beginning, or a folder")


def _bytes(options: argparse.Namespace, store: Store) -> int:
    found: dict[str, PackedSizes] = {}
    faults: list[str] = []
    runs = {folder.path.name: folder for word in options.run for folder in _runs(word, store)}
    for folder in runs.values():
        try:
            found[folder.path.name] = _packed_sizes(folder)
        except EXPECTED as error:  # the others are measured all the same
            faults.append(str(error))
    if options.format == "json":
        print(json.dumps({name: sizes.to_plain() for name, sizes in found.items()}))
    else:
        console = Console(markup=False, highlight=False)
        for name, sizes in found.items():
            console.print(tables.packed_sizes(name, sizes))
    complain(faults)
    return BAD_INPUT if faults else 0


def _runs(word: str, store: Store) -> list[Folder]:
    """A run, or the finished runs of a plan."""
    if word not in store.plan_names() and not word.endswith(".json"):
        return [store.find(word)]
    folders = [store.folder(planned.name) for planned in store.find_plan(word).runs]
    finished = [folder for folder in folders if folder.status() == "finished"]
    if len(finished) < len(folders):
        complain([f"{len(finished)} of {len(folders)} runs of {word} are finished"])
    return finished


def _packed_sizes(folder: Folder) -> PackedSizes:
    """What stands in the run's file, which is made if it is not there."""
    try:
        sizes = folder.packed_sizes()
    except files.Damaged as error:
        complain([f"{error}; it is measured anew"])
        sizes = None
    if sizes is None:
        from pruneexp.measure import packed
        from pruneexp.running.source import of_run

        run = of_run(folder)
        sizes = packed.packed_sizes(run.model, run.shape, run.masks, lambda line: complain([line]))
        if sizes is None:
            raise files.NotFound(f"{folder.path.name} cannot be packed")
        folder.save_packed_sizes(sizes)
    return sizes


def _pack(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.storage.pack import contents, pack

    folder = store.find(options.run)
    try:
        state = _folded(folder) if options.fold else None
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


def _folded(folder: Folder) -> "dict[str, Array]":
    """The run's state with batch-norm folded; ValueError where that cannot be."""
    from pruneexp.measure import packed
    from pruneexp.running.source import of_run

    run = of_run(folder)
    state = packed.folded(run.model, run.shape)
    if state is None:
        raise ValueError(
            f"{folder.path.name} has no batch-norm after a convolution; leave --fold out"
        )
    return state


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
        console.print(tables.contents(facts, console.width))
    return 0


def _latency(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.running import cache
    from pruneexp.running.latency import latency

    console = Console(markup=False, highlight=False)
    rows = []
    for source in _sources(options, store):
        for batch in options.batch:
            found = latency(source.model, source.shape, batch=batch, threads=options.threads)
            try:
                cache.keep(source, found)
            except files.CannotWrite as error:
                complain([str(error)])
            rows.append({"run": source.name} | found.to_plain())
            if options.format == "table":
                console.print(tables.latency(source.name, found))
    if options.format == "json":
        print(json.dumps(rows))
    return 0 if rows else BAD_INPUT


def _sources(options: argparse.Namespace, store: Store) -> "Iterator[Source]":
    """One at a time: packed files, runs, and the finished runs of plans. What a plan cannot give
    is said, and the others are measured."""
    from pruneexp.running.source import SUFFIX, of_file, of_run

    for word in options.run:
        if word.endswith(SUFFIX):
            yield of_file(Path(word), trust=options.trust)
            continue
        runs = _runs(word, store)
        for folder in runs:
            try:
                yield of_run(folder)
            except EXPECTED as error:
                if len(runs) == 1:
                    raise
                complain([str(error)])


def _export(options: argparse.Namespace, store: Store) -> int:
    from pruneexp.running import export
    from pruneexp.running.source import find

    source = find(options.run, store, trust=options.trust)
    for line in export.export(source, options.out):
        print(line)
    return 0


def _bytes_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="+", help="runs, or plans for all of their finished runs")
    format_argument(parser)


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    from pruneexp.storage import encodings, values

    run_argument(parser)
    _out_argument(parser, "the file to write")
    parser.add_argument("--values", choices=values.WORDS, default="fp32", help="of kept weights")
    parser.add_argument(
        "--encoding", choices=encodings.WORDS, default="auto", help="of their positions"
    )
    parser.add_argument(
        "--fold", action="store_true", help="batch-norm into the convolution before it"
    )


def _unpack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    _out_argument(parser, "the safetensors to write")
    parser.add_argument("--masks", type=Path, help="another, for the masks")
    parser.add_argument(
        "--limit",
        type=int,
        help="bytes the tensors may take; else what the file's length justifies",
    )


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    format_argument(parser)


def _latency_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="+", help="finished runs, plans (all their finished runs), .pxp files"
    )
    parser.add_argument(
        "--batch",
        type=_positive,
        nargs="+",
        default=[1, 16],
        help="pictures or texts at once, each measured (1 16)",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="of the CPU (1)")
    _trust_argument(parser)
    format_argument(parser)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a finished run or a .pxp file")
    _out_argument(parser, "FILE.safetensors or FILE.onnx")
    _trust_argument(parser)


def _out_argument(parser: argparse.ArgumentParser, does: str) -> None:
    parser.add_argument("-o", "--out", type=Path, required=True, help=does)


def _trust_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust", action="store_true", help="let a .pxp file import and run Python that it names"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"takes a whole number above 0, got {text}")
    return int(text)


DOES = {
    "bytes": "What finished runs weigh in the bytes of a packed file, under each encoding and type "
    f"of values. Kept beside the record as {BYTES}, and made there if the weights were kept.",
    "pack": "Write a finished run's weights and masks as one small file (docs/format.md).",
    "unpack": "Write a .pxp file as safetensors, dense, with zeros where masked.",
    "inspect": "What is in a .pxp file; the bound is log2 C(n, k), for masks without structure.",
    "latency": "How fast finished models are on this CPU, dense against sparse; kept beside them.",
    "export": "Write a finished run or a .pxp file for other programs, dense, with masks applied.",
}
COMMANDS = {
    "bytes": _bytes,
    "pack": _pack,
    "unpack": _unpack,
    "inspect": _inspect,
    "latency": _latency,
    "export": _export,
}
ARGUMENTS = {
    "bytes": _bytes_arguments,
    "pack": _pack_arguments,
    "unpack": _unpack_arguments,
    "inspect": _inspect_arguments,
    "latency": _latency_arguments,
    "export": _export_arguments,
}
