"""Batch-norm folded into the convolution before it. Scales go by output channel, so what is masked
stays zero."""

import math
from collections import Counter
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLOSE = 1e-3  # of the largest score; folding rounds otherwise


@torch.no_grad()
def folded(model: nn.Module, *example: Any) -> nn.Module:
    """A copy without the batch-norms that follow a convolution; one with them where it would
    compute something else, as after a convolution that two layers read."""
    before = deepcopy(model).eval()
    made = fused(before, *example)
    return made if _alike(before, made, *example) else before


@torch.no_grad()
def fused(model: nn.Module, *example: Any) -> nn.Module:
    """Such a copy as seen in one pass, unchecked; on the meta device too."""
    made = deepcopy(model).eval()
    for convolution, norm in _pairs(made, *example):
        before: Any = made.get_submodule(convolution)
        after: Any = made.get_submodule(norm)
        _put(made, convolution, fuse_conv_bn_eval(before, after))
        _put(made, norm, nn.Identity())
    return made


@torch.inference_mode()
def folded_state(model: nn.Module, *example: Tensor) -> dict[str, Tensor] | None:
    """The state of such a copy; None where nothing can be folded. Raises ValueError where the copy
    computes something else."""
    before = deepcopy(model).cpu().eval()
    after = fused(before, *example)
    state = after.state_dict()
    if state.keys() == before.state_dict().keys():
        return None
    if not _alike(before, after, *example):
        raise ValueError("with batch-norm folded the network computes something else")
    return state


def _alike(before: nn.Module, after: nn.Module, *example: Any) -> bool:
    expected, found = (scores(each(*example)) for each in (before, after))
    largest = float(expected.abs().max())
    return math.isfinite(largest) and torch.allclose(found, expected, rtol=0, atol=CLOSE * largest)


def scores(output: Any) -> Tensor:
    """Of what a network returns, which may be scores and a state."""
    return output[0] if isinstance(output, tuple) else output


def _pairs(model: nn.Module, *example: Any) -> list[tuple[str, str]]:
    """Convolutions and the norms that took their very outputs, each called once."""
    came_from: dict[int, str] = {}
    calls: Counter[str] = Counter()
    alive = []  # or else another tensor could get the same id
    found = []

    def made(name: str) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            calls[name] += 1
            came_from[id(output)] = name
            alive.append(output)

        return hook

    def taken(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            calls[name] += 1
            if id(inputs[0]) in came_from:
                found.append((came_from[id(inputs[0])], name))

        return hook

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(made(name)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(taken(name)))
    model(*example)
    for handle in handles:
        handle.remove()
    return [pair for pair in found if all(calls[name] == 1 for name in pair)]


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(above), leaf, layer)
