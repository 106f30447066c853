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

from pruneexp.storage import encodings, notes, values
from pruneexp.storage.encodings.encoding import Encoding, rows_and_columns
from pruneexp.storage.malformed import Malformed
from pruneexp.storage.values import ValueType

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
    """What the header says of one tensor; `encoding` and `values` are numbers of the two tables.
    `begin` follows from the lengths before it."""

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
        """Of the tensor, masked ones among them."""
        return math.prod(self.shape)

    @property
    def is_same(self) -> bool:
        """Whether it is another tensor under a second name, with no streams."""
        return self.encoding == encodings.SAME

    @property
    def positions_by(self) -> Encoding:
        """How its positions are stored; not of one that repeats another."""
        return encodings.BY_NUMBER[self.encoding]

    @property
    def value_type(self) -> ValueType:
        """How its values are stored."""
        return values.BY_NUMBER[self.values]

    @property
    def dense_bytes(self) -> int:
        """What the tensor takes in memory."""
        return self.entries * self.value_type.decoded.itemsize

    @property
    def stored_values(self) -> int:
        """How many values lie in the file."""
        return self.positions_by.stored_values(self.parameter, self.kept, self.entries)

    @property
    def filler_bytes(self) -> int:
        """Of the stored values, those that no weight has."""
        if self.is_same or not self.positions_by.has_fillers:
            return 0
        return self.value_type.stored_bytes(self.stored_values - self.kept)

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """Bytes of the streams: two of positions, values, scales."""
        if self.is_same:
            return 0, 0, 0, 0
        rows, _ = rows_and_columns(self.shape)
        stored = self.value_type.stored_bytes(self.stored_values)
        return self.first, self.second, stored, self.value_type.scale_bytes(rows)

    @property
    def offsets(self) -> list[int]:
        """Where each stream begins, and where the next tensor's do."""
        offsets = [self.begin]
        for length in self.lengths:
            offsets.append(offsets[-1] + aligned(length))
        return offsets

    @property
    def end(self) -> int:
        """Where the next tensor's streams begin."""
        return self.offsets[-1]


def aligned(length: int) -> int:
    """With the zeros that follow a stream of so many bytes."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def is_name(name: str) -> bool:
    """Names hold no control characters, which a terminal would obey."""
    return all(" " <= sign <= "~" or sign >= "\xa0" for sign in name)


def header(entries: list[Entry], noted: bytes = b"") -> bytes:
    """Everything before the first stream; `noted` are the notes, as bytes."""
    table = b"".join(_record(entry) for entry in entries) + noted
    table += bytes(aligned(len(table)) - len(table))
    length = HEAD.size + len(table)
    total = length + sum(sum(map(aligned, entry.lengths)) for entry in entries)
    head = bytearray(HEAD.pack(MAGIC, VERSION, len(entries), length, total, 0, len(noted)))
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
    _, version, tensors, length, total, checksum, noted = HEAD.unpack_from(data)
    if version != VERSION:
        raise Malformed(f"format version {version}; this reader knows {VERSION}")
    if total != len(data):
        raise Malformed(f"{len(data)} bytes, where its header states {total}")
    if not HEAD.size <= length <= total or length % ALIGNMENT:
        raise Malformed(f"a header of {length} bytes in a file of {total}")
    before = zlib.crc32(bytes(4), zlib.crc32(data[:CRC_AT]))
    if zlib.crc32(data[CRC_AT + 4 : length], before) != checksum:
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
    if at + aligned(noted) != length or begin != total:
        raise Malformed("bytes that belong neither to a tensor nor to the notes")
    return entries, notes.read(bytes(data[at : at + noted]))


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
    if entry.encoding not in encodings.NAMES:
        raise Malformed(f"encoding {entry.encoding} is unknown")
    if entry.values not in values.BY_NUMBER:
        raise Malformed(f"type {entry.values} of values is unknown")
    if math.prod(max(extent, 1) for extent in entry.shape) > MOST_ENTRIES:
        raise Malformed(f"shape {entry.shape} has more than 2^40 entries")
    if entry.kept > entry.entries:
        raise Malformed(f"{entry.kept} kept of {entry.entries}")
    if entry.is_same:
        _check_same(entry, before)


def _check_same(entry: Entry, before: list[Entry]) -> None:
    if entry.parameter >= len(before):
        raise Malformed("it repeats a tensor that does not come before it")
    other = before[entry.parameter]
    if other.is_same:
        raise Malformed("it repeats a tensor that itself repeats one")
    if (entry.shape, entry.values, entry.kept) != (other.shape, other.values, other.kept):
        raise Malformed(f"it repeats {other.name!r}, which differs in shape, type or weights")
    if entry.first or entry.second:
        raise Malformed("it repeats a tensor, yet has streams")
