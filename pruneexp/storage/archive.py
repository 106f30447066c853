"""A whole model as one .pxp file: written atomically, read a tensor at a time from mapped memory.

save(path, {"weight": weights}, {"weight": mask}, values="fp16")
archive = Archive(path)
weights, mask = archive.read("weight"), archive.mask("weight")
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pruneexp.engine import files
from pruneexp.storage import layout, notes, positions, values
from pruneexp.storage.bits import Bytes, Flags, Numbers
from pruneexp.storage.golomb import Malformed
from pruneexp.storage.layout import Entry

Array = NDArray[Any]
# What a file's length justifies when its tensors are made dense: a 99.9 % sparse int8 model needs
# some hundred times its file; a forged one may ask for the whole machine.
BASE, FACTOR = 16 * 2**20, 1024
# Positions by tensor and encoding, without those that fillers tie to their values. Fillers are the
# cheaper the smaller values are: what `auto` finds without them for small values holds for larger.
Known = dict[tuple[str, str], positions.Positions]


@dataclass(frozen=True, slots=True)
class Content:
    """A tensor as a file is to hold it: what is kept, and where (None: everything)."""

    name: str
    shape: tuple[int, ...]
    kept: Array
    where: Numbers | None
    repeats: int | None = None  # the number of the tensor whose second name this is


def save(
    path: Path,
    weights: Mapping[str, Array],
    masks: Mapping[str, Flags],
    *,
    kind: str = "fp32",
    encoding: str = "auto",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a model. A mask is True where a weight is kept; what is masked is not stored. `kind`
    is for float32 of two and more dimensions; biases and batch-norm stay as they are. `about` is
    plain data kept beside the tensors."""
    entries, bodies = encoded(gathered(weights, masks), kind=kind, encoding=encoding)
    files.save_bytes(path, layout.header(entries, notes.written(about or {})), *bodies)


def gathered(weights: Mapping[str, Array], masks: Mapping[str, Flags]) -> list[Content]:
    """The tensors in the order of the file."""
    unknown = [name for name in masks if name not in weights]
    if unknown:
        raise ValueError(f"masks of {', '.join(unknown)}, which are no tensors of the model")
    found: list[Content] = []
    seen: dict[tuple[object, ...], int] = {}
    # Those with masks come first, so that a tied tensor's second name repeats the masked one.
    for name in sorted(weights, key=lambda name: name not in masks):
        tensor, mask = np.ascontiguousarray(weights[name]).reshape(weights[name].shape), None
        if name in masks:
            mask = masks[name]
            if mask.shape != tensor.shape or mask.dtype != np.bool_:
                raise ValueError(f"mask of {name}: must be boolean of shape {tensor.shape}")
            tensor = np.where(mask, tensor, tensor.dtype.type(0))
        key = (tensor.shape, str(tensor.dtype), files.checksum(tensor.tobytes()))
        other = seen.get(key) if tensor.ndim > 1 else None
        if other is not None and (mask is None or _same_mask(mask, masks, found[other].name)):
            found.append(replace(found[other], name=name, repeats=other))
            continue
        seen.setdefault(key, len(found))
        flat = tensor.reshape(-1)
        where = None if mask is None else np.flatnonzero(mask)
        found.append(Content(name, tensor.shape, flat if where is None else flat[where], where))
    return found


def _same_mask(mask: Flags, masks: Mapping[str, Flags], other: str) -> bool:
    return bool(np.array_equal(mask, masks[other])) if other in masks else bool(mask.all())


def encoded(
    tensors: list[Content], *, kind: str, encoding: str, known: Known | None = None
) -> tuple[list[Entry], list[bytes]]:
    """What a file consists of: the lines of its header, and the bytes of each tensor. Whoever
    encodes models of the same masks again and again keeps what is `known`, and begins with the
    smallest type of values."""
    entries: list[Entry] = []
    bodies: list[bytes] = []
    for tensor in tensors:
        if tensor.repeats is not None:
            entries.append(_repeated(tensor.name, entries[tensor.repeats], tensor.repeats))
            bodies.append(b"")
            continue
        try:
            entry, body = _tensor(tensor, kind, encoding, {} if known is None else known)
        except ValueError as error:
            raise ValueError(f"tensor {tensor.name}: {error}") from error
        entries.append(entry)
        bodies.append(body)
    return entries, bodies


def _repeated(name: str, other: Entry, number: int) -> Entry:
    changes: dict[str, Any] = {"name": name, "encoding": positions.SAME, "parameter": number}
    return replace(other, **changes, first=0, second=0, checksum=0)


