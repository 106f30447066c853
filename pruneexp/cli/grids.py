"""The points of a sweep: a union of grids, each multiplied with the command line.

An experiment holds `hydra.sweeper.union`, a list of grids: axes and their values. What the command
line says wins over every grid; only what it says of pruning is not said of dense points.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.short_forms import DEPENDS_ON, expand


@dataclass(frozen=True, slots=True)
class Grids:
    """A sweep as Hydra hands it over, not yet expanded into points."""

    union: list[dict[str, Any]]
    arguments: list[str]  # overrides of the command line, those that sweep and those that do not
    config: DictConfig  # composed without what sweeps
    loader: ConfigLoader  # composes the points

    @property
    def experiment(self) -> str | None:
        name: str | None = self.config.hydra.runtime.choices.get("experiment")
        return name

    def axes(self) -> list[dict[str, str]]:
        """The axes of each grid with what the command line says, as they would be typed."""
        return [
            {
                axis.get_key_element(): (axis.input_line or "").partition("=")[2]
                for axis in grid
                if axis.key_or_group != "experiment"
            }
            for grid in _grids(self.union, self.arguments, self.loader)
        ]

    def count(self) -> int:
        """How many points there are, before doubles are left out; without expanding them."""
        return count(self.union, self.arguments, self.loader)

    def points(self) -> list[list[str]]:
        """Every point of every grid, as overrides; each point once."""
        return points(self.union, self.arguments, self.loader)


def points(
    union: list[dict[str, Any]], arguments: list[str], loader: ConfigLoader | None = None
) -> list[list[str]]:
    """Every point of every grid multiplied with the arguments, as overrides; each point once.

    Arguments:
        loader: knows the options of a group, for axes such as `pruning/schedule=glob(*)`.
    """
    chosen: dict[tuple[str, ...], None] = {}
    for axes in _grids(union, arguments, loader):
        chosen |= dict.fromkeys(itertools.product(*map(_values, axes)))
    return [list(point) for point in chosen]


def count(
    union: list[dict[str, Any]], arguments: list[str], loader: ConfigLoader | None = None
) -> int:
    """How many points the grids have, where a point of several grids counts several times."""
    return sum(math.prod(map(_length, axes)) for axes in _grids(union, arguments, loader))


def _grids(
    union: list[dict[str, Any]], arguments: list[str], loader: ConfigLoader | None
) -> list[list[Override]]:
    """The axes of each grid: its own, then those of the command line that are meant for it."""
    parser = OverridesParser.create(config_loader=loader)
    given = parser.parse_overrides(arguments)
    for override in given:
        if override.key_or_group == "experiment" and override.is_sweep_override():
            why = "takes one experiment, since each has a plan of its own"
            raise Invalid([Fault("experiment", f"{why}, got {override.input_line}")])
    grids = [
        parser.parse_overrides(expand([f"{key}={_text(value)}" for key, value in grid.items()]))
        for grid in union or [{}]
    ]
    replaced = {override.key_or_group for override in given}
    merged = []
    for grid in grids:
        own = [
            axis
            for axis in grid
            if not {axis.key_or_group, DEPENDS_ON.get(axis.key_or_group)} & replaced
        ]
        axes = [*own, *given]
        dense = any(axis.input_line == "pruning=none" for axis in axes)
        merged.append([axis for axis in axes if not (dense and _is_of_pruning(axis))])
    return merged


def _is_of_pruning(axis: Override) -> bool:
    return re.match(r"pruning[./]", axis.key_or_group) is not None


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
