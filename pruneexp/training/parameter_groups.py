"""Which parameters weight decay acts on, as the optimiser's parameter groups."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from pruneexp.training.optimiser import Optimiser


def parameter_groups(
    model: nn.Module, recipe: Optimiser, undecayed: Iterable[nn.Parameter] = ()
) -> list[Any]:
    """What the optimiser of this recipe is made for: all parameters of the model in one group, or
    in two where the recipe spares some from weight decay, and further ones in a group of their own.

        recipe.build(parameter_groups(model, recipe, undecayed=pruner.parameters()), rate)

    Arguments:
        model: whose parameters are trained.
        recipe: says what weight decay acts on.
        undecayed: parameters that it never acts on, such as a pruner's own. Those that are the
            model's too leave its groups.
    """
    others = list(undecayed)
    apart = {id(parameter) for parameter in others}
    every = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    spared: set[int] = set()
    if recipe.weight_decay and not recipe.decay_vectors:
        spared |= {id(parameter) for parameter in every if parameter.dim() < 2}
    if recipe.weight_decay and not recipe.decay_depthwise:
        spared |= {id(module.weight) for module in model.modules() if _is_depthwise(module)}
    if not spared and not others:
        return every
    groups: list[Any] = [
        {"params": [parameter for parameter in every if id(parameter) not in spared]}
    ]
    if spared:
        kept = [parameter for parameter in every if id(parameter) in spared]
        groups.append({"params": kept, "weight_decay": 0.0})
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    return groups


def _is_depthwise(module: nn.Module) -> bool:
    """A convolution of each channel by itself."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
