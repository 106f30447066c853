"""How fast a finished run's model really is on this machine's CPU, dense against sparse."""

from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from pruneexp.folding import folded, scores
from pruneexp.place import keep_freed_memory
from pruneexp.recipe import TextShape
from pruneexp.running.choice import Timing, beside, chosen, example, measure
from pruneexp.running.finished import finished
from pruneexp.store import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Seconds of a call of the whole model, and of each layer that could run sparse."""

    batch: int
    threads: int
    layers: list[Timing]
    dense: float
    sparse: float
    difference: float  # the largest between both outputs, over the largest output

    @property
    def faster(self) -> float:
        return self.dense / self.sparse

    @property
    def limit(self) -> float:
        """Amdahl's: what the layers' own times would give if nothing else took any longer."""
        saved = sum(timing.dense - timing.sparse for timing in self.layers if timing.pays)
        return self.dense / max(self.dense - saved, 1e-9)

    @property
    def pays(self) -> bool:
        return any(timing.pays for timing in self.layers)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self) | {"faster": self.faster, "limit": self.limit}


def latency_of(folder: Folder, batch: int, threads: int) -> Latency:
    """Of a finished run's chosen state."""
    run, model = finished(folder)
    return latency(model, run.task.shape(), batch=batch, threads=threads)


@torch.inference_mode()
def latency(model: nn.Module, shape: Any, *, batch: int, threads: int) -> Latency:
    """Measured in turns. Batch-norm is folded on both sides; pictures go in whichever memory order
    is faster, for each side by itself."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    inputs = _inputs(model, shape, batch)
    plain = folded(model, *inputs)
    timings = measure(plain, *inputs)
    layers = {timing.layer for timing in timings if timing.pays}
    dense, dense_inputs = _fastest(plain, set(), inputs)
    sparse, sparse_inputs = _fastest(plain, layers, inputs)
    seconds = beside(partial(dense, *dense_inputs), partial(sparse, *sparse_inputs))
    expected, found = scores(dense(*dense_inputs)), scores(sparse(*sparse_inputs))
    return Latency(
        batch=batch,
        threads=threads,
        layers=timings,
        dense=seconds[0],
        sparse=seconds[1],
        difference=float((expected - found).abs().max() / expected.abs().max()),
    )


def _inputs(model: nn.Module, shape: Any, batch: int) -> tuple[Any, ...]:
    """Pictures; or a word of each text with the state before it."""
    made = example(shape, batch)
    if not isinstance(shape, TextShape):
        return (made,)
    _, state = model(made)
    return made, state


def _fastest(
    model: nn.Module, layers: set[str], inputs: tuple[Any, ...]
) -> tuple[nn.Module, tuple[Any, ...]]:
    """The model with these layers sparse, and its inputs, in the memory order that is faster."""
    if inputs[0].dim() != 4:
        return chosen(model, layers), inputs
    orders = []
    for order in (torch.contiguous_format, torch.channels_last):
        made = chosen(deepcopy(model).to(memory_format=order), layers)
        orders.append((made, (inputs[0].to(memory_format=order),)))
    seconds = beside(*[partial(made, *its) for made, its in orders])
    return orders[seconds.index(min(seconds))]
