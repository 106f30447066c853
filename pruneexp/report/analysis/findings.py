"""What the numbers say, in sentences: a verdict for each comparison, and every warning."""

from dataclasses import dataclass, field
from functools import cached_property

from pruneexp.engine.record import Metric, Plan
from pruneexp.report.analysis.budgets import Given, budgets, unequal
from pruneexp.report.analysis.comparison import (
    EQUAL,
    NEITHER,
    TIE,
    Gap,
    Overall,
    Pair,
    margin_words,
    pairs,
    rivals,
)
from pruneexp.report.analysis.points import Point, curves
from pruneexp.report.analysis.slices import slices, verdict
from pruneexp.report.analysis.statistics import CONFIDENCE
from pruneexp.report.analysis.translations import Translations, translations
from pruneexp.report.data.load import Runs
from pruneexp.report.format import estimate, quoted, short, span

MOST_APART = 2  # pairs without a common size that are said one by one


@dataclass(kw_only=True)
class Findings:
    """Everything that figures, tables and pages show."""

    plan: Plan
    runs: Runs
    curves: dict[str, list[Point]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)  # sparse against dense
    rivals: list[Pair] = field(default_factory=list)  # sparse against sparse
    budgets: dict[str, Given] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)  # what the runs say of the papers' claims
    warnings: list[str] = field(default_factory=list)
    translations: Translations | None = None  # of a report on translation

    @property
    def title(self) -> str:
        return self.plan.title or self.plan.name

    @property
    def metric(self) -> Metric:
        assert self.runs.metric is not None, "no run is finished"
        return self.runs.metric

    @cached_property
    def points(self) -> list[Point]:
        """Of all curves."""
        return [point for curve in self.curves.values() for point in curve]

    @cached_property
    def digits(self) -> int:
        """Decimals of the metric: one more where an interval would read 0.0."""
        digits = self.metric.digits
        halves = [point.test_half for point in self.points if point.test_half]
        return digits + any(round(half, digits) == 0 for half in halves)

    @cached_property
    def sizes(self) -> list[float]:
        """The least and the most non-zero parameters, for numbers that stand together."""
        sizes = [point.nonzero for point in self.points]
        return [min(sizes), max(sizes)]

    @property
    def work_is_known(self) -> bool:
        """Whether every record holds multiply-adds."""
        return all(point.sparse_multiply_adds is not None for point in self.points)

    @property
    def rounded(self) -> bool:
        """Whether some runs' values take fewer bits than others'."""
        return any(point.values != "fp32" for point in self.points)

    @property
    def bytes_are_known(self) -> bool:
        """Whether it was measured what every run weighs."""
        return all(point.written is not None for point in self.points)

    @property
    def seeds(self) -> str:
        """How many a point has: "1 seed", "2 to 3 seeds"."""
        counts = [point.n for point in self.points]
        return span(min(counts), max(counts), str) + (" seed" if max(counts) == 1 else " seeds")


def find(plan: Plan, runs: Runs) -> Findings:
    found = Findings(plan=plan, runs=runs, warnings=list(runs.warnings))
    if runs.metric is None:
        found.verdicts = ["No run of this plan is finished, so there is nothing to compare."]
        return found
    found.curves = curves(runs)
    found.pairs = pairs(found.curves, runs.metric, runs.outcomes)
    found.budgets = budgets(runs, list(found.curves))
    made = slices(found)
    beside = {n: c for n, c in found.curves.items() if not (made and _is_of_budgets(c))}
    found.rivals, left_out = rivals(beside, runs.metric, runs.outcomes)
    found.warnings = list(dict.fromkeys([*runs.warnings, *left_out]))
    found.warnings += unequal(found.budgets, [*found.pairs, *found.rivals])
    weighed = [pair for pair in found.pairs if not (made and _is_of_budgets(pair.ours))]
    found.verdicts = [verdict(made)] if made else []
    found.verdicts += [*_against_dense(found, weighed), *_between(found)]
    found.verdicts = found.verdicts or [_alone(found)]
    found.translations = translations(found)
    return found


def _is_of_budgets(curve: list[Point]) -> bool:
    """Whether a budget in bytes settled the sparsity: then bytes are what is equal, not weights,
    and slices compare them."""
    dial = curve[0].curve.dial
    return dial is not None and dial.name == "budget"


def _better_though_smaller(found: Findings, pair: Pair) -> str:
    """Of curves whose sizes do not overlap: whether the smaller one reaches the better value."""
    smaller, larger = sorted((pair.ours, pair.theirs), key=lambda curve: curve[0].nonzero)
    sign = 1 if found.metric.higher_is_better else -1
    best, other = (max(curve, key=lambda point: sign * point.test) for curve in (smaller, larger))
    if sign * best.test <= sign * other.test:
        return ""

    def told(point: Point) -> str:
        value = estimate(point.test, point.test_half, found.digits)
        return f"{value} at {short(point.nonzero, found.sizes)}"

    return f" Yet {quoted(best.series)} is better with fewer: {told(best)} against {told(other)}."


