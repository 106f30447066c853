"""What a person sees while runs are under way: a live table in a terminal, else plain lines."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pruneexp.record import Progress

COLOURS = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "damaged": "red",
    "interrupted": "yellow",
    "waiting": "dim",
}
LINE_SECONDS = 15.0  # between two plain lines about a run that goes on


class Row:
    """One run as the display knows it."""

    def __init__(
        self,
        name: str,
        state: str,
        progress: Progress | None = None,
        test: str = "",
        error: str = "",
    ) -> None:
        self.name, self.state, self.progress = name, state, progress
        self.test, self.error = test, error


class Display:
    """Shows rows as often as asked; a terminal gets a live table, anything else lines."""

    def __init__(self, title: str, console: Console) -> None:
        self.title, self.console = title, console
        self.began = time.monotonic()
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )
        self._lines: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def show(self, rows: Sequence[Row], workers: int = 1) -> None:
        if self._live:
            room = max(3, self.console.height - 6)
            self._live.update(table(rows, self._headline(rows, workers), self.console.width, room))
        else:
            for row in rows:
                self._line(row)

    def _headline(self, rows: Sequence[Row], workers: int) -> str:
        done = sum(row.state in ("finished", "failed", "damaged") for row in rows)
        words = [self.title, f"{done} of {len(rows)} done", f"{_time(self._elapsed())} gone"]
        left = seconds_left(rows, workers)
        if left is not None and done < len(rows):
            words.append(f"about {_time(left)} left")
        return " · ".join(words)

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _line(self, row: Row) -> None:
        """A line when a run's state changes, and now and then while it runs."""
        now = time.monotonic()
        state, when = self._lines.get(row.name, ("", 0.0))
        going_on = row.state == "running" and now - when > LINE_SECONDS
        if row.state == state and not going_on:
            return
        self._lines[row.name] = (row.state, now)
        if state or row.state != "waiting":
            words = [f"{_time(self._elapsed()):>6}", row.state, row.name, *_numbers(row)]
            self.say("  ".join(words))


def table(rows: Sequence[Row], headline: str, width: int, room: int = 10**6) -> Table:
    """Runs as a table that fits the width; columns that say least go first in a narrow one."""
    shown = table_of(headline)
    wide, middle = width >= 100, width >= 70
    shown.add_column("run", overflow="ellipsis", no_wrap=True, ratio=1)
    shown.add_column("state", no_wrap=True)
    shown.add_column("step", justify="right", no_wrap=True)
    if middle:
        shown.add_column("sparsity", justify="right", no_wrap=True)
        shown.add_column("loss", justify="right", no_wrap=True)
    shown.add_column("valid", justify="right", no_wrap=True)
    if middle:
        shown.add_column("left", justify="right", no_wrap=True)
    shown.add_column("test", justify="right", no_wrap=True)
    chosen = _most_telling(rows, room)
    for row in chosen:
        p = row.progress
        step = f"{p.step}/{p.steps}" if p and p.steps else ""
        cells: list[str | Text] = [
            row.name if wide else _short(row.name),
            Text(_state(row), COLOURS.get(row.state, "")),
            step,
        ]
        if middle:
            cells.append(f"{p.sparsity:.1%}" if p and p.steps else "")
            cells.append(f"{p.loss:.3f}" if p and p.loss is not None else "")
        cells.append(f"{p.valid:.2f}" if p and p.valid is not None else "")
        if middle:
            cells.append(_time(p.seconds_left) if p and p.seconds_left is not None else "")
        shown.add_row(*cells, row.test)
        if row.error:
            shown.add_row(Text("  " + row.error.splitlines()[0], "red"))
    if len(chosen) < len(rows):
        shown.caption = f"and {len(rows) - len(chosen)} more"
    return shown


def table_of(title: str = "") -> Table:
    """The one look of all tables."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )


def seconds_left(rows: Sequence[Row], workers: int) -> float | None:
    """A guess: what runs need to end, and as much for each that waits as the known ones took."""
    running = [row.progress for row in rows if row.state == "running" and row.progress]
    left = [p.seconds_left for p in running if p.seconds_left is not None]
    whole = [
        p.seconds_left * p.steps / (p.steps - p.step)
        for p in running
        if p.seconds_left is not None and p.step < p.steps
    ]
    if not whole:
        return None
    waiting = sum(row.state in ("waiting", "interrupted") for row in rows)
    return (sum(left) + waiting * sum(whole) / len(whole)) / max(1, workers)


def _most_telling(rows: Sequence[Row], room: int) -> list[Row]:
    """All rows if they fit, else running and failed ones first, in the plan's order."""
    order = {"running": 0, "failed": 1, "damaged": 1, "interrupted": 2, "waiting": 3}
    first = sorted(range(len(rows)), key=lambda index: order.get(rows[index].state, 4))[:room]
    return [rows[index] for index in sorted(first)]


def _numbers(row: Row) -> list[str]:
    p = row.progress
    if row.state == "finished":
        return [f"test {row.test}"]
    if row.state in ("failed", "damaged"):
        return [row.error]
    if p is None or not p.steps:
        return []
    words = [f"step {p.step}/{p.steps}", f"sparsity {p.sparsity:.1%}"]
    words += [f"loss {p.loss:.3f}"] if p.loss is not None else []
    words += [f"valid {p.valid:.2f}"] if p.valid is not None else []
    words += [f"{_time(p.seconds_left)} left"] if p.seconds_left is not None else []
    return words


def _state(row: Row) -> str:
    stage = row.progress.stage if row.state == "running" and row.progress else ""
    return stage if stage not in ("", "training") else row.state


def _short(name: str) -> str:
    """Without the fingerprint, which tells a person least."""
    return name.rpartition("-")[0]


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
