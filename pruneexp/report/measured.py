"""What was measured of finished runs and lies beside their records: bytes and milliseconds."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from pruneexp import files
from pruneexp.record import LATENCY
from pruneexp.report.series import flatten, is_number
from pruneexp.store import Folder, Store


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


def milliseconds(store: Store, names: Iterable[str]) -> tuple[pd.Series, list[str]]:
    """Of one example at batch 1 on one thread, dense or sparse, whichever is faster. None where
    that was not measured; and what could not be read."""
    found: list[float | None] = []
    warnings = []
    for name in names:
        try:
            found.append(_milliseconds(store.folder(name)))
        except files.Damaged as error:
            found.append(None)
            warnings.append(f"{error}: left out.")
    return pd.Series(found, dtype=float), warnings


def _milliseconds(folder: Folder) -> float | None:
    path = folder.path / LATENCY
    if not path.exists():
        return None
    measured: list[dict[str, Any]] = files.load_json(path)["measured"]
    alone = [each for each in measured if (each["batch"], each["threads"]) == (1, 1)]
    return 1000 * min(alone[-1]["dense"], alone[-1]["sparse"]) if alone else None
