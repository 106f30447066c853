"""Averaged weights: what is evaluated and kept is a moving average over the steps.

Averaging begins after the last mask update, so that what is masked is exactly zero in the average
too; before that the weights of the moment are evaluated.
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
        self.averages: list[Tensor] = []  # empty until averaging begins
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
        """Inside, the model holds the average."""
        if not self.averages:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for weight, average in zip(self.weights, self.averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

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
