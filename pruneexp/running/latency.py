"""How fast a model really is on this machine's CPU, dense against sparse."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.device import caller_state_kept
from pruneexp.engine.record import Line, Seconds, Value
from pruneexp.engine.typed import Within, typed
from pruneexp.measure.folding import folded, scores
from pruneexp.running.memory import demand_batch, memory_may_run_out
from pruneexp.running.timing import Timing, beside, chosen, measure
from pruneexp.tasks.shape import Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Seconds of a call of the whole model, and of each layer that could run sparse."""

    batch: Annotated[int, Within(1, 10**12)]
    threads: Annotated[int, Within(1, 10**6)]
    example: Line  # what a batch has several of: a picture, or a word of each text
    layers: list[Timing]
    dense: Seconds
    sparse: Seconds
    channels_last: bool  # the memory order of pictures in which the sparse side was faster
    difference: Value  # the largest between both outputs, over the largest output

    @property
    def faster(self) -> float:
        """The dense model's time as a multiple of the sparse one's."""
        return self.dense / self.sparse

    @property
    def limit(self) -> float:
        """Amdahl's: how much faster the model would be if all else took as long as in the dense
        one. `faster` never passes it: what the sparse model took for everything is an upper bound
        of what that takes."""
        paying = [timing for timing in self.layers if timing.pays]
        rest = max(0.0, self.dense - sum(timing.dense for timing in paying))
        return self.dense / min(self.sparse, rest + sum(timing.sparse for timing in paying))

    @property
    def pays(self) -> bool:
        """Whether the whole model is faster with those layers sparse that are."""
        return self.sparse < self.dense and any(timing.pays for timing in self.layers)

    @property
    def running_sparse(self) -> set[str]:
        """The layers that run sparse in the faster model."""
        return _paying(self.layers) if self.pays else set()

    @property
    def touched(self) -> tuple[int, int]:
        """Bytes of these layers' weights that a call reads, dense and as chosen."""
        dense = sum(timing.dense_bytes for timing in self.layers)
        saved = (
            t.dense_bytes - t.sparse_bytes for t in self.layers if t.layer in self.running_sparse
        )
        return dense, dense - sum(saved)

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for JSON, with what follows from it."""
        dense_bytes, bytes_as_chosen = self.touched
        return asdict(self) | {
            "faster": self.faster,
            "limit": self.limit,
            "pays": self.pays,
            "dense_an_example": self.dense / self.batch,
            "sparse_an_example": self.sparse / self.batch,
            "dense_bytes": dense_bytes,
            "bytes_as_chosen": bytes_as_chosen,
        }

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Latency":
        """What `to_plain` gave. Raises TypeError for anything else."""
        return typed(cls, {item.name: data.get(item.name) for item in fields(cls)})


def summary(measured: Sequence[tuple[str, Latency]]) -> str:
    """In a line, where sparse is faster among models that were measured, and by how much: a name
    and a measurement each."""
    faster = [(name, times) for name, times in measured if times.pays]
    count = f"{len(faster)} of {len(measured)} measurements"
    if not faster:
        return f"sparse is faster in {count}"
    name, most = max(faster, key=lambda each: each[1].faster)
    by = span(min(times.faster for _, times in faster), most.faster)
    return f"sparse is faster in {count}, by {by}: most for {name} at batch {most.batch}"


def span(least: float, most: float) -> str:
    """Factors from the least to the most."""
    ends = dict.fromkeys(f"x{factor:.2f}" for factor in (least, most))
    return " to ".join(ends)


@torch.inference_mode()
def latency(model: nn.Module, shape: Shape, *, batch: int, threads: int = 1) -> Latency:
    """Measured in turns. Batch-norm is folded on both sides; pictures go in whichever memory order
    is faster, for each side by itself. Raises `Invalid` for a batch that does not fit into memory
    and for a model whose outputs are no finite numbers."""
    with caller_state_kept():
        torch.set_num_threads(threads)
        demand_batch(model, shape, batch)
        with memory_may_run_out(batch):
            return _latency(model, shape, batch, threads)


def _latency(model: nn.Module, shape: Shape, batch: int, threads: int) -> Latency:
    inputs = shape.call_inputs(model, batch)
    sides = [_Side.of(order, folded(model, *inputs), inputs) for order in shape.memory_formats()]
    before = sides[_fastest([side.call for side in sides])]
    made = [replace(side, timings=_beside(before.timings, side.timings)) for side in sides]
    made = [replace(side, model=chosen(side.model, _paying(side.timings))) for side in made]
    after = made[_fastest([side.call for side in made])]
    seconds = beside(before.call, after.call)
    expected, found = scores(before.call()), scores(after.call())
    return Latency(
        batch=batch,
        threads=threads,
        example=shape.unit,
        layers=after.timings,
        dense=seconds[0],
        sparse=seconds[1],
        channels_last=after.order == torch.channels_last,
        difference=_difference(expected, found),
    )


def _difference(expected: Tensor, found: Tensor) -> float:
    """The largest, over the largest that is expected."""
    largest = float(expected.abs().max()) or 1.0  # where all are 0, the difference itself
    difference = float((expected - found).abs().max()) / largest
    if not math.isfinite(difference):
        why = "gives outputs that are no finite numbers, so that both sides cannot be compared"
        raise Invalid([Fault("model", why)])
    return difference


@torch.no_grad()
def assembled(model: nn.Module, shape: Shape, found: Latency) -> nn.Module:
    """The model as it was faster: batch-norm folded, and those layers sparse."""
    plain = folded(model, *shape.call_inputs(model))
    order = torch.channels_last if found.channels_last else torch.contiguous_format
    made = chosen(plain.to(memory_format=order), found.running_sparse)
    return made.requires_grad_(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """The model and its inputs in one memory order, and its layers measured in it."""

    order: torch.memory_format
    model: nn.Module
    inputs: tuple[Any, ...]
    timings: list[Timing]

    @classmethod
    def of(cls, order: torch.memory_format, model: nn.Module, inputs: tuple[Any, ...]) -> "_Side":
        model, first = model.to(memory_format=order), inputs[0]
        if order == torch.channels_last:
            first = first.to(memory_format=order)
        inputs = (first, *inputs[1:])
        return cls(order=order, model=model, inputs=inputs, timings=measure(model, *inputs))

    def call(self) -> Any:
        return self.model(*self.inputs)


def _beside(dense: list[Timing], sparse: list[Timing]) -> list[Timing]:
    """Each layer as it is in the one model dense and in the other sparse."""
    return [replace(one, sparse=other.sparse) for one, other in zip(dense, sparse, strict=True)]


def _paying(timings: list[Timing]) -> set[str]:
    return {timing.layer for timing in timings if timing.pays}


def _fastest(calls: list[Callable[[], Any]]) -> int:
    seconds = beside(*calls)
    return seconds.index(min(seconds))
