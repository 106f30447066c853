"""Which parameters weight decay acts on, as the optimiser's parameter groups."""

from typing import Any

from torch import nn

from pruneexp.training.optimiser import Optimiser


def groups(model: nn.Module, recipe: Optimiser) -> list[Any]:
    every = list(model.parameters())
    spared: set[int] = set()
    if recipe.weight_decay and not recipe.decay_vectors:
        spared |= {id(parameter) for parameter in every if parameter.dim() < 2}
    if recipe.weight_decay and not recipe.decay_depthwise:
        spared |= {id(module.weight) for module in model.modules() if _is_depthwise(module)}
    if not spared:
        return every
    kept = [parameter for parameter in every if id(parameter) in spared]
    return [
        {"params": [parameter for parameter in every if id(parameter) not in spared]},
        {"params": kept, "weight_decay": 0.0},
    ]


def _is_depthwise(module: nn.Module) -> bool:
    """A convolution of each channel by itself."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
