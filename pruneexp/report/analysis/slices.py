"""Models of several sizes at one budget in bytes: how large should the parent be?

A slice is the dense model whose file has a size, and the models that were pruned to that size by a
budget (`budget=100kB`), each a multiple of the dense model's weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruneexp.engine.record import MEGABYTE
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.statistics import SeedModel, scale_of

if TYPE_CHECKING:
    from pruneexp.report.analysis.findings import Findings

# How far a budget may lie from the file of the dense model that it is of: below it by what a weight
# takes, above it by a few bytes of notes, where another learning rate was chosen for that model.
NEAR = 0.02
LEAST_SEEDS = 2  # of the dense model and of the best
PAPER = (5.0, 10.0)  # Zhu and Gupta 2017: sparse models of large parents, five to ten times smaller


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One model of a slice.

    Arguments:
        times: its parent's weights, as a multiple of the dense model's; 1 for that itself.
        point: all of its seeds.
    """

    times: float
    point: Point


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSlice:
    """All models of one budget, the dense one first, then by the parent's size.

    Arguments:
        bytes: of the budget.
        rungs: of the dense model and its rivals.
        best: the rung with the best validation value.
        as_good: rungs that are not worse than the best beyond chance; the best among them.
    """

    bytes: float
    rungs: tuple[Rung, ...]
    best: Rung
    as_good: tuple[Rung, ...]


def slices(found: "Findings") -> list[BudgetSlice]:
    """Of every budget that a dense model and parents were made for, the smallest first."""
    sparse: dict[tuple[float, str, str], list[Point]] = {}
    for point in found.points:
        dial = point.curve.dial
        if point.kind == "sparse" and dial is not None and dial.name == "budget":
            sparse.setdefault((dial.value, point.family, point.quantised), []).append(point)
    made = []
    for (budget, family, quantised), pruned in sorted(sparse.items()):
        dense = _dense(found, budget, family, quantised)
        if dense is not None:
            made.append(_slice(found, budget, dense, pruned))
    return made


def _dense(found: "Findings", budget: float, family: str, quantised: str) -> Point | None:
    """The dense model whose file a budget is that of."""
    near = [
        point
        for point in found.points
        if point.kind == "dense"
        and (point.family, point.quantised) == (family, quantised)
        and point.written is not None
        and abs(point.written * MEGABYTE / budget - 1) <= NEAR
    ]
    return min(near, key=lambda p: abs((p.written or 0.0) * MEGABYTE - budget), default=None)


def _slice(found: "Findings", budget: float, dense: Point, pruned: Sequence[Point]) -> BudgetSlice:
    rungs = [Rung(times=1.0, point=dense)]
    rungs += [
        Rung(times=point.parameters / dense.parameters, point=point)
        for point in sorted(pruned, key=lambda point: point.parameters)
    ]
    scale = scale_of(found.metric, [row.valid for rung in rungs for row in rung.point.rows])
    model = SeedModel(
        {
            rung.point.key: {row.seed: scale.forward(row.valid) for row in rung.point.rows}
            for rung in rungs
        }
    )
    best = max(rungs, key=lambda rung: scale.forward(rung.point.valid))
    as_good = [best]
    for rung in rungs:
        if rung is best:
            continue
        lead = model.contrast({best.point.key: 1.0, rung.point.key: -1.0})
        half = lead.half(len(rungs) - 1)
        if half is None or lead.gain <= half:
            as_good.append(rung)
    ordered = sorted(as_good, key=lambda rung: rung.times)
    return BudgetSlice(bytes=budget, rungs=tuple(rungs), best=best, as_good=tuple(ordered))


def verdict(made: Sequence[BudgetSlice]) -> str:
    """In a few sentences, how large a parent should be; nothing without slices."""
    if not made:
        return ""
    text = f"How large a parent: {'; '.join(map(_told, made))}."
    if any(rung.point.n < LEAST_SEEDS for one in made for rung in (one.rungs[0], one.best)):
        return text + " With so few seeds, how much of that is chance is not known."
    within = [_reaches(one) for one in made]
    where = "any of them" if len(made) > 1 else "it"
    if all(within):
        text += f" Five to ten times, as published, is not worse than the best at {where}."
    elif not any(within):
        text += f" Five to ten times, as published, is worse than the best at {where}."
    return text


def _told(one: BudgetSlice) -> str:
    best = f"a parent of {_times(one.best.times)} the weights"
    if one.best.times == 1:
        best = "the dense model itself"
    text = f"at {one.bytes / MEGABYTE:.3f} MB {best} is best"
    low, high = one.as_good[0].times, one.as_good[-1].times
    if low == high:
        return text
    first = "the dense model" if low == 1 else _times(low)
    return f"{text}, not worse beyond chance from {first} to {_times(high)}"


def _reaches(one: BudgetSlice) -> bool:
    """Whether a parent of five to ten times, about, is not worse than the best."""
    low, high = PAPER
    return any(0.95 * low <= rung.times <= 1.05 * high for rung in one.as_good)


def _times(value: float) -> str:
    return f"{value:.2g} times" if value < 10 else f"{value:.0f} times"
