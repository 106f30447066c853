"""Recipes of pruning: what is removed, when, how much of each tensor, and by which score.

`Gradual` holds its parts, so a dense run has no schedule to forget. Everything here is arithmetic
over names and numbers; the pruners in the files of this package do the work on tensors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config import amounts
from pruneexp.config.recipe import Dial, Fault, Invalid, Recipe, added, demand, either
from pruneexp.pruning.allocation import Allocation, Uniform
from pruneexp.pruning.criterion import Criterion, Magnitude, Random
from pruneexp.pruning.group import Group, MaskPlan, groups_of
from pruneexp.pruning.schedule import Cubic, Schedule
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import Scratch, Start
from pruneexp.pruning.structure import Single, Structure

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.models import Model
    from pruneexp.pruning.pruner import Pruner
    from pruneexp.tasks.shape import Shape

Groups = dict[str, list[str]]  # a ranked group's name -> the names of its tensors
NO_ANCESTORS: "Mapping[str, Ancestor]" = {}

__all__ = ["OPTIONS", "Criterion", "Dense", "Gradual", "Magnitude", "Pruning", "Random"]


@dataclass(frozen=True, slots=True)
class FileBudget:
    """What the packed file of a run may take.

    Arguments:
        bytes: at most.
        values: the type of values in the file; empty for the run's own.
    """

    bytes: int
    values: str = ""


@dataclass(kw_only=True, slots=True)
class Pruning(Recipe):
    """A method: how a network loses weights, or does not. Everything outside this package asks a
    method only through these calls, so that a new one is a subclass, an entry in `OPTIONS` and a
    YAML in conf/pruning/.

    A subclass defines `groups`, `attach` and `label`. Where the number of masked weights is known
    before training it defines `plan`; otherwise sparsity is an outcome, told at the end by the
    masks that the pruner's `finish` returns. `dial` says which setting is turned along its curve.
    """

    @property
    def prunes(self) -> bool:
        """Whether anything is removed; a run without is dense."""
        return True

    @property
    def starts_from(self) -> Start:
        """Which weights the run begins with."""
        return Scratch()

    def stage(self, steps: int) -> tuple[int, float]:
        """Steps of the run's own stage, from `training.steps`, and the factor on its rate."""
        return self.starts_from.stage(steps)

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        """Put the weights that the run begins with into the fresh network that `model` built."""
        self.starts_from.load(network, model, ancestors)

    def settled(self, store: "Store") -> "Pruning":
        """The same method with what a run's name depends on looked up. Raises `Invalid`."""
        return self

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        """The runs that must be finished before this one, by role: "weights" for those it begins
        with, and whatever roles a method knows (a mask, a teacher)."""
        return self.starts_from.parents(run, find)

    def misfits(self, model: "Model", shape: "Shape") -> Iterator[Fault]:
        """What keeps the method from this network on this task."""
        yield from self.starts_from.misfits(model, shape)

    def dial(self) -> Dial | None:
        """The setting that is turned along a curve of this method, and its value; None where
        there is none, as for a dense run."""
        return None

    def file_budget(self) -> FileBudget | None:
        """The size of file that settles the sparsity; None where no budget does."""
        return None

    def within(self, budget: str, values: str = "") -> "Pruning":
        """The same method, pruned until its file fits a budget such as "200kB". Raises `Invalid`
        where the method has no sparsity that can be set.

        Arguments:
            values: the type of values in that file; empty for the run's own.
        """
        raise Invalid([Fault("budget", f"cannot settle what pruning={self.word} removes")])

    def for_values(self, values: str) -> "Pruning":
        """The same method in a run whose child rounds values to this type: a budget is then that of
        the child's file."""
        return self

    def at(self, sparsity: float) -> "Pruning":
        """The same method at this sparsity, without a budget. Asked only of a method that has
        one."""
        raise Invalid([Fault("pruning", f"={self.word} has no sparsity that can be set")])

    def groups(self, model: "nn.Module") -> Groups:
        """The groups of tensors that are ranked together: names of tensors by name of group."""
        raise NotImplementedError(f"{type(self).__name__} defines no groups")

    def ranked_groups(self, model: "nn.Module") -> list[Group]:
        """The same with shapes."""
        return groups_of(model, self.groups(model))

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        """How many weights will be masked after a stage of so many steps. Raises `Invalid` for
        what cannot be."""
        return MaskPlan(None, dict.fromkeys((group.name for group in groups), None))

    def rule(self, group: str | None, groups: Groups) -> str:
        """Why a tensor of this group is pruned, or (None) not, in a few words."""
        return "kept: not in scope" if group is None else f"pruned: {self.word}"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        """Take hold of a model's weights; call it before the optimiser is made.

        Arguments:
            model: the network that will be trained.
            steps: optimiser steps of the stage; schedules are fractions of it.
            seed: governs whatever is drawn.
            ancestors: the finished runs of `parents`, by role, with their weights and masks.
        """
        raise NotImplementedError(f"{type(self).__name__} attaches no pruner")

    def label(self) -> str:
        """A few letters for a run's name."""
        raise NotImplementedError(f"{type(self).__name__} has no label")


