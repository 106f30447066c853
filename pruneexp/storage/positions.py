"""Where the kept weights of a tensor are, as bytes and back, without loss.

`encode` takes the sorted positions of a tensor's kept weights, `decode` gives them back from bytes
that may lie. The bytes of each encoding follow from the histogram of the gaps alone, so `auto`
encodes once. docs/format.md describes every stream bit by bit.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from pruneexp.storage import bits, golomb, lines
from pruneexp.storage.bits import NOTHING, Bytes, Flags, Numbers
from pruneexp.storage.golomb import Gaps, Malformed

# The numbers under which a file knows the encodings. `SAME` is another tensor under a second name.
DENSE, SAME, BITMASK, RUNS4, RUNS5, ESCAPE4, ESCAPE5, CSR, GOLOMB, ROWS, COLUMNS = range(11)
GOLOMB_MASKED = 11
NAMES = (
    *("dense", "same", "bitmask", "runs4", "runs5", "escape4", "escape5", "csr", "golomb"),
    *("rows", "columns", "golomb-masked"),
)
# What a person may ask for; `golomb` codes the kept or the masked ones, whichever takes less.
WORDS = ("auto", "dense", *NAMES[BITMASK : COLUMNS + 1])
RUN_BITS = {RUNS4: 4, RUNS5: 5, ESCAPE4: 4, ESCAPE5: 5}
FILLED = (RUNS4, RUNS5)
LARGEST_INDEX = 2**32  # CSR's columns are 32-bit
WORTH = 0.97  # promised by entropy; where lines are alike, it lies 1.5 % below a Golomb code


@dataclass(frozen=True, slots=True)
class Positions:
    """Encoded positions. `parameter` is what the encoding needs beside its streams; `slots` says
    which stored values are weights, where an encoding stores fillers' zeros too."""

    encoding: int
    parameter: int = 0
    first: Bytes = field(default_factory=lambda: NOTHING)
    second: Bytes = field(default_factory=lambda: NOTHING)
    slots: Flags | None = None


def bound(entries: int, kept: int) -> float:
    """log2 C(n, k) in bytes: less cannot hold k positions of n that have no structure."""
    nats = math.lgamma(entries + 1) - math.lgamma(kept + 1) - math.lgamma(entries - kept + 1)
    return max(nats, 0.0) / math.log(2) / 8


def matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns: the first dimension (output channels) and all others; a vector is a row."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    return shape[0], math.prod(shape[1:])


def costs(gaps: Gaps, masked: Gaps | None, shape: tuple[int, ...], width: int) -> dict[int, int]:
    """Bytes beside the kept values under each encoding, from the gaps between kept and between
    masked weights; `width` bytes for each filler's zero. Dense holds no positions, so it takes
    part only where everything is kept."""
    rows, columns = matrix(shape)
    found = {DENSE: 0} if gaps.count == gaps.entries else {}
    found[BITMASK] = bits.size(gaps.entries)
    for encoding in (RUNS4, RUNS5):
        fillers = gaps.sum_of_quotients(1 << RUN_BITS[encoding])
        found[encoding] = RUN_BITS[encoding] * bits.size(gaps.count + fillers) + width * fillers
    for encoding in (ESCAPE4, ESCAPE5):
        codes = gaps.count + gaps.sum_of_quotients((1 << RUN_BITS[encoding]) - 1)
        found[encoding] = RUN_BITS[encoding] * bits.size(codes)
    if columns <= LARGEST_INDEX:
        found[CSR] = (rows + 1) * pointer_bits(gaps.count) // 8 + 4 * gaps.count
    found[GOLOMB] = golomb.best(gaps)[1]
    if masked is not None:
        found[GOLOMB_MASKED] = golomb.best(masked)[1]
    return found


def pointer_bits(kept: int) -> int:
    """Most readers take 32-bit row pointers as signed, so those end at 2^31 - 1."""
    return 32 if kept < 2**31 else 64


# --- encoding ----------------------------------------------------------------------------------


def encode(
    word: str, positions: Numbers, shape: tuple[int, ...], zero: Flags, width: int
) -> Positions:
    """`positions` of kept weights under the encoding a person asked for. `zero` says which of
    their stored values have no bit set, `width` is a value's bytes; fillers make both matter."""
    entries = math.prod(shape)
    if word == "dense":
        return Positions(DENSE)
    if word == "bitmask":
        return _bitmask(positions, entries)
    if word == "csr":
        return _csr(positions, shape)
    if word in ("rows", "columns"):
        return _lines(NAMES.index(word), positions, shape)
    if word in ("auto", "golomb"):
        between = golomb.gaps_between(positions)
        gaps, masked = golomb.histogram(between, entries), None
        if 2 * len(positions) > entries:  # else the masked ones never take less
            between_masked = golomb.gaps_between(complement(positions, entries))
            masked = golomb.histogram(between_masked, entries)
        found = costs(gaps, masked, shape, width)
        among = [each for each in found if word == "auto" or each in (GOLOMB, GOLOMB_MASKED)]
        chosen = min(among, key=lambda encoding: found[encoding])
        if word == "auto" and (better := _in_lines(positions, shape, found[chosen])):
            return better
        if chosen == GOLOMB:
            return _golomb(GOLOMB, between, gaps)
        if masked is not None and chosen == GOLOMB_MASKED:
            return _golomb(GOLOMB_MASKED, between_masked, masked)
        return encode(NAMES[chosen], positions, shape, zero, width)
    return _runs(NAMES.index(word), positions, zero)


