"""Seeds folded into points, points into curves, and one curve held against another: sparse against
dense, and sparse ones against each other.

A curve is read between its points by straight lines over log10 of the non-zero parameters.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, stdev

from pruneexp.engine.record import MEGABYTE, Metric
from pruneexp.report.data.facts import ShownFile
from pruneexp.report.data.load import Runs
from pruneexp.report.data.rows import Row, folded
from pruneexp.report.format import percent

CONFIDENCE = 0.95
# Sizes this close count as one: rounding in each tensor leaves a few weights more or less.
NEAR = 0.001
MOST_RIVALS = 8  # sparse curves that are compared two by two
# Student's t at 97.5 % for 1 to 9 degrees of freedom, from the usual tables.
STUDENT = (12.70620, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216)


@dataclass(kw_only=True, slots=True)
class Point(Row):
    """All seeds of one configuration: the fields of a row, folded, and these. `half` is the half
    width of a 95 % t interval, None for a single seed."""

    label: str  # "×0.5", "90 %"
    n: int
    test_half: float | None
    valid_half: float | None
    top5_half: float | None
    seeds: tuple[float, ...]  # the test metric of each

    @property
    def written(self) -> float | None:
        """Megabytes of the packed file: values of its own type, the best encoding, batch-norm
        folded where it can be."""
        file = self.file(folded=True) or self.file(folded=False)
        return None if file is None else file.bytes / MEGABYTE

    def file(self, *, folded: bool, values: str = "") -> ShownFile | None:
        """The packed file in one of both states, with values of its own or of another type."""
        state = self.packed.state(folded) if self.packed else None
        return state.values.get(values or self.values) if state else None

    def positions_share(self, values: str) -> float | None:
        """Of the smallest file with values of this type."""
        file = self.file(folded=self.file(folded=True) is not None, values=values)
        return file.position_bytes / file.bytes if file and file.bytes else None

    def encoded(self, encoding: str) -> ShownFile | None:
        """The file under an encoding of positions, with fp32 values and batch-norm kept."""
        return self.packed.batch_norm_kept.encodings.get(encoding) if self.packed else None

    @property
    def prunable(self) -> float:
        """Weights of the tensors that have masks, as measured with the packed file."""
        return self.packed.prunable if self.packed else 0.0

    @property
    def bound_bytes(self) -> float:
        """log2 C(n, k) of the positions."""
        return self.packed.bound_bytes if self.packed else 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    mean: float
    half: float | None
    measured: bool  # else between two points


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Two curves at one size. `half` is the root of the sum of squares of both half widths."""

    ours_series: str
    theirs_series: str
    nonzero: float
    measured: str  # which model has this size
    ours: Estimate
    theirs: Estimate
    difference: float  # ours - theirs
    half: float | None
    better: str  # one of the pair's words, or neither
    work: float | None  # our multiply-adds as a multiple of theirs


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One curve against another: sparse against dense, or two sparse ones, called A and B."""

    ours: list[Point]
    theirs: list[Point]
    words: tuple[str, str]
    gaps: list[Gap]


# --- points and curves -------------------------------------------------------------------------


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: a table, then the expansion of Abramowitz and Stegun
    (26.7.5), right to four decimals from ten degrees of freedom on."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def half_width(values: Sequence[float]) -> float | None:
    """Of the 95 % t interval of the mean. None for a single value."""
    if len(values) < 2:
        return None
    return student(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def curves(runs: Runs) -> dict[str, list[Point]]:
    """By name, dense ones first; the points by size."""
    seeds: dict[tuple[str, str], list[Row]] = {}
    for row in runs.rows:
        seeds.setdefault((row.series, row.point), []).append(row)
    points = [_point(rows) for rows in seeds.values()]
    by_name: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.kind, point.nonzero, -point.sparsity)):
        by_name.setdefault(point.series, []).append(point)
    order = {name: place for place, name in enumerate(dict.fromkeys(r.series for r in runs.rows))}
    return dict(sorted(by_name.items(), key=lambda item: (item[1][0].kind, order[item[0]])))


def _point(rows: list[Row]) -> Point:
    values = folded(rows)
    tests = [row.test for row in rows]
    label = values["size"] if values["kind"] == "dense" else percent(values["sparsity"])
    return Point(
        **values,
        label=label,
        n=len(rows),
        test_half=half_width(tests),
        valid_half=half_width([row.valid for row in rows]),
        top5_half=half_width([row.top5 for row in rows if row.top5 is not None]),
        seeds=tuple(tests),
    )


def at(curve: list[Point], nonzero: float) -> Estimate:
    """A curve at a size within its range."""
    there = measured_at(curve, nonzero)
    if there is not None:
        return Estimate(there.test, there.test_half, True)
    left, right, share = _between(curve, nonzero)
    half = None
    if left.test_half is not None and right.test_half is not None:
        half = math.hypot((1 - share) * left.test_half, share * right.test_half)
    return Estimate((1 - share) * left.test + share * right.test, half, False)


def behind(curve: list[Point], nonzero: float) -> list[Point]:
    """The points that a curve's value at a size within its range rests on."""
    there = measured_at(curve, nonzero)
    return [there] if there is not None else list(_between(curve, nonzero)[:2])


