"""Measurements kept beside what was measured, so that which layers run sparse is decided once.

A measurement holds for one processor, version of torch, number of threads, batch and set of
weights; elsewhere it is made anew.
"""

import platform
import time
from pathlib import Path
from typing import Any

import torch

from pruneexp.engine import files
from pruneexp.engine.record import LATENCY_VERSION
from pruneexp.running import kernels
from pruneexp.running.latency import Latency
from pruneexp.running.source import Source


def keep(source: Source, found: Latency) -> None:
    """In place of what was measured before with this batch and threads on this processor."""
    where = _where(source, found.batch, found.threads)
    others = [row for row in _rows(source) if not _is(row, where)]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    row = found.to_plain() | where | {"torch": torch.__version__, "measured": when}
    files.save_json(source.latency, {"version": LATENCY_VERSION, "measured": [*others, row]})


def remembered(source: Source, *, batch: int, threads: int) -> Latency | None:
    """What was measured under these conditions; None where it was not, or cannot be used."""
    where = _where(source, batch, threads) | {"torch": torch.__version__}
    for row in _rows(source):
        if not _is(row, where):
            continue
        try:
            found = Latency.from_plain(row)
        except TypeError:  # damaged or forged: it is measured again
            return None
        layers = dict(source.model.named_modules())
        fits = all(kernels.has_kernel(layers.get(timing.layer)) for timing in found.layers)
        return found if fits else None
    return None


def _rows(source: Source) -> list[dict[str, Any]]:
    """Of these weights alone; none where the file is missing, damaged or another version's."""
    try:
        data = files.load_json(source.latency)
    except (OSError, files.Damaged):
        return []
    rows = data.get("measured") if data.get("version") == LATENCY_VERSION else None
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and row.get("weights") == source.identity]


def _where(source: Source, batch: int, threads: int) -> dict[str, Any]:
    return {
        "processor": processor(),
        "batch": batch,
        "threads": threads,
        "weights": source.identity,
    }


def _is(row: dict[str, Any], where: dict[str, Any]) -> bool:
    return all(row.get(key) == value for key, value in where.items())


def processor() -> str:
    """The CPU by its maker's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