def complement(positions: Numbers, entries: int) -> Numbers:
    """All other positions."""
    others = np.ones(entries, np.bool_)
    others[positions] = False
    return np.flatnonzero(others)


def _golomb(encoding: int, between: Numbers, gaps: Gaps) -> Positions:
    parameter = golomb.best(gaps)[0]
    return Positions(encoding, parameter, *golomb.encode(between, parameter))


def _bitmask(positions: Numbers, entries: int) -> Positions:
    kept = np.zeros(entries, np.bool_)
    kept[positions] = True
    return Positions(BITMASK, first=bits.packed(kept))


def _runs(encoding: int, positions: Numbers, zero: Flags) -> Positions:
    """A code a weight: the zeros before it. Where they are too many, codes of all ones come first:
    with fillers one stands for 2^bits - 1 zeros and a stored zero, as an escape for 2^bits - 1
    zeros alone."""
    width = RUN_BITS[encoding]
    highest = (1 << width) - 1
    step = highest + 1 if encoding in FILLED else highest
    further, last = np.divmod(golomb.gaps_between(positions), step)
    ends = np.cumsum(further + 1) - 1
    codes = np.full(int(ends[-1]) + 1 if len(ends) else 0, highest, np.uint8)
    codes[ends] = last
    if encoding not in FILLED:
        return Positions(encoding, len(codes), bits.planes(codes, width))
    slots = np.zeros(len(codes), np.bool_)
    slots[ends] = True
    # A kept weight with all bits zero after a longest run looks like a filler: named one by one.
    alike = ends[zero & (last == highest)].astype("<u8").view(np.uint8)
    return Positions(encoding, len(codes), bits.planes(codes, width), alike, slots)


def _in_lines(positions: Numbers, shape: tuple[int, ...], least: int) -> Positions | None:
    """The positions in classes of rows or of columns, where that takes less than `least` bytes."""
    if len(shape) < 2 or math.prod(shape) >= lines.LARGEST or least <= 4 * lines.FIELDS:
        return None
    promise = {each: _sorted(each, positions, shape).bytes for each in (ROWS, COLUMNS)}
    chosen = min(promise, key=lambda encoding: promise[encoding])
    if promise[chosen] > WORTH * least:
        return None
    found = _lines(chosen, positions, shape)
    return found if len(found.first) + len(found.second) < least else None


def _sorted(encoding: int, positions: Numbers, shape: tuple[int, ...]) -> lines.Sorted:
    number, length = matrix(shape) if encoding == ROWS else matrix(shape)[::-1]
    if encoding == ROWS:
        counts = np.diff(np.searchsorted(positions, np.arange(number + 1) * length))
    else:
        counts = np.bincount(_split(encoding, positions, shape)[0], minlength=number)
    return lines.classes(counts, length)


