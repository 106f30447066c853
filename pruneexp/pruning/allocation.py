"""Which sparsity for which tensor: arithmetic from sizes and a step to numbers of masked weights.

A pool is what one threshold runs over: usually one ranked group, for `global` all of them. The
size table, the pruner and the check at the end of a run use the same lines.
"""

import math
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, demand
from pruneexp.pruning.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

Shapes = dict[str, tuple[int, ...]]  # a tensor's name -> its shape
Sizes = dict[str, int]  # a ranked group's name -> how many weights it has, in forward order


@dataclass(kw_only=True, slots=True)
class Allocation(Recipe):
    def pools(self, groups: int) -> list[list[int]]:
        """Which of the groups, by number, share a threshold."""
        return [[group] for group in range(groups)]

    def updates(self, schedule: Schedule, groups: int, steps: int) -> list[int]:
        return schedule.updates(steps)

    def masked(
        self, sizes: Sizes, schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        """How many weights are masked in each pool at a step, from the sizes of the groups."""
        share = schedule.at(step, steps, final)
        weights = list(sizes.values())
        return [
            count(share, sum(weights[group] for group in pool)) for pool in self.pools(len(sizes))
        ]

    # Weights may be bound to each other; what is ranked is then not the single weight.

    def check(self, final: float, shapes: Shapes) -> None:
        """Raise `Invalid` for a sparsity or for tensors that this allocation cannot have."""

    def ranked(self, scores: "Tensor") -> "Tensor":
        """A tensor's scores as they are ranked."""
        return scores

    def spread(self, kept: "Tensor", shape: tuple[int, ...]) -> "Tensor":
        """A mask over what was ranked as a mask over weights."""
        return kept

    @property
    def bound(self) -> int:
        """Weights that stay or go together."""
        return 1


@dataclass(kw_only=True, slots=True)
class Uniform(Allocation):
    """Every group the same sparsity (the paper's standard)."""

    word: ClassVar[str] = "uniform"


@dataclass(kw_only=True, slots=True)
class Global(Allocation):
    """One threshold over all groups (See et al. 2016)."""

    word: ClassVar[str] = "global"

    def pools(self, groups: int) -> list[list[int]]:
        return [list(range(groups))]


@dataclass(kw_only=True, slots=True)
class LayerwiseConstant(Allocation):
    """One group after the other: the span is cut into equal parts, and a group follows the
    schedule inside its part. Published for GNMT without order or ramp; these are ours."""

    word: ClassVar[str] = "layerwise_constant"
    order: str = "forward"

    def __post_init__(self) -> None:
        demand(self, order=(self.order in ("forward", "backward"), "forward or backward"))

    def updates(self, schedule: Schedule, groups: int, steps: int) -> list[int]:
        return schedule.updates(steps, parts=groups)

    def masked(
        self, sizes: Sizes, schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        parts = len(sizes)
        turns = range(parts) if self.order == "forward" else reversed(range(parts))
        return [
            count(schedule.at(step, steps, final, part, parts), size)
            for part, size in zip(turns, sizes.values(), strict=True)
        ]


@dataclass(kw_only=True, slots=True)
class PerLayer(Allocation):
    """Uniform, but no group above the bound of a pattern that its name fits (* and ? as in a
    shell), as in the "extended" pruning of Gale et al. 2019: `{conv1.weight: 0, fc.weight: 0.8}`.
    """

    word: ClassVar[str] = "per_layer"
    at_most: dict[str, float]  # pattern of group names -> the highest sparsity there

    def __post_init__(self) -> None:
        numbers = all(isinstance(bound, int | float) for bound in self.at_most.values())
        holds = bool(self.at_most) and numbers and all(0 <= b < 1 for b in self.at_most.values())
        takes = "patterns of layers' names with a number in [0, 1), such as {fc.weight: 0.8}"
        demand(self, at_most=(holds, takes))
        # 0 and 0.0 are one run.
        self.at_most = {pattern: float(bound) for pattern, bound in self.at_most.items()}

    def masked(
        self, sizes: Sizes, schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        for pattern in self.at_most:
            if not any(fnmatchcase(name, pattern) for name in sizes):
                known = list(sizes)[:6] + ([f"and {len(sizes) - 6} more"] if len(sizes) > 6 else [])
                near = get_close_matches(pattern, sizes, n=1, cutoff=0.5)
                hint = f" (did you mean {near[0]}?)" if near else ""
                why = f"has a pattern {pattern} that fits no pruned layer{hint}; there are "
                raise Invalid([Fault("pruning.allocation.at_most", why + ", ".join(known))])
        return [
            count(schedule.at(step, steps, min(final, self.highest(name))), size)
            for name, size in sizes.items()
        ]

    def highest(self, group: str) -> float:
        fitting = [b for pattern, b in self.at_most.items() if fnmatchcase(group, pattern)]
        return min(fitting, default=1.0)


@dataclass(kw_only=True, slots=True)
class NOfM(Allocation):
    """At most `keep` of each `among` neighbours along the input stay. 2 of 4 is what some GPUs
    run faster. On the way there the lowest of those that will go anyway go first."""

    word: ClassVar[str] = "n_of_m"
    keep: int = 2
    among: int = 4

    def __post_init__(self) -> None:
        demand(
            self,
            among=(self.among > 1, "a number of neighbours above 1"),
            keep=(0 < self.keep < self.among, f"a number from 1 to {self.among - 1}"),
        )

    def check(self, final: float, shapes: Shapes) -> None:
        share = 1 - self.keep / self.among
        if abs(final - share) > 1e-9:
            takes = f"takes {share:g} where {self.keep} of {self.among} stay, got {final:g}"
            raise Invalid([Fault("pruning.sparsity", takes)])
        _divide(shapes, 1, self.among)

    def ranked(self, scores: "Tensor") -> "Tensor":
        from pruneexp.pruning import ranking

        return ranking.lowest_of_each(scores, self.among, self.among - self.keep)


@dataclass(kw_only=True, slots=True)
class Blocks(Allocation):
    """Uniform, by blocks of `rows` outputs x `columns` inputs that stay or go together; a block's
    score is the sum of its weights'."""

    word: ClassVar[str] = "blocks"
    rows: int = 1
    columns: int = 4

    def __post_init__(self) -> None:
        takes = "a number of weights above 0"
        demand(self, rows=(self.rows > 0, takes), columns=(self.columns > 0, takes))

    @property
    def bound(self) -> int:
        return self.rows * self.columns

    def check(self, final: float, shapes: Shapes) -> None:
        _divide(shapes, self.rows, self.columns)

    def masked(
        self, sizes: Sizes, schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        blocks = {name: size // self.bound for name, size in sizes.items()}
        found = Allocation.masked(self, blocks, schedule, final, step, steps)
        return [self.bound * masked for masked in found]

    def ranked(self, scores: "Tensor") -> "Tensor":
        from pruneexp.pruning import ranking

        return ranking.block_sums(scores, self.rows, self.columns)

    def spread(self, kept: "Tensor", shape: tuple[int, ...]) -> "Tensor":
        from pruneexp.pruning import ranking

        return ranking.over_blocks(kept, shape, self.rows, self.columns)


def _divide(shapes: Shapes, rows: int, columns: int) -> None:
    """Outputs and inputs (the first two dimensions) must be whole numbers of blocks."""
    uneven = [name for name, shape in shapes.items() if shape[0] % rows or shape[1] % columns]
    if uneven:
        name = uneven[0]
        more = f" and {len(uneven) - 1} more" if len(uneven) > 1 else ""
        block = f"{rows} x {columns}" if rows > 1 else str(columns)
        why = f"cuts tensors into {block}, and {name} is {shapes[name]}{more}"
        raise Invalid([Fault("pruning.allocation", f"{why}; leave it out by pruning.scope")])


def count(sparsity: float, weights: int) -> int:
    """How many of `weights` are masked: floor(s * n + 1/2), in double precision. Python's `round`
    is half-to-even and will not do."""
    return math.floor(sparsity * weights + 0.5)


OPTIONS: tuple[type[Allocation], ...] = (Uniform, PerLayer, LayerwiseConstant, Global, NOfM, Blocks)
