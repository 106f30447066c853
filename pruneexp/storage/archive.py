"""A whole model as one .pxp file: written atomically, read a tensor at a time from mapped memory.

save(path, {"weight": weights}, {"weight": mask}, kind="fp16")
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
from pruneexp.storage import encodings, layout, positions, values
from pruneexp.storage import notes as file_notes
from pruneexp.storage.bits import Bytes, Flags, Numbers
from pruneexp.storage.encodings.encoding import EncodedPositions, rows_and_columns
from pruneexp.storage.layout import Entry
from pruneexp.storage.malformed import Malformed

Array = NDArray[Any]
# What a file's length justifies when its tensors are made dense: a 99.9 % sparse int8 model needs
# some hundred times its file; a forged one may ask for the whole machine.
BASE, FACTOR = 16 * 2**20, 1024
# Encoded positions by tensor and by the encoding that was asked for, for callers that encode models
# of the same masks again and again. Not those with fillers, which depend on the values.
PositionsCache = dict[tuple[str, str], EncodedPositions]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a file is to hold it.

    Arguments:
        name, shape: of the tensor.
        kept: its kept values, in order.
        positions: where they are in the flattened tensor, rising; None: everything is kept.
        repeats: where it is another tensor under a second name, that one's number.
    """

    name: str
    shape: tuple[int, ...]
    kept: Array
    positions: Numbers | None
    repeats: int | None = None


