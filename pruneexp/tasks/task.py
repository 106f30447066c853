"""What every task is, and where its data lies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pruneexp.config.recipe import Fault, Invalid, Recipe
from pruneexp.tasks.shape import Shape

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import LoadedTask


@dataclass(kw_only=True, slots=True)
class Task(Recipe):
    """What is learned from which data.

    A subclass defines `shape`, known without data, and `load`, which gives a `LoadedTask`; its
    fields say which data. It is added to `OPTIONS` and to conf/task/.
    """

    def ready(self) -> None:
        """Raise `Invalid` where what the task needs is not there: data, a module. Nothing heavy is
        read or imported."""

    def shape(self) -> Shape:
        """What goes into a model and what comes out, known without any data."""
        raise NotImplementedError(f"{type(self).__name__} has no shape")

    def load(self, cache: Path) -> "LoadedTask":
        """Read or make the data; what is made is kept under `cache`."""
        raise NotImplementedError(f"{type(self).__name__} loads nothing")


def place_of(root: str, word: str) -> Path:
    """Where a task's data lies: where `task.root` says, or under the folder of all data sets."""
    data = os.environ.get("PRUNEEXP_DATA")
    if not root and not data:
        why = f"must be given, or PRUNEEXP_DATA name the folder that holds {word}/"
        raise Invalid([Fault("task.root", why)])
    return Path(root).expanduser() if root else Path(str(data)) / word
