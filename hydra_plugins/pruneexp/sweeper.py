"""The sweeper that Hydra makes for `-m` and for experiments of mode MULTIRUN.

An experiment holds `hydra.sweeper.union`, a list of grids; `pruneexp.cli.grids` says what becomes
of them. The sweeper itself runs nothing: it hands the grids to the caller of Hydra.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pruneexp.cli.compose import Composed
from pruneexp.cli.grids import Grids


@dataclass
class SweeperConfig:
    _target_: str = "hydra_plugins.pruneexp.sweeper.UnionSweeper"
    union: list[dict[str, Any]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)  # axes, as Hydra's own sweeper has them


ConfigStore.instance().store(
    group="hydra/sweeper", name="pruneexp", node=SweeperConfig, provider="pruneexp"
)


class UnionSweeper(Sweeper):
    """Takes the union of grids from the configuration, and the command line from Hydra."""

    def __init__(self, union: list[dict[str, Any]], params: dict[str, Any]) -> None:
        # Hydra hands over its own kinds of lists and dictionaries
        plain: Any = OmegaConf.to_container(OmegaConf.create({"union": union, "params": params}))
        self.union: list[dict[str, Any]] = plain["union"]
        self.params: dict[str, Any] = plain["params"]

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """`task_function` is the `Composed` that `pruneexp.cli.compose` gave to Hydra."""
        assert isinstance(task_function, Composed), task_function
        self.hand_over = task_function.sweep
        self.loader = hydra_context.config_loader
        self.without_points = config

    def sweep(self, arguments: list[str]) -> None:
        """Hand over what the sweep consists of; the caller of Hydra reads and runs it."""
        grids = [{**self.params, **grid} for grid in self.union or [{}]]
        self.hand_over(Grids(grids, arguments, self.without_points, self.loader))
