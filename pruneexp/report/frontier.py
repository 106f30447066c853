"""Seeds folded into points, points into curves, and the dense curve held against the sparse one.

A curve is read between its points by straight lines over log10 of the non-zero parameters.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

import pandas as pd

from pruneexp.report.cells import percent
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
    hidden_size: int | None
    sparsity: float
    n: int
    parameters: int
    nonzero: float
    megabytes: float
    test: float
    test_half: float | None
    valid: float
    valid_half: float | None
    seeds: tuple[float, ...]  # the test metric of each
    published: float | None  # the same of the paper's model
    published_in: str


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


def curves(loaded: Loaded) -> dict[str, list[Point]]:
    """By name, dense ones first; the points by size."""
    points = [
        _fold(group.to_dict("records"))
        for _, group in loaded.runs.groupby(["series", "point"], sort=False)
    ]
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.kind, point.nonzero, -point.sparsity)):
        found.setdefault(point.series, []).append(point)
    order = list(dict.fromkeys(loaded.runs["series"]))
    return dict(sorted(found.items(), key=lambda item: (item[1][0].kind, order.index(item[0]))))


def _fold(rows: list[dict[Any, Any]]) -> Point:
    first = rows[0]
    tests, valids = [row["test"] for row in rows], [row["valid"] for row in rows]
    dense = first["kind"] == "dense"
    sparsity = _mean(rows, "sparsity")
    return Point(
        **{key: first[key] for key in ("series", "kind", "family", "data", "size")},
        label=first["size"] if dense else percent(sparsity),
        width=None if pd.isna(first["width"]) else float(first["width"]),
        hidden_size=None if pd.isna(first["hidden_size"]) else int(first["hidden_size"]),
        sparsity=sparsity,
        n=len(rows),
        parameters=first["parameters"],
        nonzero=_mean(rows, "nonzero"),
        megabytes=_mean(rows, "megabytes"),
        test=fmean(tests),
        test_half=half_width(tests),
        valid=fmean(valids),
        valid_half=half_width(valids),
        seeds=tuple(tests),
        published=None if pd.isna(first["published"]) else float(first["published"]),
        published_in=first["published_in"],
    )


def _mean(rows: list[dict[Any, Any]], column: str) -> float:
    """Without rounding where all are equal, as they are unless masks leave different numbers."""
    values = [row[column] for row in rows]
    return values[0] if len(set(values)) == 1 else fmean(values)


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
    """Each sparse curve with each dense one on the same data, of the same family if it has one."""
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
