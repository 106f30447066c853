"""How a command ends: its exit status, and what it says where it fails."""

import sys
from collections.abc import Iterable

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"pruneexp: {line}", file=sys.stderr)
