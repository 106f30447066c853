"""The papers' claims, held against the runs of a report.

A claim is data: a YAML in pruneexp/report/claims. Its endpoint is a function here, which judges it
by the report's points and comparisons. A new claim of a known endpoint is a YAML and no code; a
new endpoint is a function and an entry in `ENDPOINTS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.record import Metric
from pruneexp.engine.typed import typed
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.frontier import Gap, Pair, Point, behind
from pruneexp.report.format import estimate, quoted, signed, span

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "cannot be told"


@dataclass(kw_only=True, slots=True)
class Place:
    """A point that a claim speaks of; what is None may be anything."""

    kind: str
    size: float | None = None
    dial: float | None = None

    def fits(self, point: Point) -> bool:
        """Whether a point is one of these."""
        sizes = list(point.sizes.values())
        return (
            point.kind == self.kind
            and (self.size is None or self.size in sizes)
            and (self.dial is None or abs(point.sparsity - self.dial) < 1e-9)
        )


@dataclass(kw_only=True, slots=True)
class Claim:
    """What a paper says. Fields that an endpoint does not need stay empty.

    Arguments:
        sentence, source: the claim in words, and where it stands.
        endpoint: the function that judges it.
        margin: how far ahead one side must be, in the metric's unit.
        least_seeds: with fewer on either side, nothing can be told.
        family: the word with which the families begin that it speaks of; all without.
        better, worse: the points that it compares.
    """

    sentence: str
    source: str
    endpoint: str
    margin: float = 0.0
    least_seeds: int = 1
    family: str = ""
    better: Place | None = None
    worse: Place | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the runs of some curves say of a claim."""

    claim: Claim
    verdict: str  # holds, does not hold, cannot be told
    figures: str  # what that rests on
    settle: str = ""  # what would settle it, where it cannot be told
    curves: str = ""  # which curves say so, where several speak to the claim

    def __str__(self) -> str:
        whose = f", by {self.curves}" if self.curves else ""
        text = f"{self.claim.sentence} ({self.claim.source}){whose}: {self.verdict}; {self.figures}"
        return f"{text}. {self.settle}" if self.settle else f"{text}."


# One verdict for each curve, or pair of curves, that can speak to the claim: a random control must
# not speak for the magnitudes that stand beside it, whichever comes first in a plan.
Endpoint = Callable[[Claim, Findings], list[Verdict]]