def measured_at(curve: list[Point], nonzero: float) -> Point | None:
    """The point of this size, the nearest of several. Curves are sorted by size."""
    low = bisect_left(curve, nonzero * (1 - 2 * NEAR), key=_nonzero)
    high = bisect_right(curve, nonzero * (1 + 2 * NEAR), key=_nonzero)
    near = [
        point for point in curve[low:high] if math.isclose(point.nonzero, nonzero, rel_tol=NEAR)
    ]
    return min(near, key=lambda point: abs(point.nonzero - nonzero), default=None)


def _nonzero(point: Point) -> float:
    return point.nonzero


def _between(curve: list[Point], nonzero: float) -> tuple[Point, Point, float]:
    """The neighbours of a size, and how far it lies from the first to the second."""
    after = bisect_left(curve, nonzero, key=_nonzero)
    left, right = curve[after - 1], curve[after]
    low, high = math.log10(left.nonzero), math.log10(right.nonzero)
    return left, right, (math.log10(nonzero) - low) / (high - low)


def work_at(curve: list[Point], nonzero: float) -> float | None:
    """The multiply-adds of a model of this size, straight over the logarithms of both."""
    there = measured_at(curve, nonzero)
    if there is not None:
        return there.sparse_multiply_adds
    left, right, share = _between(curve, nonzero)
    low, high = left.sparse_multiply_adds, right.sparse_multiply_adds
    return low ** (1 - share) * high**share if low and high else None


# --- the comparison ----------------------------------------------------------------------------


def pairs(found: dict[str, list[Point]], metric: Metric) -> list[Pair]:
    """Each sparse curve with each dense one on the same data, of the same family and with the same
    type of values if it has one."""
    dense = [curve for curve in found.values() if curve[0].kind == "dense"]
    made = []
    for sparse in (curve for curve in found.values() if curve[0].kind == "sparse"):
        beside = [curve for curve in dense if curve[0].data == sparse[0].data]
        kin = [curve for curve in beside if curve[0].family == sparse[0].family]
        kin = kin or beside
        alike = [curve for curve in kin if curve[0].quantised == sparse[0].quantised]
        made += [_pair(sparse, curve, ("sparse", "dense"), metric) for curve in alike or kin]
    return made


def rivals(curves: dict[str, list[Point]], metric: Metric) -> tuple[list[Pair], list[str]]:
    """Sparse curves on the same data and of the same family, two by two; and what was left out,
    since the pairs of many curves are more than anyone reads."""
    sparse = [curve for curve in curves.values() if curve[0].kind == "sparse"]
    compared = sparse[:MOST_RIVALS]
    left_out = [
        f"Of {len(sparse)} sparse curves the first {MOST_RIVALS} are compared with each other; a "
        "report of fewer runs compares the rest."
    ] * (len(sparse) > MOST_RIVALS)
    return [
        _pair(ours, theirs, ("A", "B"), metric)
        for ours, theirs in combinations(compared, 2)
        if (ours[0].data, ours[0].family) == (theirs[0].data, theirs[0].family)
    ], left_out


def _pair(ours: list[Point], theirs: list[Point], words: tuple[str, str], metric: Metric) -> Pair:
    """Where both curves reach: at every size that either was measured at. A model with nothing left
    has no place on an axis of powers."""
    one, other = ([point for point in curve if point.nonzero > 0] for curve in (ours, theirs))
    sizes: list[float] = []
    for size in sorted(point.nonzero for point in [*one, *other]):
        new = not sizes or not math.isclose(size, sizes[-1], rel_tol=NEAR)
        if new and one and other and _reaches(one, size) and _reaches(other, size):
            sizes.append(size)
    gaps = [_gap(one, other, size, words, metric) for size in sizes]
    return Pair(ours=ours, theirs=theirs, words=words, gaps=gaps)


def _measured(models: list[tuple[str, str]]) -> str:
    """Which models have a size: "dense ×0.25 and sparse 90 %", "both 90 %"."""
    if len(models) == 2 and models[0][1] == models[1][1] != "":
        return f"both {models[0][1]}"
    return " and ".join(f"{word} {label}".strip() for word, label in models)


def _reaches(curve: list[Point], nonzero: float) -> bool:
    within = curve[0].nonzero <= nonzero <= curve[-1].nonzero
    return within or measured_at(curve, nonzero) is not None


def _gap(
    ours: list[Point], theirs: list[Point], nonzero: float, words: tuple[str, str], metric: Metric
) -> Gap:
    here, there = at(ours, nonzero), at(theirs, nonzero)
    difference = here.mean - there.mean
    gain = difference if metric.higher_is_better else -difference
    known = here.half is not None and there.half is not None
    # The dense model first, as in the tables.
    sides = sorted(zip((ours, theirs), words, strict=True), key=lambda side: side[0][0].kind)
    measured = [(measured_at(curve, nonzero), word) for curve, word in sides]
    work, other = work_at(ours, nonzero), work_at(theirs, nonzero)
    return Gap(
        ours_series=ours[0].series,
        theirs_series=theirs[0].series,
        nonzero=nonzero,
        measured=_measured([(word, point.label) for point, word in measured if point]),
        ours=here,
        theirs=there,
        difference=difference,
        half=math.hypot(here.half or 0, there.half or 0) if known else None,
        better=words[0] if gain > 0 else words[1] if gain < 0 else "neither",
        work=work / other if work and other else None,
    )
