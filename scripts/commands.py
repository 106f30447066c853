"""docs/commands.md: every command with its options, as `--help` says them.

python -m scripts.commands > docs/commands.md
"""

import os

from pruneexp.cli.commands import LISTED, Command, help_of_overrides

WIDTH = "88"  # columns of help texts, whatever the terminal's


def page() -> str:
    """The whole file."""
    os.environ["COLUMNS"] = WIDTH
    parts = [
        "# Commands",
        "",
        "As `pruneexp COMMAND --help` says it. `results=X` and `--results X` are the same "
        "everywhere, and so are `format=json` and `--format json`. Made by "
        "`python -m scripts.commands`.",
    ]
    for name, command in LISTED.items():
        parts += ["", f"## pruneexp {name}", "", "```", _help(command).rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _help(command: Command) -> str:
    return help_of_overrides(command) if command.composes else command.parser().format_help()


if __name__ == "__main__":
    print(page(), end="")
