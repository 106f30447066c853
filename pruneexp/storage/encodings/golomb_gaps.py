"""Golomb codes of the gaps between kept weights, or of those between masked ones."""

import math

import numpy as np

from pruneexp.storage import golomb
from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.golomb import Gaps


class GolombGaps(Encoding):
    """Of the gaps between kept weights. The streams and the parameter are those of `golomb`."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        return kept.once(_best_parameter)[1]

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        parameter, _ = kept.once(_best_parameter)
        return EncodedPositions(self.number, parameter, *golomb.encode(kept.gaps, parameter))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        entries = math.prod(shape)
        return golomb.decode(coded.first, coded.second, coded.parameter, kept, entries), None


class GolombMaskedGaps(Encoding):
    """Of the gaps between masked weights, for tensors of which more than half is kept."""

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        if 2 * kept.count <= kept.entries:
            return None  # the masked ones never take less
        return kept.once(_best_masked_parameter)[1]

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        gaps, _ = kept.once(_masked_gaps)
        parameter, _ = kept.once(_best_masked_parameter)
        return EncodedPositions(self.number, parameter, *golomb.encode(gaps, parameter))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        entries = math.prod(shape)
        masked = golomb.decode(coded.first, coded.second, coded.parameter, entries - kept, entries)
        return all_other_positions(masked, entries), None


def _best_parameter(kept: KeptPositions) -> tuple[int, int]:
    return golomb.best(kept.gap_counts)


def _masked_gaps(kept: KeptPositions) -> tuple[Numbers, Gaps]:
    gaps = golomb.gaps_between(all_other_positions(kept.positions, kept.entries))
    return gaps, golomb.histogram(gaps, kept.entries)


def _best_masked_parameter(kept: KeptPositions) -> tuple[int, int]:
    return golomb.best(kept.once(_masked_gaps)[1])


def all_other_positions(positions: Numbers, entries: int) -> Numbers:
    """Those below `entries` that are not among the given ones."""
    others = np.ones(entries, np.bool_)
    others[positions] = False
    return np.flatnonzero(others)