def _split(encoding: int, positions: Numbers, shape: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """The line of each position, and where in the line it is; without a division, which is slow."""
    rows, columns = matrix(shape)
    begins = np.arange(rows + 1) * columns
    counts = np.diff(np.searchsorted(positions, begins))
    row = np.repeat(np.arange(rows), counts)
    column = positions - np.repeat(begins[:-1], counts)
    return (row, column) if encoding == ROWS else (column, row)


def _lines(encoding: int, positions: Numbers, shape: tuple[int, ...]) -> Positions:
    if math.prod(shape) >= lines.LARGEST:
        raise ValueError(f"encoding {NAMES[encoding]} takes less than 2^32 entries; use auto")
    found = _sorted(encoding, positions, shape)
    rows, columns = matrix(shape)
    line, offset = _split(encoding, positions, shape)
    length = columns if encoding == ROWS else rows
    return Positions(encoding, found.label_bits, *lines.encode(line, offset, length, found))


def _csr(positions: Numbers, shape: tuple[int, ...]) -> Positions:
    rows, columns = matrix(shape)
    if columns > LARGEST_INDEX:
        raise ValueError(f"encoding csr takes rows of up to 2^32 entries, got {columns}; use auto")
    wide = pointer_bits(len(positions))
    pointers = np.searchsorted(positions, np.arange(rows + 1) * columns)
    indices = positions % columns if columns else positions
    first = pointers.astype(f"<u{wide // 8}").view(np.uint8)
    return Positions(CSR, wide, first, indices.astype("<u4").view(np.uint8))


# --- decoding ----------------------------------------------------------------------------------


def stored(encoding: int, parameter: int, kept: int, entries: int) -> int:
    """How many values lie in the file."""
    if encoding == DENSE:
        return entries
    return parameter if encoding in FILLED else kept


def decode(
    coded: Positions, kept: int, shape: tuple[int, ...], zero: Flags
) -> tuple[Numbers, Flags | None]:
    """The position of each stored value, in order, and which of them are weights (None: all).
    `zero` says which stored values have no bit set. Raises `Malformed`."""
    entries = math.prod(shape)
    encoding, first, second = coded.encoding, coded.first, coded.second
    if encoding in (GOLOMB, GOLOMB_MASKED):
        count = kept if encoding == GOLOMB else entries - kept
        found = golomb.decode(first, second, coded.parameter, count, entries)
        return (found if encoding == GOLOMB else complement(found, entries)), None
    if encoding == DENSE:
        if kept != entries or len(first) or len(second):
            raise Malformed("dense, yet not all kept or with streams of positions")
        return np.arange(entries), None
    if encoding == BITMASK:
        if len(first) != bits.size(entries) or len(second):
            raise Malformed(f"a bit-mask of {len(first)} bytes for {entries} entries")
        found, slots = np.flatnonzero(bits.unpacked(first, entries)), None
    elif encoding in (ROWS, COLUMNS):
        found, slots = _decode_lines(coded, shape), None
    elif encoding == CSR:
        found, slots = _decode_csr(coded, kept, shape), None
    else:
        found, slots = _decode_runs(coded, zero)
    count = len(found) if slots is None else int(np.count_nonzero(slots))
    if count != kept:
        raise Malformed(f"{count} positions, {kept} stated")
    if len(found) and int(found.max()) >= entries:
        raise Malformed("a position beyond the last entry")
    return found, slots


def _decode_runs(coded: Positions, zero: Flags) -> tuple[Numbers, Flags | None]:
    width, codes_stated = RUN_BITS[coded.encoding], coded.parameter
    highest = (1 << width) - 1
    if len(coded.first) != width * bits.size(codes_stated):
        raise Malformed(f"{len(coded.first)} bytes for {codes_stated} codes of {width} bits")
    codes = bits.numbers(coded.first, codes_stated, width)
    longest = codes == highest
    if coded.encoding not in FILLED:
        if len(coded.second):
            raise Malformed("a second stream that this encoding does not have")
        reached = np.cumsum(codes + ~longest, dtype=np.int64) - 1
        return reached[~longest], None
    if len(coded.second) % 8:
        raise Malformed("the list of kept zeros is not a whole number of entries")
    alike = np.ascontiguousarray(coded.second).view("<u8")
    if len(alike) and int(alike.max()) >= codes_stated:
        raise Malformed("the list of kept zeros names an entry that is not there")
    slots = ~(longest & zero)
    slots[alike] = True
    return np.cumsum(codes + np.uint8(1), dtype=np.int64) - 1, slots


def _decode_lines(coded: Positions, shape: tuple[int, ...]) -> Numbers:
    rows, columns = matrix(shape)
    number, length = (rows, columns) if coded.encoding == ROWS else (columns, rows)
    line, offset = lines.decode(coded.first, coded.second, coded.parameter, number, length)
    flat = line * length + offset if coded.encoding == ROWS else offset * columns + line
    kept = np.zeros(rows * columns, np.bool_)
    kept[flat] = True
    return np.flatnonzero(kept)


def _decode_csr(coded: Positions, kept: int, shape: tuple[int, ...]) -> Numbers:
    rows, columns = matrix(shape)
    if coded.parameter not in (32, 64):
        raise Malformed(f"row pointers of {coded.parameter} bits, not 32 or 64")
    if (len(coded.first), len(coded.second)) != ((rows + 1) * coded.parameter // 8, 4 * kept):
        raise Malformed(f"streams of another length than {rows} rows and {kept} weights need")
    pointers = np.ascontiguousarray(coded.first).view(f"<u{coded.parameter // 8}")
    indices = np.ascontiguousarray(coded.second).view("<u4")
    if int(pointers[0]) != 0 or int(pointers[-1]) != kept or (pointers[1:] < pointers[:-1]).any():
        raise Malformed("row pointers that do not rise from 0 to the number of weights")
    if kept and int(indices.max()) >= columns:
        raise Malformed("a column beyond the last")
    counts = (pointers[1:] - pointers[:-1]).astype(np.int64)
    found = np.repeat(np.arange(rows) * columns, counts) + indices
    if (found[1:] <= found[:-1]).any():
        raise Malformed("columns that do not rise within a row")
    return found
