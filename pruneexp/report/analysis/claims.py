"""The papers' claims, held against the runs of a report.

A claim is data: a YAML in conf/claims. Its endpoint is a function here, which judges it by the
report's points and comparisons. A new claim of a known endpoint is a YAML and no code; a new
endpoint is a function and an entry in `ENDPOINTS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.record import Metric
from pruneexp.engine.typed import typed
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.frontier import Gap, Point
from pruneexp.report.format import estimate, signed, span

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
    """What the runs say of a claim."""

    claim: Claim
    verdict: str  # holds, does not hold, cannot be told
    figures: str  # what that rests on
    settle: str = field(default="")  # what would settle it, where it cannot be told

    def __str__(self) -> str:
        text = f"{self.claim.sentence} ({self.claim.source}): {self.verdict}; {self.figures}"
        return f"{text}. {self.settle}" if self.settle else f"{text}."


Endpoint = Callable[[Claim, Findings], Verdict | None]


def sparse_above_dense(claim: Claim, found: Findings) -> Verdict | None:
    """Whether sparse curves are ahead of dense ones wherever both reach, beyond the intervals."""
    gaps = [
        gap
        for pair in found.pairs
        if pair.ours[0].family.startswith(claim.family)
        for gap in pair.gaps
    ]
    if not gaps:
        return None
    gains = [_gain(gap, found.metric) for gap in gaps]
    by = span(min(gains), max(gains), lambda value: signed(value, None, found.digits))
    figures = f"at {len(gaps)} sizes sparse − dense is {by} {found.metric.points}".rstrip()
    seeds = min(point.n for point in found.points)
    if seeds < claim.least_seeds:
        return _too_few(claim, figures, seeds)
    beyond = [gain for gain, gap in zip(gains, gaps, strict=True) if abs(gain) > (gap.half or 0.0)]
    if any(gain < -claim.margin for gain in beyond):
        return Verdict(claim=claim, verdict=FAILS, figures=figures)
    if len(beyond) == len(gaps) and all(gain > claim.margin for gain in beyond):
        return Verdict(claim=claim, verdict=HOLDS, figures=figures)
    settle = f"{len(gaps) - len(beyond)} differences lie within their interval: more seeds"
    return Verdict(claim=claim, verdict=UNTOLD, figures=figures, settle=f"{settle} would tell.")


def point_above_point(claim: Claim, found: Findings) -> Verdict | None:
    """Whether one point is better than another, beyond both intervals."""
    if claim.better is None or claim.worse is None:
        raise Invalid([Fault(claim.sentence, "lacks better and worse, the points to compare")])
    family = [point for point in found.points if point.family.startswith(claim.family)]
    better = next((point for point in family if claim.better.fits(point)), None)
    worse = next((point for point in family if claim.worse.fits(point)), None)
    if better is None or worse is None:
        return None
    sign = 1 if found.metric.higher_is_better else -1
    gain = sign * (better.test - worse.test)
    values = [estimate(point.test, point.test_half, found.digits) for point in (better, worse)]
    figures = f"{values[0]} against {values[1]}"
    seeds = min(better.n, worse.n)
    if seeds < claim.least_seeds:
        return _too_few(claim, figures, seeds)
    half = (better.test_half or 0.0) + (worse.test_half or 0.0)
    if abs(gain - claim.margin) <= half:
        settle = "The difference lies within the intervals: more seeds would tell."
        return Verdict(claim=claim, verdict=UNTOLD, figures=figures, settle=settle)
    verdict = HOLDS if gain > claim.margin else FAILS
    return Verdict(claim=claim, verdict=verdict, figures=figures)


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
    """The verdicts on those claims that the runs can speak to."""
    if not found.points:
        return []
    verdicts = (ENDPOINTS[claim.endpoint](claim, found) for claim in claims)
    return [verdict for verdict in verdicts if verdict is not None]


def _gain(gap: Gap, metric: Metric) -> float:
    """How far the sparse side is ahead, whichever way the metric goes."""
    return gap.difference if metric.higher_is_better else -gap.difference


def _too_few(claim: Claim, figures: str, seeds: int) -> Verdict:
    there = f"there {'is' if seeds == 1 else 'are'} {seeds}"
    settle = f"{claim.least_seeds} seeds on both sides would tell; {there}."
    return Verdict(claim=claim, verdict=UNTOLD, figures=figures, settle=settle)
