"""Levels of sparsity by layer, from what each layer was measured to tolerate."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, demand, either
from pruneexp.measure.layer_losses import SENSITIVITY_OF
from pruneexp.pruning.allocation import Allocation, count
from pruneexp.pruning.group import Group
from pruneexp.pruning.start import dense_of

if TYPE_CHECKING:
    from pruneexp.config.run import Run

UNITS = ("weights", "bytes", "milliseconds")
PARTS = 4000  # that a total is divided into
VALUE_BYTES = 4


@dataclass(kw_only=True, slots=True)
class Sensitivity(Allocation):
    """Each layer of a trained dense run is pruned alone to each of some levels and measured on
    validation, once; then the levels are chosen, one for each layer, whose losses add up to least
    within a total: what uniform pruning to the same sparsity would keep. The dense run is made if
    it is missing, and keeps what was measured beside it.

    Arguments:
        tried: the levels, beside leaving a layer dense.
        of: what the total is a total of: weights, which come out exactly, bytes of values and
            positions, or milliseconds that the layers take on this machine's CPU, in whichever of
            dense and sparse form is faster. Times are measured once, beside the dense run; where
            it is made again elsewhere, other levels may come out.
        increases: of the loss by name of group, one for each level; measured before training.
        seconds: of a call by name of group, without pruning and at each level; likewise.
    """

    word: ClassVar[str] = "sensitivity"
    tried: list[float] = field(
        default_factory=lambda: [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99]
    )
    of: str = "weights"
    increases: dict[str, list[float]] = field(default_factory=dict, metadata={"here": True})
    seconds: dict[str, list[float]] = field(default_factory=dict, metadata={"here": True})

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.tried, self.tried[1:], strict=False))
        shares = bool(self.tried) and all(0 < level < 1 for level in self.tried)
        demand(
            self,
            tried=(rising and shares, "rising levels in (0, 1), such as [0.5, 0.9]"),
            of=(self.of in UNITS, either(UNITS)),
        )

    @property
    def is_known(self) -> bool:
        return bool(self.increases)

    @property
    def keeps_total(self) -> bool:
        return self.of == "weights"

    @property
    def takes_seconds(self) -> bool:
        """Whether the layers must be timed too."""
        return self.of == "milliseconds"

    def parents(self, run: "Run") -> "dict[str, Run]":
        return {SENSITIVITY_OF: dense_of(run)}

    def levels(self, groups: Sequence[Group], final: float) -> list[float]:
        most = self.tried[-1]
        if final > most:
            takes = f"takes a level of pruning.sparsity={final:g} or above, got {most:g} at most"
            raise Invalid([Fault("pruning.allocation.tried", takes)])
        if not self.is_known or final == 0:
            return [final] * len(groups)
        sizes = [group.units for group in groups]
        options = [0.0, *self.tried]
        costs = [[self._cost(level, group) for level in options] for group in groups]
        losses = [[0.0, *self._increase(group.name)] for group in groups]
        total = sum(self._cost(final, group) for group in groups)
        if self.takes_seconds and total >= sum(prices[0] for prices in costs):
            why = "=milliseconds: no layer of this network runs faster sparse on this machine at "
            remedy = f"{100 * final:g} %; take weights or bytes"
            raise Invalid([Fault("pruning.allocation.of", why + remedy)])
        chosen = least(losses, costs, total)
        kept = [size - count(options[n], size) for n, size in zip(chosen, sizes, strict=True)]
        if self.of == "weights":
            wanted = sum(sizes) - count(final, sum(sizes))
            _share_out(wanted - sum(kept), kept, sizes, losses, chosen)
        return [1 - number / size for number, size in zip(kept, sizes, strict=True)]

    def _increase(self, name: str) -> list[float]:
        if len(self.increases.get(name, [])) != len(self.tried):
            why = f"was measured of other layers or levels: {name} is missing"
            raise Invalid([Fault("pruning.allocation", why)])
        return self.increases[name]

    def _cost(self, level: float, group: Group) -> float:
        """What a group takes at a level, in the unit of the total; seconds between two levels are
        read off between them."""
        if self.takes_seconds:
            if len(self.seconds.get(group.name, [])) != len(self.tried) + 1:
                why = f"was timed of other layers or levels: {group.name} is missing"
                raise Invalid([Fault("pruning.allocation", why)])
            return interpolated(level, [0.0, *self.tried], self.seconds[group.name])
        size = group.units
        kept = size - count(level, size)
        if self.of == "weights":
            return float(kept)
        share = kept / size
        bits = 0.0 if share in (0.0, 1.0) else _entropy(share) * size
        return VALUE_BYTES * kept + bits / 8


def interpolated(level: float, levels: Sequence[float], values: Sequence[float]) -> float:
    """The value at a level, on the line between its neighbours."""
    above = max(1, bisect_left(levels, level))
    part = (level - levels[above - 1]) / (levels[above] - levels[above - 1])
    return values[above - 1] + part * (values[above] - values[above - 1])


def least(
    losses: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], total: float
) -> list[int]:
    """Which option of each layer, so that losses add up to least and costs to no more than a total.
    Exact for whole costs up to a few thousands; larger ones are rounded up to one part in thousands
    of the total.

        least([[0, 1], [0, 5]], [[10, 4], [10, 4]], 14) == [1, 0]
    """
    part = max(total / PARTS, _common(costs))
    most = math.floor(total / part + 1e-9)
    best = [0.0] + [math.inf] * most  # the least loss at each cost so far
    steps = [[math.ceil(price / part - 1e-9) for price in prices] for prices in costs]
    taken: list[list[int]] = []
    for ones, own in zip(losses, steps, strict=True):
        after, option = [math.inf] * (most + 1), [-1] * (most + 1)
        for spent, loss in enumerate(best):
            if loss == math.inf:
                continue
            for number, (more, step) in enumerate(zip(ones, own, strict=True)):
                at = spent + step
                if at <= most and loss + more < after[at]:
                    after[at], option[at] = loss + more, number
        best = after
        taken.append(option)
    place = min(range(most + 1), key=lambda at: best[at])
    if best[place] == math.inf:  # rounding alone leaves no room: the smallest option of each
        return [min(range(len(prices)), key=lambda n: prices[n]) for prices in costs]
    chosen = []
    for option, own in zip(reversed(taken), reversed(steps), strict=True):
        chosen.append(option[place])
        place -= own[chosen[-1]]
    return chosen[::-1]


def _common(costs: Sequence[Sequence[float]]) -> float:
    """What divides all whole costs; 0 where some are not whole."""
    every = [price for prices in costs for price in prices]
    return math.gcd(*map(int, every)) if all(float(price).is_integer() for price in every) else 0.0


def _share_out(
    rest: int,
    kept: list[int],
    sizes: Sequence[int],
    losses: Sequence[Sequence[float]],
    chosen: Sequence[int],
) -> None:
    """Give what a total leaves to the layers that gain most by it; take what is too much from those
    that lose least."""

    def worth(number: int) -> float:
        return losses[number][chosen[number]] / max(1, sizes[number] - kept[number])

    for number in sorted(range(len(kept)), key=worth, reverse=rest > 0):
        change = (
            min(rest, sizes[number] - kept[number]) if rest > 0 else max(rest, 1 - kept[number])
        )
        kept[number] += change
        rest -= change


def _entropy(share: float) -> float:
    """Bits of a choice with this chance."""
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def informed(
    allocation: Sensitivity,
    increases: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> Sensitivity:
    """The same with what was measured."""
    return replace(
        allocation,
        increases={name: [*each] for name, each in increases.items()},
        seconds={name: [*each] for name, each in seconds.items()},
    )
