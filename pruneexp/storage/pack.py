"""A finished run's weights and masks as one .pxp file; such a file unpacked, and its contents.

pruneexp pack RUN -o model.pxp
pruneexp inspect model.pxp
pruneexp unpack model.pxp -o weights.safetensors
"""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import numpy as safetensors

from pruneexp.engine import files
from pruneexp.engine.record import MASKS, WEIGHTS, Record
from pruneexp.engine.store import Folder
from pruneexp.storage import archive, positions, values
from pruneexp.storage.archive import Archive, Array
from pruneexp.storage.layout import Entry


def pack(
    folder: Folder,
    path: Path,
    *,
    kind: str,
    encoding: str,
    state: Mapping[str, Array] | None = None,
) -> Archive:
    """Write the run's chosen state, or another `state` under the same masks, such as one with
    batch-norm folded; masked tensors by their masks, all others dense."""
    if (record := folder.record()) is None:
        raise files.NotFound(
            f"{folder.path.name} is not finished ({folder.status()}); only a finished run is packed"
        )
    weights = tensors(folder, WEIGHTS, record) if state is None else state
    masks = tensors(folder, MASKS, record)
    notes = about(record, folded=state is not None)
    archive.save(path, weights, masks, kind=kind, encoding=encoding, about=notes)
    return Archive(path)


def about(record: Record, *, folded: bool = False) -> dict[str, Any]:
    """What a packed run's file says of how it was made: enough to build the network again."""
    return {
        "package": {"name": "pruneexp", "version": version("pruneexp")},
        "run": record.name,
        "configuration": record.configuration,
        "metric": {**asdict(record.metric), "references": record.references},
        "metrics": {"step": record.step, "valid": record.valid, "test": record.test},
        "checksums": {"data": record.checksums["data"]},
        "folded": folded,  # batch-norm, into the convolution before it
    }


def tensors(folder: Folder, name: str, record: Record) -> dict[str, Array]:
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
        return safetensors.load(content)
    except SafetensorError as error:
        raise files.Damaged(path, f"it is no safetensors file ({error})") from error


def unpack(found: Archive, path: Path, masks: Path | None = None) -> None:
    """Write all tensors dense, and the masks of pruned ones where asked."""
    weights = {name: found.read(name) for name in found.entries}
    files.save_bytes(path, safetensors.save(weights))
    if masks is not None:
        pruned = [name for name, entry in found.entries.items() if entry.kept < entry.entries]
        flags: dict[str, Array] = {name: found.mask(name) for name in pruned}
        files.save_bytes(masks, safetensors.save(flags))


def contents(found: Archive) -> dict[str, Any]:
    """What is in a file, as plain data: a line a tensor, and sums."""
    rows = [_line(entry) for entry in found.entries.values()]
    of_positions = sum(row["position_bytes"] for row in rows)
    of_values = sum(row["value_bytes"] for row in rows)
    return {
        "file": str(found.path),
        "bytes": found.size,
        "position_bytes": of_positions,
        "value_bytes": of_values,
        "overhead_bytes": found.size - of_positions - of_values,  # header and alignment
        "bound_bytes": sum(row["bound_bytes"] or 0 for row in rows),
        "kept": sum(row["kept"] for row in rows if row["encoding"] != "same"),
        "dense_bytes": found.dense_bytes,
        "notes": found.notes,
        "tensors": rows,
    }


def _line(entry: Entry) -> dict[str, Any]:
    first, second, stored, scales = entry.lengths
    has_positions = entry.encoding not in (positions.DENSE, positions.SAME)
    return {
        "name": entry.name,
        "shape": list(entry.shape),
        "kept": entry.kept,
        "sparsity": 1 - entry.kept / entry.entries if entry.entries else 0.0,
        "encoding": positions.NAMES[entry.encoding],
        "values": values.NAMES[entry.values],
        "position_bytes": first + second,
        "value_bytes": stored + scales,
        "bound_bytes": positions.bound(entry.entries, entry.kept) if has_positions else None,
    }