def sparse_above_dense(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether a sparse curve is ahead of the dense ones of its family wherever both reach, beyond
    the intervals."""
    by_curve: dict[str, list[Pair]] = {}
    for pair in found.pairs:
        if pair.gaps and _belongs(pair.ours[0], claim) and _alike(pair.ours[0], pair.theirs[0]):
            by_curve.setdefault(pair.ours[0].series, []).append(pair)
    return [_over_gaps(claim, found, series, pairs) for series, pairs in by_curve.items()]


def _over_gaps(claim: Claim, found: Findings, series: str, pairs: list[Pair]) -> Verdict:
    """What one sparse curve says, held against each dense curve beside it."""
    gaps = [gap for pair in pairs for gap in pair.gaps]
    differences = [gap.difference for gap in gaps]
    by = span(min(differences), max(differences), lambda value: signed(value, None, found.digits))
    sizes = "1 size" if len(gaps) == 1 else f"{len(gaps)} sizes"
    figures = f"at {sizes} sparse − dense is {by} {found.metric.points}".rstrip()
    seeds = min(
        point.n
        for pair in pairs
        for gap in pair.gaps
        for curve in (pair.ours, pair.theirs)
        for point in behind(curve, gap.nonzero)
    )
    leads = [(_gain(gap, found.metric) - claim.margin, gap.half or 0.0) for gap in gaps]
    near = sum(abs(lead) <= half for lead, half in leads)
    told = "1 difference lies" if near == 1 else f"{near} differences lie"
    settle = ""
    if seeds < claim.least_seeds:
        verdict, settle = UNTOLD, _more_seeds(claim, seeds)
    elif any(lead < -half for lead, half in leads):
        verdict = FAILS
    elif near:
        verdict, settle = UNTOLD, f"{told} within the interval: more seeds would tell."
    else:
        verdict = HOLDS
    whose = quoted(series)
    return Verdict(claim=claim, verdict=verdict, figures=figures, settle=settle, curves=whose)


def point_above_point(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether one point is better than another on the same data, of the same family and with the
    same type of values, beyond both intervals."""
    if claim.better is None or claim.worse is None:
        raise Invalid([Fault(claim.sentence, "lacks better and worse, the points to compare")])
    family = [point for point in found.points if _belongs(point, claim)]
    return [
        _of_points(claim, found, better, worse)
        for better in family
        if claim.better.fits(better)
        for worse in family
        if claim.worse.fits(worse) and _alike(better, worse)
    ]


def _of_points(claim: Claim, found: Findings, better: Point, worse: Point) -> Verdict:
    """What two points say."""
    sign = 1 if found.metric.higher_is_better else -1
    lead = sign * (better.test - worse.test) - claim.margin
    half = (better.test_half or 0.0) + (worse.test_half or 0.0)
    values = [estimate(point.test, point.test_half, found.digits) for point in (better, worse)]
    seeds = min(better.n, worse.n)
    settle = ""
    if seeds < claim.least_seeds:
        verdict, settle = UNTOLD, _more_seeds(claim, seeds)
    elif abs(lead) <= half:
        verdict = UNTOLD
        settle = "The difference lies within the intervals: more seeds would tell."
    else:
        verdict = HOLDS if lead > 0 else FAILS
    return Verdict(
        claim=claim,
        verdict=verdict,
        figures=f"{values[0]} against {values[1]}",
        settle=settle,
        curves=f"{quoted(better.series)} against {quoted(worse.series)}",
    )


ENDPOINTS: dict[str, Endpoint] = {
    "sparse_above_dense": sparse_above_dense,
    "point_above_point": point_above_point,
}


def read_claims(folder: Path) -> list[Claim]:
    """The claims of a folder, by name of file. Raises `Invalid`, which names the file."""
    claims = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            claim = typed(Claim, yaml.safe_load(path.read_text()))
        except (TypeError, yaml.YAMLError) as error:
            raise Invalid([Fault(str(path), f"is no claim: {error}")]) from error
        if claim.endpoint not in ENDPOINTS:
            takes = f"takes {', '.join(ENDPOINTS)}, got {claim.endpoint}"
            raise Invalid([Fault(f"{path}: endpoint", takes)])
        claims.append(claim)
    return claims


def judged(claims: list[Claim], found: Findings) -> list[Verdict]:
    """The verdicts on those claims that the runs can speak to. Curves are named where several
    speak to one claim."""
    if not found.points:
        return []
    verdicts: list[Verdict] = []
    for claim in claims:
        told = ENDPOINTS[claim.endpoint](claim, found)
        verdicts += told if len(told) > 1 else [replace(verdict, curves="") for verdict in told]
    return verdicts


def _belongs(point: Point, claim: Claim) -> bool:
    """Whether a claim speaks of a point's family."""
    return point.family.startswith(claim.family)


def _alike(point: Point, other: Point) -> bool:
    """Whether two points may be held against each other."""
    return (point.data, point.family, point.quantised) == (
        other.data,
        other.family,
        other.quantised,
    )


def _gain(gap: Gap, metric: Metric) -> float:
    """How far the sparse side is ahead, whichever way the metric goes."""
    return gap.difference if metric.higher_is_better else -gap.difference


def _more_seeds(claim: Claim, seeds: int) -> str:
    there = f"there {'is' if seeds == 1 else 'are'} {seeds}"
    return f"{claim.least_seeds} seeds on both sides would tell; {there}."
