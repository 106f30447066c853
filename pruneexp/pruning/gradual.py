"""Gradual pruning on live tensors.

Weights are zeroed in place and the values they had are kept beside them. That equals an explicit
weight * mask with frozen masked values bit for bit, for every optimiser that sees masked gradients
and for weight decay that acts on weight * mask (tests/test_pruning.py), and the model stays plain.
"""

from typing import Any

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.pruning import Gradual
from pruneexp.pruning.attached import (
    Attached,
    NotPrunable,
    demand_equal_masks,
    unwrapped,
)
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.ranking import keep_highest


class GradualPruner(Pruner):
    """Raises the sparsity of a model's weights as a `Gradual` recipe says.

    A method that chooses masks in another way may inherit from it and override `choose`.
    """

    def __init__(self, model: nn.Module, recipe: Gradual, *, steps: int, seed: int) -> None:
        model = unwrapped(model)
        self.recipe = recipe
        self.steps = steps
        self.seed = seed
        self.step = 0
        self.groups = recipe.ranked_groups(model)
        self.names = [name for group in self.groups for name in group.shapes]
        self.attached = Attached(model, self.names)
        self.weights: list[Tensor] = list(self.attached.weights.values())
        # 1 kept, 0 masked, in the weights' own type and memory order: a product with a boolean
        # takes ten times as long.
        self.kept = [torch.ones_like(weight) for weight in self.weights]
        self.before = [weight.detach().clone() for weight in self.weights]  # values when masked
        self.gradients: list[Tensor | None] = [None] * len(self.weights)
        self.masked = 0
        self._prunable = sum(group.weights for group in self.groups)
        self._numbers = _tensor_numbers([len(group.shapes) for group in self.groups])
        self._updates = set(recipe.allocation.updates(recipe.schedule, self.groups, steps))
        self._last_update = max(self._updates)
        recipe.plan(self.groups, steps)  # refuses a sparsity that masks nothing
        if recipe.criterion.uses_gradients and 0 in self._updates:
            why = "takes a fraction above 0: there is no gradient before the first step, and "
            why += f"criterion {recipe.criterion.word} needs one"
            raise Invalid([Fault("pruning.schedule.begin", why)])
        self._update()

    @property
    def sparsity(self) -> float:
        return self.masked / self._prunable

    @property
    def settled(self) -> bool:
        return self.step >= self._last_update

    def after_backward(self) -> None:
        super().after_backward()
        if self.recipe.criterion.uses_gradients and self.step + 1 in self._updates:
            self.gradients = [
                None if weight.grad is None else weight.grad.clone() for weight in self.weights
            ]
        if self.masked:
            pairs = [
                (weight.grad, kept)
                for weight, kept in zip(self.weights, self.kept, strict=True)
                if weight.grad is not None
            ]
            if pairs:  # a step whose loss passes the pruned layers by leaves none
                gradients, masks = zip(*pairs, strict=True)
                torch._foreach_mul_(gradients, masks)

    def after_step(self, *, zeros_moved: bool = True) -> None:
        self.step += 1
        # Momentum, or weight decay in an optimiser's own way, may have moved zeros.
        if self.masked and zeros_moved:
            with torch.no_grad():
                torch._foreach_mul_(self.weights, self.kept)
        self._update()

    @torch.no_grad()
    def _update(self) -> None:
        """Choose new masks if this step is one of the schedule's."""
        if self.step not in self._updates:
            return
        self.attached.check()
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            before.copy_(torch.where(kept.bool(), weight, before))
        for number, mask in self.choose().items():
            self.kept[number].copy_(mask)
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            weight.copy_(torch.where(kept.bool(), before, 0))
        demand_equal_masks(self.kept)
        self.gradients = [None] * len(self.weights)

    def choose(self) -> dict[int, Tensor]:
        """The masks of this step by number of tensor; `self.masked` becomes what they mask."""
        recipe, structure = self.recipe, self.recipe.structure
        pools = recipe.allocation.pools(self.groups)
        counts = recipe.allocation.masked(
            self.groups, recipe.schedule, recipe.sparsity, self.step, self.steps
        )
        self.masked = 0
        chosen: dict[int, Tensor] = {}
        for pool, count in zip(pools, counts, strict=True):
            numbers = [number for group in pool for number in self._numbers[group]]
            self.masked += count * self.groups[pool[0]].unit
            if count == 0:  # what stays dense need not fit the structure
                chosen |= {number: torch.ones_like(self.kept[number]) for number in numbers}
                continue
            scores = [score for group in pool for score in self._scores(group)]
            kept = keep_highest([structure.ranked(score) for score in scores], count)
            for number, units in zip(numbers, kept, strict=True):
                chosen[number] = structure.mask(units, tuple(self.kept[number].shape))
        return chosen

    def _scores(self, group: int) -> list[Tensor]:
        """What ranks the weights of a group's tensors; without `revive`, masked weights lie below
        all others."""
        numbers = self._numbers[group]
        scores = self.recipe.criterion.scores(
            [self.before[number] for number in numbers],
            [self.gradients[number] for number in numbers],
            [seeds.generator(self.seed, "random criterion", number) for number in numbers],
        )
        if not self.recipe.revive:
            scores = [
                torch.where(self.kept[number].bool(), score, -torch.inf)
                for number, score in zip(numbers, scores, strict=True)
            ]
        return scores

    def finish(self) -> dict[str, Tensor]:
        if not self.settled:
            raise NotPrunable(
                f"this is step {self.step}, and the masks are final at step {self._last_update} of "
                f"{self.steps}; call finish() then, or attach with fewer steps"
            )
        self.attached.check()
        masks = {name: kept.bool() for name, kept in zip(self.names, self.kept, strict=True)}
        counts = self.recipe.allocation.masked(
            self.groups, self.recipe.schedule, self.recipe.sparsity, self.steps, self.steps
        )
        pools = self.recipe.allocation.pools(self.groups)
        for pool, count in zip(pools, counts, strict=True):
            planned = count * self.groups[pool[0]].unit
            numbers = [number for group in pool for number in self._numbers[group]]
            names = [self.names[number] for number in numbers]
            achieved = sum(int((~masks[name]).sum()) for name in names)
            moved = sum(
                int(torch.count_nonzero(self.weights[number][~masks[self.names[number]]]))
                for number in numbers
            )
            if achieved != planned:
                raise NotPrunable(f"{', '.join(names)}: {achieved} masked, {planned} planned")
            if moved:
                raise NotPrunable(
                    f"{', '.join(names)}: {moved} masked weights are not zero; call after_step() "
                    "after each step of the optimiser, and change no weights by other means"
                )
        with torch.no_grad():  # a negative weight times 0 is -0.0, which a file would keep
            for weight, name in zip(self.weights, self.names, strict=True):
                weight.masked_fill_(~masks[name], 0)
        self.attached.release()
        return masks

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "masked": self.masked,
            "kept": {name: kept.bool() for name, kept in zip(self.names, self.kept, strict=True)},
            "before": dict(zip(self.names, self.before, strict=True)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.masked = state["masked"]
        for name, kept, before in zip(self.names, self.kept, self.before, strict=True):
            kept.copy_(state["kept"][name])
            before.copy_(state["before"][name])


def _tensor_numbers(sizes: list[int]) -> list[list[int]]:
    """The numbers of each group's tensors, where tensors are numbered through all groups."""
    numbers, first = [], 0
    for size in sizes:
        numbers.append(list(range(first, first + size)))
        first += size
    return numbers
