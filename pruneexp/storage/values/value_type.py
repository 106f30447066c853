"""What every type of values has: a number in the file, a name, a width, and both directions.

A new type is a file of this folder with a subclass of `ValueType`, an entry in `VALUE_TYPES`
(values/__init__.py), and its description in docs/format.md. Quantisation then knows it too.
"""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pruneexp.storage import bits
from pruneexp.storage.bits import Bytes, Flags, Numbers

Array = NDArray[Any]


class Refused(ValueError):
    """Values that a type cannot hold; the message ends with the remedy."""


class ValueType:
    """One way to store the values of kept weights. Rows are a tensor's first dimension, its output
    channels.

        fp16 = values.BY_WORD["fp16"]
        stored, scales = fp16.encode(weights[mask], row_lengths)
        weights[mask] = fp16.decode(stored, scales, row_lengths)

    A subclass defines `encode` and `decode`; one whose values are not a whole number of bytes also
    `has_no_bit_set` and `with_fillers`.

    Arguments:
        number: under which a file knows it; never given anew.
        name: in listings, in docs/format.md and, if `for_weights`, what a person asks for.
        width: bits of a stored value.
        decoded: numpy's type of what comes back.
        for_weights: whether a person may ask for it: a type for weights, which are float32. All
            others hold arrays of one other type, as they are.
        has_scales: whether each row has a scale, a float32, in a stream of its own.
        remedy: the end of a refusal, such as "fp32 holds it".
    """

    def __init__(
        self,
        number: int,
        name: str,
        width: int,
        *,
        decoded: str = "<f4",
        for_weights: bool = False,
        has_scales: bool = False,
        remedy: str = "",
    ) -> None:
        self.number, self.name, self.width = number, name, width
        self.decoded = np.dtype(decoded)
        self.for_weights, self.has_scales, self.remedy = for_weights, has_scales, remedy

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        """The stored values, and the scales where there are any. Raises `Refused` for values that
        the type cannot hold.

        Arguments:
            kept: the values of the kept weights, in order.
            row_lengths: how many of them each row has.
        """
        raise NotImplementedError(type(self))

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        """The values as `decoded`. Raises `Malformed` for bytes that no writer made."""
        raise NotImplementedError(type(self))

    def stored_bytes(self, count: int) -> int:
        """What so many stored values take."""
        return bits.size(count * self.width)

    def scale_bytes(self, rows: int) -> int:
        """What the scales of so many rows take."""
        return 4 * rows if self.has_scales else 0

    def has_no_bit_set(self, stored: Bytes) -> Flags:
        """Which stored values look like a filler; -0.0 has a bit set."""
        return stored.view(f"<u{self.width // 8}") == 0

    def with_fillers(self, stored: Bytes, slots: Flags) -> Bytes:
        """The stored values where `slots` are, and fillers' zeros elsewhere."""
        spread = np.zeros((len(slots), self.width // 8), np.uint8)
        spread[slots] = stored.reshape(-1, self.width // 8)
        return spread.reshape(-1)

    def refuse(self, why: str) -> NoReturn:
        """Raise `Refused` with the reason and the remedy."""
        raise Refused(f"{why}; {self.remedy}")

    def demand_finite(self, kept: Array, infinite: Flags) -> None:
        """Refuse finite values that would be stored as infinity."""
        if (infinite & np.isfinite(kept)).any():
            self.refuse(f"a weight is too large for {self.name}")
