"""Settings that each point of a sweep chooses for itself on validation, dense and sparse alike.

The trials of all points are trained first, at the first seed; then each point at all of its seeds
with the values that validation chose. Where a chosen value lies at the end of its axis, that axis
grows by one value beyond it, and every other point's by one on the side where its own best value
has the better neighbour, so that all points keep the same number of trials.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pruneexp.cli.grids import Search
from pruneexp.config.options import no_part_of_a_name
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine import files
from pruneexp.engine.record import Record, Trial
from pruneexp.engine.store import Store

MOST_GROWTH = 4  # values that an axis may grow by


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial before and after it is run."""

    search: Search
    values: dict[str, str]
    run: Run


def words(search: Search) -> str:
    """A point in words, without what says where or how fast."""
    left = no_part_of_a_name()
    return " ".join(word for word in search.point if word.partition("=")[0] not in left)


def choose(store: Store, tried: Sequence[Tried]) -> list[Trial]:
    """Every trial with what validation says of it, the best of each point marked. Raises `Invalid`
    for a point all of whose trials failed."""
    by_point: dict[str, list[tuple[Tried, Record | None]]] = {}
    for one in tried:
        by_point.setdefault(words(one.search), []).append((one, finished_record(store, one.run)))
    trials: list[Trial] = []
    for point, ones in by_point.items():
        best = _best([record for _, record in ones])
        if best is None:
            why = f"all {len(ones)} trials of {point} failed; try other values"
            raise Invalid([Fault("search", why)])
        trials += [
            Trial(
                point=point,
                values=one.values,
                name=name(one.run),
                valid=None if record is None else record.valid[record.chosen_by.name],
                chosen=number == best,
            )
            for number, (one, record) in enumerate(ones)
        ]
    return trials


def finished_record(store: Store, run: Run) -> Record | None:
    """The run's record; None where it is not finished, or cannot be read."""
    folder = store.folder(name(run))
    try:
        return folder.record() if folder.status() == "finished" else None
    except files.Damaged:
        return None


def _best(records: Sequence[Record | None]) -> int | None:
    """The number of the best on validation, the first of equal ones; None if none is finished."""
    there = [(number, record) for number, record in enumerate(records) if record is not None]
    if not there:
        return None
    metric = there[0][1].chosen_by
    sign = 1 if metric.higher_is_better else -1
    return max(there, key=lambda one: (sign * one[1].valid[metric.name], -one[0]))[0]


def grown(searches: Sequence[Search], trials: Sequence[Trial]) -> list[Search]:
    """The same searches with longer axes where a chosen value lies at an end; equal to what came
    in where none does. Where the axis of one point grows, that of every other grows too, on the
    side where its own best value has the better neighbour: all keep the same number of trials, and
    a point that came later catches up. A point that has no trial, since its settings cannot be
    read, stays as it is."""
    by_point: dict[str, list[Trial]] = {}
    for trial in trials:
        by_point.setdefault(trial.point, []).append(trial)
    tried = [search for search in searches if words(search) in by_point]
    growing = {
        key
        for search in tried
        for key, values in search.axes.items()
        if _end(values, _chosen(by_point[words(search)]).values[key]) is not None
    }
    longest = {
        key: max(len(search.axes.get(key, ())) for search in tried)
        for search in tried
        for key in search.axes
    }
    return [
        replace(
            search,
            axes={
                key: (*values, *_beyond(values, key, by_point[words(search)]))
                if key in growing or len(values) < longest[key]
                else values
                for key, values in search.axes.items()
            },
        )
        if words(search) in by_point
        else search
        for search in searches
    ]


def _chosen(trials: Sequence[Trial]) -> Trial:
    return next(trial for trial in trials if trial.chosen)


def _numbers(values: tuple[str, ...]) -> list[str]:
    """The values of an axis in rising order; none where they are no numbers above 0."""
    try:
        rising = sorted(set(values), key=float)
    except ValueError:
        return []
    return rising if len(rising) > 1 and float(rising[0]) > 0 else []


def _end(values: tuple[str, ...], chosen: str) -> int | None:
    """The end of an axis where a chosen value lies, 0 or -1; None where it lies inside."""
    rising = _numbers(values)
    return next((end for end in (0, -1) if rising and rising[end] == chosen), None)


def _beyond(values: tuple[str, ...], key: str, trials: Sequence[Trial]) -> list[str]:
    """The next value beyond an end of an axis, in the ratio of the two at that end."""
    rising = _numbers(values)
    if not rising:
        return []
    best = _chosen(trials).values[key]
    end = _end(values, best)
    if end is None:
        place = rising.index(best)
        lower, upper = (_quality(trials, key, rising[place + step]) for step in (-1, 1))
        end = 0 if lower > upper else -1
    last, before = (float(rising[place]) for place in ((0, 1) if end == 0 else (-1, -2)))
    return [_text(last**2 / before)]


def _quality(trials: Sequence[Trial], key: str, value: str) -> float:
    """How good the best trial with a value is; higher is better, whichever way the metric goes."""
    known = [trial for trial in trials if trial.valid is not None]
    best = _chosen(trials).valid
    sign = 1 if best == max(trial.valid or 0.0 for trial in known) else -1
    with_value = [sign * (t.valid or 0.0) for t in known if t.values[key] == value]
    return max(with_value, default=-math.inf)


def _text(number: float) -> str:
    """A number as it is typed, without the last digits of its arithmetic."""
    return f"{number:.6g}"
