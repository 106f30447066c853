"""What TAB offers: commands, overrides of Hydra, and runs, plans and options of other commands."""

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from pruneexp.cli.commands import COMMANDS, LISTED, Command
from pruneexp.cli.messages import FINISHED
from pruneexp.engine.store import Store


def complete(words: list[str]) -> int:
    """Answer the shell. Hydra completes overrides but knows no commands: the command is taken out
    of the line that Hydra sees."""
    line = os.environ.get("COMP_LINE", "")
    if not any("query=" in word for word in words):  # the shell's own set-up, which Hydra prints
        _hydras(words)
        return FINISHED
    typed = line.split()
    begun = "" if line.endswith(" ") else (typed or [""])[-1]
    if len(typed) < 2 or (len(typed) == 2 and begun):
        _offer(name for name in LISTED if name.startswith(begun if len(typed) == 2 else ""))
        return FINISHED
    command = COMMANDS.get(typed[1])
    if command is None:
        return FINISHED
    if not command.composes:
        _offer(word for word in _words_of(command) if word.startswith(begun))
        return FINISHED
    if begun.startswith("-"):
        options = [option.split()[0] for option in command.options]
        _offer(option for option in options if option.startswith(begun))
        return FINISHED
    without = line.replace(f" {command.name}", "", 1)
    os.environ |= {"COMP_POINT": str(len(without)), "COMP_LINE": without}
    with redirect_stdout(io.StringIO()) as said:
        _hydras(words)
    _offer(word for word in said.getvalue().split() if "=base_" not in word)
    return FINISHED


def _hydras(words: list[str]) -> None:
    from pruneexp.cli.compose import compose

    compose(words)


def _offer(words: Iterator[str]) -> None:
    print(" ".join(words))


def _words_of(command: Command) -> Iterator[str]:
    """Options, and the names of what the command works on."""
    parser = command.parser()
    taken = {action.dest for action in parser._actions}
    yield from (name for name in parser._option_string_actions if name.startswith("--"))
    store = Store(Path("results"))
    if "plan" in taken or ("run" in taken and command.name in ("bytes", "latency")):
        yield from store.plan_names()
    if "run" in taken:
        yield from (folder.path.name for folder in store.folders())
