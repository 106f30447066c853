"""No positions at all: every entry is stored, masked ones as 0."""

import math

import numpy as np

from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.malformed import Malformed


class DenseEncoding(Encoding):
    """Which entries are masked is lost; so it takes part in a choice only where all are kept."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        return 0 if kept.count == kept.entries else None

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        return EncodedPositions(self.number)

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        entries = math.prod(shape)
        if kept != entries or coded.size:
            raise Malformed("dense, yet not all kept or with streams of positions")
        return np.arange(entries), None

    def stored_values(self, parameter: int, kept: int, entries: int) -> int:
        return entries
