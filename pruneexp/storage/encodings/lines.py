"""Rows, or columns, in classes of like density, each class with a Golomb code of its own.

`density_classes` finds the classes and codes them; here is which of the two takes part in a choice,
and when it is worth the time.
"""

import numpy as np

from pruneexp.storage import density_classes
from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.density_classes import Classes
from pruneexp.storage.encodings.encoding import (
    EncodedPositions,
    Encoding,
    KeptPositions,
    rows_and_columns,
)

WORTH = 0.97  # promised by entropy; where lines are alike, it lies 1.5 % below a Golomb code


class Lines(Encoding):
    """What rows and columns share. The parameter is the bits of a line's class."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        """Exact, by encoding; but only of the better of rows and columns, and only where its
        entropy promises clearly less than `least`."""
        if len(kept.shape) < 2 or kept.entries >= density_classes.LARGEST:
            return None
        if least is not None and least <= 4 * density_classes.FIELDS:
            return None
        if not self._promises_more(kept):
            return None
        if least is not None and self._classes(kept).bytes > WORTH * least:
            return None
        return kept.once(self._encoded).size

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        if kept.entries >= density_classes.LARGEST:
            raise ValueError(f"encoding {self.name} takes less than 2^32 entries; use auto")
        return kept.once(self._encoded)

    def _encoded(self, kept: KeptPositions) -> EncodedPositions:
        row, column = kept.once(_rows_and_columns_of)
        classes = self._classes(kept)
        line, offset, length = self._turned(row, column, kept.rows, kept.columns)
        first, second = density_classes.encode(line, offset, length, classes)
        return EncodedPositions(self.number, classes.label_bits, first, second)

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        rows, columns = rows_and_columns(shape)
        mask = np.zeros(rows * columns, np.bool_)
        mask[self._flat_positions(coded, rows, columns)] = True
        return np.flatnonzero(mask), None

    def _classes(self, kept: KeptPositions) -> Classes:
        """The lines in classes."""
        raise NotImplementedError(type(self))

    def _promises_more(self, kept: KeptPositions) -> bool:
        """Whether these lines should take less than those across them."""
        raise NotImplementedError(type(self))

    def _turned(
        self, row: Numbers, column: Numbers, rows: int, columns: int
    ) -> tuple[Numbers, Numbers, int]:
        """The line of each weight, where in the line it is, and the length of a line."""
        raise NotImplementedError(type(self))

    def _flat_positions(self, coded: EncodedPositions, rows: int, columns: int) -> Numbers:
        """The positions of the weights, class by class."""
        raise NotImplementedError(type(self))


class Rows(Lines):
    """A line is a row."""

    def _classes(self, kept: KeptPositions) -> Classes:
        return kept.once(_row_classes)

    def _promises_more(self, kept: KeptPositions) -> bool:
        return kept.once(_row_classes).bytes <= kept.once(_column_classes).bytes

    def _turned(
        self, row: Numbers, column: Numbers, rows: int, columns: int
    ) -> tuple[Numbers, Numbers, int]:
        return row, column, columns

    def _flat_positions(self, coded: EncodedPositions, rows: int, columns: int) -> Numbers:
        row, column = density_classes.decode(
            coded.first, coded.second, coded.parameter, rows, columns
        )
        return row * columns + column


class Columns(Lines):
    """A line is a column."""

    def _classes(self, kept: KeptPositions) -> Classes:
        return kept.once(_column_classes)

    def _promises_more(self, kept: KeptPositions) -> bool:
        return kept.once(_column_classes).bytes < kept.once(_row_classes).bytes

    def _turned(
        self, row: Numbers, column: Numbers, rows: int, columns: int
    ) -> tuple[Numbers, Numbers, int]:
        return column, row, rows

    def _flat_positions(self, coded: EncodedPositions, rows: int, columns: int) -> Numbers:
        column, row = density_classes.decode(
            coded.first, coded.second, coded.parameter, columns, rows
        )
        return row * columns + column


def _row_classes(kept: KeptPositions) -> Classes:
    return density_classes.best_classes(np.diff(kept.row_starts), kept.columns)


def _column_classes(kept: KeptPositions) -> Classes:
    _, column = kept.once(_rows_and_columns_of)
    return density_classes.best_classes(np.bincount(column, minlength=kept.columns), kept.rows)


def _rows_and_columns_of(kept: KeptPositions) -> tuple[Numbers, Numbers]:
    """Of each weight; without a division, which is slow."""
    counts = np.diff(kept.row_starts)
    row = np.repeat(np.arange(kept.rows), counts)
    column = kept.positions - np.repeat(np.arange(kept.rows) * kept.columns, counts)
    return row, column
