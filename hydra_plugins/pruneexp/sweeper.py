"""A sweeper that expands a union of grids into one plan and hands it to pruneexp's workers.

An experiment holds `hydra.sweeper.union`, a list of grids. Each is multiplied with the sweeps of
the command line; a key of the command line that is an axis of some grids replaces it there and
leaves the other grids alone. A point that cannot be read fails alone.
"""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pruneexp.cli import hydra_errors
from pruneexp.config.read import read
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run
from pruneexp.engine.lineage import settle


@dataclass
class SweeperConfig:
    _target_: str = "hydra_plugins.pruneexp.sweeper.UnionSweeper"
    union: list[dict[str, Any]] = field(default_factory=list)


ConfigStore.instance().store(
    group="hydra/sweeper", name="pruneexp", node=SweeperConfig, provider="pruneexp"
)


class UnionSweeper(Sweeper):
    def __init__(self, union: list[dict[str, Any]]) -> None:
        # Hydra hands over its own kind of list
        plain: Any = OmegaConf.to_container(OmegaConf.create(union))
        self.union: list[dict[str, Any]] = plain

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader = hydra_context.config_loader
        self.composed = config

    def sweep(self, arguments: list[str]) -> None:
        """Read every point, then leave with the exit status of the sweep."""
        from pruneexp.cli import run

        runs: list[Run] = []
        unreadable: list[dict[str, str]] = []
        for point in points(self.union, arguments):
            try:
                runs.append(self._read(point))
            except Invalid as invalid:
                unreadable.append({"overrides": " ".join(point), "error": str(invalid)})
        experiment = self.composed.hydra.runtime.choices.get("experiment")
        raise SystemExit(run.sweep(experiment, arguments, runs, unreadable))

    def _read(self, overrides: list[str]) -> Run:
        try:
            return settle(read(self.loader.load_sweep_config(self.composed, overrides)))
        except Invalid:
            raise
        except hydra_errors.EXPECTED as error:
            fault, _ = hydra_errors.fault(error)
            raise Invalid([fault or Fault("sweep", str(error))]) from error


def points(union: list[dict[str, Any]], arguments: list[str]) -> list[list[str]]:
    """Every point of every grid, as overrides; each point once."""
    parser = OverridesParser.create()
    given = parser.parse_overrides(arguments)
    for override in given:
        if override.key_or_group == "experiment" and override.is_sweep_override():
            why = "takes one experiment, since each has a plan of its own"
            raise Invalid([Fault("experiment", f"{why}, got {override.input_line}")])
    axes_of_union = {key for grid in union for key in grid}
    replaced = {override.key_or_group for override in given} & axes_of_union
    found: dict[tuple[str, ...], None] = {}
    for grid in union or [{}]:
        mine = [f"{key}={_text(value)}" for key, value in grid.items() if key not in replaced]
        said = [o for o in given if _is_for(o.key_or_group, grid, replaced)]
        axes = [_values(override) for override in [*parser.parse_overrides(mine), *said]]
        found |= dict.fromkeys(itertools.product(*axes))
    return [list(point) for point in found]


def _is_for(key: str, grid: dict[str, Any], replaced: set[str]) -> bool:
    """Whether a key of the command line is meant for a grid: an axis of other grids is not, and
    what is said of pruning is not said of dense points."""
    if grid.get("pruning") == "none" and re.match(r"pruning[./]", key):
        return False
    return key not in replaced or key in grid


def _text(value: Any) -> str:
    """A value of a grid as it would be typed; a list or a text with commas sweeps."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _values(override: Any) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line]
    if not override.is_discrete_sweep():
        raise Invalid(
            [Fault(override.key_or_group, f"takes a list of values, got {override.input_line}")]
        )
    return [f"{override.get_key_element()}={text}" for text in override.sweep_string_iterator()]
