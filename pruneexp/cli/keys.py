"""Every key of a run with its default and its meaning, as `pruneexp run --help` lists them.

The meaning stands where the key is defined: under `Arguments:` in the docstring of its recipe, or
in a comment beside it.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path

from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import Recipe, is_part
from pruneexp.config.run import Run

ARGUMENTS = re.compile(r"^ *Arguments:\n((?:(?: {2,}.*)?\n?)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is typed, the options of its group that have it, and what it means."""

    name: str  # "pruning.schedule.begin"
    default: str
    options: tuple[str, ...]  # empty where all of the group have it
    meaning: str

    def line(self) -> str:
        """What is said of it: its meaning, and with which options it is there."""
        having = f" (with {', '.join(self.options)})" if self.options else ""
        return self.meaning + having


def keys() -> Iterator[Key]:
    """All keys, group by group, each once."""
    for group, options in OPTIONS.items():
        prefix = group.replace("/", ".")
        having: dict[str, list[type[Recipe]]] = {}
        for option in options:
            for item in _own(option):
                having.setdefault(item.name, []).append(option)
        for name, recipes in having.items():
            by_meaning: dict[str, list[type[Recipe]]] = {}
            for recipe in recipes:
                by_meaning.setdefault(meaning(recipe, name), []).append(recipe)
            for said, alike in by_meaning.items():
                every = len(alike) == len(options)
                words = () if every else tuple(recipe.word for recipe in alike)
                yield Key(f"{prefix}.{name}", _default(alike[0], name), words, said)
    for item in _own(Run):
        yield Key(item.name, _default(Run, item.name), (), meaning(Run, item.name))


def _own(recipe: type[Recipe]) -> "list[Field[object]]":
    """The fields that hold values; the others are groups."""
    return [item for item in fields(recipe) if not is_part(item.type)]


def _default(recipe: type[Recipe], name: str) -> str:
    item = next(item for item in fields(recipe) if item.name == name)
    if item.default_factory is not MISSING:
        value: object = item.default_factory()
    elif item.default is MISSING:
        return "must be given"
    else:
        value = item.default
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if value != "" else "''"


def meaning(recipe: type[Recipe], name: str) -> str:
    """What a key of a recipe means, as it or the nearest of its bases says."""
    for base in recipe.__mro__:
        if said := _arguments(base).get(name) or _comments(base).get(name):
            return said.rstrip(".")
    return ""


@cache
def _arguments(recipe: type) -> dict[str, str]:
    """What the docstring says of each argument."""
    block = ARGUMENTS.search(inspect.cleandoc(recipe.__doc__ or "") + "\n")
    if block is None:
        return {}
    said: dict[str, str] = {}
    names: list[str] = []
    for line in block[1].splitlines():
        begun = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if begun:
            names = begun[1].split(", ")
            said |= dict.fromkeys(names, begun[2])
        elif line.startswith(" " * 8):
            said |= {name: f"{said[name]} {line.strip()}" for name in names}
        else:
            break
    return said


@cache
def _source(module: str) -> list[str]:
    """A module's lines; `inspect.getsource` would parse it once for each class."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path).read_text().splitlines() if path else []


@cache
def _comments(recipe: type) -> dict[str, str]:
    """What a comment beside or above each field says."""
    lines = _source(recipe.__module__)
    header = re.compile(rf"class {recipe.__name__}\b")
    first = next((n for n, line in enumerate(lines) if header.match(line)), len(lines))
    said: dict[str, str] = {}
    above: list[str] = []
    for line in lines[first + 1 :]:
        if line[:1].strip():  # the next statement of the module
            break
        if comment := re.fullmatch(r" {4}# (.*)", line):
            above.append(comment[1])
            continue
        if found := re.match(r" {4}(\w+): [^#]*(?:# (.*))?$", line):
            said[found[1]] = found[2] or " ".join(above)
        above = []
    return said
