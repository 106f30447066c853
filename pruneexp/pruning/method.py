"""What a method of pruning is: a recipe that everything outside this package asks the same way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.recipe import Dial, Fault, Invalid, Recipe
from pruneexp.pruning.group import Group, MaskPlan, groups_of
from pruneexp.pruning.scope import ModelScope
from pruneexp.pruning.start import Scratch, Start

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

    @property
    def cycles(self) -> int:
        """How often the run's own stage goes through the learning rate's decay."""
        return self.starts_from.cycles

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        """Put the weights that the run begins with into the fresh network that `model` built."""
        self.starts_from.load(network, model, ancestors)

    def ancestor(self, ancestors: "Mapping[str, Ancestor]", role: str) -> "Ancestor":
        """The finished run of a role that the method cannot do without."""
        if role not in ancestors:
            why = f"={self.word} needs a finished run, as ancestors={{{role!r}: ...}}"
            raise Invalid([Fault("pruning", why)])
        return ancestors[role]

    def kept_steps(self, steps: int) -> list[int]:
        """The steps of a stage after which the whole state is kept, whatever the run asks, since
        other runs of this method go on from there."""
        return []

    def first_state(self, ancestors: "Mapping[str, Ancestor]") -> "dict[str, Any] | None":
        """The state of another run that this one goes on from, as `Ancestor.state` gives it: its
        optimiser, its step and its place in the data, with the weights that `load` has put into the
        network. None for a stage that begins at step 0."""
        return None

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
