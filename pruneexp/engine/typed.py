"""Plain data, as JSON holds it, as typed dataclasses; whatever does not fit raises.

    record = typed(Record, files.load_json(path))

Files are read with suspicion: types are checked, numbers are finite and within the bounds that
their field states, no field is missing and none unknown. The readers of a type are made once.

    steps: Annotated[int, Within(0, 10**12)]
    name: Annotated[str, FileName()]

A dataclass with a method `check` is asked at last whether its fields go together; it raises
TypeError where they do not.
"""

import marshal
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
MOST_SHARED = 1000  # different tuples of one type that are kept
LONGEST_TEXT = 100_000  # characters, unless a field says otherwise
LONGEST_NAME = 220  # bytes of a file's name, which leaves room for an ending


@dataclass(frozen=True, slots=True)
class Within:
    """The lowest and the highest number that a field may hold."""

    lowest: float
    highest: float

    def refusal(self, value: Any) -> str | None:
        """What the field takes, if it does not take this value."""
        if self.lowest <= value <= self.highest:
            return None
        return f"a number from {self.lowest:g} to {self.highest:g}"


@dataclass(frozen=True, slots=True)
class Longest:
    """The most characters that a text may have."""

    characters: int

    def refusal(self, value: Any) -> str | None:
        """What the field takes, if it does not take this value."""
        if len(value) <= self.characters:
            return None
        return f"a text of at most {self.characters} characters"


@dataclass(frozen=True, slots=True)
class FileName:
    """A text that is joined to a folder's path: a name that stays in the folder."""

    def refusal(self, value: Any) -> str | None:
        """What the field takes, if it does not take this value."""
        is_plain = re.fullmatch(r"[\w.,=+-]+", value) is not None
        if is_plain and value[0] != "." and len(value.encode()) <= LONGEST_NAME:
            return None
        return f"a file's name of letters, digits and .,=+-_ ({LONGEST_NAME} bytes at most)"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Twelve hex digits."""

    def refusal(self, value: Any) -> str | None:
        """What the field takes, if it does not take this value."""
        return None if re.fullmatch("[0-9a-f]{12}", value) else "twelve hex digits"


def typed(kind: type[T], data: Any) -> T:
    """`data` as a dataclass of this kind. Raises TypeError, which names the field."""
    # mypy: a type of any kind is no Hashable to a cached function.
    value: T = reader(kind)(data, kind.__name__)  # type: ignore[arg-type]
    return value


@cache
def reader(kind: Any) -> Reader:
    """What reads a value of this type. Known are dataclasses, str, bool, int, float, None, unions
    of these, lists, tuples of one type, named tuples, dictionaries with texts as keys, and Any."""
    if kind is Any:
        return lambda value, name: value
    if kind in SCALARS:
        return SCALARS[kind]
    if is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, tuple):
        return _named_tuple(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _within_bounds(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is list:
        inner = reader(arguments[0])
        return lambda value, name: [
            inner(item, name) for item in _demand(type(value) is list, value, name, "a list")
        ]
    if origin is tuple:
        return _shared_tuple(reader(arguments[0]))
    if origin is dict:
        inner = reader(arguments[1])

        def dictionary(value: Any, name: str) -> Any:
            _demand(type(value) is dict, value, name, "a dictionary")
            return {key: inner(item, f"{name}.{key}") for key, item in value.items()}

        return dictionary
    if kind is dict or kind is list:
        return lambda value, name: _demand(type(value) is kind, value, name, kind.__name__)
    raise AssertionError(f"no reader for {kind}")


def _within_bounds(kind: Any, bounds: tuple[Any, ...]) -> Reader:
    inner = reader(kind)

    def read(value: Any, name: str) -> Any:
        made = inner(value, name)
        for bound in bounds:
            if takes := bound.refusal(made):
                raise TypeError(f"{name} takes {takes}, got {shortened(value)}")
        return made

    return read


def _named_tuple(kind: Any) -> Reader:
    """A list of its values, in order."""
    readers = [reader(hint) for hint in get_type_hints(kind, include_extras=True).values()]

    def read(value: Any, name: str) -> Any:
        _demand(type(value) is list and len(value) == len(readers), value, name, kind.__name__)
        return kind(*(each(item, name) for each, item in zip(readers, value, strict=True)))

    return read


def _shared_tuple(inner: Reader) -> Reader:
    """Tuples are read once for the same content, since many files share them."""
    known: dict[bytes, tuple[Any, ...]] = {}

    def read(value: Any, name: str) -> Any:
        _demand(type(value) in (list, tuple), value, name, "a list")
        text = marshal.dumps(value)  # only compared, never read back
        items = known.get(text)
        if items is None:
            items = tuple(inner(item, name) for item in value)
            if len(known) >= MOST_SHARED:
                known.clear()
            known[text] = items
        return items

    return read


def _demand(holds: bool, value: Any, name: str, takes: str) -> Any:
    if not holds:
        raise TypeError(f"{name} takes {takes}, got {shortened(value)}")
    return value


def shortened(value: Any) -> str:
    """A value of a file as a message may show it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: Any, name: str) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and abs(value) < 2**1000:
        return float(value)
    raise TypeError(f"{name} takes a finite number, got {shortened(value)}")


