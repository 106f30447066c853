"""The points of a sweep: a union of grids, each multiplied with the command line.

An experiment holds `hydra.sweeper.union`, a list of grids: axes and their values. What the command
line says wins over every grid; only what it says of pruning is not said of dense points.

A grid may hold `search: {training.learning_rate: [0.1, 0.2]}`: each of its points is tried with
every value at its first seed, and made at all seeds with the value that validation chose.

A grid of budgets may say `parents: [1.5, 2, 3]`: at each budget stand a dense model and parents of
so many times its weights (`pruneexp.cli.slices`); they are made in rounds (`pruneexp.cli.rounds`).

A grid may say `matched: true`: beside each of its sparse points stands the dense model of that size
(`pruneexp.cli.matching`).
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.short_forms import (
    BUDGETS,
    DEPENDS_ON,
    SETTLED_BY_A_BUDGET,
    SIZES,
    expand,
)

if TYPE_CHECKING:
    from pruneexp.cli.slices import Slice

SEARCH = "search"  # the key of a grid that holds values to choose among
MATCHED = "matched"  # the key of a grid whose sparse points are given rivals of their size
PARENTS = "parents"  # the key of a grid whose budgets are met by parents of several sizes
OWN = (SEARCH, MATCHED, PARENTS)  # keys of a grid that are no axes

# From a sparse point and the settings in which its rivals differ from it to the points, all as
# overrides.
Match = Callable[[Sequence[str], Sequence[dict[str, str]]], list[tuple[str, ...]]]
# From a point with a budget and multiples of weights to the levels of that budget.
Cut = Callable[[Sequence[str], Sequence[float]], "Slice"]


@dataclass(frozen=True, slots=True)
class Search:
    """One point of a sweep, some of whose settings are chosen on validation.

    Arguments:
        point: its overrides, without seeds and without what is chosen.
        seeds: the first makes the trials, and all of them get what was chosen.
        axes: the values to try, by key.
    """

    point: tuple[str, ...]
    seeds: tuple[str, ...]
    axes: dict[str, tuple[str, ...]]

    def trials(self) -> list[dict[str, str]]:
        """Every combination of the values."""
        return [
            dict(zip(self.axes, values, strict=True))
            for values in itertools.product(*self.axes.values())
        ]

    def overrides(self, values: dict[str, str], seed: str) -> list[str]:
        """The point with these values and this seed."""
        return [*self.point, *(f"{key}={value}" for key, value in values.items()), seed]


@dataclass(frozen=True, slots=True)
class Grids:
    """A sweep as Hydra hands it over, not yet expanded into points."""

    union: list[dict[str, Any]]
    arguments: list[str]  # overrides of the command line, those that sweep and those that do not
    config: DictConfig  # composed without what sweeps
    loader: ConfigLoader  # composes the points
    matcher: Match | None = None  # of grids with `matched`; None before points are asked for
    cut: Cut | None = None  # of grids with `parents`, likewise

    @property
    def experiment(self) -> str | None:
        name: str | None = self.config.hydra.runtime.choices.get("experiment")
        return name

    def axes(self) -> list[dict[str, Any]]:
        """The axes of each grid with what the command line says, as they would be typed."""
        return [
            {
                axis.get_key_element(): (axis.input_line or "").partition("=")[2]
                for axis in grid.axes
                if axis.key_or_group != "experiment"
            }
            | ({SEARCH: {k: ",".join(v) for k, v in grid.search.items()}} if grid.search else {})
            | ({MATCHED: True if grid.rivals == [{}] else grid.rivals} if grid.rivals else {})
            | ({PARENTS: grid.parents} if grid.parents else {})
            for grid in _grids(self.union, self.arguments, self.loader)
        ]

    def searches(self) -> list[Search]:
        """The points of grids with a `search`, each once."""
        found: dict[tuple[str, ...], Search] = {}
        for grid in _grids(self.union, self.arguments, self.loader):
            if not grid.search or grid.parents:
                continue
            for point in grid.points(self.matcher):
                found.setdefault(point, Search(point, self._seeds(grid), grid.search))
        return list(found.values())

    def slices(self) -> list["GridSlice"]:
        """The slices of grids with `parents`, each once."""
        found: dict[tuple[str, ...], GridSlice] = {}
        for grid in _grids(self.union, self.arguments, self.loader):
            if not grid.parents or self.cut is None:
                continue
            seeds = self._seeds(grid)
            for point in grid.bare_points():
                levels = self.cut(point, grid.parents)
                searches = [Search(level.point, seeds, grid.search) for level in levels.levels]
                times = [level.times for level in levels.levels]
                found.setdefault(
                    point, GridSlice(levels.budget, times, searches, list(levels.impossible))
                )
        return list(found.values())

    def _seeds(self, grid: "_Grid") -> tuple[str, ...]:
        return tuple(grid.seeds() or [f"seed={self.config.seed}"])

    def count(self) -> int:
        """How many points there are, before doubles are left out; without expanding them."""
        return count(self.union, self.arguments, self.loader)

    def points(self) -> list[list[str]]:
        """Every point of every grid, as overrides; each point once."""
        return points(self.union, self.arguments, self.loader, self.matcher, self.cut)


@dataclass(frozen=True, slots=True)
class _Grid:
    """One grid with what the command line says."""

    axes: list[Override]
    search: dict[str, tuple[str, ...]]  # the values to try, by key
    rivals: list[dict[str, str]]  # of its sparse points
    parents: list[float]  # multiples of the dense model's weights, at each of its budgets

    def seeds(self) -> Sequence[str]:
        """The values of the seed as overrides; none where the grid does not say any."""
        seeds = [axis for axis in self.axes if axis.key_or_group == "seed"]
        return _values(seeds[-1]) if seeds else []

    def bare_points(self) -> Iterator[tuple[str, ...]]:
        """Every point without its seed, as the axes say it."""
        others = [axis for axis in self.axes if axis.key_or_group != "seed"]
        yield from itertools.product(*map(_values, others))

    def points(self, matcher: Match | None, cut: Cut | None = None) -> Iterator[tuple[str, ...]]:
        """The same, those that are matched with their rivals, and of budgets all levels."""
        for point in self.bare_points():
            if self.rivals and matcher is not None:
                yield from matcher(point, self.rivals)
            elif self.parents and cut is not None:
                yield from (level.point for level in cut(point, self.parents).levels)
            else:
                yield point

    def at_seeds(self, matcher: Match | None, cut: Cut | None = None) -> Iterator[tuple[str, ...]]:
        """Every point at every seed; of a search its trials, at the first seed."""
        if not self.search and not self.rivals and not self.parents:  # in the order of the axes
            yield from itertools.product(*map(_values, self.axes))
            return
        seeds = self.seeds()
        tried = [[f"{key}={value}" for value in values] for key, values in self.search.items()]
        last = [[*seeds][:1] if self.search else seeds] if seeds else []
        for point in self.points(matcher, cut):
            for rest in itertools.product(*last, *tried):
                yield (*point, *rest)

    def count(self) -> int:
        """How many there are of these, without expanding them."""
        lengths = [
            1 if self.search and axis.key_or_group == "seed" else _length(axis)
            for axis in self.axes
        ]
        trials = math.prod(map(len, self.search.values()))
        return math.prod(lengths) * trials * (1 + len(self.rivals) + len(self.parents))


@dataclass(frozen=True, slots=True)
class GridSlice:
    """At one budget the dense model and its sparse rivals.

    Arguments:
        budget: as it was typed.
        times: of each level, the dense model's weights; 1 for that itself.
        searches: of each level, its point, its seeds and what is tried.
        impossible: lines about levels that cannot be.
    """

    budget: str
    times: list[float]
    searches: list[Search]
    impossible: list[str]


def points(
    union: list[dict[str, Any]],
    arguments: list[str],
    loader: ConfigLoader | None = None,
    matcher: Match | None = None,
    cut: Cut | None = None,
) -> list[list[str]]:
    """Every point of every grid multiplied with the arguments, as overrides; each point once.

    Arguments:
        loader: knows the options of a group, for axes such as `pruning/schedule=glob(*)`.
        matcher: finds the rivals of points; without one, no point has any.
        cut: finds the levels of budgets; without one, a budget is a point.
    """
    chosen: dict[tuple[str, ...], None] = {}
    for grid in _grids(union, arguments, loader):
        chosen |= dict.fromkeys(grid.at_seeds(matcher, cut))
    return [list(point) for point in chosen]


def count(
    union: list[dict[str, Any]], arguments: list[str], loader: ConfigLoader | None = None
) -> int:
    """How many points the grids have, where a point of several grids counts several times."""
    return sum(grid.count() for grid in _grids(union, arguments, loader))


def _grids(
    union: list[dict[str, Any]], arguments: list[str], loader: ConfigLoader | None
) -> Iterator[_Grid]:
    """Each grid: its axes and those of the command line, its search, and its rivals."""
    parser = OverridesParser.create(config_loader=loader)
    given = parser.parse_overrides(arguments)
    for override in given:
        if override.key_or_group == "experiment" and override.is_sweep_override():
            why = "takes one experiment, since each has a plan of its own"
            raise Invalid([Fault("experiment", f"{why}, got {override.input_line}")])
    replaced = {override.key_or_group for override in given}
    if replaced & {*BUDGETS}:
        replaced |= {SETTLED_BY_A_BUDGET, *BUDGETS}
    for grid in union or [{}]:
        words = [f"{key}={_own(key, value)}" for key, value in grid.items() if key not in OWN]
        own = [
            axis
            for axis in parser.parse_overrides(expand(words))
            if not {axis.key_or_group, DEPENDS_ON.get(axis.key_or_group)} & replaced
        ]
        axes = [*own, *given]
        if any(axis.input_line == "pruning=none" for axis in axes):
            settled = SIZES if replaced & {*BUDGETS} else ()
            axes = [axis for axis in axes if not re.match(r"pruning[./]", axis.key_or_group)]
            axes = [axis for axis in axes if axis.key_or_group not in settled]
        fixed = {axis.key_or_group for axis in axes}
        search = _search(grid[SEARCH], fixed, parser) if SEARCH in grid else {}
        rivals = _rivals(grid[MATCHED]) if MATCHED in grid else []
        yield _Grid(axes, search, rivals, _parents(grid[PARENTS]) if PARENTS in grid else [])


def _search(search: Any, fixed: set[str], parser: OverridesParser) -> dict[str, tuple[str, ...]]:
    """The values to try by key, but for keys that are given a value, as on the command line."""
    if not isinstance(search, dict) or not search:
        takes = "takes keys with the values to try, such as {training.learning_rate: [0.1, 0.2]}"
        raise Invalid([Fault(SEARCH, f"{takes}, got {search}")])
    if empty := [key for key, values in search.items() if _text(values) == ""]:
        raise Invalid([Fault(f"{SEARCH}: {empty[0]}", "takes values to try, got none")])
    words = expand([f"{key}={_text(values)}" for key, values in search.items()])
    return {
        axis.get_key_element(): tuple(word.partition("=")[2] for word in _values(axis))
        for axis in parser.parse_overrides(words)
        if axis.key_or_group not in fixed
    }


def _rivals(given: Any) -> list[dict[str, str]]:
    """What a grid says under `matched`."""
    if given is True:
        return [{}]
    if isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
        return [{str(key): _text(value) for key, value in one.items()} for one in given]
    why = "takes true, or a list of rivals such as [{}, {model.tied: true}]"
    raise Invalid([Fault(MATCHED, f"{why}, got {given}")])


def _parents(given: Any) -> list[float]:
    """What a grid says under `parents`."""
    each = given if isinstance(given, list) else str(given).split(",")
    try:
        times = sorted({float(value) for value in each})
    except (TypeError, ValueError):
        times = []
    if not times or times[0] <= 1 or not math.isfinite(times[-1]):
        why = "takes multiples of the dense model's weights, such as [1.5, 2, 3]"
        raise Invalid([Fault(PARENTS, f"{why}, got {given}")])
    return times


def _own(key: str, value: Any) -> str:
    """The values of an axis of a grid as they would be typed. Only a search has keys of its own."""
    if isinstance(value, dict):
        why = "takes values, got keys with values; `search` is what takes these"
        raise Invalid([Fault(f"hydra.sweeper.union: {key}", why)])
    return _text(value)


def _text(value: Any) -> str:
    """A value of a grid as it would be typed; a list or a text with commas sweeps."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _values(axis: Override) -> Sequence[str]:
    if not axis.is_sweep_override():
        return [axis.input_line or ""]
    _check(axis)
    return [f"{axis.get_key_element()}={text}" for text in axis.sweep_string_iterator()]


def _length(axis: Override) -> int:
    if not axis.is_sweep_override():
        return 1
    _check(axis)
    value = axis.value()
    numbers = value.range() if isinstance(value, RangeSweep) else None
    if isinstance(numbers, range):
        return len(numbers)
    if numbers is not None:
        steps = (Decimal(numbers.stop) - Decimal(numbers.start)) / Decimal(numbers.step)
        return max(0, math.ceil(steps))
    return sum(1 for _ in axis.sweep_iterator())


def _check(axis: Override) -> None:
    value = axis.value()
    if isinstance(value, RangeSweep) and value.step == 0:
        raise Invalid([Fault(axis.key_or_group, f"takes a step, got {axis.input_line}")])
    if not axis.is_discrete_sweep():
        raise Invalid([Fault(axis.key_or_group, f"takes a list of values, got {axis.input_line}")])
