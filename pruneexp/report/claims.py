"""What the numbers say, in sentences: a verdict for each comparison, and every warning."""

from dataclasses import dataclass, field

from pruneexp.record import Plan
from pruneexp.report.budgets import Given, budgets, unequal
from pruneexp.report.cells import short, span
from pruneexp.report.frontier import Gap, Pair, Point, curves, pairs
from pruneexp.report.load import Loaded, Metric


@dataclass(kw_only=True, slots=True)
class Findings:
    """Everything that figures, tables and pages show."""

    plan: Plan
    loaded: Loaded
    curves: dict[str, list[Point]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    budgets: dict[str, Given] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.plan.title or self.plan.name

    @property
    def metric(self) -> Metric:
        assert self.loaded.metric is not None, "no run is finished"
        return self.loaded.metric

    @property
    def points(self) -> list[Point]:
        return [point for curve in self.curves.values() for point in curve]

    @property
    def digits(self) -> int:
        """Decimals of the metric: one more where an interval would read 0.0."""
        digits = self.metric.digits
        halves = [point.test_half for point in self.points if point.test_half]
        return digits + any(round(half, digits) == 0 for half in halves)

    @property
    def seeds(self) -> str:
        """How many a point has: "1 seed", "2 to 3 seeds"."""
        counts = [point.n for point in self.points]
        return span(min(counts), max(counts), str) + (" seed" if max(counts) == 1 else " seeds")


def find(plan: Plan, loaded: Loaded) -> Findings:
    found = Findings(plan=plan, loaded=loaded, warnings=list(loaded.warnings))
    if loaded.metric is None:
        found.verdicts = ["No run of this plan is finished, so there is nothing to compare."]
        return found
    found.curves = curves(loaded)
    found.pairs = pairs(found.curves, loaded.metric)
    found.budgets = budgets(loaded, list(found.curves))
    found.warnings += unequal(found.budgets, found.pairs)
    found.verdicts = [_verdict(found, pair) for pair in found.pairs] or [_alone(found)]
    return found


def _verdict(found: Findings, pair: Pair) -> str:
    """One comparison in one sentence."""
    sparse, dense = _quoted(pair.sparse[0].series), _quoted(pair.dense[0].series)
    if not pair.gaps:
        return (
            f"The sizes of {dense} ({_sizes(found, pair.dense)} non-zero parameters) and of "
            f"{sparse} ({_sizes(found, pair.sparse)}) do not overlap, so they are not compared."
        )
    count = len(pair.gaps)
    sizes = "one size" if count == 1 else f"{count} sizes"
    ahead = [side for side in ("sparse", "dense") if any(g.better == side for g in pair.gaps)]
    verbs = [f" has the better test {found.metric.name}", ""]
    parts = [
        f"{side}{verb} {_often(found, pair.gaps, side)}"
        for side, verb in zip(ahead, verbs, strict=False)
    ]
    equal = sum(gap.better == "neither" for gap in pair.gaps)
    parts += [f"they are equal at {'all ' if equal == count else ''}{equal}"] if equal else []
    return (
        f"At the {sizes} that {sparse} and {dense} both reach "
        f"({_sizes(found, pair.gaps)} non-zero parameters), {', and '.join(parts)}; "
        f"{_certainty(pair.gaps)}."
    )


def _quoted(name: str) -> str:
    return f"“{name}”" if "," in name else name


def _often(found: Findings, gaps: list[Gap], side: str) -> str:
    """At how many sizes one side is ahead, and by how much."""
    mine = [abs(gap.difference) for gap in gaps if gap.better == side]
    by = span(min(mine), max(mine), lambda value: f"{value:.{found.digits}f}")
    if round(max(mine), found.digits) == 0:
        by = f"less than {10**-found.digits}"
    places = f"at {'all ' if len(mine) == len(gaps) else ''}{len(mine)}, " if len(gaps) > 1 else ""
    return f"{places}by {by} {found.metric.points}".rstrip()


def _certainty(gaps: list[Gap]) -> str:
    """How much of it could be chance."""
    known = [gap for gap in gaps if gap.half is not None]
    if not known:
        return "with one seed a point, how much of that is chance is not known"
    beyond = sum(abs(gap.difference) > (gap.half or 0) for gap in known)
    which = "differences" if len(known) == len(gaps) else "differences with seeds on both sides"
    return f"{beyond} of {len(known)} {which} exceed their 95 % interval"


def _sizes(found: Findings, of: "list[Point] | list[Gap]") -> str:
    every = [point.nonzero for point in found.points]
    values = [item.nonzero for item in of]
    return span(min(values), max(values), lambda value: short(value, every))


def _alone(found: Findings) -> str:
    """Why nothing can be compared."""
    kinds = {point.kind for point in found.points}
    if len(kinds) == 2:
        return "Dense and sparse runs are on differing data, so they cannot be compared."
    there, lacking = ("dense", "sparse") if kinds == {"dense"} else ("sparse", "dense")
    return f"Only {there} runs are finished; without a {lacking} one there is no comparison."
