"""How a command ends: its exit status, and what it says on the terminal where it fails."""

import sys
from collections.abc import Iterable

FINISHED, FAILED, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141


def complain(lines: Iterable[str]) -> None:
    """Write lines to the terminal, without control characters that an untrusted file may have put
    there."""
    for line in lines:
        plain = "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in line)
        print(f"pruneexp: {plain}", file=sys.stderr)
