"""The command that says what finished runs weigh, and measures it where that was not done yet.

pruneexp bytes RUN_OR_PLAN ...
"""

import argparse
import json
from typing import Any

from rich.console import Console

from pruneexp import files, terminal
from pruneexp.ending import BAD_INPUT, complain
from pruneexp.record import BYTES, MASKS
from pruneexp.storage.archive import Array
from pruneexp.storage.pack import tensors
from pruneexp.store import Folder, Store

DOES = (
    "What finished runs weigh in the bytes of a packed file, under each encoding and type of "
    f"values. It is kept beside the record as {BYTES}, and made there if the weights were kept."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", help="runs, or plans for all of their finished runs")
    parser.add_argument("--format", choices=["table", "json"], default="table")


def weigh(options: argparse.Namespace, store: Store) -> int:
    found: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for folder in _folders(options.what, store):
        try:
            found[folder.path.name] = weighed(folder)
        except (files.NotFound, files.Damaged) as error:  # the others are weighed all the same
            faults.append(str(error))
    if options.format == "json":
        print(json.dumps(found))
    else:
        console = Console(markup=False, highlight=False)
        for name, facts in found.items():
            console.print(terminal.weighed(name, facts))
    complain(faults)
    return BAD_INPUT if faults else 0


def _folders(words: list[str], store: Store) -> list[Folder]:
    """Each once: the runs of a plan that are finished, and those named one by one."""
    found: dict[str, Folder] = {}
    plans = store.plan_names()
    for word in words:
        folders = [store.find(word)] if word not in plans else []
        if not folders:
            runs = [store.folder(planned.name) for planned in store.find_plan(word).runs]
            folders = [folder for folder in runs if folder.status() == "finished"]
        found |= {folder.path.name: folder for folder in folders}
    return list(found.values())


def weighed(folder: Folder) -> dict[str, Any]:
    """What stands in the run's file, which is made if it is not there."""
    found = folder.weighed()
    if found is None:
        from torch import from_numpy

        from pruneexp import weighing
        from pruneexp.running.finished import finished

        record = folder.record_or_fail()
        kept = tensors(folder, MASKS, record)
        run, model = finished(folder)
        masks = {name: from_numpy(mask) for name, mask in kept.items()}
        found = weighing.weighed(model, run.task.shape(), masks, lambda line: complain([line]))
        if found is None:
            raise files.NotFound(f"{folder.path.name} cannot be packed")
        files.save_json(folder.path / BYTES, found)
    return found


def folded(folder: Folder) -> dict[str, Array]:
    """The run's state with batch-norm folded; ValueError where that cannot be."""
    from pruneexp import weighing
    from pruneexp.running.finished import finished

    run, model = finished(folder)
    state = weighing.folded(model, run.task.shape())
    if state is None:
        raise ValueError(
            f"{folder.path.name} has no batch-norm after a convolution; leave --fold out"
        )
    return state
