"""How large a model is in packed files: under each encoding of positions and with each type of
values, with batch-norm kept and with it folded. The numbers are those of the files that
`storage.archive.save` would write, to the byte; those of a finished run are `pruneexp pack`'s.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor, nn

from pruneexp.engine.record import Record
from pruneexp.measure.folding import folded_state
from pruneexp.measure.packed_sizes import PackedFile, PackedLayer, PackedSizes, PackedState
from pruneexp.storage import encodings, layout, positions, values
from pruneexp.storage import notes as file_notes
from pruneexp.storage.archive import (
    Array,
    PositionsCache,
    StoredTensor,
    encode_tensors,
    tensors_to_store,
)
from pruneexp.storage.bits import Flags
from pruneexp.storage.layout import Entry
from pruneexp.storage.pack import notes_of
from pruneexp.tasks.shape import Shape


def packed_sizes(
    model: nn.Module,
    shape: Shape,
    masks: Mapping[str, Tensor],
    say: Callable[[str], None],
    record: Record | None = None,
) -> PackedSizes | None:
    """How large a trained network is when packed. What cannot be measured of a user's own network
    is said and left out, since that must not cost a finished training; None if nothing can.

        sizes = packed_sizes(model, task.shape(), masks, print)

    Arguments:
        model: with its weights.
        shape: what the network takes; an example of it goes through to fold batch-norm.
        masks: True where a weight is kept, by the name of its tensor.
        say: gets a line about each thing that is not known.
        record: of the finished run, whose packed file says how it was made; without it, the sizes
            are those of files without notes.
    """
    try:
        state = folded(model, shape)
    except Exception as error:  # anything that a user's forward may raise
        say(f"bytes with batch-norm folded are not known ({_why(error)})")
        state = None
    try:
        weights = arrays(model.state_dict())
        notes = (b"", b"") if record is None else notes_of_both(record)
        sizes = sizes_of_arrays(weights, arrays(masks), state, notes)
    except Exception as error:  # such as a type of numbers that numpy does not have
        say(f"bytes of the packed model are not known ({_why(error)})")
        return None
    for file, why in sizes.refused.items():
        say(f"bytes as {file} are not known ({why})")
    return sizes


def sizes_of_arrays(
    weights: Mapping[str, Array],
    masks: Mapping[str, Flags],
    folded: Mapping[str, Array] | None = None,
    notes: tuple[bytes, bytes] = (b"", b""),
) -> PackedSizes:
    """The same from arrays; `folded` is the same model with batch-norm folded, `notes` are those of
    either file. A file that cannot be written is None, and `refused` has the reason."""
    cache: PositionsCache = {}
    refused: dict[str, str] = {}
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    tensors = tensors_to_store(weights, masks)
    kept_state = _state(tensors, notes[0], cache, refused)
    return PackedSizes(
        prunable=sum(mask.size for mask in masks.values()),
        kept=sum(kept.values()),
        bound_bytes=math.fsum(positions.bound(masks[name].size, kept[name]) for name in masks),
        batch_norm_kept=kept_state,
        batch_norm_folded=None
        if folded is None
        else _state(tensors_to_store(folded, masks), notes[1], cache, refused),
        layers=_layers(tensors, cache),
        refused=refused,
    )


def _layers(tensors: list[StoredTensor], cache: PositionsCache) -> list[PackedLayer]:
    """Each matrix, with what its positions take; those under a second name once."""
    matrices = [each for each in tensors if len(each.shape) > 1 and each.repeats is None]
    try:
        entries, _ = encode_tensors(matrices, kind=values.EXACT, encoding="auto", cache=cache)
    except ValueError:  # which `refused` tells of
        return []
    return [
        PackedLayer(
            name=entry.name,
            weights=entry.entries,
            kept=entry.kept,
            position_bytes=entry.first + entry.second,
        )
        for entry in entries
    ]


def _state(
    tensors: list[StoredTensor], notes: bytes, cache: PositionsCache, refused: dict[str, str]
) -> PackedState:
    """Each encoding with fp32 values, and each type of values with the encoding `auto`."""

    def file(kind: str, encoding: str) -> PackedFile | None:
        try:
            encoded = encode_tensors(tensors, kind=kind, encoding=encoding, cache=cache)
            return _file(*encoded, notes)
        except ValueError as error:
            refused[f"{kind} {encoding}"] = str(error)[:1000]
            return None

    is_pruned = any(tensor.positions is not None for tensor in tensors)
    smallest_first = sorted(values.WORDS, key=lambda word: values.BY_WORD[word].width)
    by_values = {word: file(word, "auto") for word in smallest_first}
    exact = by_values[values.EXACT]
    return PackedState(
        dense_bytes=sum(
            math.prod(tensor.shape) * tensor.kept.dtype.itemsize
            for tensor in tensors
            if tensor.repeats is None
        ),
        encodings={  # without masks there are no positions, and one file is the other
            word: file(values.EXACT, word) if is_pruned and word != "auto" else exact
            for word in encodings.WORDS
        },
        values={word: by_values[word] for word in values.WORDS},
    )


def _file(entries: list[Entry], bodies: list[bytes], notes: bytes) -> PackedFile:
    """As `pruneexp inspect` adds them up."""
    size = len(layout.header(entries, notes)) + sum(map(len, bodies))
    lengths = [entry.lengths for entry in entries]
    of_positions = sum(first + second for first, second, _, _ in lengths)
    of_values = sum(stored + scales for _, _, stored, scales in lengths)
    return PackedFile(
        bytes=size,
        position_bytes=of_positions,
        value_bytes=of_values,
        filler_bytes=sum(entry.filler_bytes for entry in entries),
        overhead_bytes=size - of_positions - of_values,
    )


def notes_of_both(record: Record) -> tuple[bytes, bytes]:
    """The notes of a run's packed file, with batch-norm kept and with it folded."""
    kept, folded = (
        file_notes.written(notes_of(record, folded=is_folded)) for is_folded in (False, True)
    )
    return kept, folded


def folded(model: nn.Module, shape: Shape) -> dict[str, Array] | None:
    """The state with batch-norm folded; None where there is nothing to fold."""
    state = folded_state(model, *shape.example())
    return None if state is None else arrays(state)


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Tensors as numpy's arrays, in the memory of the CPU."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
