"""What is kept of an error that ended a run, and what a person is told of it."""

import traceback

import torch

from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.record import Failure
from pruneexp.training.fit import Diverged

LONGEST_KEPT = 50_000  # characters of a message or a traceback


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


def failure(error: Exception) -> Failure:
    """What is kept of an error, for `show` and the report."""
    kind, message = type(error).__name__, str(error)
    says_enough = isinstance(error, Invalid | Diverged | OutOfMemory | OSError | files.Damaged)
    step = getattr(error, "step", None)
    told = message if says_enough and message else f"{kind}: {message}"
    trace = "".join(traceback.format_exception(error))
    return Failure(
        error=kind,
        message=told[:LONGEST_KEPT],
        step=step if isinstance(step, int) else None,
        traceback=trace[-LONGEST_KEPT:],  # its end says what went wrong
    )
