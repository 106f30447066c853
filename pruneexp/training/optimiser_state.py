"""The state that an optimiser keeps for each weight, and how a part of it begins anew."""

import torch
from torch import Tensor


@torch.no_grad()
def zero_optimiser_state(
    optimiser: torch.optim.Optimizer, parameter: Tensor, where: Tensor
) -> None:
    """Forget what an optimiser gathered for some entries of a parameter, as for weights that a
    method has just grown: momentum and moments begin there as they began at the first step.
    Numbers that are kept for the whole parameter, such as Adam's count of steps, stay.

        zero_optimiser_state(optimiser, layer.weight, grown)

    Arguments:
        optimiser: any of torch's kind. One whose state does not begin as zeros says so in
            `initial_state`: the first value by the state's name, as our RMSProp does.
        parameter: one of the optimiser's; where it has no state yet, nothing is to forget.
        where: True at the entries; of the parameter's shape.
    """
    initial: dict[str, float] = getattr(optimiser, "initial_state", {})
    for name, value in optimiser.state.get(parameter, {}).items():
        # Adam counts its steps in a tensor without dimensions; a parameter may have none either.
        if name != "step" and isinstance(value, Tensor) and value.shape == parameter.shape:
            value.masked_fill_(where, initial.get(name, 0.0))
