"""The one that watches a run for its loggers, in a thread of its own: a logger that fails or does
not answer is left out with a line, and the run never waits for it but a while at its end."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pruneexp.engine import files
from pruneexp.loggers import load
from pruneexp.loggers.logger import Followed, Logger, Row
from pruneexp.printable import one_line

LOGGED = "loggers.json"  # in the run's folder: what opens each logged run again, and its last step
PATIENCE = 30.0  # seconds for loggers to end, once the run has
LONGEST = 300  # characters of what a logger's failure says
Act = Callable[[Logger], object]


class Follower:
    """Gives rows, metrics and files to loggers.

        follower = Follower(["tensorboard"], run, run_folder, say=print)
        follower.look(history)  # as often as it grows
        follower.finish(metrics, files)
        follower.close("finished")

    Arguments:
        names: of loggers.
        run: what is logged.
        folder: of the run, where it is kept how far each has come.
        say: called with a line where a logger is left out.
        patience: seconds that loggers have to end.
    """

    def __init__(
        self,
        names: Sequence[str],
        run: Followed,
        folder: Path,
        *,
        say: Callable[[str], None],
        patience: float = PATIENCE,
    ) -> None:
        self.folder, self.say, self.patience = folder, say, patience
        self.seen = 0
        self._known = _read(folder / LOGGED)
        self._lines: list[_Line] = []
        for name in names:
            before = self._known.get(name, {})
            opened = replace(run, resumed=str(before.get("id", "")))
            line = _Line(name, opened, int(before.get("step", 0)), self._left_out)
            self._lines.append(line)
            line.start()

    def look(self, history: Sequence[Row]) -> None:
        """Pass on the rows that have come since the last look."""
        if not self._lines:
            return
        # A validation is written into the last row, so it waits until another follows.
        for row in history[self.seen : -1]:
            self._pass_on(row)
        self.seen = max(self.seen, len(history) - 1)

    def _pass_on(self, row: Row) -> None:
        values = {name: float(value) for name, value in row.items() if name != "step"}
        for line in self._lines:
            line.row(int(row["step"]), values)

    def finish(
        self, history: Sequence[Row], metrics: Mapping[str, float], paths: list[Path]
    ) -> None:
        """Pass on what is left, the final metrics and files."""
        self.look(history)
        for row in history[self.seen :]:
            self._pass_on(row)
        for line in self._lines:
            line.put(lambda logger: logger.finish(metrics, paths))

    def close(self, state: str) -> None:
        """End all loggers, as finished, interrupted or failed."""
        for line in self._lines:
            line.end(state)
        for line in self._lines:
            line.join(self.patience)
            if line.is_alive():
                self._left_out(line.name, f"does not answer after {self.patience:g} seconds")
        kept = {line.name: {"id": line.id, "step": line.step} for line in self._lines if line.id}
        if kept:
            try:
                files.save_json(self.folder / LOGGED, {"loggers": self._known | kept})
            except files.CannotWrite as error:
                self.say(f"loggers: {error}")

    def _left_out(self, name: str, why: str) -> None:
        self.say(f"logger {name} is left out: {why}")


class _Line(threading.Thread):
    """One logger, and what waits for it."""

    def __init__(
        self, name: str, run: Followed, step: int, left_out: Callable[[str, str], None]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.id, self.step = run.resumed, step
        self._begun_with = run
        self._passed = step  # the last step that was put
        self._left_out = left_out
        self._waiting: queue.SimpleQueue[Act | None] = queue.SimpleQueue()

    def row(self, step: int, values: Row) -> None:
        """Put a row, unless the logged run has it from before it was interrupted."""
        if step <= self._passed:
            return
        self._passed = step

        def act(logger: Logger) -> None:
            logger.row(step, values)
            self.step = step

        self.put(act)

    def put(self, act: Act) -> None:
        """Let the logger do this once it has done all before."""
        self._waiting.put(act)

    def end(self, state: str) -> None:
        """Close the logger once it has done all."""
        self.put(lambda logger: logger.close(state))
        self._waiting.put(None)

    def run(self) -> None:
        """Do what waits, until the end or a failure."""
        try:
            logger = load(self.name)()
            self.id = logger.begin(self._begun_with)
            for act in self._acts():
                act(logger)
        except BaseException as error:  # a library of others may raise anything, SystemExit too
            why = one_line(f"{type(error).__name__}: {error}")
            self._left_out(self.name, why[:LONGEST])

    def _acts(self) -> Iterator[Act]:
        while (act := self._waiting.get()) is not None:
            yield act


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """How far loggers had come; nothing where that is not known."""
    try:
        found = files.load_json(path).get("loggers", {})
    except (OSError, files.Damaged):
        return {}
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, dict)
        and isinstance(each.get("id"), str)
        and isinstance(each.get("step"), int)
    }
