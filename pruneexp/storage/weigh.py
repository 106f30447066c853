"""What a model weighs under each encoding of positions and each type of values, in the bytes of the
file that `archive.save` would write without notes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pruneexp.engine.record import BYTES_VERSION
from pruneexp.storage import archive, layout, positions, values
from pruneexp.storage.archive import Array, Content, Known
from pruneexp.storage.bits import Flags
from pruneexp.storage.layout import Entry


def weigh(
    weights: Mapping[str, Array],
    masks: Mapping[str, Flags],
    folded: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Plain data: the masked tensors' weights, those kept, the bound on their positions in bytes,
    and the bytes of each file; `folded` is the same model with batch-norm folded. A file that
    cannot be written has None, and under `refused` the reason."""
    known: Known = {}
    refused: dict[str, str] = {}
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    return {
        "version": BYTES_VERSION,
        "prunable": sum(mask.size for mask in masks.values()),
        "kept": sum(kept.values()),
        "bound_bytes": math.fsum(positions.bound(masks[name].size, kept[name]) for name in masks),
        "batch_norm_kept": _files(archive.gathered(weights, masks), known, refused),
        "batch_norm_folded": None
        if folded is None
        else _files(archive.gathered(folded, masks), known, refused),
        "refused": refused,
    }


def _files(tensors: list[Content], known: Known, refused: dict[str, str]) -> dict[str, Any]:
    """Each encoding with fp32 values, and each type of values with the encoding `auto`."""

    def file(kind: str, encoding: str) -> dict[str, int] | None:
        try:
            return _file(*archive.encoded(tensors, kind=kind, encoding=encoding, known=known))
        except ValueError as error:
            refused[f"{kind} {encoding}"] = str(error)
            return None

    pruned = any(tensor.where is not None for tensor in tensors)
    kinds = {word: file(word, "auto") for word in reversed(values.WORDS)}  # the smallest first
    encodings = {  # without masks there are no positions, and one file is the other
        word: file("fp32", word) if pruned and word != "auto" else kinds["fp32"]
        for word in positions.WORDS
    }
    return {
        "dense_bytes": sum(
            math.prod(tensor.shape) * tensor.kept.dtype.itemsize for tensor in tensors
        ),
        "encodings": encodings,
        "values": {word: kinds[word] for word in values.WORDS},
    }


def _file(entries: list[Entry], bodies: list[bytes]) -> dict[str, int]:
    """As `pruneexp inspect` adds them up; `filler_bytes` are those of the values that no weight
    has."""
    size = len(layout.header(entries)) + sum(map(len, bodies))
    lengths = [entry.lengths for entry in entries]
    of_positions = sum(first + second for first, second, _, _ in lengths)
    of_values = sum(stored + scales for _, _, stored, scales in lengths)
    fillers = sum(
        (entry.parameter - entry.kept) * values.WIDTHS[entry.values]
        for entry in entries
        if entry.encoding in positions.FILLED
    )
    return {
        "bytes": size,
        "position_bytes": of_positions,
        "value_bytes": of_values,
        "filler_bytes": fillers,
        "overhead_bytes": size - of_positions - of_values,  # header and alignment
    }
