"""Arrays of other types than float32, such as counters and a model's own float64 buffers."""

import numpy as np

from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.malformed import Malformed
from pruneexp.storage.values.value_type import Array, ValueType


class AsTheyAre(ValueType):
    """The numbers of numpy's type `kind`, little-endian."""

    def __init__(self, number: int, name: str, kind: str) -> None:
        super().__init__(number, name, 8 * np.dtype(kind).itemsize, decoded=kind)

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        return kept.astype(self.decoded).view(np.uint8), NOTHING

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        if self.decoded == np.bool_ and (stored > 1).any():
            raise Malformed("a truth value that is neither 0 nor 1")
        return np.ascontiguousarray(stored).view(self.decoded).copy()
