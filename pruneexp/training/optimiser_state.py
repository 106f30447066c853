"""The state that an optimiser keeps for each weight, and how a part of it begins anew."""

import torch
from torch import Tensor

# What each state begins as, where that is not 0: the accumulator of our RMSProp starts at one.
INITIAL = {"square": 1.0}


@torch.no_grad()
def zero_optimiser_state(
    optimiser: torch.optim.Optimizer, parameter: Tensor, where: Tensor
) -> None:
    """Forget what an optimiser gathered for some entries of a parameter, as for weights that a
    method has just grown: momentum and moments begin there as they began at the first step.
    Numbers that are kept for the whole parameter, such as Adam's count of steps, stay.

        zero_optimiser_state(optimiser, layer.weight, grown)

    Arguments:
        optimiser: one of this package's or of torch's; a parameter without a state is left alone.
        where: True at the entries; of the parameter's shape.
    """
    for name, value in optimiser.state.get(parameter, {}).items():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            value.masked_fill_(where, INITIAL.get(name, 0.0))