def _tensor(tensor: Content, word: str, encoding: str, known: Known) -> tuple[Entry, bytes]:
    shape, kept, where = tensor.shape, tensor.kept, tensor.where
    kind = values.kind_for(kept.dtype, word if len(shape) > 1 else "fp32")
    if where is not None and encoding == "dense":
        kept = np.zeros(math.prod(shape), kept.dtype)
        kept[where] = tensor.kept
    if where is None or encoding == "dense":
        where, encoding = np.arange(kept.size), "dense"
    stored, scales = values.encode(kind, kept, _row_lengths(where, shape))
    width = values.WIDTHS[kind]
    coded = known.get((tensor.name, encoding))
    if coded is None:
        coded = positions.encode(encoding, where, shape, _zero(stored, width), width)
        if coded.encoding not in positions.FILLED:
            found = positions.NAMES[coded.encoding].removesuffix("-masked")
            known[tensor.name, encoding] = known[tensor.name, found] = coded
    if coded.slots is not None:  # fillers hold zeros
        spread = np.zeros((len(coded.slots), width), np.uint8)
        spread[coded.slots] = stored.reshape(-1, width)
        stored = spread.reshape(-1)
    streams = [coded.first, coded.second, stored, scales]
    body = b"".join(
        stream.tobytes() + bytes(layout.aligned(len(stream)) - len(stream)) for stream in streams
    )
    lengths = len(coded.first), len(coded.second)
    entry = Entry(
        *(tensor.name, shape, coded.encoding, kind, coded.parameter, len(where), *lengths),
        checksum=zlib.crc32(body),
    )
    return entry, body


def _row_lengths(where: Numbers, shape: tuple[int, ...]) -> Numbers:
    """How many of the sorted positions lie in each row."""
    rows, columns = positions.matrix(shape)
    return np.diff(np.searchsorted(where, np.arange(rows + 1) * columns))


def _zero(stored: Bytes, width: int) -> Flags:
    """Which values have no bit set; -0.0 has one."""
    return stored.view(f"<u{width}") == 0


class Archive:
    """A .pxp file. Opening reads the header alone, notes included; `read` and `mask` touch one
    tensor's bytes. Everything wrong with the file raises `files.Damaged`, which names file and
    tensor."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        """`limit` is the most bytes that all tensors may take when dense; without it, what the
        file's length justifies."""
        self.path = path
        try:
            self._data: Bytes = np.memmap(path, np.uint8, mode="r")
        except OSError as error:
            raise files.NotFound(f"{path} cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise files.Damaged(path, "it is empty") from error
        self.limit = BASE + FACTOR * len(self._data) if limit is None else limit
        try:
            entries, self.notes = layout.read(self._data.data)
        except Malformed as error:
            raise files.Damaged(path, str(error)) from error
        self.entries = {entry.name: entry for entry in entries}
        self._by_number = entries

    @property
    def dense_bytes(self) -> int:
        return sum(entry.dense_bytes for entry in self._by_number)

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def identity(self) -> str:
        """The header's checksum, under which lies every tensor's."""
        return bytes(self._data[layout.CRC_AT : layout.CRC_AT + 4]).hex()

    def read(self, name: str) -> Array:
        """The tensor with zeros where it is masked. bf16, fp16 and int8 come back as float32."""
        entry, where, stored, _ = self._decoded(name)
        found = np.zeros(entry.entries, values.decoded(entry.values))
        found[where] = stored
        return found.reshape(entry.shape)

    def mask(self, name: str) -> Flags:
        """True where a weight is kept, also one that happens to be 0."""
        entry, where, _, slots = self._decoded(name)
        found = np.zeros(entry.entries, np.bool_)
        found[where if slots is None else where[slots]] = True
        return found.reshape(entry.shape)

    def _decoded(self, name: str) -> tuple[Entry, Numbers, Array, Flags | None]:
        if name not in self.entries:
            raise files.NotFound(f"no tensor {name!r} in {self.path}")
        entry = self.entries[name]
        if entry.encoding == positions.SAME:
            entry = self._by_number[entry.parameter]
        if self.dense_bytes > self.limit:
            self._fail(
                name,
                f"the tensors of the file would take {self.dense_bytes:,} bytes, which its "
                f"length does not justify; where it is trusted, a limit above {self.limit:,} "
                "lets it pass",
            )
        offsets = entry.offsets
        if zlib.crc32(self._data[entry.begin : entry.end].data) != entry.checksum:
            self._fail(name, "its checksum does not fit its content")
        first, second, stored, scales = (
            self._data[begin : begin + length]
            for begin, length in zip(offsets, entry.lengths, strict=False)
        )
        coded = positions.Positions(entry.encoding, entry.parameter, first, second)
        zero = np.zeros(0, np.bool_)
        if entry.encoding in positions.FILLED:
            zero = _zero(np.asarray(stored), values.WIDTHS[entry.values])
        try:
            where, slots = positions.decode(coded, entry.kept, entry.shape, zero)
            lengths = _row_lengths(where, entry.shape) if len(scales) else np.zeros(0, np.int64)
            return entry, where, values.decode(entry.values, stored, scales, lengths), slots
        except Malformed as error:
            self._fail(name, str(error))

    def _fail(self, name: str, why: str) -> NoReturn:
        raise files.Damaged(self.path, f"tensor {name!r}: {why}")
