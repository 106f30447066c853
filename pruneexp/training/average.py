"""Averaged weights: what is evaluated and kept is a moving average over all steps, or the mean of
the states at the last validations.

A moving average remembers weights that have been masked since, so it is masked before it is
evaluated (`Pruner.apply_to`). It begins at the first step for dense and sparse runs alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.training import Training


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

    def note(self, *, settled: bool) -> None:
        """A validation comes: nothing to do for an average over steps."""

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


class LastStates(Average):
    """The mean of a model's parameters at the last validations, of those under the final mask, as
    Vaswani et al. 2017 averaged checkpoints.

        states = LastStates(model, most=5)
        states.note(settled=True)  # at each validation
        with states.in_place():
            evaluate(model)

    Arguments:
        model: whose parameters are averaged.
        most: states that are kept.
    """

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__(model, decay=0.0)
        self.most = most
        self.states: list[list[Tensor]] = []

    def take(self) -> None:
        """A step was made: nothing to do."""

    def note(self, *, settled: bool) -> None:
        """Keep the weights as they are now, if the masks are final."""
        if not settled:
            return
        kept = [*self.states, [weight.clone() for weight in self.weights]]
        self.states = kept[-self.most :]
        self._mean()

    def _mean(self) -> None:
        self.averages = [torch.stack(same).mean(0) for same in zip(*self.states, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"states": [dict(zip(self.names, each, strict=True)) for each in self.states]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.states = [
            [each[name].to(w.device) for name, w in zip(self.names, self.weights, strict=True)]
            for each in state["states"]
        ]
        self._mean()


def averaged(model: nn.Module, recipe: Training) -> Average | None:
    """What averages a model's weights as the recipe says; None for the weights as they are."""
    if recipe.average is not None:
        return Average(model, recipe.average)
    return LastStates(model, recipe.average_states) if recipe.average_states else None
