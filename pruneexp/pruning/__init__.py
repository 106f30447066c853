"""Recipes of pruning: what is pruned, when, how much of each tensor, and by which score.

`Gradual` holds its parts, so a dense run has no schedule to forget. Everything here is arithmetic
over names and numbers; the pruners beside this file do the work on tensors.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Dial, Fault, Invalid, Recipe, demand, here
from pruneexp.pruning.allocation import Allocation, Sizes, Uniform
from pruneexp.pruning.schedule import Cubic, Schedule
from pruneexp.pruning.scope import ModelScope, Scope

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.pruning.pruner import Pruner

Groups = dict[str, list[str]]  # a ranked group's name -> the names of its tensors
STARTS = "scratch, dense, torchvision:NAME, a finished run or a file of weights"


@dataclass(kw_only=True, slots=True)
class Criterion(Recipe):
    """Which weights count as the least worth keeping. The pruner asks it for scores."""


@dataclass(kw_only=True, slots=True)
class Magnitude(Criterion):
    """The smallest absolute values go first (the paper, section 3)."""

    word: ClassVar[str] = "magnitude"


@dataclass(kw_only=True, slots=True)
class Random(Criterion):
    """Fixed random scores, so that a pruned weight stays pruned: the control of Gale et al."""

    word: ClassVar[str] = "random"


@dataclass(kw_only=True, slots=True)
class Pruning(Recipe):
    @property
    def starts_from(self) -> str:
        """scratch, dense, or a reference to a finished run, a file or torchvision's weights."""
        return "scratch"

    def stage(self, steps: int) -> tuple[int, float]:
        """Steps of this run's own stage and the factor on its learning rate."""
        return steps, 1.0

    def groups(self, model: "nn.Module") -> Groups:
        """The groups of tensors that are ranked together."""
        raise AssertionError(type(self))

    def masked(self, sizes: Sizes, steps: int) -> list[int]:
        """How many weights are masked at the end in each pool of the allocation."""
        raise AssertionError(type(self))

    def attach(self, model: "nn.Module", *, steps: int, seed: int = 0) -> "Pruner":
        """Take hold of the model's weights; call before the optimiser is made."""
        raise AssertionError(type(self))

    @property
    def prunes(self) -> bool:
        """Whether anything is removed; a run without is dense."""
        return True

    def dial(self) -> Dial | None:
        """The setting that is turned along a curve of this method, and its value; None where
        there is none, as for a dense run."""
        return None

    def label(self) -> str:
        raise AssertionError(type(self))


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

    def masked(self, sizes: Sizes, steps: int) -> list[int]:
        return [0] * len(sizes)

    def attach(self, model: "nn.Module", *, steps: int, seed: int = 0) -> "Pruner":
        from pruneexp.pruning.pruner import Pruner

        return Pruner()

    def label(self) -> str:
        return "dense"


@dataclass(kw_only=True, slots=True)
class Gradual(Pruning):
    """Gradual magnitude pruning as in section 3 of the paper, and what other schedules, scopes,
    criteria and allocations make of it."""

    word: ClassVar[str] = "gradual"
    sparsity: float = 0.8
    # scratch: pruned inside one training. dense: from a trained dense run of the same
    # configuration. torchvision:IMAGENET1K_V1: its weights of that name. Else a finished run's
    # name or fingerprint, or a file of weights.
    start: str = "scratch"
    start_path: str = here("")  # where that file lies; its checksum stands in `start`
    steps: int | None = None  # of the prune stage when it starts from a model; as training.steps
    rate: float = 0.1  # factor on the learning rate of that stage (the paper, section 4.1)
    revive: bool = True  # rank masked weights by the value they had when masked; False: for good
    schedule: Schedule = field(default_factory=Cubic)
    scope: Scope = field(default_factory=ModelScope)
    criterion: Criterion = field(default_factory=Magnitude)
    allocation: Allocation = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        scratch = self.start == "scratch"
        initial = self.schedule.initial
        demand(
            self,
            sparsity=(0 <= self.sparsity < 1, "a number in [0, 1)"),
            start=(bool(self.start), STARTS),
            steps=(
                self.steps is None or (self.steps > 0 and not scratch),
                "a number of steps above 0, and only with a pruning.start other than scratch "
                "(there training.steps rules)",
            ),
            rate=(
                self.rate > 0 and (not scratch or self.rate == 0.1),
                "a factor above 0, and only with a pruning.start other than scratch "
                "(there training.learning_rate rules)",
            ),
        )
        if initial > self.sparsity > 0:
            takes = f"takes a number not above pruning.sparsity={self.sparsity:g}, got {initial:g}"
            raise Invalid([Fault("schedule.initial_sparsity", takes)])

    @property
    def prunes(self) -> bool:
        return self.sparsity > 0

    def dial(self) -> Dial:
        return Dial("sparsity", self.sparsity, f"{100 * self.sparsity:g} %")

    @property
    def starts_from(self) -> str:
        return self.start

    def stage(self, steps: int) -> tuple[int, float]:
        if self.start == "scratch":
            return steps, 1.0
        return self.steps or steps, self.rate

    def groups(self, model: "nn.Module") -> Groups:
        found = self.scope.groups(model)
        shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        pruned = [name for names in found.values() for name in names]
        self.allocation.check(self.sparsity, {name: shapes[name] for name in pruned})
        return found

    def masked(self, sizes: Sizes, steps: int) -> list[int]:
        counts = self.allocation.masked(sizes, self.schedule, self.sparsity, steps, steps)
        if self.sparsity > 0 and sum(counts) == 0:
            why = f"={self.sparsity:g} masks none of the {sum(sizes.values()):,} weights in scope"
            raise Invalid([Fault("pruning.sparsity", why)])
        return counts

    def attach(self, model: "nn.Module", *, steps: int, seed: int = 0) -> "Pruner":
        from pruneexp.pruning.gradual import GradualPruner

        return GradualPruner(model, self, steps=steps, seed=seed)

    def label(self) -> str:
        words = [f"s{self.sparsity:g}"]
        if self.start != "scratch":
            words.append(f"from-{self.start.partition(':')[0]}")
        for part in (self.schedule, self.scope, self.criterion, self.allocation):
            if part.word not in ("cubic", "model", "magnitude", "uniform"):
                words.append(part.word)
        if self.scope.recurrent != "together":
            words.append(self.scope.recurrent)
        return "-".join(words)


OPTIONS: tuple[type[Pruning], ...] = (Dense, Gradual)
CRITERIA: tuple[type[Criterion], ...] = (Magnitude, Random)
