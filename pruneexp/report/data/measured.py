"""What was measured of finished runs and lies beside their records: bytes and milliseconds."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from pruneexp.engine import files
from pruneexp.engine.record import LATENCY, LATENCY_VERSION, Record
from pruneexp.engine.store import Folder, Store
from pruneexp.report.data.series import flatten, is_number


def weights(store: Store, names: Iterable[str]) -> tuple[pd.Series, list[str]]:
    """The numbers of what each run weighs, flat: "batch_norm_kept.encodings.auto.bytes". None where
    that was not measured; and what could not be read."""
    found: list[dict[str, float] | None] = []
    warnings = []
    for name in names:
        try:
            data = store.folder(name).weighed()
        except files.Damaged as error:
            data = None
            warnings.append(f"{error}: left out.")
        numbers = flatten(data) if data else {}
        found.append({k: float(n) for k, n in numbers.items() if is_number(n)} if data else None)
    return pd.Series(found, dtype=object), warnings


def milliseconds(store: Store, records: Iterable[Record]) -> tuple[pd.Series, list[str]]:
    """Of one example at batch 1 on one thread, dense or sparse, whichever is faster. None where
    that was not measured; and what could not be read, or not be held against each other."""
    found: list[float | None] = []
    processors: set[str] = set()
    warnings = []
    for record in records:
        try:
            row = _alone(store.folder(record.name), record.checksums.get("weights"))
        except files.Damaged as error:
            row = None
            warnings.append(f"{error}: left out.")
        found.append(1000 * min(row["dense"], row["sparse"]) if row else None)
        processors |= {str(row.get("processor"))} if row else set()
    if len(processors) > 1:
        listed = ", ".join(sorted(processors))
        warnings.append(f"Milliseconds were measured on several processors: {listed}.")
    return pd.Series(found, dtype=float), warnings


def _alone(folder: Folder, weights: str | None) -> dict[str, Any] | None:
    """The newest measurement of these weights at batch 1 on one thread."""
    path = folder.path / LATENCY
    if not path.exists():
        return None
    data = files.load_json(path)
    rows = data.get("measured") if data.get("version") == LATENCY_VERSION else []
    expected = {"batch": 1, "threads": 1, "weights": weights}
    alone = [row for row in rows or [] if {key: row.get(key) for key in expected} == expected]
    return alone[-1] if alone else None
