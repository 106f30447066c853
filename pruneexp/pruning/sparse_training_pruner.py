"""The pruner of RigL and SET: a mask of constant size that moves."""

import json
import math
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.pruning.attached import NotPrunable, demand_equal_masks
from pruneexp.pruning.gradual_pruner import GradualPruner
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.settling import MaskSize
from pruneexp.pruning.sparse_training import SparseTraining


class SparseTrainingPruner(GradualPruner):
    """Draws a mask, then exchanges weights as a `SparseTraining` recipe says.

    Weights that are dropped are candidates too: one that comes back at once keeps its value and the
    optimiser's state, others begin with zeros in both.
    """

    def __init__(self, model: nn.Module, method: SparseTraining, *, steps: int, seed: int) -> None:
        super().__init__(model, method.masked, steps=steps, seed=seed)
        self.method = method
        self._asked = json.dumps(asked(method), sort_keys=True)
        self._moves = set(method.moves(steps))
        self._last_update = max(self._moves, default=0)
        self._optimiser: torch.optim.Optimizer | None = None
        self._pools = [
            [number for group in pool for number in self._numbers[group]]
            for pool in self.recipe.allocation.pools(self.groups)
        ]
        if self._moves:
            self._demand_room()

    def _demand_room(self) -> None:
        """Raise where nothing would ever be exchanged."""
        kept = [self._count(pool) for pool in self._pools]
        if not any(int(self.method.drop * count) for count in kept):
            why = f"={self.method.drop:g} of {max(kept)} kept weights exchanges none of them"
            raise Invalid([Fault("pruning.drop", why)])

    def _count(self, pool: list[int]) -> int:
        return sum(int(torch.count_nonzero(self.kept[number])) for number in pool)

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        super().use(optimiser)
        if isinstance(optimiser, torch.optim.LBFGS):
            raise NotPrunable(
                f"LBFGS asks for gradients several times a step, and {self.method.word} moves its "
                "mask between steps; use an optimiser that takes one gradient a step"
            )
        self._optimiser = optimiser

    def after_backward(self) -> None:
        moves = self.method.by_gradient and self.step + 1 in self._moves
        dense = []
        if moves:  # before gradients of masked weights are gone
            dense = [
                torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
                for weight in self.weights
            ]
        super().after_backward()
        self.skips_step = moves
        if moves:
            self._move([gradient.abs() for gradient in dense])

    def after_step(self, *, zeros_moved: bool = True) -> None:
        super().after_step(zeros_moved=zeros_moved)
        self.skips_step = False
        if not self.method.by_gradient and self.step in self._moves:
            self._move(
                [
                    torch.from_numpy(
                        seeds.generator(self.seed, "grown", self.step, number).random(
                            tuple(weight.shape), dtype="float32"
                        )
                    ).to(weight.device)
                    for number, weight in enumerate(self.weights)
                ]
            )

    def settle_by(self, size: MaskSize, limit: int) -> None:
        Pruner.settle_by(self, size, limit)  # its size is set before the first step

    @torch.no_grad()
    def _update(self) -> None:
        """The one choice of masks that `Gradual` makes is that before the first step."""
        if self.step == 0:
            super()._update()

    def _share(self) -> float:
        """Of the kept weights that are exchanged at this move."""
        if self.method.anneal == "constant":
            return self.method.drop
        now = self.step + (1 if self.method.by_gradient else 0)
        return self.method.drop / 2 * (1 + math.cos(math.pi * now / self._last_update))

    @torch.no_grad()
    def _move(self, growth: list[Tensor]) -> None:
        """Exchange the smallest kept weights of each pool for those with the highest `growth`."""
        self.attached.check()
        share = self._share()
        for pool in self._pools:
            exchanged = int(share * self._count(pool))
            if not exchanged:
                continue
            kept = [self.kept[number].bool() for number in pool]
            sizes = [
                torch.where(mask, self.weights[number].abs(), torch.inf)
                for number, mask in zip(pool, kept, strict=True)
            ]
            stay = [
                mask & above
                for mask, above in zip(kept, keep_highest(sizes, exchanged), strict=True)
            ]
            scores = [
                torch.where(mask, -torch.inf, growth[number])
                for number, mask in zip(pool, stay, strict=True)
            ]
            every = sum(score.numel() for score in scores)
            grown = keep_highest(scores, every - exchanged)
            for number, was, mask, new in zip(pool, kept, stay, grown, strict=True):
                self._place(number, mask | new, new & ~was)
        demand_equal_masks(self.kept)

    def _place(self, number: int, mask: Tensor, new: Tensor) -> None:
        """Put a mask in place; what is new in it begins with zeros."""
        weight = self.weights[number]
        self.kept[number].copy_(mask)
        weight.masked_fill_(~mask | new, 0)
        state: dict[Any, Any] = {} if self._optimiser is None else self._optimiser.state
        for value in state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(new, 0)
