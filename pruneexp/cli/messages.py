"""How a command ends: its exit status, and what it says on the terminal where it fails."""

import sys
from collections.abc import Iterable

from pruneexp.printable import printable

FINISHED, FAILED, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141


def complain(lines: Iterable[str]) -> None:
    """Write lines to standard error, each behind the program's name."""
    for line in lines:
        print(f"pruneexp: {printable(line)}", file=sys.stderr)


def say(line: str) -> None:
    """Write a line to standard output."""
    print(printable(line))
