"""What recipes share: how a recipe is checked, named and turned into plain data and back.

A recipe is a small dataclass without tensors that says what is wanted: a task, a model, a way to
train, a way to prune. It holds its parts, compares by value, and has one verb that does the work.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import wraps
from numbers import Number
from typing import Any, ClassVar

from pruneexp.engine.typed import reader


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that cannot be, said for the person who typed it."""

    key: str
    message: str

    def under(self, prefix: str) -> "Fault":
        """The same fault of a recipe that is a part of another one."""
        return Fault(".".join(filter(None, [prefix, self.key])), self.message)

    def __str__(self) -> str:
        return f"{self.key}{'' if self.message.startswith('=') else ' '}{self.message}"


class Invalid(ValueError):
    """All faults of a recipe, or of a whole configuration, said together."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(kw_only=True, slots=True)
class Recipe:
    """Base of all recipes: small dataclasses without tensors that say what is wanted.

        @dataclass(kw_only=True, slots=True)
        class Linear(Decay):
            word: ClassVar[str] = "linear"
            last: float = 0.0

            def __post_init__(self) -> None:
                demand(self, last=(self.last >= 0, "a number of 0 or more"))

    `word` is the option's name in YAML and on the command line, fields are its keys; a field whose
    type is a recipe is a group of options of its own. In slotted dataclasses `super()` without
    arguments fails: call `Base.__post_init__(self)`.
    """

    word: ClassVar[str] = ""
    # Raised when a correction changes what the same values give; part of a run's name.
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _demand_types(self)

    def __init_subclass__(cls) -> None:
        """Let a subclass's own rules be asked only about values of the right types."""
        rules = vars(cls).get("__post_init__")
        if rules is None or hasattr(rules, "__wrapped__"):  # a slotted dataclass is made twice
            return

        @wraps(rules)
        def checked(self: Recipe) -> None:
            _demand_types(self)
            rules(self)

        # mypy takes no method that is assigned, though a class is being made here.
        cls.__post_init__ = checked  # type: ignore[method-assign]


def _demand_types(recipe: Recipe) -> None:
    """Raise `Invalid` with every field whose value is of another type than the field's."""
    faults: list[Fault] = []
    for item in fields(recipe):
        value = getattr(recipe, item.name)
        kind: Any = item.type
        if is_part(kind):
            # A part that must be given is None while a configuration's other faults are found.
            may_lack = value is None and item.default_factory is MISSING
            if not isinstance(value, kind) and not may_lack:
                takes = f"takes a {kind.__name__}, got {show(value)}"
                faults.append(Fault(item.name, takes))
        elif value is not item.default and not item.metadata.get("python"):
            if isinstance(value, Number) and hasattr(value, "item"):  # numpy's
                value = value.item()
                setattr(recipe, item.name, value)
            try:
                reader(kind)(value, item.name)
            except TypeError as error:
                message = str(error).removeprefix(item.name).strip()
                faults.append(Fault(item.name, message))
    if faults:
        raise Invalid(faults)


@dataclass(frozen=True, slots=True)
class Dial:
    """What is turned along a curve of one method, such as the sparsity."""

    name: str  # "sparsity"
    value: float
    words: str  # "90 %"


def is_part(kind: Any) -> bool:
    """Whether a field of this type holds a recipe of its own."""
    return isinstance(kind, type) and issubclass(kind, Recipe)


def demand(recipe: Recipe, *others: Fault, **rules: tuple[bool, str]) -> None:
    """Raise `Invalid` with every field whose rule does not hold, `width=(holds, "takes what")`,
    and what else is known to be wrong."""
    faults = [
        Fault(key, f"takes {takes}, got {show(getattr(recipe, key))}")
        for key, (holds, takes) in rules.items()
        if not holds
    ]
    faults += others
    if faults:
        raise Invalid(faults)


def show(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, Recipe):
        return value.word
    return value if isinstance(value, str) and value else repr(value)


def here(default: Any) -> Any:
    """A field that says where or how fast, never what: no part of a run's name."""
    return field(default=default, compare=False, metadata={"here": True})


