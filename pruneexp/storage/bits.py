"""Bits in bytes: a bit stream, and small whole numbers as planes of bits.

Bit i of a stream is bit i % 8 of byte i // 8, counted from the least significant. Numbers of b bits
are stored as b planes, the highest bits first: each plane is a stream with one bit a number, in
bytes of its own. So numpy reads them without a loop over numbers, and C with one line a bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Numbers = NDArray[Any]  # whole numbers, of 32 bits where those do
NOTHING: Bytes = np.zeros(0, np.uint8)


def size(count: int) -> int:
    """Bytes that hold so many bits."""
    return -(-count // 8)


def packed(flags: Flags) -> Bytes:
    """Flags as a stream, a bit each."""
    return np.packbits(flags.view(np.uint8), bitorder="little")


def unpacked(stream: Bytes, count: int | None = None) -> Flags:
    """All bits, or the first `count` of a stream that is long enough."""
    return np.unpackbits(stream, count=count, bitorder="little").view(np.bool_)


def planes(numbers: Numbers, width: int) -> Bytes:
    """Numbers below 2**width as planes of bits."""
    small = numbers.astype(_smallest(width), copy=False)
    streams = [packed((small >> shift & 1).astype(np.bool_)) for shift in reversed(range(width))]
    return np.concatenate([NOTHING, *streams])


def numbers(stream: Bytes, count: int, width: int) -> Numbers:
    """What `planes` was given; `stream` holds at least width * size(count) bytes."""
    kind = _smallest(width)
    read = np.zeros(count, kind)
    for plane in stream[: width * size(count)].reshape(width, size(count)):
        read <<= 1
        read |= unpacked(plane, count).view(np.uint8)
    return read


def _smallest(width: int) -> type[np.unsignedinteger]:
    assert width <= 32, width
    return np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32
