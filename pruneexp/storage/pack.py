"""A finished run's weights and masks as one .pxp file; such a file unpacked, and its contents.

pruneexp pack RUN -o model.pxp
pruneexp inspect model.pxp
pruneexp unpack model.pxp -o weights.safetensors
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import numpy as safetensors

from pruneexp.engine import files
from pruneexp.engine.record import MASKS, WEIGHTS, Metric, Record
from pruneexp.engine.run_folder import RunFolder
from pruneexp.storage import archive, encodings, notes, positions
from pruneexp.storage.archive import Archive, Array
from pruneexp.storage.layout import Entry

LONGEST_NUMBER = -1.2345678901234567e-300  # no float is written with more signs
CHECKSUM_DIGITS = 64


def pack(
    folder: RunFolder,
    path: Path,
    *,
    kind: str,
    encoding: str,
    state: Mapping[str, Array] | None = None,
) -> Archive:
    """Write a finished run as one file: masked tensors by their masks, all others dense.

    Arguments:
        folder: of the run.
        path: of the file, which is replaced.
        kind, encoding: as for `archive.save`.
        state: in place of the run's chosen state, another under the same masks, such as one with
            batch-norm folded.

    Raises `files.NotFound` where the run is not finished or its weights were not kept.
    """
    if (record := folder.record()) is None:
        raise files.NotFound(
            f"{folder.path.name} is not finished ({folder.status()}); only a finished run is packed"
        )
    weights = tensors(folder, WEIGHTS, record) if state is None else state
    masks = tensors(folder, MASKS, record)
    said = notes_of(record, folded=state is not None)
    archive.save(path, weights, masks, kind=kind, encoding=encoding, notes=said)
    return Archive(path)


def notes_of(record: Record, *, folded: bool = False) -> dict[str, Any]:
    """What a packed run's file says of how it was made: enough to build the network again. They
    follow from the record alone, so that a run's file is the same each time it is written."""
    made_by = record.circumstances.get("pruneexp") or version("pruneexp")
    return {
        "package": {"name": "pruneexp", "version": str(made_by)},
        "run": record.name,
        "configuration": record.configuration,
        "metric": {**asdict(record.metric), "references": record.references},
        "metrics": {"step": record.step, "valid": record.valid, "test": record.test},
        "checksums": {"data": record.checksums.get("data", "")},
        "folded": folded,  # batch-norm, into the convolution before it
    }


def longest_notes(
    name: str,
    configuration: dict[str, Any],
    metric: Metric,
    references: dict[str, float],
    step: int,
    measured: Sequence[str],
) -> int:
    """Bytes that the notes of a run's file will not exceed, while the run is trained.

    Arguments:
        name, configuration, metric, references: of the run and its task.
        step: its last.
        measured: names of the metrics.
    """
    value = dict.fromkeys(measured, LONGEST_NUMBER)
    said = {
        "package": {"name": "pruneexp", "version": version("pruneexp")},
        "run": name,
        "configuration": configuration,
        "metric": {**asdict(metric), "references": references},
        "metrics": {"step": step, "valid": value, "test": value},
        "checksums": {"data": "0" * CHECKSUM_DIGITS},
        "folded": False,
    }
    return len(notes.written(said))


def tensors(folder: RunFolder, name: str, record: Record) -> dict[str, Array]:
    """A finished run's weights or masks, if they are still what its record says."""
    path = folder.path / name
    if not path.exists():
        raise files.NotFound(
            f"{path} is not there: the run's weights were not kept; `pruneexp run` with "
            "keep=weights keeps those of new runs, and makes removed ones again"
        )
    content = path.read_bytes()
    if files.checksum(content) != record.checksums.get(name.partition(".")[0]):
        raise files.Damaged(path, "its checksum is not the one in the run's record")
    try:
        loaded = safetensors.load(content)
    except SafetensorError as error:
        raise files.Damaged(path, f"it is no safetensors file ({error})") from error
    return {name: loaded[name] for name in sorted(loaded)}  # a file has them in no fixed order


def unpack(packed: Archive, path: Path, masks: Path | None = None) -> None:
    """Write all tensors dense, as safetensors, and to `masks` the masks of pruned ones."""
    weights = {name: packed.read(name) for name in packed.entries}
    files.save_bytes(path, safetensors.save(weights))
    if masks is not None:
        pruned = [name for name, entry in packed.entries.items() if entry.kept < entry.entries]
        flags: dict[str, Array] = {name: packed.mask(name) for name in pruned}
        files.save_bytes(masks, safetensors.save(flags))


def contents(packed: Archive) -> dict[str, Any]:
    """What is in a file, as plain data: a row for each tensor, and sums."""
    rows = [_row(entry) for entry in packed.entries.values()]
    of_positions = sum(row["position_bytes"] for row in rows)
    of_values = sum(row["value_bytes"] for row in rows)
    return {
        "file": str(packed.path),
        "bytes": packed.size,
        "position_bytes": of_positions,
        "value_bytes": of_values,
        "overhead_bytes": packed.size - of_positions - of_values,  # header and alignment
        "bound_bytes": sum(row["bound_bytes"] or 0 for row in rows),
        "kept": sum(row["kept"] for row in rows if row["encoding"] != "same"),
        "dense_bytes": packed.dense_bytes,
        "notes": packed.notes,
        "tensors": rows,
    }


def _row(entry: Entry) -> dict[str, Any]:
    first, second, stored, scales = entry.lengths
    has_positions = not entry.is_same and entry.positions_by is not encodings.DENSE
    return {
        "name": entry.name,
        "shape": list(entry.shape),
        "kept": entry.kept,
        "sparsity": 1 - entry.kept / entry.entries if entry.entries else 0.0,
        "encoding": encodings.NAMES[entry.encoding],
        "values": entry.value_type.name,
        "position_bytes": first + second,
        "value_bytes": stored + scales,
        "bound_bytes": positions.bound(entry.entries, entry.kept) if has_positions else None,
    }
