"""Golomb codes of gaps, with any parameter, in streams that numpy reads without a loop over gaps.

A gap is the number of positions passed over before the next one. Parameter m splits it into a
quotient in unary (so many 0 bits, then a 1) and a remainder below m in truncated binary. The 1 bits
of the quotients all lie in one stream, so that finding them at once gives all running sums of
quotients. Of the remainders the short part has the same width everywhere; the bit that longer ones
need beyond it has a stream of its own. For gaps without structure this takes at most 1.5 % more
than the bound.
"""

import math
from dataclasses import dataclass

import numpy as np

from pruneexp.storage import bits
from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.malformed import Malformed

LARGEST = 2**31  # the parameter's bound: remainders' planes hold 32 bits
EXHAUSTIVE = 64  # up to here every parameter is tried


@dataclass(frozen=True, slots=True)
class Gaps:
    """How often each gap occurs between `count` positions of `entries`."""

    entries: int
    count: int
    values: Numbers
    times: Numbers

    def sum_of_quotients(self, divisor: int) -> int:
        """Of all gaps divided by `divisor`, rounded down."""
        return int((self.values // divisor * self.times).sum())


def gaps_between(positions: Numbers) -> Numbers:
    """How many entries are passed over before each of the sorted positions."""
    gaps: Numbers = np.empty(len(positions), np.int64 if _is_large(positions) else np.int32)
    gaps[:1] = positions[:1]
    np.subtract(positions[1:], positions[:-1], out=gaps[1:], casting="same_kind")
    gaps[1:] -= 1
    return gaps


def _is_large(positions: Numbers) -> bool:
    """Whether arithmetic on them needs 64 bits; 32 are half the memory to move."""
    return bool(len(positions)) and int(positions[-1]) >= 2**30


def histogram(gaps: Numbers, entries: int) -> Gaps:
    """How often each gap occurs, in a tensor of so many entries."""
    if len(gaps) and int(gaps.max()) < 4 * len(gaps) + 1024:
        times = np.bincount(gaps)
        values = np.flatnonzero(times)
        times = times[values]
    else:
        values, times = np.unique(gaps, return_counts=True)
    return Gaps(entries, len(gaps), values.astype(np.int64), times)


def cost(gaps: Gaps, parameter: int) -> int:
    """Bytes of both streams."""
    width, short = _split(parameter)
    quotients = gaps.count + gaps.sum_of_quotients(parameter)
    longer = int(gaps.times[gaps.values % parameter >= short].sum())
    return bits.size(quotients) + width * bits.size(gaps.count) + bits.size(longer)


def best(gaps: Gaps) -> tuple[int, int]:
    """The parameter that takes least, and its bytes: by the formula for gaps without structure
    (Gallager and van Voorhis 1975), and by trying its neighbours, near and far."""
    if not gaps.count:
        return 1, 0
    if gaps.count == gaps.entries:
        return 1, cost(gaps, 1)
    masked = 1 - gaps.count / gaps.entries
    middle = math.ceil(-math.log(1 + masked) / math.log(masked))
    candidates = set(range(1, EXHAUSTIVE + 1))
    candidates |= {round(middle * 2 ** (step / 8)) for step in range(-32, 9)}
    candidates = {candidate for candidate in candidates if 1 <= candidate <= LARGEST}
    first = min(candidates, key=lambda candidate: (cost(gaps, candidate), candidate))
    near = range(max(1, first - 2), min(LARGEST, first + 2) + 1)
    parameter = min(near, key=lambda candidate: (cost(gaps, candidate), candidate))
    return parameter, cost(gaps, parameter)


def _split(parameter: int) -> tuple[int, int]:
    """Bits of a short remainder, and how many remainders are short."""
    width = parameter.bit_length() - 1
    return width, (2 << width) - parameter


def encode(gaps: Numbers, parameter: int) -> tuple[Bytes, Bytes]:
    """Quotients; remainders as planes of bits followed by the further bits of the longer ones."""
    if not len(gaps):
        return NOTHING, NOTHING
    quotients = gaps // parameter
    remainders = gaps - quotients * parameter if parameter > 1 else np.zeros_like(gaps)
    quotients += 1
    ends = np.cumsum(quotients, dtype=np.int64)
    ends -= 1
    unary = np.zeros(int(ends[-1]) + 1, np.bool_)
    unary[ends] = True
    width, short = _split(parameter)
    if parameter == 1 << width:
        return bits.packed(unary), bits.planes(remainders, width)
    longer = remainders >= short
    shifted: Numbers = remainders + (short if parameter < 2**29 else np.int64(short))
    parts = bits.planes(np.where(longer, shifted // 2, remainders), width)
    further = bits.packed((shifted[longer] % 2).astype(np.bool_))
    return bits.packed(unary), np.concatenate([parts, further])


def decode(first: Bytes, second: Bytes, parameter: int, count: int, entries: int) -> Numbers:
    """The positions, in order; raises `Malformed` where no writer made these bytes."""
    if not 1 <= parameter <= LARGEST:
        raise Malformed(f"Golomb parameter {parameter}, not between 1 and 2^31")
    width, short = _split(parameter)
    if count > 8 * len(first) or len(second) < width * bits.size(count):
        raise Malformed(f"streams too short for {count} positions")
    ends = np.flatnonzero(bits.unpacked(first))
    if len(ends) != count:
        raise Malformed(f"{len(ends)} positions, {count} stated")
    if count == 0:
        if len(first) or len(second):
            raise Malformed("streams without positions")
        return ends
    if len(first) != bits.size(int(ends[-1]) + 1):
        raise Malformed("bytes after the last quotient")
    if (int(ends[-1]) - count + 1) * parameter + count > entries:
        raise Malformed("a position beyond the last entry")  # and nothing overflows below
    remainders = bits.numbers(second, count, width)
    longer = 0
    if parameter != 1 << width:
        remainders = remainders.astype(np.int64 if width >= 30 else np.int32, copy=False)
        which = np.flatnonzero(remainders >= short)
        longer = len(which)
        further = second[width * bits.size(count) :]
        if len(further) != bits.size(longer):
            raise Malformed(f"{len(further)} bytes of further bits for {longer} remainders")
        remainders[which] = 2 * remainders[which] - short + bits.unpacked(further, longer)
    if len(second) != width * bits.size(count) + bits.size(longer):
        raise Malformed("bytes after the last remainder")
    kind = np.int32 if max(entries, parameter) < 2**30 else np.int64
    order = np.arange(count, dtype=kind)
    positions: Numbers = ends.astype(kind)
    positions -= order
    positions *= parameter
    positions += order
    positions += np.cumsum(remainders, dtype=kind)
    # A sum of remainders that leaves the tensor is seen at its first step outside, before it could
    # wrap round.
    if int(positions.max()) >= entries or int(positions.min()) < 0:
        raise Malformed("a position beyond the last entry")
    return positions
