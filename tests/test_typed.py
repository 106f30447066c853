"""Plain data from files as typed dataclasses: what fits is read, what does not is refused."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pruneexp.engine.record import Plan, Progress, Record
from pruneexp.engine.typed import FileName, Longest, Within, reader, typed
from tests.results import Results


class Pair(NamedTuple):
    first: int
    second: float


@dataclass(kw_only=True, slots=True)
class Inner:
    words: list[str]


@dataclass(kw_only=True, slots=True)
class Outer:
    count: int
    share: float
    name: str
    on: bool
    value: int | float | str | None
    inner: Inner
    pairs: dict[str, Pair]
    shared: tuple[Inner, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


GOOD: dict[str, Any] = {
    "count": 3,
    "share": 1,
    "name": "x",
    "on": True,
    "value": None,
    "inner": {"words": ["a"]},
    "pairs": {"p": [1, 2.5]},
    "shared": [{"words": []}, {"words": ["b"]}],
}


def test_what_fits_is_read_with_its_types() -> None:
    outer = typed(Outer, GOOD)
    assert outer.share == 1.0 and type(outer.share) is float
    assert outer.inner == Inner(words=["a"])
    assert outer.pairs == {"p": Pair(1, 2.5)}
    assert outer.shared == (Inner(words=[]), Inner(words=["b"]))
    assert typed(Outer, {**GOOD, "value": 4}).value == 4
    assert typed(Outer, {**GOOD, "value": "v"}).value == "v"
    assert typed(Outer, GOOD).shared is outer.shared  # read once


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.5}, "count takes a whole number, got 1.5"),
        ({"count": True}, "count takes a whole number, got True"),
        ({"count": 10**400}, "count takes a whole number"),
        ({"share": float("nan")}, "share takes a finite number"),
        ({"share": "1"}, "share takes a finite number, got '1'"),
        ({"name": 3}, "name takes a text"),
        ({"on": 1}, "on takes true or false"),
        ({"value": []}, "value takes int or float or str or NoneType"),
        ({"inner": {"words": "ab"}}, "words takes a list"),
        ({"inner": {}}, "inner lacks words"),
        ({"inner": {"words": [], "other": 1}}, "a field 'other' that is not known"),
        ({"pairs": {"p": [1]}}, "takes Pair"),
        ({"pairs": []}, "pairs takes a dictionary"),
        ({"shared": {}}, "shared takes a list"),
        ({"unknown": 1}, "a field 'unknown' that is not known"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message.replace("(", r"\(")):
        typed(Outer, {**GOOD, **change})


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(data=JSON, key=some.sampled_from(sorted(GOOD)))
def test_whatever_a_file_holds_is_read_or_refused(data: Any, key: str) -> None:
    for kind in (Outer, Progress, Plan):
        for value in (data, {**GOOD, key: data}):
            with suppress(TypeError):  # and nothing else is raised
                typed(kind, value)


def test_a_record_comes_back_as_it_was(results: Results) -> None:
    record = results.finish(1000, 70.0, 0.5, 0.9)
    again = Record.from_plain(asdict(record))
    assert again == record
    assert results.store.folder(record.name).record() == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "another version of pruneexp"),
        ({"counts": {"nonzero": -1}}, "lacks"),
        ({"test": {}}, "no accuracy of valid and test"),
        ({"test": {"accuracy": "high"}}, "accuracy takes a finite number"),
        ({"budget": None}, "budget takes a dictionary"),
        ({"seed": "0"}, "seed takes a whole number"),
        ({"curve": {}}, "curve lacks"),
    ],
)
def test_a_forged_record_is_refused(results: Results, change: dict[str, Any], message: str) -> None:
    plain = asdict(results.finish(1000, 70.0)) | change
    with pytest.raises(TypeError, match=message):
        Record.from_plain(plain)


def test_unions_that_differ_in_order_alone_read_alike() -> None:
    """Python takes them for one type, and their readers are kept."""
    for kind in (float | int, int | float):
        assert type(reader(kind)(3, "x")) is int
        assert type(reader(kind)(3.0, "x")) is float


@dataclass(kw_only=True, slots=True)
class Bounded:
    share: Annotated[float, Within(0, 1)] = 0.0
    count: Annotated[int | float, Within(0, 9)] | None = None
    line: Annotated[str, Longest(3)] = ""
    file: Annotated[str, FileName()] = "x"
    files: list[Annotated[str, FileName()]] = field(default_factory=list)

    def check(self) -> None:
        if self.line == "no":
            raise TypeError("line takes no no")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"share": 1.5}, "share takes a number from 0 to 1, got 1.5"),
        ({"count": -1}, "count takes"),
        ({"line": "long"}, "line takes a text of at most 3 characters"),
        ({"file": "../x"}, "file takes a file's name"),
        ({"file": ".hidden"}, "file takes a file's name"),
        ({"file": "é" * 200}, "file takes a file's name"),
        ({"files": ["good", "a/b"]}, "files takes a file's name"),
        ({"line": "no"}, "line takes no no"),
    ],
)
def test_bounds(data: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        typed(Bounded, data)


def test_within_bounds() -> None:
    good = {"share": 1, "count": 9, "line": "yes", "file": "plan+seed=0,1", "files": ["ü.x"]}
    assert typed(Bounded, good) == Bounded(**{**good, "share": 1.0})
