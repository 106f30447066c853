"""Settings that each point of a sweep chooses for itself on validation, dense and sparse alike.

The trials of all points are trained first, at the first seed; then each point at all of its seeds
with the values that validation chose. Where a chosen value lies at the end of its axis, the axis of
every point grows by one value beyond it, so that all points keep the same number of trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pruneexp.cli.grids import Search
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


def choose(store: Store, tried: Sequence[Tried]) -> list[Trial]:
    """Every trial with what validation says of it, the best of each point marked. Raises `Invalid`
    for a point all of whose trials failed."""
    by_point: dict[tuple[str, ...], list[tuple[Tried, Record | None]]] = {}
    for one in tried:
        by_point.setdefault(one.search.point, []).append((one, _record(store, one.run)))
    trials: list[Trial] = []
    for point, ones in by_point.items():
        best = _best([record for _, record in ones])
        if best is None:
            why = f"all {len(ones)} trials of {' '.join(point)} failed; try other values"
            raise Invalid([Fault("search", why)])
        trials += [
            Trial(
                point=" ".join(point),
                values=one.values,
                name=name(one.run),
                valid=None if record is None else record.valid[record.chosen_by.name],
                chosen=number == best,
            )
            for number, (one, record) in enumerate(ones)
        ]
    return trials


def _record(store: Store, run: Run) -> Record | None:
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
    in where none does."""
    chosen = {trial.point: trial.values for trial in trials if trial.chosen}
    beyond: dict[str, set[str]] = {}
    for search in searches:
        for key, values in search.axes.items():
            for value in _beyond(values, chosen[" ".join(search.point)][key]):
                beyond.setdefault(key, set()).add(value)
    return [
        replace(
            search,
            axes={
                key: (*values, *sorted(beyond.get(key, set()) - set(values), key=float))
                for key, values in search.axes.items()
            },
        )
        for search in searches
    ]


def _beyond(values: tuple[str, ...], chosen: str) -> list[str]:
    """The next value in the ratio of the two at the end where the chosen one lies; none where it
    lies inside, or where the values are no numbers above 0."""
    try:
        numbers = sorted({float(value): value for value in values}.items())
    except ValueError:
        return []
    if len(numbers) < 2 or numbers[0][0] <= 0:
        return []
    if chosen == numbers[0][1]:
        return [_text(numbers[0][0] ** 2 / numbers[1][0])]
    if chosen == numbers[-1][1]:
        return [_text(numbers[-1][0] ** 2 / numbers[-2][0])]
    return []


def _text(number: float) -> str:
    """A number as it is typed, without the last digits of its arithmetic."""
    return f"{number:.6g}"
