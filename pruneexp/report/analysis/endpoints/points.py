"""Claims about two points."""

import math
from collections.abc import Callable
from dataclasses import replace

from pruneexp.report.analysis.claims import Claim, Verdict
from pruneexp.report.analysis.comparison import Difference, between
from pruneexp.report.analysis.endpoints.verdicts import alike, at_ends, conclude, lead
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.format import estimate, quoted, signed


def point_above_point(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether one point is better than another by more than the margin."""
    return _of_points(claim, found, lambda ahead, margin: at_ends(ahead, margin, math.inf))


def point_not_below(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether one point is at most the margin worse than another."""
    return _of_points(claim, found, lambda ahead, margin: at_ends(ahead, -margin, math.inf))


def points_equal(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether two points are within the margin of each other, by two one-sided tests."""
    return _of_points(claim, found, lambda ahead, margin: at_ends(ahead, -margin, margin))


def _of_points(
    claim: Claim, found: Findings, judge: Callable[[Difference, float], str]
) -> list[Verdict]:
    if claim.better is None or claim.worse is None:
        raise claim.lacking("better", "worse")
    family = [point for point in found.points if claim.speaks_of(point)]
    verdicts = []
    for better in filter(claim.better.fits, family):
        for worse in filter(claim.worse.fits, family):
            if not alike(better, worse) or better is worse:
                continue
            if claim.same_size and better.sizes != worse.sizes:
                continue
            difference = between(better, worse, found.metric)
            values = [estimate(p.test, p.test_half, found.digits) for p in (better, worse)]
            figures = f"{values[0]} against {values[1]}"
            if difference.low is not None and difference.high is not None:
                ends = [
                    signed(end, None, found.digits) for end in (difference.low, difference.high)
                ]
                figures += f", a difference of {ends[0]} to {ends[1]}"
            seeds = min(better.n, worse.n)
            verdict = judge(lead(better, worse, found), claim.margin(found.metric, worse.test))
            whose = f"{quoted(better.series)} against {quoted(worse.series)}"
            verdicts.append(replace(conclude(claim, verdict, figures, seeds, None), curves=whose))
    return verdicts
