"""Where the kept weights of a tensor are, as bytes and back, without loss.

`encode` takes the sorted positions of a tensor's kept weights and what a person asked for; `decode`
gives them back from bytes that may lie. How an encoding stores them is its own file in encodings/.
"""

import math
from collections.abc import Iterable

import numpy as np

from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings import BY_NUMBER, ENCODINGS
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.malformed import Malformed


def bound(entries: int, kept: int) -> float:
    """log2 C(n, k) in bytes: less cannot hold k positions of n that have no structure."""
    nats = math.lgamma(entries + 1) - math.lgamma(kept + 1) - math.lgamma(entries - kept + 1)
    return max(nats, 0.0) / math.log(2) / 8


def encode(
    word: str, positions: Numbers, shape: tuple[int, ...], zero: Flags, value_bits: int
) -> EncodedPositions:
    """The positions under the encoding that a person asked for, or under the cheapest (`auto`).

        coded = encode("auto", np.flatnonzero(mask), mask.shape, weights[mask] == 0, 32)

    Arguments:
        word: one of `encodings.WORDS`.
        positions: of the kept weights in the flattened tensor, rising.
        shape: of the tensor.
        zero: which of their stored values have no bit set.
        value_bits: of a stored value, which fillers take too.

    Raises ValueError, with a remedy, where the encoding does not hold them.
    """
    kept = KeptPositions(positions, shape, zero, value_bits)
    asked = [encoding for encoding in ENCODINGS if word in ("auto", encoding.word)]
    return (asked[0] if len(asked) == 1 else _cheapest(asked, kept)).encode(kept)


def _cheapest(encodings: Iterable[Encoding], kept: KeptPositions) -> Encoding:
    """The first of those that take least."""
    chosen: Encoding | None = None
    least: int | None = None
    for encoding in encodings:
        cost = encoding.cost(kept, least)
        if cost is not None and (least is None or cost < least):
            chosen, least = encoding, cost
    assert chosen is not None, "no encoding holds these positions"
    return chosen


def decode(
    coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
) -> tuple[Numbers, Flags | None]:
    """The position of each value in the file, in order, and which of them are weights (None: all).

    Arguments:
        coded: as the file holds them.
        kept: how many weights the file states.
        shape: of the tensor.
        zero: which values in the file have no bit set; needed where the encoding has fillers.

    Raises `Malformed` for bytes that no writer made.
    """
    positions, slots = BY_NUMBER[coded.encoding].decode(coded, kept, shape, zero)
    count = len(positions) if slots is None else int(np.count_nonzero(slots))
    if count != kept:
        raise Malformed(f"{count} positions, {kept} stated")
    if len(positions) and int(positions.max()) >= math.prod(shape):
        raise Malformed("a position beyond the last entry")
    return positions, slots
