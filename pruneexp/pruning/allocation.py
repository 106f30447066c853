"""Which sparsity for which tensor: arithmetic from sizes and a step to numbers of masked weights.

A pool is what one threshold runs over: usually one ranked group, for `global` all of them. The
size table, the pruner and the check at the end of a run use the same lines.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from pruneexp.pruning.schedule import Schedule
from pruneexp.recipe import Recipe, demand


@dataclass(kw_only=True, slots=True)
class Allocation(Recipe):
    def pools(self, groups: int) -> list[list[int]]:
        """Which of the groups, by number, share a threshold."""
        return [[group] for group in range(groups)]

    def updates(self, schedule: Schedule, groups: int, steps: int) -> list[int]:
        return schedule.updates(steps)

    def masked(
        self, sizes: list[int], schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        """How many weights are masked in each pool at a step, from the sizes of the groups."""
        share = schedule.at(step, steps, final)
        return [
            count(share, sum(sizes[group] for group in pool)) for pool in self.pools(len(sizes))
        ]


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
        self, sizes: list[int], schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        parts = len(sizes)
        turns = range(parts) if self.order == "forward" else reversed(range(parts))
        return [
            count(schedule.at(step, steps, final, part, parts), size)
            for part, size in zip(turns, sizes, strict=True)
        ]


def count(sparsity: float, weights: int) -> int:
    """How many of `weights` are masked: floor(s * n + 1/2), in double precision. Python's `round`
    is half-to-even and will not do."""
    return math.floor(sparsity * weights + 0.5)


OPTIONS: tuple[type[Allocation], ...] = (Uniform, LayerwiseConstant, Global)
