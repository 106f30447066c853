"""A whole model as one .pxp file: written atomically, read a tensor at a time from mapped memory.

save(path, {"weight": weights}, {"weight": mask}, values="fp16")
archive = Archive(path)
weights, mask = archive.read("weight"), archive.mask("weight")
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pruneexp import files
from pruneexp.storage import layout, notes, positions, values
from pruneexp.storage.bits import Bytes, Flags, Numbers
from pruneexp.storage.golomb import Malformed
from pruneexp.storage.layout import Entry

Array = NDArray[Any]
# What a file's length justifies when its tensors are made dense: a 99.9 % sparse int8 model needs
# some hundred times its file; a forged one may ask for the whole machine.
BASE, FACTOR = 16 * 2**20, 1024


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
    unknown = [name for name in masks if name not in weights]
    if unknown:
        raise ValueError(f"masks of {', '.join(unknown)}, which are no tensors of the model")
    entries: list[Entry] = []
    bodies: list[bytes] = []
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
        if other is not None and (mask is None or _same_mask(mask, masks, entries[other].name)):
            entries.append(_repeated(name, entries[other], other))
            bodies.append(b"")
            continue
        seen.setdefault(key, len(entries))
        try:
            entry, body = _tensor(name, tensor, mask, kind, encoding)
        except ValueError as error:
            raise ValueError(f"tensor {name}: {error}") from error
        entries.append(entry)
        bodies.append(body)
    files.save_bytes(path, layout.header(entries, notes.written(about or {})), *bodies)


def _same_mask(mask: Flags, masks: Mapping[str, Flags], other: str) -> bool:
    return bool(np.array_equal(mask, masks[other])) if other in masks else bool(mask.all())


def _repeated(name: str, other: Entry, number: int) -> Entry:
    changes: dict[str, Any] = {"name": name, "encoding": positions.SAME, "parameter": number}
    return replace(other, **changes, first=0, second=0, checksum=0)


def _tensor(
    name: str, tensor: Array, mask: Flags | None, word: str, encoding: str
) -> tuple[Entry, bytes]:
    kind = values.kind_for(tensor.dtype, word if tensor.ndim > 1 else "fp32")
    flat = tensor.reshape(-1)
    if mask is None or encoding == "dense":
        where = np.arange(flat.size)
        kept, encoding = flat, "dense"
    else:
        where = np.flatnonzero(mask)
        kept = flat[where]
    stored, scales = values.encode(kind, kept, _row_lengths(where, tensor.shape))
    width = values.WIDTHS[kind]
    coded = positions.encode(encoding, where, tensor.shape, _zero(stored, width), width)
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
        *(name, tensor.shape, coded.encoding, kind, coded.parameter, len(where), *lengths),
        checksum=zlib.crc32(body),
    )
    return entry, body


def _row_lengths(where: Numbers, shape: tuple[int, ...]) -> Numbers:
    """How many of the sorted positions lie in each row."""
    rows, columns = positions.matrix(shape)
    return np.diff(np.searchsorted(where, np.arange(rows + 1) * columns))


def _zero(stored: Bytes, width: int) -> Flags:
    """Which values have no bit set; -0.0 has one."""
    return np.logical_not(stored.reshape(-1, width).any(axis=1))


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
