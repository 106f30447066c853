"""The choice for one set of limits, and for which budgets it is another one.

    chooser = Chooser(found.points, found.metric)
    chooser.choose(Limits(bytes=200_000)).pick.words

Chosen on validation; what is told of quality was measured on test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pruneexp.engine.record import Metric
from pruneexp.report.analysis.comparison import margin_at, margin_words
from pruneexp.report.analysis.points import Point
from pruneexp.report.choice.beliefs import Beliefs, beliefs
from pruneexp.report.choice.candidates import Candidate, Limits, candidates, contenders

if TYPE_CHECKING:
    from pruneexp.report.analysis.findings import Findings

CERTAIN = 0.95
LOOKS = 60  # sizes at which both kinds are held against each other
KINDS = ("dense", "sparse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Certainty:
    """How sure a pick is. None where no configuration has two seeds.

    Arguments:
        best: the probability that it is the best of all that keep within the limits.
        near: that it lies no more than what makes no difference below the best; None also where
            nothing is known of that.
        margin: what makes no difference, in words; nothing where that is not known.
        reaches: where a value must be reached, that it does.
    """

    best: float | None
    near: float | None
    margin: str = ""
    reaches: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """What to ship within some limits.

    Arguments:
        limits: that were given.
        pick: the best guess; None where nothing keeps within the limits.
        certainty: of the pick.
        runner_up: the best guess without the pick.
        tied: candidates that may as well be the best, the pick left out.
        best: by kind, dense and sparse.
        within: how many candidates keep within the limits.
        lacking: why there is no pick, or what would make a better one, in sentences.
    """

    limits: Limits
    pick: Candidate | None
    certainty: Certainty | None
    runner_up: Candidate | None
    tied: tuple[Candidate, ...]
    best: dict[str, Candidate]
    within: int
    lacking: tuple[str, ...]

    @property
    def is_tie(self) -> bool:
        """Whether another candidate may as well be the best."""
        return bool(self.tied)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The answer for all budgets from one size up to the next.

    Arguments:
        least, most: bytes of the budgets that it is for; no most for the last.
        choice: within a budget of `least`.
        sparse_better: the probability that the best sparse candidate is better than the best dense
            one; None where one of them, or what chance does, is not there.
    """

    least: float
    most: float | None
    choice: Recommendation
    sparse_better: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Budgets in a row for which dense and sparse models stand to each other in the same way.

    Arguments:
        least, most: bytes, within the sizes that both kinds were made at.
        better: dense or sparse; empty where they cannot be told apart.
        behind: candidates that this rests on.
    """

    least: float
    most: float
    better: str
    behind: tuple[Candidate, ...]


class Chooser:
    """Answers for any limits from the same points.

    Arguments:
        points: of all curves, on one task.
        metric: that they are measured by.
    """

    def __init__(self, points: Sequence[Point], metric: Metric) -> None:
        self.metric = metric
        self._known: dict[Limits, Recommendation] = {}
        self.unweighed = [point for point in points if point.file(folded=False) is None]
        sign = 1 if metric.higher_is_better else -1
        self.found = contenders(candidates(points), sign)
        self.beliefs: Beliefs | None = beliefs(self.found, metric) if self.found else None

    def choose(self, limits: Limits) -> Recommendation:
        """The choice within these limits."""
        if limits not in self._known:
            self._known[limits] = self._choose(limits)
        return self._known[limits]

    def _choose(self, limits: Limits) -> Recommendation:
        within = [each for each in self.found if limits.hold(each)]
        if self.beliefs is None or not within:
            return _nothing(limits, self._why_nothing(limits))
        if limits.at_least is not None:
            return self._smallest(limits, within, self.beliefs)
        ranked = sorted(within, key=lambda each: -self._rank(each))
        pick = ranked[0]
        return Recommendation(
            limits=limits,
            pick=pick,
            certainty=self._certainty(pick, within),
            runner_up=ranked[1] if len(ranked) > 1 else None,
            tied=self._tied(pick, ranked[1:]),
            best=_best_of_kinds(ranked),
            within=len(within),
            lacking=tuple(self._lacking(ranked)),
        )

    def steps(self) -> list[Step]:
        """For every budget in bytes what is chosen. A step begins where the answer gains more than
        what makes no difference to people."""
        steps: list[Step] = []
        for size in sorted({each.bytes for each in self.found}):
            choice = self.choose(Limits(bytes=size))
            assert choice.pick is not None
            before = steps[-1].choice.pick if steps else None
            if before is not None and not self._gains(before, choice.pick):
                continue
            if steps:
                steps[-1] = replace(steps[-1], most=size)
            better = self.sparse_better(choice)
            steps.append(Step(least=size, most=None, choice=choice, sparse_better=better))
        return steps

    def sparse_better(self, choice: Recommendation) -> float | None:
        """The probability that within these limits the best sparse candidate is better than the
        best dense one."""
        if self.beliefs is None or len(choice.best) < len(KINDS):
            return None
        return self.beliefs.probability_above(choice.best["sparse"], choice.best["dense"])

    def stretches(self) -> list[Stretch]:
        """Where dense models and where sparse ones are better, at sizes within the range of both.
        Between its candidates a kind is read along a straight line over the logarithm of bytes."""
        known = self.beliefs
        sides = {kind: self._frontier(kind) for kind in KINDS}
        if known is None or known.draws is None or not all(sides.values()):
            return []
        low = max(side[0].bytes for side in sides.values())
        high = min(side[-1].bytes for side in sides.values())
        if low > high:
            return []
        made: list[Stretch] = []
        for size in np.geomspace(low, high, LOOKS):
            parts = {kind: _around(side, size) for kind, side in sides.items()}
            sparse = known.probability_of_mix(parts["sparse"], parts["dense"])
            better = "sparse" if sparse > CERTAIN else "dense" if sparse < 1 - CERTAIN else ""
            behind = tuple(each for side in parts.values() for each, _ in side)
            if made:
                made[-1] = replace(made[-1], most=float(size))
            if made and made[-1].better == better:
                made[-1] = replace(made[-1], behind=made[-1].behind + behind)
            else:
                made.append(
                    Stretch(least=float(size), most=float(size), better=better, behind=behind)
                )
        return made

    def _frontier(self, kind: str) -> list[Candidate]:
        """The candidates of a kind that no smaller one of it is believed to equal."""
        best: list[Candidate] = []
        for each in (each for each in self.found if each.kind == kind):
            if not best or self._rank(each) > self._rank(best[-1]):
                if best and best[-1].bytes == each.bytes:
                    best.pop()
                best.append(each)
        return best

    def _gains(self, before: Candidate, pick: Candidate) -> bool:
        known = self.beliefs
        assert known is not None
        margin = margin_at(known.mean(before), known.scale) or 0.0
        return known.mean(pick) > known.mean(before) + margin

    def _rank(self, candidate: Candidate) -> float:
        assert self.beliefs is not None
        return self.beliefs.mean(candidate)

    def _certainty(self, pick: Candidate, within: Sequence[Candidate]) -> Certainty:
        known = self.beliefs
        assert known is not None
        margin = margin_at(known.mean(pick), known.scale)
        return Certainty(
            best=known.probability_best(pick, within),
            near=None if margin is None else known.probability_near(pick, within, margin),
            margin=margin_words(known.scale),
        )

    def _tied(self, pick: Candidate, others: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those that are not worse beyond chance."""
        known = self.beliefs
        assert known is not None
        if known.draws is None:
            return ()
        chances = known.probabilities_above(pick, others)
        return tuple(
            each for each, chance in zip(others, chances, strict=True) if chance > 1 - CERTAIN
        )

    def _smallest(self, limits: Limits, within: list[Candidate], known: Beliefs) -> Recommendation:
        """The smallest file that is believed to reach a value."""
        assert limits.at_least is not None
        try:
            target = known.scale.forward(limits.at_least)
        except ValueError:  # no model reaches 100 % or more
            target = math.inf
        good = [each for each in within if known.mean(each) >= target]
        if not good:
            best = max(within, key=self._rank)
            value = f"{known.value(best):.{self.metric.digits}f} {self.metric.unit}".rstrip()
            why = f"nothing within the limits is believed to reach {limits.at_least:g}; the best "
            return _nothing(limits, [f"{why}is {best.words}, about {value}"])
        pick = good[0]  # the smallest
        near = [each for each in good if each is not pick]
        return Recommendation(
            limits=limits,
            pick=pick,
            certainty=Certainty(
                best=None, near=None, reaches=known.probability_reaches(pick, target)
            ),
            runner_up=near[0] if near else None,
            tied=(),
            best=_best_of_kinds(good),
            within=len(good),
            lacking=tuple(self._lacking(good)),
        )

    def _lacking(self, within: Sequence[Candidate]) -> list[str]:
        """What keeps the answer from being a better one."""
        known = self.beliefs
        assert known is not None
        lacking = [
            f"no {kind} run keeps within these limits, so the pick has no {kind} rival"
            for kind in KINDS
            if not any(each.kind == kind for each in within)
        ]
        if known.draws is None:
            lacking.append("every configuration has one seed, so how much is chance is not known")
        if self.unweighed:
            number = len(self.unweighed)
            lacking.append(f"{number} configurations are left out whose files were not measured")
        return lacking

    def _why_nothing(self, limits: Limits) -> list[str]:
        if not self.found:
            return ["no finished run has a file that was measured; `pruneexp bytes` measures it"]
        if limits.milliseconds is not None and not any(
            each.point.milliseconds is not None for each in self.found
        ):
            return ["no run was timed; `pruneexp latency RUN` times it"]
        smallest = self.found[0]
        size = f"{smallest.bytes:,.0f} bytes and {smallest.point.nonzero:,.0f} weights"
        return [
            f"nothing keeps within {limits.words()}; the smallest file is that of "
            f"{smallest.words}, {size}"
        ]