def python_name(**default: Any) -> Any:
    """A field that names Python to import, such as `factory: str = python_name()`. What a file says
    there is not imported unless the file is trusted (`config.factory`)."""
    return field(**default, metadata={"python": True})


def added(*, default: Any, before: Any) -> Any:
    """A field younger than the first release. Runs made before it did as `before` says, so it is
    left out of the name while it has that value, and an old record is read with that value."""
    return field(default=default, metadata={"before": before})


def asked(recipe: Recipe, *, everything: bool = False) -> dict[str, Any]:
    """What was asked for, as plain data: option words and values. With `everything`, also the
    fields that say where and how fast."""
    data: dict[str, Any] = {"option": recipe.word} if recipe.word else {}
    if recipe.revision > 1:
        data["revision"] = recipe.revision
    for item in fields(recipe):
        value = getattr(recipe, item.name)
        if item.metadata.get("here") and not everything:
            continue
        if "before" in item.metadata and value == item.metadata["before"]:
            continue
        data[item.name] = _plain(value, item.type, everything)
    return data


def _plain(value: Any, kind: Any, everything: bool) -> Any:
    if isinstance(value, Recipe):
        return asked(value, everything=everything)
    if isinstance(value, int) and not isinstance(value, bool) and kind in (float, float | None):
        return float(value)  # sparsity=0 and sparsity=0.0 are one run
    if isinstance(value, list | tuple):
        return [_plain(item, None, everything) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, None, everything) for key, item in value.items()}
    return value


def filled(cls: type[Recipe], data: dict[str, Any]) -> dict[str, Any]:
    """The values of `data`, with what an old record could not know filled in."""
    values = {key: value for key, value in data.items() if key not in ("option", "revision")}
    for item in fields(cls):
        if item.name not in values and "before" in item.metadata:
            before = item.metadata["before"]
            values[item.name] = asked(before) if isinstance(before, Recipe) else before
    return values


def no_key(key: str, known: Iterable[str]) -> Fault:
    """`key` is unknown where these keys are known."""
    parent, _, leaf = key.rpartition(".")
    names = list(known)
    if "/" in key:
        alike = get_close_matches(key, names, n=1, cutoff=0.5)
        return Fault(key, "is no group" + (f" (did you mean {alike[0]}?)" if alike else ""))
    near = nearest(leaf, names)
    hint = f" (did you mean {parent + '.' if parent else ''}{near}?)" if near else ""
    listed = f"; {parent or 'a run'} takes {either(names)}" if names else ""
    return Fault(key, f"is no key here{hint}{listed}")


def nearest(typed: str, names: Sequence[str]) -> str | None:
    """The name that was meant: one like it, or one whose words begin with its letters, as lr is
    learning_rate; None where there is none."""
    if near := get_close_matches(typed, names, n=1, cutoff=0.6):
        return near[0]
    for name in names:
        if len(typed) > 1 and "".join(word[0] for word in name.split("_") if word) == typed:
            return name
    if len(typed) < 3:  # too few letters to be like anything
        return None
    return next(iter(get_close_matches(typed, names, n=1, cutoff=0.5)), None)


def write(name: str, value: Any) -> str:
    """A setting as a reader would say it: "learning rate 0.1", "no tied"."""
    words = name.replace("_", " ")
    if value is None:
        return f"{words} unset"
    if value is False:
        return f"no {words}"
    if value is True:
        return words
    if isinstance(value, int | float):
        return f"{words} {value:g}"
    return f"{words} {value}"


def numbers(recipe: Recipe) -> Iterator[tuple[str, int | float]]:
    """Name and value of every number in a recipe and its dictionaries, in order."""

    def walk(prefix: str, plain: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
        for name, value in plain.items():
            if isinstance(value, dict):
                yield from walk(f"{prefix}{name}.", value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{prefix}{name}", value

    return walk("", asked(recipe))


def either(words: Sequence[str], last: str = "or") -> str:
    """Words as a list: a, b or c."""
    parts = filter(None, [", ".join(words[:-1]), words[-1]]) if words else ["nothing"]
    return f" {last} ".join(parts)


def digest(data: Any) -> str:
    """Twelve hex digits over plain data, the same on every machine."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
