"""The command line: which command it is, help, completion, and the exit status.

What commands there are stands in `commands.py`. Nothing here imports torch, rich or hydra before a
command needs it.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from errno import EIO, ENOSPC
from io import TextIOWrapper
from typing import NoReturn

from pruneexp.cli.commands import COMMANDS, LISTED, overview
from pruneexp.cli.messages import BAD_INPUT, CLOSED_PIPE, FAILED, FINISHED, INTERRUPTED, complain
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """`pruneexp ARGUMENTS`; those of the process without. Ends the process with the exit status:
    0 finished, 1 a run failed, 2 the input is wrong, 130 interrupted, 141 the output was closed."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that the terminal does not know is a "?"
            stream.reconfigure(errors="replace")
    try:
        sys.exit(_flushed(words))
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        _stop_writing()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        if error.errno not in (ENOSPC, EIO) or error.filename is not None:
            raise
        _stop_writing()
        complain([f"the output cannot be written ({error.strerror})"])
        sys.exit(FAILED)
    except Invalid as invalid:
        complain(str(fault).strip() for fault in invalid.faults)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _flushed(words: list[str]) -> int | str | None:
    """Do what the words ask for, and write all output, so that what keeps it from being written is
    known. Returns the exit status."""
    status: int | str | None
    try:
        status = _dispatch(words)
    except (files.NotFound, files.Damaged, files.CannotWrite) as error:
        complain([str(error)])
        status = BAD_INPUT
    except SystemExit as ended:  # of an argument parser
        status = ended.code
    sys.stdout.flush()
    return status


def _stop_writing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    if words and words[0].startswith(("-sc", "--shell-completion", "--shell_completion")):
        from pruneexp.cli.completion import complete

        return complete(words)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return FINISHED if words else BAD_INPUT
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"pruneexp {version('pruneexp')}")
        return FINISHED
    name, rest = words[0], words[1:]
    if name in COMMANDS:
        return COMMANDS[name](rest)
    near = get_close_matches(name, LISTED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(LISTED)}."
    if "=" in name:
        hint = f"overrides follow a command: pruneexp run {' '.join(words)}"
    complain([f"no command {name}; {hint}"])
    return BAD_INPUT
