"""One bit an entry: 1 where it is kept."""

import math

import numpy as np

from pruneexp.storage import bits
from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.malformed import Malformed


class Bitmask(Encoding):
    """The first stream is the mask; the second is empty."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        return bits.size(kept.entries)

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        mask = np.zeros(kept.entries, np.bool_)
        mask[kept.positions] = True
        return EncodedPositions(self.number, first=bits.packed(mask))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        entries = math.prod(shape)
        if len(coded.first) != bits.size(entries) or len(coded.second):
            raise Malformed(f"a bit-mask of {len(coded.first)} bytes for {entries} entries")
        return np.flatnonzero(bits.unpacked(coded.first, entries)), None
