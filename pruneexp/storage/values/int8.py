"""Whole numbers from -127 to 127 with a scale for each row: value = scale * whole number."""

import numpy as np

from pruneexp.storage.bits import Bytes, Numbers
from pruneexp.storage.malformed import Malformed
from pruneexp.storage.values.value_type import Array, ValueType

HIGHEST = 127  # -128 is not used, so that both signs reach equally far


class Int8(ValueType):
    """A row's scale takes its largest magnitude to 127."""

    def encode(self, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
        kept = kept.astype(np.float32)
        if not np.isfinite(kept).all():
            self.refuse("int8 cannot hold NaN or infinity")
        scales = np.zeros(len(row_lengths), np.float32)
        filled = np.flatnonzero(row_lengths)
        starts = np.cumsum(row_lengths) - row_lengths
        if len(filled):
            scales[filled] = np.maximum.reduceat(np.abs(kept), starts[filled]) / np.float32(HIGHEST)
        with np.errstate(over="ignore"):
            # Next to the largest float32, 127 rounded steps may be infinite.
            too_large = np.isinf(scales * HIGHEST)
            scales = np.where(too_large, np.nextafter(scales, np.float32(0)), scales)
        scale_of = np.repeat(scales, row_lengths)
        ratios = np.divide(kept, scale_of, out=np.zeros_like(kept), where=scale_of > 0)
        whole = np.clip(np.rint(ratios), -HIGHEST, HIGHEST).astype(np.int8)
        return whole.view(np.uint8), scales.astype("<f4").view(np.uint8)

    def decode(self, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
        scale_of_row = np.ascontiguousarray(scales).view("<f4")
        if not (np.isfinite(scale_of_row) & (scale_of_row >= 0)).all():
            raise Malformed("a scale that is negative or not finite")
        whole = np.ascontiguousarray(stored).view(np.int8)
        with np.errstate(over="ignore"):  # a file may ask for infinity; that is no crash
            return whole * np.repeat(scale_of_row, row_lengths)
