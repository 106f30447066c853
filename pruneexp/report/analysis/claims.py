"""The papers' claims, held against the runs of a report.

A claim is data: a YAML in pruneexp/report/claims. Its endpoint is a function in `endpoints`, which
judges it by the report's points and comparisons. A new claim of a known endpoint is a YAML and no
code; a new endpoint is a function there and an entry in `ENDPOINTS`.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.record import Metric
from pruneexp.engine.typed import typed
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.statistics import Scale

if TYPE_CHECKING:
    from pruneexp.report.analysis.findings import Findings

MOVED = 0.005  # a sparsity that was moved to meet a dense model's size stays what it was called

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
            and (self.dial is None or abs(point.sparsity - self.dial) < MOVED)
        )


@dataclass(kw_only=True, slots=True)
class Claim:
    """What a paper says. Fields that an endpoint does not need keep their defaults.

    Arguments:
        sentence, source: the claim in words, and where it stands.
        endpoint: the function that judges it.
        points, share: how far ahead one side must be, or how near two must be to count as equal, of
            a metric in per cent and as a share of any other; of curves always as a share, of the
            error or the metric. Written before any run.
        least_seeds: with fewer on either side, nothing can be told.
        budget: what makes two models comparable: nonzero or bytes.
        family: the word with which the families begin that it speaks of; all without.
        criterion: of the sparse runs that it speaks of, such as magnitude, or their method, such as
            lottery; any without.
        methods: that it holds against gradual magnitude pruning, each a criterion or a method.
        same_size: whether both points are of one size of model, as a sparse model and its parent.
        setting: the key of a setting, or the beginning of several, that the claim is about.
        first, second: values of that setting.
        low, high: the ends of a range that the claim names.
        better, worse: the points that it compares.
    """

    sentence: str
    source: str
    endpoint: str
    points: float = 0.0
    share: float = 0.0
    least_seeds: int = 1
    budget: str = "nonzero"
    family: str = ""
    criterion: str = "magnitude"
    methods: list[str] = field(default_factory=list)
    same_size: bool = False
    setting: str = ""
    first: str = ""
    second: str = ""
    low: float = 0.0
    high: float = 0.0
    better: Place | None = None
    worse: Place | None = None

    def speaks_of(self, point: Point) -> bool:
        """Whether a point is of the family, and if sparse by the criterion or the method, that it
        is about."""
        return point.family.startswith(self.family) and (
            point.kind == "dense" or self.criterion in ("", point.method)
        )

    def margin(self, metric: Metric, level: float) -> float:
        """In the metric's unit, beside a value of this level."""
        return self.points if metric.unit == "%" else self.share * abs(level)

    def margin_of_curves(self, scale: Scale) -> float:
        """On the scale of a comparison."""
        return math.log(1 + self.share) if scale.name else self.share

    def lacking(self, *names: str) -> Invalid:
        """The error for fields that its endpoint needs."""
        return Invalid([Fault(self.sentence, f"lacks {' and '.join(names)}")])


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


def read_claims(folder: Path) -> list[Claim]:
    """The claims of a folder, by name of file. Raises `Invalid`, which names the file."""
    from pruneexp.report.analysis.endpoints import ENDPOINTS

    claims = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            claim = typed(Claim, yaml.safe_load(path.read_text()))
        except (TypeError, yaml.YAMLError) as error:
            raise Invalid([Fault(str(path), f"is no claim: {error}")]) from error
        if claim.endpoint not in ENDPOINTS:
            takes = f"takes {', '.join(ENDPOINTS)}, got {claim.endpoint}"
            raise Invalid([Fault(f"{path}: endpoint", takes)])
        if claim.budget not in ("nonzero", "bytes"):
            raise Invalid([Fault(f"{path}: budget", f"takes nonzero, bytes, got {claim.budget}")])
        claims.append(claim)
    return claims


def judged(claims: list[Claim], found: "Findings") -> list[Verdict]:
    """The verdicts on those claims that the runs can speak to. Curves are named where several
    speak to one claim."""
    from pruneexp.report.analysis.endpoints import ENDPOINTS

    if not found.points:
        return []
    verdicts: list[Verdict] = []
    for claim in claims:
        told = ENDPOINTS[claim.endpoint](claim, found)
        named = len(told) > 1 or claim.methods
        verdicts += told if named else [replace(verdict, curves="") for verdict in told]
    return verdicts
