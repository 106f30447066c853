"""Loggers: programs that people watch runs with. Each gets a run's configuration, its history as it
grows, its final metrics and its record, and none can cost a run.

    pruneexp run logger=tensorboard ...
    pruneexp run logger=[wandb,mlflow] ...

To add one: a file here with a class of `Logger`, and an entry in `LOGGERS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pruneexp.config.recipe import Fault, Invalid, either

if TYPE_CHECKING:
    from pruneexp.loggers.logger import Logger


@dataclass(frozen=True, slots=True)
class Known:
    """A logger by its name.

    Arguments:
        module: of this package that holds it.
        kind: the class there.
        package: that must be installed, as it is imported.
    """

    module: str
    kind: str
    package: str


LOGGERS = {
    "tensorboard": Known("tensorboard", "TensorBoardLogger", "tensorboard"),
    "wandb": Known("wandb", "WandbLogger", "wandb"),
    "mlflow": Known("mlflow", "MLflowLogger", "mlflow"),
    "trackio": Known("trackio", "TrackioLogger", "trackio"),
}
EXTRA = "pip install 'pruneexp[loggers]', or the package alone"


def takes(names: Sequence[str]) -> tuple[bool, str]:
    """Whether these are names of loggers, and what there is, as a rule for `demand`."""
    known = all(name in LOGGERS for name in names) and len({*names}) == len(names)
    return known, f"{either([*LOGGERS])}, several in brackets, or none"


def demand_installed(names: Sequence[str]) -> None:
    """Raise `Invalid` where a package is not installed. Nothing is imported."""
    lacking = [name for name in names if find_spec(LOGGERS[name].package) is None]
    if lacking:
        why = f"={','.join(lacking)} needs the package {', '.join(lacking)}: {EXTRA}"
        raise Invalid([Fault("logger", why)])


def load(name: str) -> "type[Logger]":
    """The class of a logger; its package is imported."""
    known = LOGGERS[name]
    kind: type[Logger] = getattr(import_module(f"pruneexp.loggers.{known.module}"), known.kind)
    return kind
