"""What every task is, and where its data lies."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pruneexp.config.recipe import Fault, Invalid, Recipe, added, asked
from pruneexp.tasks.shape import Shape

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import LoadedTask

Signature = list[list[str | int]]  # files with their sizes and times of writing


@dataclass(kw_only=True, slots=True)
class Task(Recipe):
    """What is learned from which data.

    A subclass defines `shape`, known without data, and `load`, which gives a `LoadedTask`; its
    fields say which data. It is added to `OPTIONS` and to conf/task/.

    Arguments:
        name: tells data sets apart that are read in the same way; part of a run's name.
    """

    name: str = added(default="", before="")

    def label(self) -> str:
        """What a run's name says of its data."""
        return f"{self.word}_{self.name}" if self.name else self.word

    def name_rule(self) -> tuple[bool, str]:
        """What `name` takes, as a rule for `demand`."""
        return re.fullmatch(r"[\w.-]{0,50}", self.name) is not None, "a short word for the data"

    def settled(self) -> "Task":
        """The same task with what its shape depends on looked up, such as the number of classes.
        Raises `Invalid` where the data is not there."""
        return self

    def signature(self) -> Signature | None:
        """Which files the data is in, quickly: other data has another. None where the task's
        settings alone say what the data is, or where only loading tells."""
        return None

    def data_key(self) -> list[object]:
        """What, beside the files, says which data is read from which place."""
        return [asked(self)]

    def misfits(self, unroll: int) -> Iterator[Fault]:
        """What cannot be, given how many words a step goes along a text (`training.unroll`)."""
        yield from ()

    def ready(self) -> None:
        """Raise `Invalid` where what the task needs is not there: data, a module. Nothing heavy is
        read or imported."""

    def shape(self) -> Shape:
        """What goes into a model and what comes out, known without any data."""
        raise NotImplementedError(f"{type(self).__name__} has no shape")

    def load(self, cache: Path) -> "LoadedTask":
        """Read or make the data; what is made is kept under `cache`."""
        raise NotImplementedError(f"{type(self).__name__} loads nothing")


def signature_of(paths: list[Path]) -> Signature:
    """The files that are there, with their sizes and times of writing."""
    found: Signature = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append([str(path.absolute()), stat.st_size, stat.st_mtime_ns])
    return found


def place_of(root: str, word: str) -> Path:
    """Where a task's data lies: where `task.root` says, or under the folder of all data sets."""
    data = os.environ.get("PRUNEEXP_DATA")
    if not root and not data:
        why = f"must be given, or PRUNEEXP_DATA name the folder that holds {word}/"
        raise Invalid([Fault("task.root", why)])
    return Path(root).expanduser() if root else Path(str(data)) / word
