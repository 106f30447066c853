"""A finished run or a packed file as a network.

model = pruneexp.load("model.pxp")
faster = pruneexp.load("model.pxp", sparse=True)
"""

from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from pruneexp.engine import files
from pruneexp.engine.device import caller_state_kept
from pruneexp.engine.store import Store
from pruneexp.running import cache
from pruneexp.running.latency import assembled, latency
from pruneexp.running.source import find


def load(
    source: str | Path,
    *,
    sparse: bool = False,
    batch: int = 1,
    trust: bool = False,
    results: str | Path = "results",
) -> nn.Module:
    """The network of a .pxp file, or of a run named by its folder, name or fingerprint, in eval
    mode. With `sparse`, one for a CPU that gives the same to rounding: batch-norm folded, and
    layers without their zeros where a short measurement at this `batch` and torch's number of
    threads showed that to be faster; the measurement is kept beside the file or run.

        network = pruneexp.load("model.pxp")

    Arguments:
        source: the file, or a run's folder, name or fingerprint.
        sparse: run without zeros where that is faster.
        batch: examples at once, for the measurement.
        trust: import the Python that a record or file names, as a network of your own needs.
        results: the folder in which runs are looked up by name.

    Raises `files.Damaged`, `files.NotFound` or `recipe.Invalid`, each with a line that says what to
    do."""
    with caller_state_kept():
        found = find(str(source), Store(Path(results)), trust=trust)
    if not sparse:
        return found.model
    threads = torch.get_num_threads()
    known = cache.remembered(found, batch=batch, threads=threads)
    if known is None:
        known = latency(found.model, found.shape, batch=batch, threads=threads)
        with suppress(files.CannotWrite):  # then the next one measures too
            cache.keep(found, known)
    return assembled(found.model, found.shape, known)
