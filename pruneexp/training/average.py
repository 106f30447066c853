"""Averaged weights: what is evaluated and kept is a moving average over all steps.

An average remembers weights that have been masked since, so it is masked before it is evaluated
(`Pruner.apply_to`). It begins at the first step for dense and sparse runs alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """A moving average of a model's parameters; batch-norm's running averages are averages already.

        average = Average(model, decay=0.999)
        average.take()  # after each step
        with average.in_place():
            evaluate(model)

    Arguments:
        model: whose parameters are averaged.
        decay: the share of the average that each step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.weights = [weight.detach() for weight in model.parameters()]
        self.averages: list[Tensor] = []  # empty before the first step
        self.steps = 0

    @torch.no_grad()
    def take(self) -> None:
        """Add the weights as they are now."""
        if not self.averages:
            self.averages = [weight.clone() for weight in self.weights]
        # A young average forgets faster, as TensorFlow's does.
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.averages, self.weights, 1 - keep)
        self.steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model holds the average; what is changed there is changed back."""
        if not self.averages:
            yield
            return
        kept = [weight.clone() for weight in self.weights]
        self._put(self.averages)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        averages = dict(zip(self.names, self.averages, strict=False))
        return {"steps": self.steps, "averages": averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.steps = state["steps"]
        if state["averages"]:
            self.averages = [
                state["averages"][name].to(weight.device)
                for name, weight in zip(self.names, self.weights, strict=True)
            ]
