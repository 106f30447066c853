"""Whether a batch fits into memory, asked before anything as large as it is made."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.record import MEGABYTE
from pruneexp.tasks.shape import Shape

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # of a container, whose share may be less than the machine's
OUT_OF_MEMORY = "not enough memory|can't allocate memory|out of memory"  # as torch says it


@torch.inference_mode()
def demand_batch(model: nn.Module, shape: Shape, batch: int) -> None:
    """Raise `Invalid` where a batch is none, or where calls with it need more memory than is
    free."""
    if type(batch) is not int or batch < 1:
        raise Invalid([Fault("batch", f"takes a whole number above 0, got {batch!r}")])
    free, least = free_bytes(), batch * bytes_of_an_example(model, shape)
    if free is not None and least > free:
        raise Invalid([Fault("batch", _too_much(batch, f"{_gigabytes(least)} or more"))])


@contextmanager
def memory_may_run_out(batch: int) -> Iterator[None]:
    """Turn torch's error where memory ran out all the same into `Invalid`."""
    try:
        yield
    except RuntimeError as error:
        if not re.search(OUT_OF_MEMORY, str(error)):
            raise
        raise Invalid([Fault("batch", _too_much(batch, "more memory than there is"))]) from error


def _too_much(batch: int, needed: str) -> str:
    free = free_bytes()
    there = "" if free is None else f", and {_gigabytes(free)} are free"
    return f"takes a smaller number, got {batch}: a call with so many needs {needed}{there}"


def _gigabytes(size: float) -> str:
    return f"{size / MEGABYTE / 1000:,.1f} GB"


def bytes_of_an_example(model: nn.Module, shape: Shape) -> int:
    """What a call needs at least for each example: the inputs, kept in two orders of memory, and
    what its largest layer reads and writes."""
    largest = [0]

    def look(layer: nn.Module, inputs: Any, output: Any) -> None:
        largest.append(_bytes(inputs) + _bytes(output))

    leaves = [layer for layer in model.modules() if next(layer.children(), None) is None]
    handles = [layer.register_forward_hook(look) for layer in leaves]
    try:
        inputs = shape.call_inputs(model)
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return 2 * _bytes(inputs) + max(largest)


def _bytes(value: Any) -> int:
    """Of all tensors in a value."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def free_bytes() -> int | None:
    """Memory that this process could still take; None where the system does not tell."""
    told = []
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.M)
        told += [1024 * int(found[1])] if found else []
        most, used = ((CGROUP / f"memory.{part}").read_text() for part in ("max", "current"))
        told += [int(most) - int(used)] if most.strip() != "max" else []
    except (OSError, ValueError):  # not Linux, or no container
        pass
    return max(0, min(told)) if told else None
