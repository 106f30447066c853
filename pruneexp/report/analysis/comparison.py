"""One curve held against another: sparse against dense, and sparse ones against each other.

Two curves are compared at the sizes at which both were measured, within one per cent. Only where
not every point has such a rival, a curve is read between its points, by straight lines from the
logarithm of the size to the scale of the comparison (`statistics.Scale`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import NEAR, Metric
from pruneexp.report.analysis.at_size import (
    SAME,
    Estimate,
    Parts,
    behind,
    common_sizes,
    estimate_at,
    work_at,
)
from pruneexp.report.analysis.items import variance_of_items
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.statistics import (
    Contrast,
    Estimated,
    Scale,
    SeedModel,
    holm,
    over_range,
    scale_of,
    seeds_needed,
)
from pruneexp.report.data.rows import Row

MOST_RIVALS = 8  # sparse curves that are compared two by two
MOST_READ = 500  # runs of one comparison whose outcomes are read
# Two models this close are equal for all that matters: half a point of what is measured in per
# cent, two per cent of anything else.
MARGIN_POINTS = 0.5
MARGIN_RATIO = 1.02

ROUNDING = 1e-9  # a difference on the scale that is none

TIE, EQUAL, NEITHER = "tie", "equal", "neither"
ReadOutcomes = Callable[[Row], Outcomes | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference in the metric's unit, with its interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Two curves at one size. The interval holds for all sizes of the pair at once."""

    ours_series: str
    theirs_series: str
    nonzero: float
    measured: str  # which model has this size
    ours: Estimate
    theirs: Estimate
    found: Estimated  # on the scale; above 0 where ours is better
    difference: Difference  # ours - theirs
    ratio: Difference | None  # ours / theirs, of the error or of the metric; None on a plain scale
    better: str  # one of the pair's words, tie, equal, or without seeds neither
    work: float | None  # our multiply-adds as a multiple of theirs
    behind: tuple[Point, ...]  # the points that it rests on

    @property
    def is_known(self) -> bool:
        """Whether seeds say how much of it could be chance."""
        return self.found.error is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """The primary endpoint of a pair: the mean gap over the common range of log size."""

    found: Estimated
    ratio: Difference | None
    difference: Difference | None  # on a plain scale
    new_data: Difference | None  # the ratio (or difference) with what the choice of items adds
    matched: bool  # at sizes that both were measured at
    seeds: int  # the least that a point has
    better: str
    detectable: float | None  # as a ratio below 1, or a difference
    needed: int | None  # seeds that would tell a difference as large as the one seen
    probability: float | None  # adjusted for all comparisons of the report (Holm)
    comparisons: int  # that it is adjusted for


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One curve against another: sparse against dense, or two sparse ones, called A and B."""

    ours: list[Point]
    theirs: list[Point]
    words: tuple[str, str]
    scale: Scale
    gaps: list[Gap]
    overall: Overall | None  # None where no size can be compared


# --- the comparison ----------------------------------------------------------------------------


def pairs(
    found: dict[str, list[Point]], metric: Metric, outcomes: ReadOutcomes = lambda row: None
) -> list[Pair]:
    """Each sparse curve with each dense one on the same data, of the same family and with the same
    type of values if it has one.

    Arguments:
        found: the curves by name.
        outcomes: reads what came of each test item of a run.
    """
    dense = [curve for curve in found.values() if curve[0].kind == "dense"]
    made = []
    for sparse in (curve for curve in found.values() if curve[0].kind == "sparse"):
        beside = [curve for curve in dense if curve[0].data == sparse[0].data]
        kin = [curve for curve in beside if curve[0].family == sparse[0].family]
        kin = kin or beside
        alike = [curve for curve in kin if curve[0].quantised == sparse[0].quantised]
        made += [
            compare(sparse, curve, ("sparse", "dense"), metric, outcomes) for curve in alike or kin
        ]
    return _adjusted(made)


def rivals(
    curves: dict[str, list[Point]], metric: Metric, outcomes: ReadOutcomes = lambda row: None
) -> tuple[list[Pair], list[str]]:
    """Sparse curves on the same data and of the same family, two by two; and what was left out,
    since the pairs of many curves are more than anyone reads."""
    sparse = [curve for curve in curves.values() if curve[0].kind == "sparse"]
    compared = sparse[:MOST_RIVALS]
    left_out = [
        f"Of {len(sparse)} sparse curves the first {MOST_RIVALS} are compared with each other; a "
        "report of fewer runs compares the rest."
    ] * (len(sparse) > MOST_RIVALS)
    made = [
        compare(ours, theirs, ("A", "B"), metric, outcomes)
        for ours, theirs in combinations(compared, 2)
        if (ours[0].data, ours[0].family) == (theirs[0].data, theirs[0].family)
    ]
    return _adjusted(made), left_out


def _adjusted(made: list[Pair]) -> list[Pair]:
    """The pairs with what several comparisons make of each one's probability."""
    known = [p for p in made if p.overall is not None and p.overall.probability is not None]
    told = [pair.overall.probability or 0.0 for pair in known if pair.overall]
    adjusted = dict(zip(map(id, known), holm(told), strict=True))

    def one(pair: Pair) -> Pair:
        if id(pair) not in adjusted or pair.overall is None:
            return pair
        overall = replace(pair.overall, probability=adjusted[id(pair)], comparisons=len(adjusted))
        return replace(pair, overall=overall)

    return [one(pair) for pair in made]


