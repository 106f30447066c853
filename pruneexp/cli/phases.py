"""In which order the runs of a sweep are made: all at once, or trials first where points choose
settings for themselves, or in rounds where budgets have parents of several sizes.

Every phase makes a plan that holds all runs so far, so that a sweep which is stopped goes on from
what is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pruneexp.cli.grids import Grids, GridSlice, Search
from pruneexp.cli.points import read_chosen, read_seeds, read_trials
from pruneexp.cli.search import MOST_GROWTH, Tried, choose, finished_record, grown, words
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.record import Metric, Plan, Trial
from pruneexp.engine.store import Store

if TYPE_CHECKING:
    from pruneexp.cli.rounds import Next
    from pruneexp.report.analysis.statistics import Scale


@dataclass(kw_only=True, slots=True)
class Phases:
    """The phases of one sweep.

    Arguments:
        grids: that the sweep consists of.
        runs: all that were read from them.
        plan: makes a plan of runs and of what is known of trials.
        make: trains the runs of a plan; returns whether it was asked to stop.
    """

    grids: Grids
    runs: Sequence[Run]
    plan: Callable[[Sequence[Run], Sequence[Trial]], Plan]
    make: Callable[[Plan], bool]

    def through(self) -> tuple[Plan, bool]:
        """Make everything. Returns the last plan, and whether the sweep was asked to stop."""
        slices, searches = self.grids.slices(), self.grids.searches()
        if slices:
            return _Rounds(phases=self, slices=slices).through()
        if searches:
            return self._searched(searches)
        planned = self.plan(self.runs, [])
        return planned, self.make(planned)

    @property
    def store(self) -> Store:
        """Where the runs lie."""
        return self.runs[0].store

    def _searched(self, searches: list[Search]) -> tuple[Plan, bool]:
        of_trials = {name(one.run) for one in read_trials(self.grids, searches)}
        others = [run for run in self.runs if name(run) not in of_trials]
        found = self.tried(searches, others)
        if found.stopped:
            return found.plan, True
        return self.finished(found, found.searches, others)

    def tried(
        self, searches: Sequence[Search], others: Sequence[Run], points: Sequence[Run] = ()
    ) -> "Found":
        """Make the trials of these searches, whose axes grow where a chosen value lies at an end.

        Arguments:
            others: runs that are made beside them.
            points: runs of earlier rounds, with the values that were chosen then.
        """
        searches = list(searches)
        longest = max((len(v) for search in searches for v in search.axes.values()), default=0)
        while True:
            tried = read_trials(self.grids, searches)
            planned = self.plan([*others, *points, *(one.run for one in tried)], [])
            _mark_trials(planned, tried, {name(run) for run in others}, {*map(name, points)})
            if self.make(planned):
                return Found(searches, [], tried, planned, stopped=True)
            trials = choose(self.store, tried)
            longer = grown(searches, trials)
            if longer == searches:
                return Found(searches, trials, tried, planned, stopped=False)
            if max(len(v) for s in longer for v in s.axes.values()) > longest + MOST_GROWTH:
                why = "the best values still lie at the end of an axis; give values further out"
                raise Invalid([Fault("search", why)])
            searches = longer

    def finished(
        self, found: "Found", searches: Sequence[Search], others: Sequence[Run]
    ) -> tuple[Plan, bool]:
        """Make every point of these searches at all of its seeds, with the values that were chosen
        for it."""
        points = read_chosen(self.grids, searches, found.trials)
        tried = [one.run for one in found.tried]
        planned = self.plan([*others, *points, *tried], found.trials)
        fixed, searched = {name(run) for run in others}, {name(run) for run in points}
        keys = sorted({key for search in searches for key in search.axes})
        for one in planned.runs:
            one.wanted &= one.name in fixed | searched
            one.chosen = keys if one.name in searched else []
            one.as_it_is = one.name in fixed & searched
        if not keys:  # nothing was searched: a trial is the first seed of its point
            planned.trials = []
        return planned, self.make(planned)


def _mark_trials(
    planned: Plan, tried: Sequence[Tried], fixed: set[str], searched: set[str]
) -> None:
    """Say in a plan which of its runs a point chooses between, so that a report on a search that
    has not ended shows the best of each point so far."""
    keys = sorted({key for one in tried for key in one.search.axes})
    if not keys:
        return
    points = {name(one.run): words(one.search) for one in tried}
    for one in planned.runs:
        one.trial_of = points.get(one.name, "")
        one.chosen = keys if one.name in points or one.name in searched else []
        one.as_it_is = bool(one.chosen) and one.name in fixed


@dataclass(frozen=True, slots=True)
class Found:
    """What the trials of some searches came to."""

    searches: list[Search]  # with the axes that they have now
    trials: list[Trial]
    tried: list[Tried]
    plan: Plan
    stopped: bool


@dataclass(kw_only=True, slots=True)
class _Rounds:
    """Budgets with parents, round by round (`pruneexp.cli.rounds` has the rule)."""

    phases: Phases
    slices: list[GridSlice]
    begun: dict[tuple[int, int], int] = field(default_factory=dict)  # level of slice -> seeds
    failed: set[tuple[int, int]] = field(default_factory=set)
    made: list[Run] = field(default_factory=list)  # of points, by earlier rounds

    def through(self) -> tuple[Plan, bool]:
        from pruneexp.cli.rounds import following  # with the report's statistics, which are heavy

        phases = self.phases
        every = [search for one in self.slices for search in one.searches]
        of_slices = {name(run) for run in read_seeds(phases.grids, every)}
        others = [run for run in phases.runs if name(run) not in of_slices]
        for number, one in enumerate(self.slices):
            self._begin(number, following([[] for _ in one.times], 1, 0.0))
        while True:
            places = sorted(self.begun)
            found = phases.tried([self._search(place) for place in places], others, self.made)
            if found.stopped:
                return self._told(found.plan, ended=False), True
            for place, search in zip(places, found.searches, strict=True):
                self.slices[place[0]].searches[place[1]] = search
            asked = [
                replace(self._search(place), seeds=self._search(place).seeds[: self.begun[place]])
                for place in places
            ]
            self.made = read_chosen(phases.grids, asked, found.trials)
            planned, stopped = phases.finished(found, asked, others)
            if stopped or not self._next(found):
                return self._told(planned, ended=not stopped), stopped

    def _search(self, place: tuple[int, int]) -> Search:
        return self.slices[place[0]].searches[place[1]]

    def _begin(self, number: int, then: "Next") -> None:
        for level in then.levels:
            self.begun.setdefault((number, level), 1)
        for level in then.seeds:
            self.begun[number, level] += 1

    def _next(self, found: Found) -> bool:
        """Begin what is made next at each budget. Returns whether there is anything."""
        from pruneexp.cli.rounds import Next, following
        from pruneexp.report.analysis.comparison import margin_at

        values, scale = self._values(found)
        before = dict(self.begun)
        for number, one in enumerate(self.slices):
            levels = [n for n in range(len(one.times)) if (number, n) not in self.failed]
            seen = [values.get((number, level), []) for level in levels]
            best = max((sum(each) / len(each) for each in seen if each), default=None)
            if best is None or scale is None:
                continue
            margin = margin_at(best, scale) or 0.0
            then = following(seen, len(one.searches[0].seeds), margin)
            self._begin(
                number,
                Next(
                    tuple(levels[level] for level in then.levels),
                    tuple(levels[level] for level in then.seeds),
                ),
            )
        return self.begun != before

    def _values(self, found: Found) -> tuple[dict[tuple[int, int], list[float]], "Scale | None"]:
        """On validation, of each level that is begun, one a seed; and their scale. A level that
        has a seed without a record is left out from then on."""
        from pruneexp.report.analysis.statistics import scale_of

        measured: dict[tuple[int, int], list[float]] = {}
        metric: Metric | None = None
        for place, count in self.begun.items():
            search = replace(self._search(place), seeds=self._search(place).seeds[:count])
            runs = read_chosen(self.phases.grids, [search], found.trials)
            records = [finished_record(self.phases.store, run) for run in runs]
            known = [record for record in records if record is not None]
            if not known or len(known) < len(records):
                self.failed.add(place)
                continue
            metric = known[0].chosen_by
            measured[place] = [record.valid[metric.name] for record in known]
        if metric is None:
            return {}, None
        scale = scale_of(metric, [value for each in measured.values() for value in each])
        forward = scale.forward
        return {place: [forward(v) for v in each] for place, each in measured.items()}, scale

    def _told(self, planned: Plan, *, ended: bool) -> Plan:
        """The plan with what it leaves out, and why. Only at the end is it known which levels could
        not matter."""
        for number, one in enumerate(self.slices):
            planned.left_out += one.impossible
            left = [
                f"{times:g}" for n, times in enumerate(one.times) if (number, n) not in self.begun
            ]
            if left and ended:
                planned.left_out.append(
                    f"{one.budget}, parents of {', '.join(left)} times: not made, since levels "
                    "nearer to the best are worse than it"
                )
        return planned
