"""What every logger does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, float]  # of the history: step, rate, loss, sparsity, and validation where it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """The run that is logged.

    Arguments:
        name: its folder's name.
        fingerprint: the last part of it; equal runs have equal ones.
        project: what it belongs to, such as the experiment's title.
        configuration: all that was asked for, flat: "model.width" and so on.
        folder: under which a logger keeps files of its own.
        resumed: what the logger returned when the run began, if it goes on; empty else.
    """

    name: str
    fingerprint: str
    project: str
    configuration: Mapping[str, Any]
    folder: Path
    resumed: str = ""


class Logger:
    """One run in one program. All calls come from one thread, in this order: `begin`, `row` many
    times, `finish` if the run came to its end, `close`.

    A subclass may raise anything: it is then left out, and the run goes on.
    """

    def begin(self, run: Followed) -> str:
        """Open the run, or the same one again where `run.resumed` is given. Returns what opens it
        again."""
        raise NotImplementedError(f"{type(self).__name__} has no begin")

    def row(self, step: int, values: Row) -> None:
        """One row of the history; steps rise."""
        raise NotImplementedError(f"{type(self).__name__} has no row")

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        """The final metrics ("test/accuracy"), and files that belong to the run."""
        raise NotImplementedError(f"{type(self).__name__} has no finish")

    def close(self, state: str) -> None:
        """No more will come.

        Arguments:
            state: finished, interrupted or failed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no close")