def compare(
    ours: list[Point],
    theirs: list[Point],
    words: tuple[str, str],
    metric: Metric,
    outcomes: ReadOutcomes = lambda row: None,
) -> Pair:
    """Two curves at the sizes that both have. A model with nothing left has no place on an axis of
    powers."""
    one, other = ([point for point in curve if point.nonzero > 0] for curve in (ours, theirs))
    sizes, near = common_sizes(one, other) if one and other else ([], SAME)
    every = [row.test for point in [*one, *other] for row in point.rows]
    scale = scale_of(metric, every)
    if not sizes:
        return Pair(ours=ours, theirs=theirs, words=words, scale=scale, gaps=[], overall=None)
    parts = [(behind(one, size, near), behind(other, size, near)) for size in sizes]
    used = {p.key: p for sides in parts for side in sides for p, _ in side}
    model = SeedModel(
        {
            key: {row.seed: scale.forward(row.test) for row in point.rows}
            for key, point in used.items()
        },
        shared=any(point.shares_parents for point in used.values()),
    )
    gaps = [
        _gap(size, sides, (ours, theirs), words, scale, model, len(sizes))
        for size, sides in zip(sizes, parts, strict=True)
    ]
    contrast: Contrast = {}
    for weight, sides in zip(over_range(sizes), parts, strict=True):
        for key, share in _contrast(sides).items():
            contrast[key] = contrast.get(key, 0.0) + weight * share
    overall = _overall(contrast, used, words, scale, model, outcomes, near == NEAR)
    return Pair(ours=ours, theirs=theirs, words=words, scale=scale, gaps=gaps, overall=overall)


def _contrast(sides: tuple[Parts, Parts]) -> Contrast:
    """One side less the other, in the weights of points, which are of one side each."""
    ours, theirs = sides
    return {point.key: share for point, share in ours} | {p.key: -share for p, share in theirs}


def _gap(
    nonzero: float,
    sides: tuple[Parts, Parts],
    curves: tuple[list[Point], list[Point]],
    words: tuple[str, str],
    scale: Scale,
    model: SeedModel,
    sizes: int,
) -> Gap:
    ours, theirs = sides
    found = model.contrast(_contrast(sides))
    there = sum(share * _mean(point, scale) for point, share in theirs)
    half = found.half(sizes)
    work, other = work_at(ours), work_at(theirs)
    return Gap(
        ours_series=curves[0][0].series,
        theirs_series=curves[1][0].series,
        nonzero=nonzero,
        measured=_measured(sides, words),
        ours=estimate_at(ours, scale),
        theirs=estimate_at(theirs, scale),
        found=found,
        difference=_difference(found.gain, half, there, scale),
        ratio=_ratio(found.gain, half, scale),
        better=_better(found, sizes, there, words, scale),
        work=work / other if work and other else None,
        behind=tuple(point for side in sides for point, _ in side),
    )


