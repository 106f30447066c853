"""Seeds folded into points, points into curves, and the dense curve held against the sparse one.

A curve is read between its points by straight lines over log10 of the non-zero parameters.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, stdev
from typing import Any

from pruneexp.record import Plan
from pruneexp.report.cells import short, span
from pruneexp.report.load import Loaded, Metric

CONFIDENCE = 0.95
# Student's t at 97.5 % for 1 to 9 degrees of freedom, from the usual tables.
STUDENT = (12.70620, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """All seeds of one configuration. `half` is the half width of a 95 % t interval, None for a
    single seed."""

    series: str
    kind: str
    family: str
    data: str
    label: str  # "×0.5", "90 %"
    size: str
    width: float | None
    sparsity: float
    n: int
    parameters: int
    nonzero: float  # the mean, should masks leave different numbers for different seeds
    megabytes: float
    test: float
    test_half: float | None
    valid: float
    valid_half: float | None
    seeds: tuple[float, ...]  # the test metric of each


@dataclass(frozen=True, slots=True)
class Estimate:
    mean: float
    half: float | None
    measured: bool  # else between two points


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """The two curves at one size. `half` is the root of the sum of squares of both half widths."""

    dense_series: str
    sparse_series: str
    nonzero: float
    measured: str  # which model has this size
    sparse: Estimate
    dense: Estimate
    difference: float  # sparse - dense
    half: float | None
    better: str  # sparse, dense, or neither


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One sparse curve against one dense curve."""

    dense: list[Point]
    sparse: list[Point]
    gaps: list[Gap]


@dataclass(kw_only=True, slots=True)
class Findings:
    """Everything that figures, tables and pages show."""

    plan: Plan
    loaded: Loaded
    curves: dict[str, list[Point]] = field(default_factory=dict)  # by size; dense ones first
    pairs: list[Pair] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)

    @property
    def metric(self) -> Metric:
        assert self.loaded.metric is not None, "no run is finished"
        return self.loaded.metric

    @property
    def points(self) -> list[Point]:
        return [point for curve in self.curves.values() for point in curve]

    @property
    def title(self) -> str:
        return self.plan.title or self.plan.name


def find(plan: Plan, loaded: Loaded) -> Findings:
    findings = Findings(plan=plan, loaded=loaded)
    if loaded.metric is None:
        findings.verdicts = ["No run of this plan is finished, so there is nothing to compare."]
        return findings
    findings.curves = curves(loaded)
    findings.pairs = pairs(findings.curves, loaded.metric)
    findings.verdicts = [verdict(pair, loaded.metric, findings.points) for pair in findings.pairs]
    if not findings.pairs:
        findings.verdicts = [_alone(findings.curves)]
    return findings


# --- points and curves -------------------------------------------------------------------------


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: a table, then the expansion of Abramowitz and Stegun
    (26.7.5), right to five digits from ten degrees of freedom on."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def half_width(values: Sequence[float]) -> float | None:
    """Of the 95 % t interval of the mean. None for a single value."""
    if len(values) < 2:
        return None
    return student(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def curves(loaded: Loaded) -> dict[str, list[Point]]:
    """By name, dense ones first; the points by size."""
    points = [
        _fold(group.to_dict("records"))  # type: ignore[arg-type]
        for _, group in loaded.runs.groupby(["series", "point"], sort=False)
    ]
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.kind, point.nonzero, -point.sparsity)):
        found.setdefault(point.series, []).append(point)
    order = list(dict.fromkeys(loaded.runs["series"]))
    return dict(sorted(found.items(), key=lambda item: (item[1][0].kind, order.index(item[0]))))


def _fold(rows: list[dict[str, Any]]) -> Point:
    first = rows[0]
    tests, valids = [row["test"] for row in rows], [row["valid"] for row in rows]
    dense = first["kind"] == "dense"
    sparsity = fmean(row["sparsity"] for row in rows)
    return Point(
        **{key: first[key] for key in ("series", "kind", "family", "data", "size")},
        label=first["size"] if dense else f"{round(100 * sparsity, 6):g} %",
        width=None if math.isnan(first["width"]) else first["width"],
        sparsity=sparsity,
        n=len(rows),
        parameters=first["parameters"],
        nonzero=fmean(row["nonzero"] for row in rows),
        megabytes=fmean(row["megabytes"] for row in rows),
        test=fmean(tests),
        test_half=half_width(tests),
        valid=fmean(valids),
        valid_half=half_width(valids),
        seeds=tuple(tests),
    )


