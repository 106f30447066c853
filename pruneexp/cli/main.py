"""The command line: which command it is, help, completion, and the exit status.

What commands there are stands in `commands.py`. Nothing here imports torch, rich or hydra before a
command needs it.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from pruneexp.cli.commands import COMMANDS, LISTED, overview
from pruneexp.cli.messages import BAD_INPUT, CLOSED_PIPE, FINISHED, INTERRUPTED, complain
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """`pruneexp ARGUMENTS`; those of the process without. Ends the process with the exit status:
    0 finished, 1 a run failed, 2 the input is wrong, 130 interrupted, 141 the output was closed."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED_PIPE)
    except Invalid as invalid:
        complain(str(fault).strip() for fault in invalid.faults)
        sys.exit(BAD_INPUT)
    except (files.NotFound, files.Damaged, files.CannotWrite) as error:
        complain([str(error)])
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _dispatch(words: list[str]) -> int:
    if words and words[0].startswith(("-sc", "--shell-completion", "--shell_completion")):
        return _complete(words)
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


def _complete(words: list[str]) -> int:
    """Hydra completes overrides but knows no commands: complete those here, and take the command
    out of the line that Hydra sees."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if any("query=" in word for word in words):
        if len(typed) < 2 or (len(typed) == 2 and not line.endswith(" ")):
            begun = typed[1] if len(typed) == 2 else ""
            print(" ".join(name for name in LISTED if name.startswith(begun)))
            return FINISHED
        command = COMMANDS.get(typed[1])
        if command is None or not command.composes:
            return FINISHED
        without = line.replace(f" {command.name}", "", 1)
        os.environ["COMP_POINT"] = str(len(without))
        os.environ["COMP_LINE"] = without
    from pruneexp.cli.compose import compose

    compose(words)
    return FINISHED
