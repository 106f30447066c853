"""Gradual pruning on live tensors.

Weights are zeroed in place and the values they had are kept beside them. That equals an explicit
weight * mask with frozen masked values bit for bit, for every optimiser that sees masked gradients
and for weight decay that acts on weight * mask (tests/test_pruning.py), and the model stays plain.
"""

from typing import Any

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.pruning import Gradual, Random, ranking
from pruneexp.pruning.pruner import Pruner


class GradualPruner(Pruner):
    def __init__(self, model: nn.Module, recipe: Gradual, *, steps: int, seed: int) -> None:
        self.recipe = recipe
        self.steps = steps
        self.seed = seed
        self.step = 0
        groups = recipe.groups(model)
        parameters = dict(model.named_parameters())
        self.names = [name for names in groups.values() for name in names]
        self.weights: list[Tensor] = [parameters[name] for name in self.names]
        # 1 kept, 0 masked, in the weights' own type and memory order: a product with a boolean
        # takes ten times as long.
        self.kept = [torch.ones_like(weight) for weight in self.weights]
        self.before = [weight.detach().clone() for weight in self.weights]  # values when masked
        self.masked = 0
        self._prunable = sum(weight.numel() for weight in self.weights)
        self._sizes = {
            group: sum(parameters[name].numel() for name in names)
            for group, names in groups.items()
        }
        self._updates = recipe.allocation.updates(recipe.schedule, len(groups), steps)
        recipe.masked(self._sizes, steps)  # refuses a sparsity that masks nothing
        self._pools = _members(list(groups.values()), recipe.allocation.pools(len(groups)))
        self._update()

    @property
    def sparsity(self) -> float:
        return self.masked / self._prunable

    @property
    def settled(self) -> bool:
        return self.step >= self._updates[-1]

    def after_backward(self) -> None:
        if self.masked:
            grads, kept_too = [], []
            for weight, kept in zip(self.weights, self.kept, strict=True):
                if weight.grad is not None:
                    grads.append(weight.grad)
                    kept_too.append(kept)
            torch._foreach_mul_(grads, kept_too)

    def after_step(self, *, zeros_moved: bool = True) -> None:
        self.step += 1
        if (
            self.masked and zeros_moved
        ):  # momentum, or decay of an optimiser of its own mind, may have moved zeros
            with torch.no_grad():
                torch._foreach_mul_(self.weights, self.kept)
        self._update()

    @torch.no_grad()
    def _update(self) -> None:
        """Choose new masks if this step is one of the schedule's."""
        if self.step not in self._updates:
            return
        recipe = self.recipe
        counts = recipe.allocation.masked(
            self._sizes, recipe.schedule, recipe.sparsity, self.step, self.steps
        )
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            before.copy_(torch.where(kept.bool(), weight, before))
        for pool, count in zip(self._pools, counts, strict=True):
            ranked = [recipe.allocation.ranked(self._scores(index)) for index in pool]
            chosen = ranking.keep_highest(ranked, count // recipe.allocation.bound)
            for index, mask in zip(pool, chosen, strict=True):
                shape = tuple(self.kept[index].shape)
                self.kept[index].copy_(recipe.allocation.spread(mask, shape))
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            weight.copy_(torch.where(kept.bool(), before, 0))
        self.masked = sum(counts)

    def _scores(self, index: int) -> Tensor:
        """What ranks a tensor's weights, masked ones by the value they had when masked."""
        before = self.before[index]
        if isinstance(self.recipe.criterion, Random):
            draws = seeds.generator(self.seed, "random criterion", index)
            scores = torch.from_numpy(draws.random(before.shape, dtype="float32"))
            scores = scores.to(before.device)
        else:
            scores = before.abs()
        if not self.recipe.revive:
            scores = torch.where(self.kept[index].bool(), scores, -1.0)
        return scores

    def finish(self) -> dict[str, Tensor]:
        assert self.settled, f"step {self.step} of {self.steps}: the masks are not final"
        found = {name: kept.bool() for name, kept in zip(self.names, self.kept, strict=True)}
        planned = self.recipe.masked(self._sizes, self.steps)
        for pool, count in zip(self._pools, planned, strict=True):
            names = [self.names[index] for index in pool]
            achieved = sum(int((~found[name]).sum()) for name in names)
            moved = sum(
                int(torch.count_nonzero(self.weights[index][~found[self.names[index]]]))
                for index in pool
            )
            assert achieved == count, f"{names}: {achieved} masked, {count} planned"
            assert moved == 0, f"{names}: {moved} masked weights are not zero"
        return found

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


def _members(groups: list[list[str]], pools: list[list[int]]) -> list[list[int]]:
    """Each pool as the numbers of its tensors, where tensors are numbered through all groups."""
    first = [0]
    for names in groups:
        first.append(first[-1] + len(names))
    return [
        [tensor for group in pool for tensor in range(first[group], first[group + 1])]
        for pool in pools
    ]