def save(
    path: Path,
    weights: Mapping[str, Array],
    masks: Mapping[str, Flags],
    *,
    kind: str = "fp32",
    encoding: str = "auto",
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a model.

    Arguments:
        path: replaced, wholly or not at all.
        weights: all tensors by name.
        masks: of some of them, True where a weight is kept; what is masked is not stored.
        kind: the type of values, one of `values.WORDS`, for float32 of two and more dimensions.
            Biases and batch-norm stay as they are.
        encoding: of positions, one of `encodings.WORDS`.
        notes: plain data kept beside the tensors.

    Raises ValueError, with a remedy, for what the file cannot hold.
    """
    entries, bodies = encode_tensors(tensors_to_store(weights, masks), kind=kind, encoding=encoding)
    files.save_bytes(path, layout.header(entries, file_notes.written(notes or {})), *bodies)


def tensors_to_store(
    weights: Mapping[str, Array], masks: Mapping[str, Flags]
) -> list[StoredTensor]:
    """The tensors in the order of the file, those with equal content once."""
    unknown = [name for name in masks if name not in weights]
    if unknown:
        raise ValueError(f"masks of {', '.join(unknown)}, which are no tensors of the model")
    tensors: list[StoredTensor] = []
    number_of: dict[tuple[object, ...], int] = {}
    # Those with masks come first, so that a tied tensor's second name repeats the masked one.
    for name in sorted(weights, key=lambda name: name not in masks):
        tensor, mask = np.ascontiguousarray(weights[name]).reshape(weights[name].shape), None
        if name in masks:
            mask = masks[name]
            if mask.shape != tensor.shape or mask.dtype != np.bool_:
                raise ValueError(f"mask of {name}: must be boolean of shape {tensor.shape}")
            tensor = np.where(mask, tensor, tensor.dtype.type(0))
        content = (tensor.shape, str(tensor.dtype), files.checksum(_unsigned_zeros(tensor)))
        other = number_of.get(content) if tensor.ndim > 1 else None
        if other is not None and _repeats(tensor, mask, tensors[other], masks):
            tensors.append(replace(tensors[other], name=name, repeats=other))
            continue
        number_of.setdefault(content, len(tensors))
        flat = tensor.reshape(-1)
        where = None if mask is None else np.flatnonzero(mask)
        kept = flat if where is None else flat[where]
        tensors.append(StoredTensor(name, tensor.shape, kept, where))
    return tensors


def _unsigned_zeros(tensor: Array) -> bytes:
    """The bytes of a tensor without the sign of its zeros: masked weights of a tied tensor's second
    name may be -0.0."""
    is_float = np.issubdtype(tensor.dtype, np.floating)
    return (tensor + tensor.dtype.type(0) if is_float else tensor).tobytes()


def _repeats(
    tensor: Array, mask: Flags | None, other: StoredTensor, masks: Mapping[str, Flags]
) -> bool:
    """Whether a tensor is an earlier one under a second name: the same kept values, bit for bit."""
    if mask is not None and not _same_mask(mask, masks, other.name):
        return False
    flat = tensor.reshape(-1)
    return (flat if other.positions is None else flat[other.positions]).tobytes() == (
        other.kept.tobytes()
    )


def _same_mask(mask: Flags, masks: Mapping[str, Flags], other: str) -> bool:
    return bool(np.array_equal(mask, masks[other])) if other in masks else bool(mask.all())


def encode_tensors(
    tensors: list[StoredTensor],
    *,
    kind: str,
    encoding: str,
    cache: PositionsCache | None = None,
) -> tuple[list[Entry], list[bytes]]:
    """What a file consists of: the lines of its header, and the bytes of each tensor.

    Arguments:
        tensors: from `tensors_to_store`.
        kind, encoding: as for `save`.
        cache: filled and used; only for models of the same masks. Fillers are the cheaper the
            smaller values are, so what `auto` chooses without them for small values holds for
            larger ones: begin with the smallest type of values.
    """
    entries: list[Entry] = []
    bodies: list[bytes] = []
    for tensor in tensors:
        if tensor.repeats is not None:
            entries.append(_repeated(tensor.name, entries[tensor.repeats], tensor.repeats))
            bodies.append(b"")
            continue
        try:
            entry, body = _encode(tensor, kind, encoding, {} if cache is None else cache)
        except ValueError as error:
            raise ValueError(f"tensor {tensor.name}: {error}") from error
        entries.append(entry)
        bodies.append(body)
    return entries, bodies


def _repeated(name: str, other: Entry, number: int) -> Entry:
    changes: dict[str, Any] = {"name": name, "encoding": encodings.SAME, "parameter": number}
    return replace(other, **changes, first=0, second=0, checksum=0)


def _encode(
    tensor: StoredTensor, word: str, encoding: str, cache: PositionsCache
) -> tuple[Entry, bytes]:
    shape, kept, where = tensor.shape, tensor.kept, tensor.positions
    kind = values.type_for(kept.dtype, word if len(shape) > 1 else values.EXACT)
    if where is not None and encoding == "dense":
        kept = np.zeros(math.prod(shape), kept.dtype)
        kept[where] = tensor.kept
    if where is None or encoding == "dense":
        where, encoding = np.arange(kept.size), "dense"
    stored, scales = kind.encode(kept, _row_lengths(where, shape))
    coded = cache.get((tensor.name, encoding))
    if coded is None:
        coded = positions.encode(encoding, where, shape, kind.has_no_bit_set(stored), kind.width)
        chosen = encodings.BY_NUMBER[coded.encoding]
        if not chosen.has_fillers:
            cache[tensor.name, encoding] = cache[tensor.name, chosen.word] = coded
    if coded.slots is not None:
        stored = kind.with_fillers(stored, coded.slots)
    streams = [coded.first, coded.second, stored, scales]
    body = b"".join(
        stream.tobytes() + bytes(layout.aligned(len(stream)) - len(stream)) for stream in streams
    )
    entry = Entry(
        name=tensor.name,
        shape=shape,
        encoding=coded.encoding,
        values=kind.number,
        parameter=coded.parameter,
        kept=len(where),
        first=len(coded.first),
        second=len(coded.second),
        checksum=zlib.crc32(body),
    )
    return entry, body


def _row_lengths(where: Numbers, shape: tuple[int, ...]) -> Numbers:
    """How many of the sorted positions lie in each row."""
    rows, columns = rows_and_columns(shape)
    return np.diff(np.searchsorted(where, np.arange(rows + 1) * columns))


class TooLarge(files.Damaged):
    """A file whose tensors would take more memory than they may; nothing else need be wrong.

    Arguments:
        path: of the file.
        needed, limit: bytes of all tensors, and how many they may take.
    """

    def __init__(self, path: Path, needed: int, limit: int) -> None:
        self.path = path
        Exception.__init__(
            self,
            f"the tensors of {path} would take {needed:,} bytes, more than the limit of {limit:,}; "
            f"`pruneexp unpack --limit {needed}` lets them, where the file is trusted",
        )


class Archive:
    """A .pxp file. Opening reads the header alone, notes included; `read` and `mask` touch one
    tensor's bytes. Everything wrong with the file raises `files.Damaged`, which names file and
    tensor.

        archive = Archive(Path("model.pxp"))
        state = {name: archive.read(name) for name in archive.entries}

    Arguments:
        path: of the file. `files.NotFound` is raised where it cannot be opened.
        limit: the most bytes that all tensors may take when dense; without it, what the file's
            length justifies.
    """

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self.path = path
        try:
            # A plain view: slices of a memmap take much longer to make.
            self._data: Bytes = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
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
        self._all_dense_bytes = sum(entry.dense_bytes for entry in entries)

    @property
    def dense_bytes(self) -> int:
        """What all tensors take in memory, those with two names once."""
        return sum(entry.dense_bytes for entry in self._by_number if not entry.is_same)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    @property
    def identity(self) -> str:
        """The header's checksum, under which lies every tensor's."""
        return bytes(self._data[layout.CRC_AT : layout.CRC_AT + 4]).hex()

    def read(self, name: str) -> Array:
        """The tensor with zeros where it is masked. bf16, fp16 and int8 come back as float32."""
        entry, where, stored, _ = self._decode(name)
        tensor = np.zeros(entry.entries, entry.value_type.decoded)
        tensor[where] = stored
        return tensor.reshape(entry.shape)

    def mask(self, name: str) -> Flags:
        """True where a weight is kept, also one that happens to be 0."""
        entry, where, _, slots = self._decode(name)
        mask = np.zeros(entry.entries, np.bool_)
        mask[where if slots is None else where[slots]] = True
        return mask.reshape(entry.shape)

    def _decode(self, name: str) -> tuple[Entry, Numbers, Array, Flags | None]:
        """The entry, the positions of its stored values, these, and which of them are weights."""
        if name not in self.entries:
            raise files.NotFound(f"no tensor {name!r} in {self.path}")
        entry = self.entries[name]
        if entry.is_same:
            entry = self._by_number[entry.parameter]
        if self._all_dense_bytes > self.limit:
            raise TooLarge(self.path, self._all_dense_bytes, self.limit)
        offsets = entry.offsets
        if zlib.crc32(self._data[offsets[0] : offsets[-1]].data) != entry.checksum:
            self._fail(name, "its checksum does not fit its content")
        first, second, stored, scales = (
            self._data[begin : begin + length]
            for begin, length in zip(offsets, entry.lengths, strict=False)
        )
        coded = EncodedPositions(entry.encoding, entry.parameter, first, second)
        kind = entry.value_type
        zero = np.zeros(0, np.bool_)
        if entry.positions_by.has_fillers:
            zero = kind.has_no_bit_set(np.asarray(stored))
        try:
            where, slots = positions.decode(coded, entry.kept, entry.shape, zero)
            lengths = _row_lengths(where, entry.shape) if len(scales) else np.zeros(0, np.int64)
            return entry, where, kind.decode(stored, scales, lengths), slots
        except Malformed as error:
            self._fail(name, str(error))

    def _fail(self, name: str, why: str) -> NoReturn:
        raise files.Damaged(self.path, f"tensor {name!r}: {why}")
