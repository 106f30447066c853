"""What a report needs of one finished run, typed and checked: `Facts`.

They are taken from the run's record and from the measurements beside it. A new measurement is a
field here and in `rows.Row`.
"""

from dataclasses import dataclass
from typing import Any

from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES_VERSION,
    LATENCY_VERSION,
    MEGABYTE,
    Budget,
    Curve,
    Metric,
    Record,
)
from pruneexp.engine.typed import typed
from pruneexp.measure.packed_sizes import PackedSizes
from pruneexp.report.data.published_rows import Published, published

VERSIONS = ("pruneexp", "torch", "python", "device", "threads")  # of circumstances, for the page


@dataclass(kw_only=True, slots=True)
class Timed:
    """The time of one example at batch 1 on one thread, dense or sparse, whichever is faster."""

    milliseconds: float
    processor: str


@dataclass(kw_only=True, slots=True)
class Facts:
    """One finished run."""

    fingerprint: str
    name: str
    seed: int
    curve: Curve
    metric: Metric
    references: dict[str, float]
    achieved: float  # the share of the prunable weights that the masks say is gone
    parameters: int
    nonzero: int
    batch_norm: int
    multiply_adds: int | None
    sparse_multiply_adds: int | None
    valid: float
    test: float
    top5: float | None
    step: int
    budget: Budget
    data: str
    seconds: float | None
    versions: dict[str, str]
    empty: list[str]
    published: Published
    packed: PackedSizes | None
    timed: Timed | None

    @property
    def megabytes(self) -> float:
        """At four bytes a non-zero weight, as the paper counts."""
        return self.nonzero * 4 / MEGABYTE


def plain_facts(record: Record, plain: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    """The facts of a record as plain data, ready for `typed(Facts, ...)` and for the index.

    Arguments:
        record, plain: the same, typed and as it was read.
        beside: what was measured, "packed" and "timed", as plain data or None.
    """
    masked = sum(group.masked for group in record.counts.groups)
    achieved = masked / max(1, record.counts.prunable)
    seconds = record.circumstances.get("seconds")
    return {
        "fingerprint": record.fingerprint,
        "name": record.name,
        "seed": record.seed,
        "curve": plain["curve"],
        "metric": plain["metric"],
        "references": record.references,
        "achieved": achieved,
        "parameters": record.counts.parameters,
        "nonzero": record.counts.nonzero,
        "batch_norm": record.counts.batch_norm,
        "multiply_adds": record.counts.multiply_adds,
        "sparse_multiply_adds": record.counts.sparse_multiply_adds,
        "valid": record.valid[record.metric.name],
        "test": record.test_value,
        "top5": record.test.get("top5"),
        "step": record.step,
        "budget": plain["budget"],
        "data": record.checksums.get("data", ""),
        "seconds": seconds if isinstance(seconds, int | float) else None,
        "versions": {
            key: str(record.circumstances[key]) for key in VERSIONS if key in record.circumstances
        },
        "empty": record.counts.empty,
        "published": published(record.configuration, record.curve, record.metric.name, achieved),
        **beside,
    }


def packed_of(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """What `bytes.json` holds, checked; None of another version. Raises TypeError."""
    if data is None or data.get("version") != BYTES_VERSION:
        return None
    PackedSizes.from_plain(data)
    return data


def timed_of(data: dict[str, Any], weights: str | None) -> dict[str, Any] | None:
    """Of what `latency.json` holds, the newest measurement of these weights at batch 1 on one
    thread. Raises TypeError."""
    if data.get("version") != LATENCY_VERSION:
        return None
    rows = data.get("measured")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("measured takes a list of measurements")
    expected = {"batch": 1, "threads": 1, "weights": weights}
    alone = [row for row in rows if {key: row.get(key) for key in expected} == expected]
    if not alone:
        return None
    sides = typed(_Sides, {key: alone[-1].get(key) for key in ("dense", "sparse")})
    return {
        "milliseconds": 1000 * min(sides.dense, sides.sparse),
        "processor": str(alone[-1].get("processor")),
    }


@dataclass(kw_only=True, slots=True)
class _Sides:
    dense: float
    sparse: float


def read_json(path: Any) -> dict[str, Any] | None:
    """A checked file of JSON, or None where there is none. Raises `Damaged`."""
    try:
        return files.load_json(path)
    except FileNotFoundError:
        return None
