"""From the words behind `pruneexp run` or `size` to what Hydra composes of them.

The way of a sweep through the command line:

1. `compose` hands the words to `hydra.main` with a `Composed` in the place of a task function.
2. Hydra composes. For a sweep it makes the sweeper in `hydra_plugins/pruneexp`, which calls
   `Composed.sweep` with the grids; for one configuration Hydra calls the `Composed` itself.
3. `compose` returns the `Composed` to `cli/run.py`, which reads what is in it and acts.

Nothing is read or run while Hydra is at work.
"""

import os
import re
import sys
import warnings
from typing import Any

from omegaconf import DictConfig

from pruneexp.cli import hydra_errors
from pruneexp.cli.grids import Grids
from pruneexp.cli.words import for_hydra
from pruneexp.config import schemas, short_forms
from pruneexp.config.location import CONF
from pruneexp.config.recipe import Fault, Invalid

SWEEPING = ("-m", "--multirun")
CONFIG_DIR = ("--config-dir", "-cd")
USED = ("hydra.mode", "hydra.searchpath", "hydra.launcher", "hydra.sweeper", "hydra/")


class Composed:
    """What Hydra has composed: one configuration, or the grids of a sweep, or nothing where it
    only printed something, as with --cfg."""

    def __init__(self) -> None:
        self.configurations: list[DictConfig] = []  # several from a sweeper of Hydra's own
        self.grids: Grids | None = None

    def __call__(self, configuration: DictConfig) -> None:
        """Take one configuration. Hydra calls this as the task function."""
        self.configurations.append(configuration)

    def sweep(self, grids: Grids) -> None:
        """Take a sweep. The sweeper calls this once."""
        self.grids = grids


def compose(words: list[str]) -> Composed:
    """Let Hydra compose what the words ask for.

    Arguments:
        words: overrides, in short or long form, and options of Hydra, in any order.

    Raises `Invalid` with everything that is wrong with the words.
    """
    import hydra

    from pruneexp.cli.quoting import quoted

    words = short_forms.expand(for_hydra(words))
    _demand_used(words)
    words = quoted(_flags_first(words))
    schemas.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and this file says what is wrong
    composed: Any = Composed()
    before, sys.argv = sys.argv, ["pruneexp", *words]
    start = hydra.main(version_base="1.3", config_path=str(CONF), config_name="run")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Hydra raises about the same
            start(composed)()
    except Invalid:
        raise
    except (*hydra_errors.EXPECTED, ValueError) as error:
        hydra_errors.demand_hydras(error)
        raise Invalid(_faults(words, error)) from error
    finally:
        sys.argv = before
    assert isinstance(composed, Composed)
    return composed


def _faults(words: list[str], error: Exception) -> list[Fault]:
    """Everything that is wrong, not only what Hydra stopped at, unless the words are a sweep: then
    no single configuration can be composed from them."""
    overrides = [word for word in words if "=" in word and not word.startswith("--")]
    sweeps = any(word in SWEEPING for word in words) and any("," in word for word in overrides)
    faults = [] if sweeps else hydra_errors.faults(overrides, _config_dir(words))
    return faults or [Fault("", hydra_errors.plainly(error))]


def _demand_used(words: list[str]) -> None:
    """Raise `Invalid` for what Hydra would accept and nothing here would heed."""
    faults = []
    for word in words:
        if re.match(r"--config-(name|path)|-c[np]\b", word):
            faults.append(Fault(word, "cannot be chosen; --config-dir FOLDER adds your own YAML"))
        if word.startswith("experiment=["):
            got = word.partition("=")[2]
            why = f"takes one experiment, since each has a plan of its own, got {got}"
            faults.append(Fault("experiment", why))
        key = word.lstrip("+~").partition("=")[0]
        if key.startswith(("hydra.", "hydra/")) and not key.startswith(USED):
            why = "is not used: runs lie under results=FOLDER and are named by what they are. Used "
            why += "are hydra.mode, hydra.searchpath, hydra.launcher.*, hydra.sweeper.params"
            faults.append(Fault(key, why))
    if faults:
        raise Invalid(faults)


def _flags_first(words: list[str]) -> list[str]:
    """Hydra's own parser takes no override after a flag that follows one."""
    flags: list[str] = []
    others: list[str] = []
    for index, word in enumerate(words):
        is_value = index > 0 and words[index - 1] in CONFIG_DIR
        is_flag = is_value or word in (*SWEEPING, *CONFIG_DIR)
        (flags if is_flag else others).append(word)
    return [*flags, *others]


def _config_dir(words: list[str]) -> str | None:
    for index, word in enumerate(words):
        if word in CONFIG_DIR and index + 1 < len(words):
            return os.path.abspath(words[index + 1])
        if word.startswith("--config-dir="):
            return os.path.abspath(word.partition("=")[2])
    return None
