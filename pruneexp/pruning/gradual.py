"""Gradual pruning: a schedule, a score, and the parts that they go with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config import amounts
from pruneexp.config.recipe import Dial, Fault, Invalid, added, demand, either
from pruneexp.pruning.allocation import Allocation, Uniform
from pruneexp.pruning.criterion import Criterion, Magnitude
from pruneexp.pruning.group import Group, MaskPlan, groups_of
from pruneexp.pruning.method import NO_ANCESTORS, FileBudget, Groups, Pruning
from pruneexp.pruning.schedule import Cubic, Schedule
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import Scratch, Start
from pruneexp.pruning.structure import Single, Structure

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.pruning.pruner import Pruner


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
        if not self.allocation.is_known:
            why = f"={self.budget} cannot settle what is measured before training, as with "
            raise Invalid([Fault("budget", f"{why}pruning/allocation={self.allocation.word}")])
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

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        return self.start.parents(run, find) | self.allocation.parents(run)

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
            known = (len(pool) == 1 or count == 0) and self.allocation.is_known
            by_group |= {groups[number].name: masked if known else None for number in pool}
        if self.final > 0 and total == 0:
            weights = sum(group.weights for group in groups)
            why = f"={self.final:g} masks none of the {weights:,} weights in scope"
            raise Invalid([Fault("pruning.sparsity", why)])
        known_total = total if self.allocation.keeps_total else None
        return MaskPlan(known_total, {group.name: by_group[group.name] for group in groups})

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
        from pruneexp.pruning.gradual_pruner import GradualPruner

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
