"""The console of all commands: what it prints is fit for a terminal, wherever it came from."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from pruneexp.printable import printable

WIDE = 160  # columns where no terminal says how many there are


def _is_terminal(stderr: bool) -> bool:
    return (sys.stderr if stderr else sys.stdout).isatty()


class Console(RichConsole):
    """Prints tables and lines. Square brackets are text, not markup; numbers get no colours; and
    no character that a file, a name or an error holds reaches the terminal as an order to it.

    Arguments:
        stderr: print to standard error.
        quiet: print nothing.
        width: in columns; without, that of the terminal, of COLUMNS, or, in a file or a pipe, wide
            enough for every column.
    """

    def __init__(
        self, *, stderr: bool = False, quiet: bool = False, width: int | None = None, **options: Any
    ) -> None:
        if width is None and "COLUMNS" not in os.environ and not _is_terminal(stderr):
            width = WIDE
        super().__init__(
            stderr=stderr, quiet=quiet, width=width, markup=False, highlight=False, **options
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What rich makes of something, with all of its text fit to print."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)
