"""Which layers run sparse: measured, layer by layer, within the whole model."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from pruneexp.engine.record import Count, Line, Seconds
from pruneexp.running import kernels

WARM_UP = 3  # calls that are not counted
LEAST_SECONDS = 0.2  # of calls of each candidate, so that quick ones are called often
LEAST_CALLS = 9
SHORTEST = 1e-9  # seconds; clocks of some systems do not see a quick call pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """One layer both ways, in seconds for a call and in bytes of weights that a call reads."""

    layer: Line
    kind: Line
    nonzero: Count
    weights: Count
    dense: Seconds
    sparse: Seconds
    dense_bytes: Count
    sparse_bytes: Count

    @property
    def pays(self) -> bool:
        """Whether the layer is faster sparse."""
        return self.sparse < self.dense

    @property
    def sparsity(self) -> float:
        """The share of its weights that are zero."""
        return 1 - self.nonzero / self.weights if self.weights else 0.0


@torch.inference_mode()
def measure(model: nn.Module, *example: Any) -> list[Timing]:
    """Every layer that has a sparse kernel, in the order of the model. Timed within calls of the
    whole model, dense and with all of them sparse in turns: alone, a layer would find its weights
    in the cache, and busy moments would hit one layer and not another."""
    names = [name for name, layer in model.named_modules() if kernels.has_kernel(layer)]
    both = model, chosen(model, set(names))
    clocks = [_Clock(each, names) for each in both]
    beside(*[partial(each, *example) for each in both])
    for clock in clocks:
        clock.remove()
    dense, sparse = (clock.seconds for clock in clocks)
    return [
        _timing(name, model.get_submodule(name), median(dense[name]), median(sparse[name]))
        for name in names
        if dense[name]
    ]


class _Clock:
    """Seconds of each call of each of these layers."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in names}
        self._began = 0.0
        self._handles: list[RemovableHandle] = []
        for name in names:
            layer = model.get_submodule(name)
            self._handles.append(layer.register_forward_pre_hook(self._begin))
            self._handles.append(layer.register_forward_hook(partial(self._end, name)))

    def _begin(self, layer: nn.Module, inputs: Any) -> None:
        self._began = clock()

    def _end(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        self.seconds[name].append(clock() - self._began)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _timing(name: str, layer: nn.Module, dense: float, sparse: float) -> Timing:
    matrices = [weight for weight in layer.parameters() if weight.dim() >= 2]
    return Timing(
        layer=name,
        kind=type(layer).__name__,
        nonzero=sum(int(weight.count_nonzero()) for weight in matrices),
        weights=sum(weight.numel() for weight in matrices),
        dense=max(SHORTEST, dense),
        sparse=max(SHORTEST, sparse),
        dense_bytes=sum(map(kernels.touched, matrices)),
        sparse_bytes=sum(kernels.touched(kernels.rows(w.flatten(1))) for w in matrices),
    )


def chosen(model: nn.Module, layers: set[str]) -> nn.Module:
    """A copy of the model in which these layers run sparse."""
    made = deepcopy(model).eval()
    for name in layers:
        above, _, leaf = name.rpartition(".")
        sparse = kernels.sparse(made.get_submodule(name))
        assert sparse is not None, name
        if not name:  # the whole model is one layer
            return sparse
        setattr(made.get_submodule(above), leaf, sparse)
    return made


def clock() -> float:
    """Seconds of this processor, so that other work on the machine does not count; with several
    threads, of the wall's clock."""
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


def beside(*acts: Callable[[], object]) -> list[float]:
    """Median seconds of each, called in turns."""
    for act in acts:
        for _ in range(WARM_UP):
            act()
    seconds: list[list[float]] = [[] for _ in acts]
    began = time.perf_counter()
    while len(seconds[0]) < LEAST_CALLS or time.perf_counter() - began < LEAST_SECONDS * len(acts):
        for act, mine in zip(acts, seconds, strict=True):
            start = clock()
            act()
            mine.append(clock() - start)
    return [max(SHORTEST, median(each)) for each in seconds]
