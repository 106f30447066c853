"""RMSProp as TensorFlow computes it, for the papers that trained with it."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer


class TensorFlowRMSProp(Optimizer):
    """Epsilon lies inside the root, the accumulator starts at one, and the rate is part of what
    momentum gathers. At the epsilon of 1 that InceptionV3 was trained with, `torch.optim.RMSprop`
    is another algorithm.

    Arguments:
        parameters: tensors or groups of them.
        lr: the learning rate.
        smoothing: the share of the accumulated squares that each step keeps.
        momentum: the share of the last move that each step repeats.
        epsilon: added to the accumulated squares before their root.
        weight_decay: times the weights, added to the gradients.
    """

    # What each state of a weight begins as (`optimiser_state`); what is not named begins as 0.
    initial_state: ClassVar[dict[str, float]] = {"square": 1.0}

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        smoothing: float,
        momentum: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        defaults = {
            "lr": lr,
            "smoothing": smoothing,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    # torch's two overloads are one here: without a closure, which nothing in this package passes.
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients: Any = [weight.grad for weight in weights]
            if group["weight_decay"]:
                gradients = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
            squares, moves = [], []
            for weight in weights:
                state = self.state[weight]
                if not state:
                    state["square"] = torch.full_like(weight, self.initial_state["square"])
                    state["move"] = torch.zeros_like(weight)
                squares.append(state["square"])
                moves.append(state["move"])
            keep = group["smoothing"]
            torch._foreach_mul_(squares, keep)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - keep)
            roots = torch._foreach_add(squares, group["epsilon"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(moves, group["momentum"])
            torch._foreach_addcdiv_(moves, gradients, roots, group["lr"])
            torch._foreach_sub_(weights, moves)
