"""Training that is sparse from the first step, under a mask that moves: RigL and SET.

A random mask at the final sparsity, and every so often the smallest weights of a layer make room
for others: those with the largest gradients (RigL), or any (SET).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Dial, demand, either
from pruneexp.pruning.allocation import Allocation, Uniform
from pruneexp.pruning.criterion import Random
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.group import Group, MaskPlan
from pruneexp.pruning.method import NO_ANCESTORS, Groups, Pruning
from pruneexp.pruning.schedule import OneShot, steps_between
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import Scratch, Start

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.pruning.pruner import Pruner

ANNEALS = ("cosine", "constant")


@dataclass(kw_only=True, slots=True)
class SparseTraining(Pruning):
    """Base of methods that train under a mask of constant size. The number of weights that are not
    masked is the same from step 0.

    Arguments:
        sparsity: the share of the weights in scope that is masked throughout.
        drop: the share of a layer's kept weights that is exchanged at a move of the mask.
        interval: steps between two moves; null is 100, or a twentieth of their span where that is
            less.
        end: the fraction of the run after which the mask stays.
        anneal: cosine lets `drop` fall to nothing by then, as Evci et al. 2020 write; constant
            keeps it, as their code does by default.
        start: the weights to begin with, and steps and rate of a stage of its own.
        scope: which tensors are pruned, and which of them share their kept weights.
        allocation: the sparsity of each group; the paper has uniform and erk.
    """

    sparsity: float = 0.8
    drop: float = 0.3
    interval: int | None = None
    end: float = 0.75
    anneal: str = "cosine"
    start: Start = field(default_factory=Scratch)
    scope: Scope = field(default_factory=ModelScope)
    allocation: Allocation = field(default_factory=Uniform)

    by_gradient: ClassVar[bool] = False  # whether gradients say what grows, instead of chance

    def __post_init__(self) -> None:
        demand(
            self,
            sparsity=(0 <= self.sparsity < 1, "a number in [0, 1)"),
            drop=(0 < self.drop < 1, "a share in (0, 1)"),
            interval=(
                self.interval is None or self.interval >= 1,
                "a number of steps of 1 or more, or null",
            ),
            end=(0 < self.end <= 1, "a fraction of the run in (0, 1]"),
            anneal=(self.anneal in ANNEALS, either(ANNEALS)),
            allocation=(self.allocation.is_known, "one that is known before training"),
        )

    @property
    def masked(self) -> Gradual:
        """The mask before the first step: drawn, at the final sparsity."""
        return Gradual(
            sparsity=self.sparsity,
            schedule=OneShot(begin=0.0),
            scope=self.scope,
            criterion=Random(),
            allocation=self.allocation,
        )

    def moves(self, steps: int) -> list[int]:
        """The steps at which the mask moves, of a stage of so many."""
        last = int(self.end * steps + 0.5)
        interval = steps_between(self.interval, last)
        return [] if self.sparsity == 0 else list(range(interval, last + 1, interval))

    @property
    def prunes(self) -> bool:
        return self.sparsity > 0

    @property
    def starts_from(self) -> Start:
        return self.start

    def settled(self, store: "Store") -> "Pruning":
        return self if self.start.is_settled else replace(self, start=self.start.settled(store))

    def at(self, sparsity: float) -> "Pruning":
        return replace(self, sparsity=sparsity)

    def dial(self) -> Dial:
        return self.masked.dial()

    def groups(self, model: "nn.Module") -> Groups:
        return self.scope.groups(model)

    def ranked_groups(self, model: "nn.Module") -> list[Group]:
        return self.masked.ranked_groups(model)

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        return self.masked.plan(groups, steps)

    def rule(self, group: str | None, groups: Groups) -> str:
        told = self.masked.rule(group, groups)
        return told.replace("random", self.word)

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        from pruneexp.pruning.sparse_training_pruner import SparseTrainingPruner

        return SparseTrainingPruner(model, self, steps=steps, seed=seed)

    def label(self) -> str:
        words = [self.masked.label().removesuffix("-one_shot-random"), self.start.label()]
        return "-".join(filter(None, [*words, self.word]))


@dataclass(kw_only=True, slots=True)
class RigL(SparseTraining):
    """The rigged lottery (Evci et al. 2020): the smallest weights make room for those with the
    largest gradients. A move of the mask takes the place of the optimiser's step."""

    word: ClassVar[str] = "rigl"
    by_gradient: ClassVar[bool] = True


@dataclass(kw_only=True, slots=True)
class SET(SparseTraining):
    """Sparse evolutionary training (Mocanu et al. 2018): the smallest weights make room for weights
    that are drawn. A move of the mask follows the optimiser's step."""

    word: ClassVar[str] = "set"