def chooser_of(found: "Findings") -> Chooser | None:
    """A chooser among the points of a report on the data that most of them are on; None where no
    file was measured."""
    groups: dict[str, list[Point]] = {}
    for point in found.points:
        groups.setdefault(point.data, []).append(point)
    if not groups:
        return None
    chooser = Chooser(max(groups.values(), key=len), found.metric)
    return chooser if chooser.found else None


def _around(side: Sequence[Candidate], size: float) -> list[tuple[Candidate, float]]:
    """The candidates that a value at a size within their range rests on, and their shares."""
    last = len(side) - 1
    after = next((n for n, each in enumerate(side) if each.bytes >= size), last)
    if side[after].bytes <= size or after == 0:
        return [(side[after], 1.0)]
    left, right = side[after - 1], side[after]
    share = math.log(size / left.bytes) / math.log(right.bytes / left.bytes)
    return [(left, 1 - share), (right, share)]


def _nothing(limits: Limits, why: Sequence[str]) -> Recommendation:
    return Recommendation(
        limits=limits,
        pick=None,
        certainty=None,
        runner_up=None,
        tied=(),
        best={},
        within=0,
        lacking=tuple(why),
    )


def _best_of_kinds(ranked: Sequence[Candidate]) -> dict[str, Candidate]:
    """The first of each kind."""
    best: dict[str, Candidate] = {}
    for each in ranked:
        best.setdefault(each.kind, each)
    return {kind: best[kind] for kind in KINDS if kind in best}
