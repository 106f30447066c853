"""Every command and option is documented, and every command in the documents can be read."""

import re
import shlex
from pathlib import Path

import pytest

from pruneexp.cli.commands import COMMANDS, LISTED
from pruneexp.cli.compose import compose
from pruneexp.cli.words import for_parser, without_cfg
from scripts.commands import page

ROOT = Path(__file__).parent.parent
# extending.md adds options of its own, which `test_extending.py` tries.
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "extending.md"]
DOCUMENTS = [ROOT / "README.md", *PAGES]
DOCUMENTS += [ROOT / "results" / "published" / "README.md"]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(pruneexp [^`\n]+)`")
# What stands for something of the reader's own, or is no whole command.
OPEN = re.compile(
    r"0123456789ab|\.\.\.|…|model=mine|\bNAME\b|\bFOLDER\b|\bNAMES\b|\bCOMMAND\b|<|\|"
)


def commands() -> list[tuple[str, str]]:
    """Every command in the documents with the document's name."""
    found: dict[tuple[str, str], None] = {}
    for path in DOCUMENTS:
        if path.name == "commands.md":
            continue
        text = path.read_text()
        for block in FENCE.findall(text):
            joined = block.replace("\\\n", " ")
            found |= {
                (path.name, line.strip().removeprefix("$ ")): None
                for line in joined.splitlines()
                if line.strip().removeprefix("$ ").startswith("pruneexp ")
            }
        found |= {(path.name, line): None for line in INLINE.findall(FENCE.sub("", text))}
    return [(name, line) for name, line in found if not OPEN.search(line.partition("#")[0])]


def test_there_are_many() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize(("document", "line"), commands())
def test_a_command_of_a_document_can_be_read(document: str, line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    if not words or words[0].startswith("-"):
        return
    for one in _apart(words):
        command = COMMANDS[one[0]]
        if len(one) == 1:  # the command is only named
            continue
        if command.composes:
            rest, _ = without_cfg([word for word in one[1:] if word != "--yes"])
            if not {"-h", "--help"} & set(rest):
                compose(rest)
            continue
        parser = command.parser()
        if not {"-h", "--help"} & set(one):
            parser.parse_args(for_parser(_sound(one[1:]), parser._option_string_actions))


def _apart(words: list[str]) -> list[list[str]]:
    """`pruneexp report PLAN --runs; pruneexp take F` as two commands."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "pruneexp":
            parts.append([])
        else:
            parts[-1].append(word.removesuffix(";"))
            if word.endswith(";"):
                parts.append([])
    return [part for part in parts if part]


def _sound(words: list[str]) -> list[str]:
    return [word for word in words if word]


def test_the_page_of_commands_is_what_help_says() -> None:
    assert (ROOT / "docs" / "commands.md").read_text() == page(), "python -m scripts.commands"


@pytest.mark.parametrize("name", LISTED)
def test_every_command_stands_in_the_readme(name: str) -> None:
    code = " ".join(FENCE.findall((ROOT / "README.md").read_text()))
    assert re.search(rf"\b{name}\b", code)