def _against_dense(found: Findings, weighed: list[Pair]) -> list[str]:
    """A verdict for each pair; of many that have no size in common, one sentence for all."""
    apart: dict[str, list[Pair]] = {}
    for pair in weighed:
        if not pair.gaps and not _better_though_smaller(found, pair):
            apart.setdefault(pair.theirs[0].series, []).append(pair)
    many = {name: pairs for name, pairs in apart.items() if len(pairs) > MOST_APART}
    together = [id(pair) for pairs in many.values() for pair in pairs]
    verdicts = [_verdict(found, pair) for pair in weighed if id(pair) not in together]
    verdicts += [
        f"The sizes of {quoted(name)} ({_sizes(found, pairs[0].theirs)} non-zero parameters) are "
        f"those of none of {len(pairs)} sparse curves, so they are not compared."
        for name, pairs in many.items()
    ]
    return verdicts


def _verdict(found: Findings, pair: Pair) -> str:
    """One comparison in a sentence or two."""
    ours, theirs = quoted(pair.ours[0].series), quoted(pair.theirs[0].series)
    if not pair.gaps:
        return (
            f"The sizes of {theirs} ({_sizes(found, pair.theirs)} non-zero parameters) and of "
            f"{ours} ({_sizes(found, pair.ours)}) do not overlap, so they are not compared."
            + _better_though_smaller(found, pair)
        )
    # Of two sparse curves the names alone tell which is meant.
    called = dict(zip(pair.words, (ours, theirs), strict=True))
    called |= {word: word for word in ("sparse", "dense") if word in called}
    assert pair.overall is not None
    many = "one size" if len(pair.gaps) == 1 else f"{len(pair.gaps)} sizes"
    how = f"that {ours} and {theirs} both reach"
    if pair.overall.matched:
        how = f"at which {ours} and {theirs} were both measured"
    where = f"At the {many} {how} ({_sizes(found, pair.gaps)} non-zero parameters), "
    if pair.overall.found.error is None:
        told = f"{_size_by_size(found, pair, called)}; {_certainty(pair.gaps)}."
    else:
        told = _over_all(found, pair, pair.overall, called)
        if len(pair.gaps) > 1:
            told += f" Size by size {_size_by_size(found, pair, called)}; {_certainty(pair.gaps)}."
    return where + told + _work(pair, called)


def _size_by_size(found: Findings, pair: Pair, called: dict[str, str]) -> str:
    """At how many sizes which side is ahead."""
    count = len(pair.gaps)
    ahead = [side for side in pair.words if any(gap.better == side for gap in pair.gaps)]
    verbs = [f" has the better test {found.metric.words}", ""]
    parts = [
        f"{called[side]}{verb} {_often(found, pair.gaps, side)}"
        for side, verb in zip(ahead, verbs, strict=False)
    ]
    for word, words in ((EQUAL, "they are equal"), (TIE, "they cannot be told apart")):
        times = sum(gap.better == word for gap in pair.gaps)
        parts += [f"{words} at {'all ' if times == count else ''}{times}"] if times else []
    equal = sum(gap.better == NEITHER for gap in pair.gaps)
    parts += [f"they are equal at {'all ' if equal == count else ''}{equal}"] if equal else []
    return ", and ".join(parts)


def _over_all(found: Findings, pair: Pair, overall: Overall, called: dict[str, str]) -> str:
    """The primary endpoint in a sentence."""
    ours, theirs = (called[word] for word in pair.words)
    better, other = (ours, theirs) if overall.better == pair.words[0] else (theirs, ours)
    verdict = f"{better} is better than {other}"
    if overall.better in (TIE, EQUAL):
        verdict = f"{ours} and {theirs} cannot be told apart"
    if overall.better == EQUAL:
        verdict = f"{ours} and {theirs} are equal within {margin_words(pair.scale)}"
    seeds = f"{overall.seeds} seed{'s' * (overall.seeds > 1)}"
    figures = overall.ratio or overall.difference
    assert figures is not None and figures.low is not None and figures.high is not None
    new = overall.new_data
    wider = ""
    if new is not None and new.low is not None and new.high is not None:
        wider = f"; on new data {_between_words(found, pair, new.low, new.high)}"
    chance = ""
    if overall.probability is not None:
        of = f" of {overall.comparisons} comparisons" if overall.comparisons > 1 else ""
        chance = f", p {_probability(overall.probability)}{of}"
    mean = "on average over log size " if len(pair.gaps) > 1 else ""
    interval = _between_words(found, pair, figures.low, figures.high)
    if pair.scale.name:
        what = f"the test {pair.scale.name} of {ours} is {mean}{figures.value:.3f} times that of "
        what += theirs
    else:
        what = f"the test {found.metric.words} of {ours} less that of {theirs} is {mean}"
        what += f"{figures.value:+.{found.digits}f}"
    text = f"{verdict}: {what} (95 % interval {interval}, {seeds}{chance}{wider})."
    if overall.better == TIE:
        text += _would_tell(found, pair, overall)
    return text