def _whole(value: Any, name: str) -> int:
    if type(value) is int and abs(value) < 2**63:
        return value
    raise TypeError(f"{name} takes a whole number, got {shortened(value)}")


def _exactly(kind: type, takes: str) -> Reader:
    def read(value: Any, name: str) -> Any:
        if type(value) is kind:
            return value
        raise TypeError(f"{name} takes {takes}, got {shortened(value)}")

    return read


def _text(value: Any, name: str) -> str:
    if type(value) is str and len(value) <= LONGEST_TEXT:
        return value
    raise TypeError(f"{name} takes a text, got {shortened(value)}")


SCALARS: dict[Any, Reader] = {
    str: _text,
    bool: _exactly(bool, "true or false"),
    NoneType: _exactly(NoneType, "null"),
    int: _whole,
    float: _number,
}


ORDER: dict[Any, int] = {bool: 0, int: 1, float: 2, str: 4, NoneType: 5}  # of a union's types


def _called(kind: Any) -> str:
    """A type in a message."""
    if get_origin(kind) is Annotated:
        return _called(get_args(kind)[0])
    return getattr(kind, "__name__", str(kind))


def _union(kinds: tuple[Any, ...]) -> Reader:
    """The first that fits; a whole number stays one where both int and float may be. Unions that
    differ in their order alone are one type to Python, so the order is fixed here."""
    kinds = tuple(sorted(kinds, key=lambda kind: ORDER.get(kind, 3)))
    readers = [reader(kind) for kind in kinds]

    def read(value: Any, name: str) -> Any:
        for each in readers:
            try:
                return each(value, name)
            except TypeError:
                continue
        takes = " or ".join(_called(kind) for kind in kinds)
        raise TypeError(f"{name} takes {takes}, got {shortened(value)}")

    if len(kinds) == 2 and kinds[1] is NoneType:  # the common case, without a failed try
        first = readers[0]
        return lambda value, name: None if value is None else first(value, name)
    return read


def _dataclass(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    check = getattr(kind, "check", None)
    readers = {item.name: reader(hints[item.name]) for item in fields(kind) if item.init}
    needed = {
        item.name
        for item in fields(kind)
        if item.init and item.default is MISSING and item.default_factory is MISSING
    }

    def read(value: Any, name: str) -> Any:
        _demand(type(value) is dict, value, name, "a dictionary")
        if not needed <= value.keys():
            raise TypeError(f"{name} lacks {', '.join(sorted(needed - value.keys()))}")
        try:
            values = {key: readers[key](item, key) for key, item in value.items()}
        except KeyError as error:
            raise TypeError(f"{name} has a field {error} that is not known") from error
        made = kind(**values)
        if check is not None:
            check(made)
        return made

    return read
