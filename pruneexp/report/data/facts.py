"""What a report needs of one finished run, typed and checked: `Facts`.

They are taken from the run's record and from the measurements beside it. A new measurement is a
field here and in `rows.Row`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES_VERSION,
    COSTS,
    LARGEST_VALUE,
    LATENCY_VERSION,
    MEGABYTE,
    Budget,
    Curve,
    Metric,
    Record,
    Seconds,
)
from pruneexp.engine.typed import typed
from pruneexp.report.data.published_rows import Published, published

VERSIONS = ("pruneexp", "torch", "python", "device", "threads")  # of circumstances, for the page


class ShownFile(NamedTuple):
    """Of a `measure.packed_sizes.FileBytes`, what a report shows: ten thousand runs hold it three
    hundred thousand times. Means where several are folded."""

    bytes: int | float
    position_bytes: int | float
    filler_bytes: int | float


@dataclass(kw_only=True, slots=True)
class ShownState:
    """The same of a `StateBytes`. A file that cannot be written is lacking."""

    encodings: dict[str, ShownFile]
    values: dict[str, ShownFile]


@dataclass(kw_only=True, slots=True)
class ShownSizes:
    """The same of `RunBytes`: what a run takes when packed."""

    prunable: float
    kept: float
    bound_bytes: float  # log2 C(n, k) of the positions
    batch_norm_kept: ShownState
    batch_norm_folded: ShownState | None

    @property
    def folds(self) -> bool:
        """Whether batch-norm can be folded."""
        return self.batch_norm_folded is not None

    def shipped(self, values: str) -> ShownFile | None:
        """The file with values of this type, batch-norm folded where it can be."""
        return (self.batch_norm_folded or self.batch_norm_kept).values.get(values)

    def state(self, folded: bool) -> ShownState | None:
        """One of both states."""
        return self.batch_norm_folded if folded else self.batch_norm_kept


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
    costs: dict[str, float]  # of training: seconds a step, the method's parameters, memory
    versions: dict[str, str]
    empty: list[str]
    published: Published
    packed: ShownSizes | None
    timed: Timed | None

    @property
    def megabytes(self) -> float:
        """At four bytes a non-zero weight, as the paper counts."""
        return self.nonzero * 4 / MEGABYTE


def facts_of(record: Record, packed: ShownSizes | None, timed: Timed | None) -> Facts:
    """The facts of a finished run, from its record and what was measured beside it."""
    masked = sum(group.masked for group in record.counts.groups)
    achieved = masked / max(1, record.counts.prunable)
    seconds = record.circumstances.get("seconds")
    beside = published(record.configuration, record.curve, record.metric.name, achieved)
    return Facts(
        fingerprint=record.fingerprint,
        name=record.name,
        seed=record.seed,
        curve=record.curve,
        metric=record.metric,
        references=record.references,
        achieved=achieved,
        parameters=record.counts.parameters,
        nonzero=record.counts.nonzero,
        batch_norm=record.counts.batch_norm,
        multiply_adds=record.counts.multiply_adds,
        sparse_multiply_adds=record.counts.sparse_multiply_adds,
        valid=record.valid[record.metric.name],
        test=record.test_value,
        top5=record.test.get("top5"),
        step=record.step,
        budget=record.budget,
        data=record.checksums.get("data", ""),
        seconds=seconds if isinstance(seconds, int | float) else None,
        costs=_costs(record),
        versions={
            key: str(record.circumstances[key]) for key in VERSIONS if key in record.circumstances
        },
        empty=record.counts.empty,
        published=beside,
        packed=packed,
        timed=timed,
    )


def _costs(record: Record) -> dict[str, float]:
    """What a step of training took, as the record tells it; a record from before it did tells the
    seconds of all steps."""
    told = {key: record.circumstances.get(key) for key in COSTS}
    seconds = record.circumstances.get("seconds")
    if told["seconds_a_step"] is None and record.budget.steps and isinstance(seconds, int | float):
        told["seconds_a_step"] = seconds / record.budget.steps
    return {
        key: float(value)
        for key, value in told.items()
        if isinstance(value, int | float) and 0 <= value <= LARGEST_VALUE
    }


def packed_of(data: dict[str, Any]) -> ShownSizes | None:
    """What `bytes.json` holds, as far as a report shows it; None of another version. Raises
    TypeError and KeyError."""
    if data.get("version") != BYTES_VERSION:
        return None
    kept, folded = data["batch_norm_kept"], data["batch_norm_folded"]
    return ShownSizes(
        prunable=_bytes(data["prunable"]),
        kept=_bytes(data["kept"]),
        bound_bytes=_bytes(data["bound_bytes"]),
        batch_norm_kept=ShownState(
            encodings=_packed_files(kept["encodings"]), values=_packed_files(kept["values"])
        ),
        batch_norm_folded=None
        if folded is None
        else ShownState(encodings={}, values=_packed_files(folded["values"])),
    )


def _packed_files(files_: dict[str, Any]) -> dict[str, ShownFile]:
    return {
        str(word): ShownFile(
            bytes=_bytes(file["bytes"]),
            position_bytes=_bytes(file["position_bytes"]),
            filler_bytes=_bytes(file["filler_bytes"]),
        )
        for word, file in files_.items()
        if file is not None
    }


def _bytes(value: Any) -> int | float:
    if type(value) is int and 0 <= value < 2**63:
        return value
    if type(value) is float and 0 <= value < 2.0**63:
        return value
    raise TypeError(f"{value!r} is no number of bytes")


def timed_of(data: dict[str, Any], weights: str | None) -> Timed | None:
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
    return Timed(
        milliseconds=1000 * min(sides.dense, sides.sparse),
        processor=str(alone[-1].get("processor")),
    )


@dataclass(kw_only=True, slots=True)
class _Sides:
    dense: Seconds
    sparse: Seconds


def read_json(path: Any) -> dict[str, Any] | None:
    """A checked file of JSON, or None where there is none. Raises `Damaged`."""
    try:
        return files.load_json(path)
    except FileNotFoundError:
        return None
