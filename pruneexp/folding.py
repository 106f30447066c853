"""Batch-norm folded into the convolution before it. Scales go by output channel, so what is masked
stays zero."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLOSE = 1e-3  # of the largest score; folding rounds otherwise


@torch.no_grad()
def folded(model: nn.Module, *example: Any) -> nn.Module:
    """A copy without the batch-norms that follow a convolution, as seen in one pass."""
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
    computes something else, as after a convolution that two layers read."""
    before = deepcopy(model).cpu().eval()
    after = folded(before, *example)
    state = after.state_dict()
    if state.keys() == before.state_dict().keys():
        return None
    expected, found = (scores(each(*example)) for each in (before, after))
    if not torch.allclose(found, expected, rtol=0, atol=CLOSE * float(expected.abs().max())):
        raise ValueError("with batch-norm folded the network computes something else")
    return state


def scores(output: Any) -> Tensor:
    """Of what a network returns, which may be scores and a state."""
    return output[0] if isinstance(output, tuple) else output


def _pairs(model: nn.Module, *example: Any) -> list[tuple[str, str]]:
    """Convolutions and the norms that took their very outputs."""
    came_from: dict[int, str] = {}
    alive = []  # or else another tensor could get the same id
    found = []

    def made(name: str) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            came_from[id(output)] = name
            alive.append(output)

        return hook

    def taken(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if id(inputs[0]) in came_from:
                found.append((came_from[id(inputs[0])], name))

        return hook

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(made(name)))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(taken(name)))
    model(*example)
    for handle in handles:
        handle.remove()
    return found


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(above), leaf, layer)
