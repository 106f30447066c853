"""A curve at a size: measured there, or read between two points."""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from pruneexp.engine.record import NEAR
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.statistics import Scale

SAME = 0.001  # sizes this close count as one: rounding leaves a few weights more or less

Parts = list[tuple[Point, float]]  # the points that a value rests on, and their shares


@dataclass(frozen=True, slots=True)
class Estimate:
    mean: float
    half: float | None  # of the point's own interval; None between two points
    measured: bool  # else between two points


def measured_at(curve: list[Point], nonzero: float, near: float = SAME) -> Point | None:
    """The point of this size, the nearest of several. Curves are sorted by size."""
    low = bisect_left(curve, nonzero * (1 - 2 * near), key=_nonzero)
    high = bisect_right(curve, nonzero * (1 + 2 * near), key=_nonzero)
    close = [
        point for point in curve[low:high] if math.isclose(point.nonzero, nonzero, rel_tol=near)
    ]
    return min(close, key=lambda point: abs(point.nonzero - nonzero), default=None)


def _nonzero(point: Point) -> float:
    return point.nonzero


def behind(curve: list[Point], nonzero: float, near: float) -> Parts:
    """The points that a curve's value at a size within its range rests on, and their shares."""
    there = measured_at(curve, nonzero, near)
    if there is not None:
        return [(there, 1.0)]
    after = bisect_left(curve, nonzero, key=_nonzero)
    left, right = curve[after - 1], curve[after]
    low, high = math.log10(left.nonzero), math.log10(right.nonzero)
    share = (math.log10(nonzero) - low) / (high - low)
    return [(left, 1 - share), (right, share)]


def estimate_at(parts: Parts, scale: Scale) -> Estimate:
    """What a curve is at a size."""
    if len(parts) == 1:
        return Estimate(parts[0][0].test, parts[0][0].test_half, True)
    return Estimate(
        scale.backward(sum(share * scale.forward(point.test) for point, share in parts)),
        None,
        False,
    )


def work_at(parts: Parts) -> float | None:
    """The multiply-adds of a model of a size, straight over the logarithms of both."""
    adds = [point.sparse_multiply_adds for point, _ in parts]
    if len(adds) == 1:
        return adds[0]
    if not all(adds):
        return None
    return math.prod((each or 0) ** share for each, (_, share) in zip(adds, parts, strict=True))


def _reaches(curve: list[Point], nonzero: float, near: float = SAME) -> bool:
    within = curve[0].nonzero <= nonzero <= curve[-1].nonzero
    return within or measured_at(curve, nonzero, near) is not None


def common_sizes(ours: list[Point], theirs: list[Point]) -> tuple[list[float], float]:
    """The sizes at which two curves are compared, and how near a point must be to count as
    measured there: those of our points if all within reach have a rival of their size, or else all
    that both reach."""
    within = [p.nonzero for p in ours if _reaches(theirs, p.nonzero, NEAR)]
    if within and all(measured_at(theirs, size, NEAR) is not None for size in within):
        return _distinct(within), NEAR
    every = _distinct(sorted(point.nonzero for point in [*ours, *theirs]))
    return [size for size in every if _reaches(ours, size) and _reaches(theirs, size)], SAME


def _distinct(sizes: list[float]) -> list[float]:
    found: list[float] = []
    for size in sizes:
        if not found or not math.isclose(size, found[-1], rel_tol=SAME):
            found.append(size)
    return found
