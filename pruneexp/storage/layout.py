"""The header of a .pxp file: written, and read with suspicion. docs/format.md is its specification.

Offsets are not stored: streams follow each other in the order of the table, so that none can
overlap or lie outside. What a file could still lie about is checked here, before anything as large
as it claims is allocated.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from pruneexp.storage import notes, positions, values
from pruneexp.storage.golomb import Malformed

MAGIC = b"\x89PXP\r\n\x1a\n"  # as PNG's: a transfer that alters line ends or bit 7 shows
VERSION = 1
# Magic, version, number of tensors, lengths of the header and of the file, CRC-32, length of notes.
HEAD = struct.Struct("<8sIIQQII")
CRC_AT = 32
RECORD = struct.Struct("<IHBBQQQQQ")  # then the shape, the name, zeros up to a multiple of 8
ALIGNMENT = 8
MOST_ENTRIES = 2**40
MOST_DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """What the header says of one tensor. `begin` follows from the lengths before it."""

    name: str
    shape: tuple[int, ...]
    encoding: int
    values: int
    parameter: int
    kept: int
    first: int  # bytes of the two streams of positions
    second: int
    checksum: int = 0
    begin: int = 0

    @property
    def entries(self) -> int:
        return math.prod(self.shape)

    @property
    def dense_bytes(self) -> int:
        return self.entries * values.decoded(self.values).itemsize

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """Bytes of the streams: two of positions, values, scales."""
        if self.encoding == positions.SAME:
            return 0, 0, 0, 0
        count = positions.stored(self.encoding, self.parameter, self.kept, self.entries)
        rows, _ = positions.matrix(self.shape)
        scales = 4 * rows if self.values == values.INT8 else 0
        return self.first, self.second, count * values.WIDTHS[self.values], scales

    @property
    def offsets(self) -> list[int]:
        """Where each stream begins, and where the next tensor's do."""
        places = [self.begin]
        for length in self.lengths:
            places.append(places[-1] + aligned(length))
        return places

    @property
    def end(self) -> int:
        return self.offsets[-1]


def aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def is_name(name: str) -> bool:
    """Names hold no control characters, which a terminal would obey."""
    return all(" " <= sign <= "~" or sign >= "\xa0" for sign in name)


def header(entries: list[Entry], about: bytes = b"") -> bytes:
    """Everything before the first stream; `about` are the notes, as bytes."""
    table = b"".join(_record(entry) for entry in entries) + about
    table += bytes(aligned(len(table)) - len(table))
    length = HEAD.size + len(table)
    total = length + sum(sum(map(aligned, entry.lengths)) for entry in entries)
    head = bytearray(HEAD.pack(MAGIC, VERSION, len(entries), length, total, 0, len(about)))
    head[CRC_AT : CRC_AT + 4] = zlib.crc32(bytes(head) + table).to_bytes(4, "little")
    return bytes(head) + table


def _record(entry: Entry) -> bytes:
    name = entry.name.encode()
    if len(name) > 65_535 or not is_name(entry.name):
        raise ValueError(f"tensor {entry.name!r}: a name takes 65,535 bytes and no control signs")
    if len(entry.shape) > MOST_DIMENSIONS:
        raise ValueError(f"tensor {entry.name!r}: a shape takes {MOST_DIMENSIONS} dimensions")
    record = RECORD.pack(
        entry.checksum,
        len(name),
        entry.encoding,
        entry.values,
        entry.parameter,
        entry.kept,
        entry.first,
        entry.second,
        len(entry.shape),
    )
    record += struct.pack(f"<{len(entry.shape)}Q", *entry.shape) + name
    return record + bytes(aligned(len(record)) - len(record))


def read(data: memoryview) -> tuple[list[Entry], dict[str, Any]]:
    """The table and the notes of a whole file; raises `Malformed`, with the tensor where it is
    known."""
    if len(data) < HEAD.size or bytes(data[:8]) != MAGIC:
        raise Malformed("it does not begin as a .pxp file does")
    _, version, tensors, length, total, checksum, about = HEAD.unpack_from(data)
    if version != VERSION:
        raise Malformed(f"format version {version}; this reader knows {VERSION}")
    if total != len(data):
        raise Malformed(f"{len(data)} bytes, where its header states {total}")
    if not HEAD.size <= length <= total or length % ALIGNMENT:
        raise Malformed(f"a header of {length} bytes in a file of {total}")
    found = zlib.crc32(data[:CRC_AT])
    found = zlib.crc32(bytes(4), found)
    if zlib.crc32(data[CRC_AT + 4 : length], found) != checksum:
        raise Malformed("the header's checksum does not fit its content")
    entries: list[Entry] = []
    names: set[str] = set()
    at, begin = HEAD.size, length
    for _ in range(tensors):
        entry, at = _read_record(data[:length], at, begin)
        if entry.name in names:
            raise Malformed(f"two tensors are named {entry.name!r}")
        try:
            _check(entry, entries)
        except Malformed as error:
            raise Malformed(f"tensor {entry.name!r}: {error}") from error
        begin = entry.end
        if begin > total:
            raise Malformed(f"tensor {entry.name!r} would end at {begin} of {total} bytes")
        names.add(entry.name)
        entries.append(entry)
    if at + aligned(about) != length or begin != total:
        raise Malformed("bytes that belong neither to a tensor nor to the notes")
    return entries, notes.read(bytes(data[at : at + about]))


def _read_record(table: memoryview, at: int, begin: int) -> tuple[Entry, int]:
    if at + RECORD.size > len(table):
        raise Malformed("the table ends within a tensor")
    checksum, name_length, encoding, kind, parameter, kept, first, second, dimensions = (
        RECORD.unpack_from(table, at)
    )
    at += RECORD.size
    if dimensions > MOST_DIMENSIONS or at + 8 * dimensions + name_length > len(table):
        raise Malformed("the table ends within a tensor's shape or name")
    shape = struct.unpack_from(f"<{dimensions}Q", table, at)
    at += 8 * dimensions
    try:
        name = bytes(table[at : at + name_length]).decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name that is not UTF-8") from error
    if not is_name(name):
        raise Malformed(f"a name with control characters, {name!r}")
    entry = Entry(name, shape, encoding, kind, parameter, kept, first, second, checksum, begin)
    return entry, aligned(at + name_length)


def _check(entry: Entry, before: list[Entry]) -> None:
    if entry.encoding >= len(positions.NAMES):
        raise Malformed(f"encoding {entry.encoding} is unknown")
    if entry.values not in values.WIDTHS:
        raise Malformed(f"type {entry.values} of values is unknown")
    if math.prod(max(extent, 1) for extent in entry.shape) > MOST_ENTRIES:
        raise Malformed(f"shape {entry.shape} has more than 2^40 entries")
    if entry.kept > entry.entries:
        raise Malformed(f"{entry.kept} kept of {entry.entries}")
    if entry.encoding == positions.SAME:
        _check_same(entry, before)


def _check_same(entry: Entry, before: list[Entry]) -> None:
    if entry.parameter >= len(before):
        raise Malformed("it repeats a tensor that does not come before it")
    other = before[entry.parameter]
    if other.encoding == positions.SAME:
        raise Malformed("it repeats a tensor that itself repeats one")
    if (entry.shape, entry.values, entry.kept) != (other.shape, other.values, other.kept):
        raise Malformed(f"it repeats {other.name!r}, which differs in shape, type or weights")
    if entry.first or entry.second:
        raise Malformed("it repeats a tensor, yet has streams")
