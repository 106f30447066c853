"""Compressed sparse rows, as most libraries hold them: row pointers, and each weight's column."""

import numpy as np

from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings.encoding import (
    EncodedPositions,
    Encoding,
    KeptPositions,
    rows_and_columns,
)
from pruneexp.storage.malformed import Malformed

LARGEST_INDEX = 2**32  # columns are 32-bit


class CSR(Encoding):
    """The first stream is the row pointers, of as many bits as the parameter says; the second is
    the columns, u32."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        if kept.columns > LARGEST_INDEX:
            return None
        return (kept.rows + 1) * pointer_bits(kept.count) // 8 + 4 * kept.count

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        columns = kept.columns
        if columns > LARGEST_INDEX:
            raise ValueError(
                f"encoding csr takes rows of up to 2^32 entries, got {columns}; use auto"
            )
        wide = pointer_bits(kept.count)
        indices = kept.positions % columns if columns else kept.positions
        first = kept.row_starts.astype(f"<u{wide // 8}").view(np.uint8)
        return EncodedPositions(self.number, wide, first, indices.astype("<u4").view(np.uint8))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        rows, columns = rows_and_columns(shape)
        if coded.parameter not in (32, 64):
            raise Malformed(f"row pointers of {coded.parameter} bits, not 32 or 64")
        lengths = (len(coded.first), len(coded.second))
        if lengths != ((rows + 1) * coded.parameter // 8, 4 * kept):
            raise Malformed(f"streams of another length than {rows} rows and {kept} weights need")
        pointers = np.ascontiguousarray(coded.first).view(f"<u{coded.parameter // 8}")
        indices = np.ascontiguousarray(coded.second).view("<u4")
        rises = int(pointers[0]) == 0 and not (pointers[1:] < pointers[:-1]).any()
        if not rises or int(pointers[-1]) != kept:
            raise Malformed("row pointers that do not rise from 0 to the number of weights")
        if kept and int(indices.max()) >= columns:
            raise Malformed("a column beyond the last")
        counts = (pointers[1:] - pointers[:-1]).astype(np.int64)
        positions = np.repeat(np.arange(rows) * columns, counts) + indices
        if (positions[1:] <= positions[:-1]).any():
            raise Malformed("columns that do not rise within a row")
        return positions, None


def pointer_bits(kept: int) -> int:
    """Most readers take 32-bit row pointers as signed, so those end at 2^31 - 1."""
    return 32 if kept < 2**31 else 64
