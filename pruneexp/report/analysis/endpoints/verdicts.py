"""What an endpoint concludes from numbers."""

import math

from pruneexp.report.analysis.claims import FAILS, HOLDS, UNTOLD, Claim, Verdict
from pruneexp.report.analysis.comparison import Difference, Gap, Overall, between
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.statistics import Estimated
from pruneexp.report.format import quoted, span


def verdict_of(ahead: Estimated, margin: float) -> str:
    """Whether a lead is above a margin beyond its interval, below it, or neither."""
    half = ahead.half() or 0.0
    if ahead.gain - half > margin:
        return HOLDS
    return FAILS if ahead.gain + half < margin else UNTOLD


def conclude(
    claim: Claim,
    verdict: str,
    figures: str,
    seeds: int,
    needed: int | None,
    *curves: list[Point],
) -> Verdict:
    """A verdict, or why there can be none yet."""
    settle = ""
    if seeds < claim.least_seeds:
        there = f"there {'is' if seeds == 1 else 'are'} {seeds}"
        settle = f"{claim.least_seeds} seeds on both sides would tell; {there}."
        verdict = UNTOLD
    elif verdict == UNTOLD:
        settle = "The difference lies within the interval: more seeds would tell"
        settle += f", about {needed}." if needed is not None else "."
    named = " against ".join(quoted(curve[0].series) for curve in curves)
    return Verdict(claim=claim, verdict=verdict, figures=figures, settle=settle, curves=named)


def alike(point: Point, other: Point) -> bool:
    """Whether two points may be held against each other."""
    return (point.data, point.family, point.quantised) == (
        other.data,
        other.family,
        other.quantised,
    )


def less(one: Estimated, other: Estimated) -> Estimated:
    """One difference less another, of other points."""
    if one.error is None or other.error is None:
        return Estimated(one.gain - other.gain, None, 0)
    freedom = min(one.freedom, other.freedom)
    return Estimated(one.gain - other.gain, math.hypot(one.error, other.error), freedom)


def seeds_of(gaps: list[Gap]) -> int:
    return min(point.n for gap in gaps for point in gap.behind)


def sizes_of(gaps: list[Gap]) -> str:
    return f"{len(gaps)} size{'s' * (len(gaps) != 1)}"


def ratio_words(overall: Overall, found: Findings) -> str:
    """The primary endpoint in figures."""
    shown = overall.ratio or overall.difference
    assert shown is not None
    digits = 3 if overall.ratio is not None else found.digits
    text = f"{shown.value:.{digits}f}"
    if shown.low is not None and shown.high is not None:
        text += f" ({span(shown.low, shown.high, lambda end: f'{end:.{digits}f}')})"
    return f"a ratio of {text}" if overall.ratio is not None else f"a difference of {text}"


def at_ends(ahead: Difference, low: float, high: float) -> str:
    """Whether an interval lies within a range, outside it, or neither."""
    first = ahead.value if ahead.low is None else ahead.low
    last = ahead.value if ahead.high is None else ahead.high
    if low < first and last < high:
        return HOLDS
    return FAILS if last < low or first > high else UNTOLD


def lead(ours: Point, theirs: Point, found: Findings) -> Difference:
    """How far one point is ahead of another, whichever way the metric goes."""
    if found.metric.higher_is_better:
        return between(ours, theirs, found.metric)
    return between(theirs, ours, found.metric)
