"""IEEE 754 numbers of 32 and 16 bits, and bfloat16, the upper half of a float32."""

import numpy as np
from numpy.typing import NDArray

from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.values.value_type import Array, ValueType


class Float32(ValueType):
    """Weights as they are."""

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        return kept.astype("<f4").view(np.uint8), NOTHING

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        return np.ascontiguousarray(stored).view("<f4").copy()


class Float16(ValueType):
    """Rounded to nearest, ties to even."""

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        with np.errstate(over="ignore"):
            halves = kept.astype("<f2")
        self.demand_finite(kept, np.isinf(halves))
        return halves.view(np.uint8), NOTHING

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        return np.ascontiguousarray(stored).view("<f2").astype("<f4")


class BFloat16(ValueType):
    """Rounded to nearest, ties to even; NaN stays NaN."""

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        upper = upper_half(kept)
        self.demand_finite(kept, upper & 0x7FFF == 0x7F80)
        return upper.astype("<u2").view(np.uint8), NOTHING

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        return (np.ascontiguousarray(stored).view("<u2").astype("<u4") << 16).view("<f4")


def upper_half(kept: Array) -> NDArray[np.uint32]:
    """The upper 16 bits of float32, rounded."""
    whole = kept.astype("<f4").view("<u4")
    rounded = (whole + (0x7FFF + (whole >> 16 & 1))) >> 16
    return np.where(np.isnan(kept), whole >> 16 | 0x40, rounded)
