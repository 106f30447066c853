"""What is kept of an error that ended a run, and what a person is told of it."""

import traceback
from typing import Any

import torch

from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.training.fit import Diverged


class OutOfMemory(Exception):
    """The device's memory does not hold the run."""


def explained(error: Exception, run: Run) -> Exception:
    """The error itself, or one that says what helps."""
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    if not (on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)):
        return error
    asked_for = f"training.batch_size={run.training.batch_size}"
    return OutOfMemory(
        f"out of memory at {asked_for}: training.accumulate={2 * run.training.accumulate} halves "
        "what is held at once, training.precision=bf16 too; a smaller batch changes the training"
    )


def failure(error: Exception) -> dict[str, Any]:
    """An error as plain data, for `show` and the report."""
    kind, message = type(error).__name__, str(error)
    for_a_person = Invalid | Diverged | OutOfMemory | OSError | files.Damaged
    told = isinstance(error, for_a_person)
    return {
        "error": kind,
        "message": message if told and message else f"{kind}: {message}",
        "step": getattr(error, "step", None),
        "traceback": "".join(traceback.format_exception(error)),
    }
