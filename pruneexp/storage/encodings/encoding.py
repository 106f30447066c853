"""What every encoding of positions has: a number in the file, names, a cost, and both directions.

A new encoding is a file of this folder with a subclass of `Encoding`, an entry in `ENCODINGS`
(encodings/__init__.py), and its description in docs/format.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from pruneexp.storage import golomb
from pruneexp.storage.bits import NOTHING, Bytes, Flags, Numbers
from pruneexp.storage.golomb import Gaps

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodedPositions:
    """Positions as a file holds them.

    Arguments:
        encoding: the number of the encoding in the file.
        parameter: one number that the encoding needs beside its streams.
        first, second: the two streams; either may be empty.
        slots: which of the values in the file are weights, where an encoding stores fillers' zeros
            between them; None where all are. It is not in the file.
    """

    encoding: int
    parameter: int = 0
    first: Bytes = field(default_factory=lambda: NOTHING)
    second: Bytes = field(default_factory=lambda: NOTHING)
    slots: Flags | None = None

    @property
    def size(self) -> int:
        """Bytes of both streams."""
        return len(self.first) + len(self.second)


class KeptPositions:
    """Where the kept weights of a tensor are, as an encoding gets them. What several encodings ask
    for is computed when it is first needed, and once.

    Arguments:
        positions: their positions in the flattened tensor, rising.
        shape: of the tensor.
        zero: which of the kept weights' stored values have no bit set, as a filler's has.
        value_bits: what a filler takes in the stream of values.
    """

    def __init__(
        self, positions: Numbers, shape: tuple[int, ...], zero: Flags, value_bits: int
    ) -> None:
        self.positions, self.shape = positions, shape
        self.zero, self.value_bits = zero, value_bits
        self.entries = math.prod(shape)
        self.rows, self.columns = rows_and_columns(shape)
        self._results: dict[Callable[[KeptPositions], Any], Any] = {}

    @property
    def count(self) -> int:
        """How many weights are kept."""
        return len(self.positions)

    @cached_property
    def gaps(self) -> Numbers:
        """How many entries are passed over before each kept weight."""
        return golomb.gaps_between(self.positions)

    @cached_property
    def gap_counts(self) -> Gaps:
        """How often each of these gaps occurs."""
        return golomb.histogram(self.gaps, self.entries)

    @cached_property
    def row_starts(self) -> Numbers:
        """How many weights are kept before each row, and at the end all of them."""
        return np.searchsorted(self.positions, np.arange(self.rows + 1) * self.columns)

    def once(self, compute: "Callable[[KeptPositions], T]") -> T:
        """`compute(self)`, remembered: an encoding's cost and its streams often share work."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        result: T = self._results[compute]
        return result


class Encoding:
    """One way to store positions. `encode` and `decode` are each other's inverse; `decode` gets
    bytes that may lie.

        bitmask = Bitmask(2, "bitmask")
        coded = bitmask.encode(KeptPositions(positions, shape, zero, 32))
        positions, slots = bitmask.decode(coded, len(positions), shape, zero)

    A subclass defines `cost`, `encode` and `decode`, and where it stores fillers `has_fillers` and
    `stored_values`. What `decode` returns is checked by the caller (`positions.decode`).

    Arguments:
        number: under which a file knows it; never given anew.
        name: in listings and in docs/format.md.
        word: what a person asks for. Where several encodings have the same, the cheapest serves.
    """

    has_fillers = False

    def __init__(self, number: int, name: str, word: str = "") -> None:
        self.number, self.name, self.word = number, name, word or name

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        """Bytes beside the kept values, fillers among them. None where the encoding does not hold
        these positions, or where it knows that it takes no less than `least`, the bytes of the
        cheapest encoding before it in the table."""
        raise NotImplementedError(type(self))

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        """The streams. Raises ValueError, with a remedy, for positions that it does not hold."""
        raise NotImplementedError(type(self))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        """The position of each value in the file, in order, and which of them are weights (None:
        all). Raises `Malformed` for bytes that no writer made.

        Arguments:
            coded: as the file holds them; without `slots`.
            kept: how many weights the file states.
            shape: of the tensor.
            zero: which values in the file have no bit set; empty unless `has_fillers`.
        """
        raise NotImplementedError(type(self))

    def stored_values(self, parameter: int, kept: int, entries: int) -> int:
        """How many values lie in the file, from what its header states."""
        return kept


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """The first dimension (output channels) and the product of all others; a vector is one row."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    return shape[0], math.prod(shape[1:])
