"""Which sparsity for which group: arithmetic from shapes and a step to numbers of masked units.

A pool is what one threshold runs over: usually one ranked group, for `global` all of them. A unit
is what the structure binds together, usually a single weight. The size table, the pruner and the
check at the end of a run use the same lines.

To add an allocation: a class here that defines `levels` (or `pools`, or `masked`), an entry in
`OPTIONS`, a YAML in conf/pruning/allocation/.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, demand
from pruneexp.pruning.group import Group
from pruneexp.pruning.schedule import Schedule

if TYPE_CHECKING:
    from pruneexp.config.run import Run


@dataclass(kw_only=True, slots=True)
class Allocation(Recipe):
    """How the final sparsity is spread over the groups, and when each group gets its share.

    This base gives every group the same. A subclass overrides `levels` for another final sparsity
    of each group, `pools` for thresholds over several groups, `masked` for another order in time.

        class HalfOfTheFirst(Allocation):
            word: ClassVar[str] = "half_of_the_first"

            def levels(self, groups, final):
                return [final / 2, *[final] * (len(groups) - 1)]
    """

    @property
    def is_known(self) -> bool:
        """Whether levels follow from shapes alone, or what they follow from has been measured."""
        return True

    def parents(self, run: "Run") -> "dict[str, Run]":
        """The runs that must be finished first, by role, such as one whose layers are measured."""
        return {}

    def levels(self, groups: Sequence[Group], final: float) -> list[float]:
        """The final sparsity of each group; of a pool's groups all alike. Raises `Invalid`."""
        return [final] * len(groups)

    def pools(self, groups: Sequence[Group]) -> list[list[int]]:
        """Which of the groups, by number, share a threshold; each group is in one pool."""
        return [[number] for number in range(len(groups))]

    @property
    def keeps_total(self) -> bool:
        """Whether as many weights are masked over all layers as the sparsity says, so that their
        number is known before training."""
        return True

    def updates(self, schedule: Schedule, groups: Sequence[Group], steps: int) -> list[int]:
        """Every step at which masks are chosen."""
        return schedule.updates(steps)

    def masked(
        self, groups: Sequence[Group], schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        """How many units are masked in each pool at a step of a run of so many steps."""
        levels = self.levels(groups, final)
        return [
            count(
                schedule.at(step, steps, levels[pool[0]]),
                sum(groups[number].units for number in pool),
            )
            for pool in self.pools(groups)
        ]


@dataclass(kw_only=True, slots=True)
class Uniform(Allocation):
    """Every group the same sparsity (the papers' standard)."""

    word: ClassVar[str] = "uniform"


@dataclass(kw_only=True, slots=True)
class Global(Allocation):
    """One threshold over all groups (See et al. 2016)."""

    word: ClassVar[str] = "global"

    def pools(self, groups: Sequence[Group]) -> list[list[int]]:
        return [list(range(len(groups)))]


@dataclass(kw_only=True, slots=True)
class LayerwiseConstant(Allocation):
    """One group after the other: the span is cut into equal parts, and a group follows the
    schedule inside its part. Published for GNMT without order or ramp; these are ours.

    Arguments:
        order: forward begins with the group nearest to the inputs, backward with the last.
    """

    word: ClassVar[str] = "layerwise_constant"
    order: str = "forward"

    def __post_init__(self) -> None:
        demand(self, order=(self.order in ("forward", "backward"), "forward or backward"))

    def updates(self, schedule: Schedule, groups: Sequence[Group], steps: int) -> list[int]:
        return schedule.updates(steps, parts=len(groups))

    def masked(
        self, groups: Sequence[Group], schedule: Schedule, final: float, step: int, steps: int
    ) -> list[int]:
        parts = len(groups)
        turns = range(parts) if self.order == "forward" else reversed(range(parts))
        return [
            count(schedule.at(step, steps, final, part, parts), group.units)
            for part, group in zip(turns, groups, strict=True)
        ]


@dataclass(kw_only=True, slots=True)
class PerLayer(Allocation):
    """Uniform, but no group above the bound of a pattern that fits its name, as in the "extended"
    pruning of Gale et al. 2019: `PerLayer(at_most={"conv1.weight": 0, "fc.weight": 0.8})`.

    Arguments:
        at_most: the highest sparsity by pattern of group names (* and ? as in a shell); where
            several fit, the smallest.
    """

    word: ClassVar[str] = "per_layer"
    at_most: dict[str, float]

    def __post_init__(self) -> None:
        numbers = all(isinstance(bound, int | float) for bound in self.at_most.values())
        holds = bool(self.at_most) and numbers and all(0 <= b < 1 for b in self.at_most.values())
        takes = "patterns of layers' names with a number in [0, 1), such as {fc.weight: 0.8}"
        demand(self, at_most=(holds, takes))
        # 0 and 0.0 are one run.
        self.at_most = {pattern: float(bound) for pattern, bound in self.at_most.items()}

    def levels(self, groups: Sequence[Group], final: float) -> list[float]:
        names = [group.name for group in groups]
        for pattern in self.at_most:
            if not any(fnmatchcase(name, pattern) for name in names):
                known = names[:6] + ([f"and {len(names) - 6} more"] if len(names) > 6 else [])
                near = get_close_matches(pattern, names, n=1, cutoff=0.5)
                hint = f" (did you mean {near[0]}?)" if near else ""
                why = f"has a pattern {pattern} that fits no pruned layer{hint}; there are "
                raise Invalid([Fault("pruning.allocation.at_most", why + ", ".join(known))])
        return [min(final, self.highest(name)) for name in names]

    def highest(self, group: str) -> float:
        """The bound of a group; 1 where no pattern fits its name."""
        fitting = [b for pattern, b in self.at_most.items() if fnmatchcase(group, pattern)]
        return min(fitting, default=1.0)


@dataclass(kw_only=True, slots=True)
class Erk(Allocation):
    """Erdős-Rényi kernel (Evci et al. 2020): a layer's density goes with the sum of its dimensions
    over their product, so that thin layers keep more. A layer that would keep more than it has
    stays dense, the largest first, and the rest is solved again; the total is exact.

    A recurrent layer whose weights are ranked together counts as one matrix of its inputs and
    states; `pruning.scope.recurrent=apart` takes two.
    """

    word: ClassVar[str] = "erk"

    def levels(self, groups: Sequence[Group], final: float) -> list[float]:
        kept = _shares(
            [_dimensions(group) / group.unit for group in groups],
            [group.units for group in groups],
            sum(group.units for group in groups) - count(final, sum(g.units for g in groups)),
        )
        return [1 - number / group.units for number, group in zip(kept, groups, strict=True)]


def _dimensions(group: Group) -> int:
    """The sum of a group's dimensions; of several matrices with the same outputs, side by side."""
    first, *others = group.shapes.values()
    return sum(first) + sum(shape[1] for shape in others)


def _shares(weights: Sequence[float], most: Sequence[int], total: int) -> list[int]:
    """Whole numbers that go with `weights`, none above its `most`, and add up to `total`."""
    full: set[int] = set()
    while True:
        open_ = [n for n in range(len(weights)) if n not in full]
        left = total - sum(most[n] for n in full)
        each = left / sum(weights[n] for n in open_) if open_ else 0.0
        above = [n for n in open_ if each * weights[n] > most[n]]
        if not above:
            break
        full.add(max(above, key=lambda n: each * weights[n] / most[n]))
    exact = [most[n] if n in full else each * weights[n] for n in range(len(weights))]
    shares = [math.floor(share) for share in exact]
    rest = sorted(open_, key=lambda n: shares[n] - exact[n])
    for n in rest[: total - sum(shares)]:
        shares[n] += 1
    return shares


def count(sparsity: float, weights: int) -> int:
    """How many of `weights` are masked: floor(s * n + 1/2), where s is the number as it is written.
    0.7 of 45 are 31.5, so 32; as a double, 0.7 is a little less, and 31 would come out."""
    return math.floor(Fraction(repr(float(sparsity))) * weights + Fraction(1, 2))


OPTIONS: tuple[type[Allocation], ...] = (Uniform, PerLayer, LayerwiseConstant, Global, Erk)