@dataclass(kw_only=True, slots=True)
class Dense(Pruning):
    """No pruning. A dense run is `pruning=none`."""

    word: ClassVar[str] = "none"

    @property
    def prunes(self) -> bool:
        return False

    def groups(self, model: "nn.Module") -> Groups:
        """What could be pruned, so that it is counted for a dense run too."""
        try:
            return ModelScope().groups(model)
        except Invalid:
            return {}

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        return MaskPlan(0, {group.name: 0 for group in groups})

    def rule(self, group: str | None, groups: Groups) -> str:
        return "dense run"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        from pruneexp.pruning.pruner import Pruner

        return Pruner()

    def label(self) -> str:
        return "dense"


@dataclass(kw_only=True, slots=True)
class Gradual(Pruning):
    """Gradual magnitude pruning as in section 3 of Zhu and Gupta 2017, and what other schedules,
    scopes, criteria, structures and allocations make of it.

        pruner = Gradual(sparsity=0.9).attach(model, steps=1000)

    Arguments:
        sparsity: the share of the weights in scope that is masked at the end; null where a budget
            settles it.
        budget: what the packed file may take, such as 200kB: the sparsity is settled at the last
            update of the masks. `budget=200kB` is its short form.
        budget_values: the type of values in that file; the run's own without.
        revive: masked weights are ranked by the value they had when masked, so that they may come
            back; False masks for good.
        start: the weights to begin with, and steps and rate of a stage of its own.
        schedule: how much is masked when.
        scope: which tensors are pruned, and which of them are ranked together.
        criterion: the score of a weight; the lowest go first.
        structure: single weights, n of m, or blocks.
        allocation: the sparsity of each group.
    """

    word: ClassVar[str] = "gradual"
    sparsity: float | None = 0.8
    budget: str = added(default="", before="")
    budget_values: str = added(default="", before="")
    revive: bool = True
    start: Start = field(default_factory=Scratch)
    schedule: Schedule = field(default_factory=Cubic)
    scope: Scope = field(default_factory=ModelScope)
    criterion: Criterion = field(default_factory=Magnitude)
    structure: Structure = field(default_factory=Single)
    allocation: Allocation = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if self.budget:
            self._take_budget()
            return
        initial = self.schedule.initial
        if self.sparsity is None:
            raise Invalid([Fault("sparsity", "takes null with a budget only, got null")])
        demand(self, sparsity=(0 <= self.sparsity < 1, "a number in [0, 1)"))
        if initial > self.sparsity > 0:
            takes = f"takes a number not above pruning.sparsity={self.sparsity:g}, got {initial:g}"
            raise Invalid([Fault("schedule.initial_sparsity", takes)])

    def _take_budget(self) -> None:
        """Write the budget as it is always written, so that 0.2MB and 200kB are one run."""
        from pruneexp.storage import values  # imports numpy, which help does without

        try:
            self.budget = amounts.bytes_in_words(amounts.bytes_of(self.budget))
        except ValueError as error:
            raise Invalid([Fault("budget", str(error))]) from None
        if (share := self.structure.only_sparsity()) is not None:
            why = f"={self.budget} cannot settle the sparsity of pruning/structure="
            raise Invalid([Fault("budget", why + f"{self.structure.word}, which is {share:g}")])
        known = self.budget_values in ("", *values.WORDS)
        demand(self, budget_values=(known, either(values.WORDS)))
        self.sparsity = None

    @property
    def prunes(self) -> bool:
        return self.sparsity is None or self.sparsity > 0

    @property
    def starts_from(self) -> Start:
        return self.start

    @property
    def final(self) -> float:
        """The sparsity that it ends at. A method with a budget has none before its masks are
        settled; ask `measure.fitting.expected`."""
        if self.sparsity is None:
            raise AssertionError("a budget settles the sparsity; ask measure.fitting.expected")
        return self.sparsity

    def file_budget(self) -> FileBudget | None:
        if not self.budget:
            return None
        return FileBudget(amounts.bytes_of(self.budget), self.budget_values)

    def within(self, budget: str, values: str = "") -> "Pruning":
        return replace(self, budget=budget, budget_values=values)

    def for_values(self, values: str) -> "Pruning":
        if not self.budget or self.budget_values or values == "fp32":
            return self
        return replace(self, budget_values=values)

    def at(self, sparsity: float) -> "Pruning":
        return replace(self, sparsity=sparsity, budget="", budget_values="")

    def settled(self, store: "Store") -> "Pruning":
        return self if self.start.is_settled else replace(self, start=self.start.settled(store))

    def dial(self) -> Dial:
        if self.sparsity is None:
            return Dial("budget", float(amounts.bytes_of(self.budget)), self.budget)
        return Dial("sparsity", self.sparsity, f"{100 * self.sparsity:g} %")

    def groups(self, model: "nn.Module") -> Groups:
        return self.scope.groups(model)

    def ranked_groups(self, model: "nn.Module") -> list[Group]:
        groups = [
            replace(group, unit=self.structure.unit(next(iter(group.shapes.values()))))
            for group in groups_of(model, self.groups(model))
        ]
        levels = self.allocation.levels(groups, self.final)
        for group, level in zip(groups, levels, strict=True):
            self.structure.check(group, level)
        return groups

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        counts = self.allocation.masked(groups, self.schedule, self.final, steps, steps)
        by_group: dict[str, int | None] = {}
        total = 0
        for pool, count in zip(self.allocation.pools(groups), counts, strict=True):
            masked = count * groups[pool[0]].unit
            total += masked
            known = len(pool) == 1 or count == 0
            by_group |= {groups[number].name: masked if known else None for number in pool}
        if self.final > 0 and total == 0:
            weights = sum(group.weights for group in groups)
            why = f"={self.final:g} masks none of the {weights:,} weights in scope"
            raise Invalid([Fault("pruning.sparsity", why)])
        return MaskPlan(total, {group.name: by_group[group.name] for group in groups})

    def rule(self, group: str | None, groups: Groups) -> str:
        if group is None:
            return f"kept: not in scope {self.scope.word}"
        together = " with its group" if len(groups[group]) > 1 else ""
        several = [Group(name, {}) for name in groups]
        if len(groups) > 1 and len(self.allocation.pools(several)) == 1:
            together = " with all"
        return f"pruned: {self.criterion.word}{together}"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        from pruneexp.pruning.gradual import GradualPruner

        return GradualPruner(model, self, steps=steps, seed=seed)

    def label(self) -> str:
        how_much = self.budget if self.sparsity is None else f"s{self.sparsity:g}"
        if self.budget_values:
            how_much += f"-as-{self.budget_values}"
        words = [how_much, *filter(None, [self.start.label()])]
        for part in (self.schedule, self.scope, self.criterion, self.structure, self.allocation):
            if part.word not in ("cubic", "model", "magnitude", "single", "uniform"):
                words.append(part.word)
        if self.scope.recurrent != "together":
            words.append(self.scope.recurrent)
        return "-".join(words)


OPTIONS: tuple[type[Pruning], ...] = (Dense, Gradual)
