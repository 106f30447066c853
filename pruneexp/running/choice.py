"""Which layers run sparse: measured, layer by layer, on the inputs that reach them."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.running import kernels

WARM_UP = 3  # calls that are not counted
LEAST_SECONDS = 0.05  # of calls of each layer, so that quick ones are called often
LEAST_CALLS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """One layer both ways, in seconds for a call and in bytes of weights that a call reads."""

    layer: str
    kind: str
    nonzero: int
    weights: int
    dense: float
    sparse: float
    dense_bytes: int
    sparse_bytes: int

    @property
    def pays(self) -> bool:
        return self.sparse < self.dense


@torch.inference_mode()
def measure(model: nn.Module, *example: Any) -> list[Timing]:
    """Every layer that has a sparse kernel, in the order of the model."""
    inputs: dict[str, tuple[Any, ...]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            inputs.setdefault(name, arguments)

        return hook

    handles = [
        module.register_forward_pre_hook(keep(name)) for name, module in model.named_modules()
    ]
    model(*example)
    for handle in handles:
        handle.remove()
    found = []
    for name, layer in model.named_modules():
        sparse = kernels.sparse(layer) if name in inputs else None
        if sparse is None:
            continue
        dense_seconds, sparse_seconds = beside(
            partial(layer, *inputs[name]), partial(sparse, *inputs[name])
        )
        matrices = [weight for weight in layer.parameters() if weight.dim() >= 2]
        found.append(
            Timing(
                layer=name,
                kind=type(layer).__name__,
                nonzero=sum(int(weight.count_nonzero()) for weight in matrices),
                weights=sum(weight.numel() for weight in matrices),
                dense=dense_seconds,
                sparse=sparse_seconds,
                dense_bytes=sum(map(kernels.touched, matrices)),
                sparse_bytes=sum(kernels.touched(kernels.rows(w.flatten(1))) for w in matrices),
            )
        )
    return found


def chosen(model: nn.Module, layers: set[str]) -> nn.Module:
    """A copy of the model in which these layers run sparse."""
    made = deepcopy(model).eval()
    for name in layers:
        above, _, leaf = name.rpartition(".")
        sparse = kernels.sparse(made.get_submodule(name))
        assert sparse is not None, name
        setattr(made.get_submodule(above), leaf, sparse)
    return made


def beside(*acts: Callable[[], object]) -> list[float]:
    """Median seconds of each, called in turns."""
    for act in acts:
        for _ in range(WARM_UP):
            act()
    seconds: list[list[float]] = [[] for _ in acts]
    began = time.perf_counter()
    while len(seconds[0]) < LEAST_CALLS or time.perf_counter() - began < LEAST_SECONDS * len(acts):
        for act, mine in zip(acts, seconds, strict=True):
            start = time.perf_counter()
            act()
            mine.append(time.perf_counter() - start)
    return [median(each) for each in seconds]


def example(shape: Any, batch: int) -> Tensor:
    """What one call of a model takes: pictures, or one word of each text."""
    from pruneexp.recipe import ImageShape

    random = torch.Generator().manual_seed(0)
    if isinstance(shape, ImageShape):
        return torch.randn(batch, shape.channels, shape.pixels, shape.pixels, generator=random)
    return torch.randint(shape.vocabulary, (1, batch), generator=random)