def _would_tell(found: Findings, pair: Pair, overall: Overall) -> str:
    """What such an experiment could have found, and how many seeds would settle it."""
    text = ""
    if overall.detectable is not None:
        seen = (
            f"a ratio of {overall.detectable:.3f}"
            if pair.scale.name
            else f"a difference of {overall.detectable:.{found.digits}f}"
        )
        text = f" Four of five such experiments would have found {seen}"
        if overall.needed is None:
            return text + "; no number of seeds worth running would tell what was seen."
        text += f"; {overall.needed} seeds would tell one as large as was seen."
    return text


def _between_words(found: Findings, pair: Pair, low: float, high: float) -> str:
    if pair.scale.name:
        return f"{low:.3f} to {high:.3f}"
    return f"{low:+.{found.digits}f} to {high:+.{found.digits}f}"


def _probability(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def _work(pair: Pair, called: dict[str, str]) -> str:
    """What equal size hides."""
    ratios = [gap.work for gap in pair.gaps if gap.work is not None]
    if not ratios:
        return ""
    times = span(min(ratios), max(ratios), lambda ratio: f"{ratio:.2g}")
    ours, theirs = (called[word] for word in pair.words)
    if times == "1":
        return f" At equal size {ours} takes as many multiply-adds as {theirs}."
    return f" At equal size {ours} takes {times} times the multiply-adds of {theirs}."


def _between(found: Findings) -> list[str]:
    """Sparse curves against each other: one pair as sparse against dense, several in a sentence."""
    if len(found.rivals) < 2:
        return [_verdict(found, pair) for pair in found.rivals]
    together = {name for pair in found.rivals if pair.gaps for name in _series(pair)}
    curves = dict.fromkeys(name for pair in found.rivals for name in _series(pair))
    verdicts = [_furthest(found, len(curves))] if together else []
    verdicts += [
        f"The sizes of {quoted(name)} ({_sizes(found, found.curves[name])} non-zero parameters) "
        "are those of no other sparse curve, so it is compared with none of them."
        for name in curves
        if name not in together
    ]
    return verdicts


def _series(pair: Pair) -> tuple[str, str]:
    return pair.ours[0].series, pair.theirs[0].series


def _furthest(found: Findings, curves: int) -> str:
    """The largest difference between two sparse curves, and how many could be chance."""
    gaps = [gap for pair in found.rivals for gap in pair.gaps]
    most = max(gaps, key=lambda gap: abs(gap.difference.value))
    sides = [quoted(most.ours_series), quoted(most.theirs_series)]
    better, other = sides if most.found.gain > 0 else reversed(sides)
    by = f"{abs(most.difference.value):.{found.digits}f}"
    unit = f" {found.metric.points}".rstrip()
    return (
        f"Of {curves} sparse curves, two by two at equal size ({_sizes(found, gaps)} non-zero "
        f"parameters), {better} is furthest ahead of {other}, by {by}{unit} of test "
        f"{found.metric.words} at {_sizes(found, [most])}; {_beyond_chance(found.rivals, gaps)}."
    )


def _beyond_chance(pairs: list[Pair], gaps: list[Gap]) -> str:
    """How many of several comparisons are beyond chance, adjusted for their number."""
    told = [pair.overall.probability for pair in pairs if pair.overall is not None]
    known = [probability for probability in told if probability is not None]
    if not known:
        return _certainty(gaps)
    beyond = sum(probability < 1 - CONFIDENCE for probability in known)
    return f"adjusted for {len(known)} comparisons (Holm), {beyond} of them differ beyond chance"


def _often(found: Findings, gaps: list[Gap], side: str) -> str:
    """At how many sizes one side is ahead, and by how much."""
    mine = [abs(gap.difference.value) for gap in gaps if gap.better == side]
    by = span(min(mine), max(mine), lambda value: f"{value:.{found.digits}f}")
    if round(max(mine), found.digits) == 0:
        by = f"less than {10**-found.digits}"
    places = f"at {'all ' if len(mine) == len(gaps) else ''}{len(mine)}, " if len(gaps) > 1 else ""
    return f"{places}by {by} {found.metric.points}".rstrip()


def _certainty(gaps: list[Gap]) -> str:
    """How much of it could be chance."""
    known = [gap for gap in gaps if gap.is_known]
    if not known:
        return "with one seed a point, how much of that is chance is not known"
    beyond = sum(gap.better not in (TIE, EQUAL, NEITHER) for gap in known)
    which = "differences" if len(known) == len(gaps) else "differences with seeds on both sides"
    return f"{beyond} of {len(known)} {which} lie beyond their 95 % interval"


def _sizes(found: Findings, of: "list[Point] | list[Gap]") -> str:
    values = [item.nonzero for item in of]
    return span(min(values), max(values), lambda value: short(value, found.sizes))


def _alone(found: Findings) -> str:
    """Why nothing can be compared."""
    kinds = {point.kind for point in found.points}
    if len(kinds) == 2:
        return "Dense and sparse runs are on differing data, so they cannot be compared."
    there, lacking = ("dense", "sparse") if kinds == {"dense"} else ("sparse", "dense")
    return f"Only {there} runs are finished; without a {lacking} one there is no comparison."