def between(ours: Point, theirs: Point, metric: Metric) -> Difference:
    """One point less another, each by itself, in the metric's unit."""
    scale = scale_of(metric, [row.test for point in (ours, theirs) for row in point.rows])
    model = SeedModel(
        {p.key: {row.seed: scale.forward(row.test) for row in p.rows} for p in (ours, theirs)},
        shared=ours.shares_parents or theirs.shares_parents,
    )
    found = model.contrast({ours.key: 1.0, theirs.key: -1.0})
    return _difference(found.gain, found.half(), _mean(theirs, scale), scale)


def _mean(point: Point, scale: Scale) -> float:
    return sum(scale.forward(row.test) for row in point.rows) / len(point.rows)


def _difference(gain: float, half: float | None, there: float, scale: Scale) -> Difference:
    """In the metric's unit, at the level of the other side."""
    base = scale.backward(there)
    value = scale.backward(there + gain) - base
    if half is None:
        return Difference(value, None, None)
    low, high = sorted(scale.backward(there + gain + each) - base for each in (-half, half))
    return Difference(value, low, high)


def _ratio(gain: float, half: float | None, scale: Scale) -> Difference | None:
    """Of the errors, or of what is better when low."""
    if not scale.name:
        return None
    if half is None:
        return Difference(math.exp(-gain), None, None)
    return Difference(math.exp(-gain), math.exp(-gain - half), math.exp(-gain + half))


def _better(
    found: Estimated, comparisons: int, there: float, words: tuple[str, str], scale: Scale
) -> str:
    """Who is better; without seeds only the sign tells."""
    half = found.half(comparisons)
    if half is None or abs(found.gain) > half:
        if abs(found.gain) < ROUNDING:
            return NEITHER
        return words[0] if found.gain > 0 else words[1]
    margin = margin_at(there, scale)
    return EQUAL if margin is not None and found.is_within(margin) else TIE


def margin_at(there: float, scale: Scale) -> float | None:
    """On the scale, what makes no difference to people; None on a plain scale, which says nothing
    of its unit."""
    if scale.name == "error":
        return abs(scale.forward(scale.backward(there) - MARGIN_POINTS) - there)
    return math.log(MARGIN_RATIO) if scale.name else None


def margin_words(scale: Scale) -> str:
    """The same in words; nothing on a plain scale."""
    return {"error": "half a point", "": ""}.get(scale.name, "2 %")


def _overall(
    contrast: Contrast,
    used: dict[str, Point],
    words: tuple[str, str],
    scale: Scale,
    model: SeedModel,
    outcomes: ReadOutcomes,
    matched: bool,
) -> Overall:
    """The mean gap over the sizes."""
    found = model.contrast(contrast)
    theirs = {key: -weight for key, weight in contrast.items() if weight < 0}
    there = sum(weight * _mean(used[key], scale) for key, weight in theirs.items())
    seeds = min(point.n for point in used.values())
    half, detectable = found.half(), found.detectable()
    plain = None if scale.name else _difference(found.gain, half, there, scale)
    new_data = None
    if found.error is not None and sum(point.n for point in used.values()) <= MOST_READ:
        known = {key: [outcomes(row) for row in used[key].rows] for key in contrast}
        added = variance_of_items(contrast, known, scale)
        if added is not None:
            wider = found.with_items(*added)
            new_data = _ratio(wider.gain, wider.half(), scale) or _difference(
                wider.gain, wider.half(), there, scale
            )
    return Overall(
        found=found,
        ratio=_ratio(found.gain, half, scale),
        difference=plain,
        new_data=new_data,
        matched=matched,
        seeds=seeds,
        better=_better(found, 1, there, words, scale),
        detectable=None
        if detectable is None
        else math.exp(-detectable)
        if scale.name
        else detectable,
        needed=seeds_needed(found, seeds, len(used), found.gain),
        probability=found.probability(),
        comparisons=1,
    )


def _measured(sides: tuple[Parts, Parts], words: tuple[str, str]) -> str:
    """Which models have a size, the dense one first: "dense ×0.25 and sparse 90 %", "both 90 %"."""
    named = [
        (side[0][0].kind, word, side[0][0].label)
        for side, word in zip(sides, words, strict=True)
        if len(side) == 1
    ]
    models = [(word, label) for _, word, label in sorted(named, key=lambda each: each[0])]
    if len(models) == 2 and models[0][1] == models[1][1] != "":
        return f"both {models[0][1]}"
    return " and ".join(f"{word} {label}".strip() for word, label in models)
