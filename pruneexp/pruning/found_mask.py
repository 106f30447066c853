"""Training under a mask that another run has found, frozen from the first step: lottery tickets,
and the same masks with new weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.recipe import Dial, Fault, Invalid, demand, here
from pruneexp.pruning.allocation import Allocation, Uniform
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.group import Group, MaskPlan
from pruneexp.pruning.method import NO_ANCESTORS, Groups, Pruning
from pruneexp.pruning.schedule import Cubic, Schedule
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import finished, made_for

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.models import Model
    from pruneexp.pruning.pruner import Pruner

MASK_OF = "mask"  # the role of the run that found the mask


@dataclass(kw_only=True, slots=True)
class FoundMask(Pruning):
    """Base of methods that take the final mask of another run. Without `mask`, that run is gradual
    magnitude pruning with the settings below and the same seed, and is made if it is missing.

    Arguments:
        sparsity: of the run that finds the mask; null with `mask`.
        mask: a finished run whose mask is taken: its name, folder or fingerprint.
        fingerprint: all twelve digits of that run; looked up from `mask`.
        schedule: of the run that finds the mask.
        scope: which tensors are pruned.
        allocation: the sparsity of each group, in the run that finds the mask.
    """

    sparsity: float | None = 0.8
    mask: str = here("")
    fingerprint: str = ""
    schedule: Schedule = field(default_factory=Cubic)
    scope: Scope = field(default_factory=ModelScope)
    allocation: Allocation = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if self.mask or self.fingerprint:
            self.sparsity = None
            return
        if self.sparsity is None:
            raise Invalid([Fault("sparsity", "takes null only with pruning.mask=RUN, got null")])
        self._finder()  # which refuses what cannot be

    def _finder(self) -> Gradual:
        """The method that finds the mask."""
        sparsity = 0.5 if self.sparsity is None else self.sparsity  # of another run: not asked
        return Gradual(
            sparsity=sparsity,
            schedule=self.schedule,
            scope=self.scope,
            allocation=self.allocation,
        )

    @property
    def prunes(self) -> bool:
        return self.sparsity != 0

    def settled(self, store: "Store") -> "Pruning":
        if self.fingerprint or not self.mask:
            return self
        found = finished(store, self.mask, "pruning.mask", "a finished run")
        return replace(self, fingerprint=found)

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        finder = made_for(run, self._finder())
        if self.fingerprint:
            finder = find(self.fingerprint)
            if not finder.pruning.prunes:
                why = f"={self.fingerprint} is a dense run, which has no mask"
                raise Invalid([Fault("pruning.mask", why)])
            if isinstance(finder.pruning, FoundMask):
                why = f"={self.fingerprint} has its mask from another run; take that one"
                raise Invalid([Fault("pruning.mask", why)])
        return {MASK_OF: finder}

    def at(self, sparsity: float) -> "Pruning":
        return replace(self, sparsity=sparsity, mask="", fingerprint="")

    def dial(self) -> Dial | None:
        return None if self.sparsity is None else self._finder().dial()

    def groups(self, model: "nn.Module") -> Groups:
        return self.scope.groups(model)

    def ranked_groups(self, model: "nn.Module") -> list[Group]:
        return self._finder().ranked_groups(model)

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        if self.sparsity is None:  # what the other run's mask says
            return Pruning.plan(self, groups, steps)
        return self._finder().plan(groups, steps)

    def rule(self, group: str | None, groups: Groups) -> str:
        if group is None:
            return f"kept: not in scope {self.scope.word}"
        return "pruned: by the mask of another run"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        from pruneexp.pruning.found_mask_pruner import FoundMaskPruner

        masks = self.ancestor(ancestors, MASK_OF).masks()
        return FoundMaskPruner(model, self._finder(), masks, steps=steps, seed=seed)

    def _label(self) -> list[str]:
        how_much = f"s{self.sparsity:g}" if self.sparsity is not None else self.fingerprint[:6]
        parts = (self.schedule, self.scope, self.allocation)
        own = [part.word for part in parts if part.word not in ("cubic", "model", "uniform")]
        return [how_much, *own, self.word]


@dataclass(kw_only=True, slots=True)
class Lottery(FoundMask):
    """The lottery ticket (Frankle and Carbin 2019): the mask of a finished run over the weights
    that it began with. With `rewind`, over its weights, its optimiser's state and its place in the
    data after so many steps (Frankle et al. 2020).

    Arguments:
        rewind: steps of the run that found the mask that are kept.
    """

    word: ClassVar[str] = "lottery"
    rewind: int = 0

    def __post_init__(self) -> None:
        FoundMask.__post_init__(self)
        demand(self, rewind=(self.rewind >= 0, "a number of steps of 0 or more"))

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        finder = FoundMask.parents(self, run, find)[MASK_OF]
        if finder.pruning.starts_from.word != "scratch":
            why = "began with trained weights; a lottery ticket needs those of a fresh network"
            raise Invalid([Fault("pruning.mask", f"={self.fingerprint} {why}")])
        if self.rewind and self.rewind >= finder.steps:
            takes = f"takes fewer steps than the {finder.steps:,} of the run that finds the mask"
            raise Invalid([Fault("pruning.rewind", f"{takes}, got {self.rewind:,}")])
        if self.rewind:
            kept = sorted({*finder.keep_steps, self.rewind})
            finder = replace(finder, keep_steps=kept)
        return {MASK_OF: finder}

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        if self.rewind:
            ancestors[MASK_OF].load(network, self.rewind)
        else:
            ancestors[MASK_OF].load_first(network, "initial weights", "pruning.mask")

    def first_state(self, ancestors: "Mapping[str, Ancestor]") -> "dict[str, Any] | None":
        return ancestors[MASK_OF].state(self.rewind) if self.rewind else None

    def label(self) -> str:
        return "-".join([*self._label(), *([f"rewind{self.rewind}"] if self.rewind else [])])


@dataclass(kw_only=True, slots=True)
class NewWeights(FoundMask):
    """Training from scratch under a mask that was found (Gale et al. 2019, after Liu et al. 2019):
    the final mask of another run over new first weights, for as many steps, or twice as many with
    the schedule of the learning rate stretched (their scratch-E is that with 2).

    Arguments:
        times: as many steps as `training.steps`, so many times.
    """

    word: ClassVar[str] = "scratch"
    times: int = 1

    def __post_init__(self) -> None:
        FoundMask.__post_init__(self)
        demand(self, times=(1 <= self.times <= 100, "a whole number from 1 to 100"))

    def stage(self, steps: int) -> tuple[int, float]:
        return self.times * steps, 1.0

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        ancestors[MASK_OF].load_first(network, "new weights", "pruning.mask")

    def label(self) -> str:
        return "-".join([*self._label(), *([f"x{self.times}"] if self.times > 1 else [])])
