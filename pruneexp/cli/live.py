"""What a person sees while runs are under way: a live table in a terminal, else plain lines."""

import time
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pruneexp.cli.names import fitted
from pruneexp.engine.plan import Standing
from pruneexp.engine.record import Progress

COLOURS = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "damaged": "red",
    "interrupted": "yellow",
    "waiting": "dim",
}
MIDDLE = 70  # columns from which on more is told
ECHO = 3  # columns that are left for the terminal's ^C, which would begin a line otherwise
LINE_SECONDS = 15.0  # between two plain lines about a run that goes on


class DisplayRow:
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


def rows(standings: Iterable[Standing]) -> list[DisplayRow]:
    """The runs of a plan as the display knows them."""
    return [DisplayRow(s.planned.name, s.state, s.progress, s.test, s.error) for s in standings]


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

    def show(self, rows: Sequence[DisplayRow], workers: int = 1) -> None:
        if self._live:
            room = max(3, self.console.height - 6)
            width = self.console.width - ECHO
            headline = "\n".join(wrap(self._headline(rows, workers), width))
            self._live.update(table(rows, headline, width, room))
        else:
            for row in rows:
                self._line(row)

    def _headline(self, rows: Sequence[DisplayRow], workers: int) -> str:
        done = sum(row.state in ("finished", "failed", "damaged") for row in rows)
        words = [f"{told(self._elapsed())} gone"]
        if len(rows) > 1:  # a single run is named in its row
            words = [self.title, f"{done} of {len(rows)} done", *words]
        left = seconds_left(rows, workers)
        if left is not None and done < len(rows):
            words.append(f"about {told(left)} left")
        return " · ".join(words)

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _line(self, row: DisplayRow) -> None:
        """A line when a run's state changes, and now and then while it runs."""
        now = time.monotonic()
        state, when = self._lines.get(row.name, ("", 0.0))
        going_on = row.state == "running" and now - when > LINE_SECONDS
        if row.state == state and not going_on:
            return
        self._lines[row.name] = (row.state, now)
        if state or row.state != "waiting":
            words = [f"{told(self._elapsed()):>6}", row.state, row.name, *_numbers(row)]
            self.say("  ".join(words))


def table(rows: Sequence[DisplayRow], headline: str, width: int, room: int = 10**6) -> Group:
    """Runs as a table that fits the width: a narrow one leaves out the columns that say least, and
    of names what all share; numbers stay whole. Errors follow below."""
    chosen = _most_telling(rows, room)
    columns = {title: [cell(row) for row in chosen] for title, cell in CELLS.items()}
    if width < MIDDLE:
        columns = {title: columns[title] for title in ("state", "step", "valid", "test")}
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    taken = sum(2 + max(map(len, [title, *cells])) for title, cells in columns.items())
    names, shared = fitted([row.name for row in chosen], max(10, width - taken))
    shown = table_of(headline)
    shown.add_column("run", no_wrap=True)
    for title in columns:
        shown.add_column(title, no_wrap=True, justify="left" if title == "state" else "right")
    for index, row in enumerate(chosen):
        cells = [
            Text(values[index], COLOURS.get(row.state, "") if title == "state" else "")
            for title, values in columns.items()
        ]
        shown.add_row(names[index], *cells)
    notes = [f"all: {shared}"] if shared else []
    notes += [f"and {len(rows) - len(chosen)} more"] if len(chosen) < len(rows) else []
    shown.caption = Text("; ".join(notes)) if notes else None
    errors = [
        Text(f"{name}: {row.error.splitlines()[0]}", "red")
        for name, row in zip(names, chosen, strict=True)
        if row.error
    ]
    return Group(shown, *errors)


def _state(row: DisplayRow) -> str:
    stage = row.progress.stage if row.state == "running" and row.progress else ""
    return stage if stage not in ("", "training") else row.state


def _number(row: DisplayRow, form: Callable[[Progress], str]) -> str:
    return form(row.progress) if row.progress and row.progress.steps else ""


CELLS: dict[str, Callable[[DisplayRow], str]] = {
    "state": _state,
    "step": lambda row: _number(row, lambda p: f"{p.step}/{p.steps}"),
    "sparsity": lambda row: _number(row, lambda p: f"{p.sparsity:.1%}"),
    "loss": lambda row: _number(row, lambda p: "" if p.loss is None else f"{p.loss:.3f}"),
    "valid": lambda row: _number(row, lambda p: "" if p.valid is None else f"{p.valid:.2f}"),
    "left": lambda row: _number(
        row, lambda p: "" if p.seconds_left is None else told(p.seconds_left)
    ),
    "test": lambda row: row.test,
}


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


def seconds_left(rows: Sequence[DisplayRow], workers: int) -> float | None:
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


def _most_telling(rows: Sequence[DisplayRow], room: int) -> list[DisplayRow]:
    """All rows if they fit, else running and failed ones first, in the plan's order."""
    order = {"running": 0, "failed": 1, "damaged": 1, "interrupted": 2, "waiting": 3}
    first = sorted(range(len(rows)), key=lambda index: order.get(rows[index].state, 4))[:room]
    return [rows[index] for index in sorted(first)]


def _numbers(row: DisplayRow) -> list[str]:
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
    words += [f"{told(p.seconds_left)} left"] if p.seconds_left is not None else []
    return words


def told(seconds: float) -> str:
    """A time in words: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
