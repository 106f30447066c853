"""The commands on finished models: bytes, pack, unpack, inspect, latency and export."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pruneexp.cli import tables
from pruneexp.cli.console import Console
from pruneexp.cli.messages import BAD_INPUT, complain, say
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.measure.packed_sizes import PackedSizes, summary

# What a run may lack that another has: its file, its weights, the code of its network.
EXPECTED = (files.NotFound, files.Damaged, Invalid)

if TYPE_CHECKING:
    from pruneexp.running.source import Source
    from pruneexp.running.translate import WritingSpeed
    from pruneexp.storage.archive import Array


def bytes_command(options: argparse.Namespace, store: Store) -> int:
    """What runs weigh; a run that cannot be weighed is named, and the others are weighed."""
    measured: dict[str, PackedSizes] = {}
    faults: list[str] = []
    runs = {folder.path.name: folder for word in options.run for folder in _runs(word, store)}
    for folder in runs.values():
        try:
            measured[folder.path.name] = _packed_sizes(folder, options.trust)
        except EXPECTED as error:  # the others are measured all the same
            faults.append(str(error))
    if options.format == "json":
        print(json.dumps({name: sizes.to_plain() for name, sizes in measured.items()}))
    else:
        console = Console()
        for name, sizes in measured.items():
            console.print(tables.packed_sizes(name, sizes))
        if len(measured) > 1:
            console.print(summary(list(measured.values())))
    complain(faults)
    return BAD_INPUT if faults else 0


def _runs(word: str, store: Store) -> list[RunFolder]:
    """A run, or the finished runs of a plan."""
    if word not in store.plan_names() and not word.endswith(".json"):
        return [store.find(word)]
    folders = [store.folder(planned.name) for planned in store.find_plan(word).runs]
    finished = [folder for folder in folders if folder.status() == "finished"]
    if len(finished) < len(folders):
        complain([f"{len(finished)} of {len(folders)} runs of {word} are finished"])
    return finished


def _packed_sizes(folder: RunFolder, trust: bool) -> PackedSizes:
    """What stands in the run's file, which is made if it is not there."""
    try:
        sizes = folder.packed_sizes()
    except files.Damaged as error:
        complain([f"{error}; it is measured anew"])
        sizes = None
    if sizes is None:
        from pruneexp.measure import packed
        from pruneexp.running.source import of_run

        run = of_run(folder, trust=trust)
        sizes = packed.packed_sizes(
            run.model, run.shape, run.masks, lambda line: complain([line]), folder.record()
        )
        if sizes is None:
            raise files.NotFound(f"{folder.path.name} cannot be packed")
        folder.save_packed_sizes(sizes)
    return sizes


def pack_command(options: argparse.Namespace, store: Store) -> int:
    """Write a finished run as one small file."""
    from pruneexp.storage.pack import contents, pack

    folder = store.find(options.run)
    try:
        state = _folded(folder, options.trust) if options.fold else None
        packed = pack(
            folder, options.out, kind=options.values, encoding=options.encoding, state=state
        )
    except ValueError as error:  # values that a type cannot hold, or nothing to fold
        complain([str(error)])
        return BAD_INPUT
    facts = contents(packed)
    share = facts["bytes"] / facts["dense_bytes"] if facts["dense_bytes"] else 1.0
    say(f"{options.out}: {facts['bytes']:,} bytes, {share:.1%} of the dense weights")
    return 0


def _folded(folder: RunFolder, trust: bool) -> "dict[str, Array]":
    """The run's state with batch-norm folded; ValueError where that cannot be."""
    from pruneexp.measure import packed
    from pruneexp.running.source import of_run

    run = of_run(folder, trust=trust)
    state = packed.folded(run.model, run.shape)
    if state is None:
        raise ValueError(
            f"{folder.path.name} has no batch-norm after a convolution; leave --fold out"
        )
    return state


def unpack_command(options: argparse.Namespace, store: Store) -> int:
    """Write such a file as safetensors."""
    from pruneexp.storage.archive import Archive
    from pruneexp.storage.pack import unpack

    packed = Archive(options.file, limit=options.limit)
    unpack(packed, options.out, options.masks)
    say(f"{options.out}: {len(packed.entries):,} tensors, dense, zeros where they are masked")
    if options.masks is not None:
        say(f"{options.masks}: the masks of those that are pruned, true where kept")
    return 0


def inspect_command(options: argparse.Namespace, store: Store) -> int:
    """What is in such a file."""
    from pruneexp.storage.archive import Archive
    from pruneexp.storage.pack import contents

    facts = contents(Archive(options.file))
    if options.format == "json":
        print(json.dumps(facts))
    else:
        console = Console()
        console.print(tables.contents(facts, console.width, vectors=options.all))
    return 0


def latency_command(options: argparse.Namespace, store: Store) -> int:
    """How fast models are, one after the other."""
    from pruneexp.engine.device import keep_freed_memory
    from pruneexp.running import cache
    from pruneexp.running.latency import latency, summary

    console = Console()
    measured = []
    speeds: list[dict[str, float] | None] = []
    keep_freed_memory()
    for source in _sources(options, store):
        for batch in options.batch:
            times = latency(source.model, source.shape, batch=batch, threads=options.threads)
            try:
                cache.keep(source, times)
            except files.CannotWrite as error:
                complain([str(error)])
            measured.append((source.name, times))
            written = _writing_speed(source, batch)
            speeds.append(asdict(written) if written else None)
            if options.format == "table":
                console.print(tables.latency(source.name, times))
                if written:
                    console.print(written.words())
    if options.format == "json":
        told = [
            {"run": name} | times.to_plain() | ({"writing": speed} if speed else {})
            for (name, times), speed in zip(measured, speeds, strict=True)
        ]
        print(json.dumps(told))
    elif len(measured) > 1:
        console.print(summary(measured))
    return 0 if measured else BAD_INPUT


def _writing_speed(source: "Source", batch: int) -> "WritingSpeed | None":
    """How fast a network that translates writes; None of any other."""
    from pruneexp.running.translate import writing_speed
    from pruneexp.tasks.shape import PairShape

    return writing_speed(source, sentences=batch) if isinstance(source.shape, PairShape) else None


def _sources(options: argparse.Namespace, store: Store) -> "Iterator[Source]":
    """One at a time: packed files, runs, and the finished runs of plans. A run of a plan that
    cannot be loaded is named, and the others are measured."""
    from pruneexp.running.source import SUFFIX, of_file, of_run

    for word in options.run:
        if word.endswith(SUFFIX):
            yield of_file(Path(word), trust=options.trust)
            continue
        runs = _runs(word, store)
        for folder in runs:
            try:
                yield of_run(folder, trust=options.trust)
            except EXPECTED as error:
                if len(runs) == 1:
                    raise
                complain([str(error)])


def export_command(options: argparse.Namespace, store: Store) -> int:
    """Write a run or a file for other programs."""
    from pruneexp.running import export
    from pruneexp.running.source import find

    source = find(options.run, store, trust=options.trust)
    for line in export.export(source, options.out):
        say(line)
    return 0