def at(curve: list[Point], nonzero: float) -> Estimate:
    """A curve at a size within its range."""
    after = bisect_left([point.nonzero for point in curve], nonzero)
    right = curve[after]
    if right.nonzero == nonzero:
        return Estimate(right.test, right.test_half, True)
    left = curve[after - 1]
    low, high = math.log10(left.nonzero), math.log10(right.nonzero)
    share = (math.log10(nonzero) - low) / (high - low)
    half = None
    if left.test_half is not None and right.test_half is not None:
        half = math.hypot((1 - share) * left.test_half, share * right.test_half)
    return Estimate((1 - share) * left.test + share * right.test, half, False)


# --- the comparison ----------------------------------------------------------------------------


def pairs(found: dict[str, list[Point]], metric: Metric) -> list[Pair]:
    """Each sparse curve with each dense one on the same data, of the same family if there is one."""
    dense = [curve for curve in found.values() if curve[0].kind == "dense"]
    made = []
    for sparse in (curve for curve in found.values() if curve[0].kind == "sparse"):
        beside = [curve for curve in dense if curve[0].data == sparse[0].data]
        kin = [curve for curve in beside if curve[0].family == sparse[0].family]
        made += [
            Pair(dense=curve, sparse=sparse, gaps=gaps(curve, sparse, metric))
            for curve in kin or beside
        ]
    return made


def gaps(dense: list[Point], sparse: list[Point], metric: Metric) -> list[Gap]:
    """Where both curves reach: at every size that either was measured at."""
    low = max(dense[0].nonzero, sparse[0].nonzero)
    high = min(dense[-1].nonzero, sparse[-1].nonzero)
    measured: dict[float, list[str]] = {}
    for point in [*dense, *sparse]:
        if low <= point.nonzero <= high:
            measured.setdefault(point.nonzero, []).append(f"{point.kind} {point.label}".strip())
    return [_gap(dense, sparse, size, measured[size], metric) for size in sorted(measured)]


def _gap(
    dense: list[Point], sparse: list[Point], nonzero: float, measured: list[str], metric: Metric
) -> Gap:
    ours, theirs = at(sparse, nonzero), at(dense, nonzero)
    difference = ours.mean - theirs.mean
    gain = difference if metric.higher_is_better else -difference
    known = ours.half is not None and theirs.half is not None
    return Gap(
        dense_series=dense[0].series,
        sparse_series=sparse[0].series,
        nonzero=nonzero,
        measured=" and ".join(measured),
        sparse=ours,
        dense=theirs,
        difference=difference,
        half=math.hypot(ours.half or 0, theirs.half or 0) if known else None,
        better="sparse" if gain > 0 else "dense" if gain < 0 else "neither",
    )


def verdict(pair: Pair, metric: Metric, among: list[Point]) -> str:
    """The comparison in one sentence."""
    sparse, dense = pair.sparse[0].series, pair.dense[0].series
    every = [point.nonzero for point in among]

    def sizes(values: list[float]) -> str:
        return span(min(values), max(values), lambda value: short(value, every))

    if not pair.gaps:
        return (
            f"The sizes of {dense} ({sizes([p.nonzero for p in pair.dense])} non-zero parameters) "
            f"and {sparse} ({sizes([p.nonzero for p in pair.sparse])}) do not overlap, so they "
            "cannot be compared."
        )
    count = len(pair.gaps)
    reach = sizes([gap.nonzero for gap in pair.gaps])
    parts = [
        part
        for better, says in (("sparse", "better than"), ("dense", "worse than"))
        if (part := _part(pair.gaps, better, says, dense, metric))
    ]
    equal = sum(gap.better == "neither" for gap in pair.gaps)
    parts += [f"equal to {dense} at {_of(equal, count)}"] if equal else []
    where = f"that both reach ({reach} non-zero parameters)"
    return (
        f"In test {metric.name}, {sparse} is {parts[0].replace(' at sizes', '')}"
        + "".join(f", and {part}" for part in parts[1:])
        + f", of the sizes {where}; {_certainty(pair.gaps)}."
    )


def _part(gaps: list[Gap], better: str, says: str, dense: str, metric: Metric) -> str:
    mine = [abs(gap.difference) for gap in gaps if gap.better == better]
    if not mine:
        return ""
    write: Callable[[float], str] = lambda value: f"{value:.{metric.digits}f}"  # noqa: E731
    by = f"by {span(min(mine), max(mine), write)} {metric.points}"
    return f"{says} {dense} at {_of(len(mine), len(gaps))} {by}"


def _of(some: int, count: int) -> str:
    return f"{some} of {count}"


def _certainty(gaps: list[Gap]) -> str:
    return ""


def _alone(found: dict[str, list[Point]]) -> str:
    return ""
