"""A code of a few bits a weight: how many masked entries come before it.

A run that is too long for one code has codes of all ones before its last. With fillers (Han et al.
2015) each of them stands for 2^bits - 1 entries and for one more, whose zero is stored among the
values. As an escape it stands for 2^bits - 1 entries alone, and nothing is stored for it.
"""

import numpy as np

from pruneexp.storage import bits
from pruneexp.storage.bits import Flags, Numbers
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.malformed import Malformed


class RunLengths(Encoding):
    """What both kinds share: the first stream is the codes, as planes of bits; the parameter is
    their number."""

    def __init__(self, number: int, name: str, *, width: int) -> None:
        super().__init__(number, name)
        self.width = width
        self.highest = (1 << width) - 1  # the code that says that the run goes on

    @property
    def step(self) -> int:
        """Entries that a code of all ones passes over."""
        raise NotImplementedError(type(self))

    def _codes(self, kept: KeptPositions) -> tuple[Numbers, Numbers, Numbers]:
        """All codes; and of each weight's last code where it is, and what it says."""
        further, last = np.divmod(kept.gaps, self.step)
        ends = np.cumsum(further + 1) - 1
        codes = np.full(int(ends[-1]) + 1 if len(ends) else 0, self.highest, np.uint8)
        codes[ends] = last
        return codes, ends, last

    def _read_codes(self, coded: EncodedPositions) -> tuple[Numbers, Flags]:
        """All codes, and which are all ones."""
        count = coded.parameter
        if len(coded.first) != self.width * bits.size(count):
            raise Malformed(f"{len(coded.first)} bytes for {count} codes of {self.width} bits")
        codes = bits.numbers(coded.first, count, self.width)
        return codes, codes == self.highest


class FilledRuns(RunLengths):
    """A kept weight with all bits zero after a longest run looks like a filler, so the second
    stream names each such one: u64, its index among the values."""

    has_fillers = True

    @property
    def step(self) -> int:
        return self.highest + 1

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        fillers = kept.gap_counts.sum_of_quotients(self.step)
        codes = self.width * bits.size(kept.count + fillers)
        return codes + bits.size(kept.value_bits * fillers)

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        codes, ends, last = self._codes(kept)
        slots = np.zeros(len(codes), np.bool_)
        slots[ends] = True
        alike = ends[kept.zero & (last == self.highest)].astype("<u8").view(np.uint8)
        first = bits.planes(codes, self.width)
        return EncodedPositions(self.number, len(codes), first, alike, slots)

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        codes, longest = self._read_codes(coded)
        if len(coded.second) % 8:
            raise Malformed("the list of kept zeros is not a whole number of entries")
        alike = np.ascontiguousarray(coded.second).view("<u8")
        if len(alike) and int(alike.max()) >= coded.parameter:
            raise Malformed("the list of kept zeros names an entry that is not there")
        slots = ~(longest & zero)
        slots[alike] = True
        return np.cumsum(codes + np.uint8(1), dtype=np.int64) - 1, slots

    def stored_values(self, parameter: int, kept: int, entries: int) -> int:
        return parameter


class EscapedRuns(RunLengths):
    """The second stream is empty."""

    @property
    def step(self) -> int:
        return self.highest

    def cost(self, kept: KeptPositions, least: int | None) -> int | None:
        codes = kept.count + kept.gap_counts.sum_of_quotients(self.step)
        return self.width * bits.size(codes)

    def encode(self, kept: KeptPositions) -> EncodedPositions:
        codes, _, _ = self._codes(kept)
        return EncodedPositions(self.number, len(codes), bits.planes(codes, self.width))

    def decode(
        self, coded: EncodedPositions, kept: int, shape: tuple[int, ...], zero: Flags
    ) -> tuple[Numbers, Flags | None]:
        codes, longest = self._read_codes(coded)
        if len(coded.second):
            raise Malformed("a second stream that this encoding does not have")
        reached = np.cumsum(codes + ~longest, dtype=np.int64) - 1
        return reached[~longest], None
