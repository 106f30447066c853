"""From run folders to plain frames: a row for each finished run, a line for each that is not there.

Nothing that lies in a folder stops a report; what cannot be read is named with the reason.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pruneexp.config.recipe import digest
from pruneexp.engine import files
from pruneexp.engine.record import Plan, Planned, Record
from pruneexp.engine.store import Folder, Store
from pruneexp.report.data import measured, published_rows, series
from pruneexp.report.data.histories import Histories, read

COLUMNS = [
    *("fingerprint", "name", "series", "kind", "family", "size", "width", "hidden_size"),
    *("sparsity", "seed"),
    *("parameters", "nonzero", "megabytes", "batch_norm", "valid", "test", "step"),
    *("steps", "examples", "total_steps", "total_examples", "data", "seconds", "point"),
    *("multiply_adds", "sparse_multiply_adds", "top5"),
    *("published", "published_top5", "published_in", "published_start", "published_megabytes"),
    *("quantised", "weighed", "milliseconds"),
]
VERSIONS = ("pruneexp", "torch", "python", "device", "threads")


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What validation chose by, and how it is written."""

    name: str
    unit: str
    higher_is_better: bool

    @classmethod
    def of(cls, record: Record) -> "Metric":
        return cls(**{key: record.metric[key] for key in ("name", "unit", "higher_is_better")})

    @property
    def label(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def points(self) -> str:
        """The word behind a difference."""
        return "points" if self.unit == "%" else self.unit

    @property
    def digits(self) -> int:
        """Decimals, as the paper's tables print them."""
        return 1 if self.unit == "%" else 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A run or a point of the plan that the report cannot show, and why."""

    name: str
    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.name}" + (f" ({self.why})" if self.why else "")


@dataclass(kw_only=True, slots=True)
class Loaded:
    runs: pd.DataFrame  # one row a finished run, the columns above
    missing: list[Missing]
    metric: Metric | None  # None without any finished run
    asked: int  # runs and points that the plan wants
    versions: dict[str, list[str]]  # of what made the runs
    references: dict[str, float]  # values of the metric to hold the runs against, by name
    gone_with_size: list[str]  # settings that differ between the models of one curve
    histories: Histories
    warnings: list[str]


def load(store: Store, plan: Plan) -> Loaded:
    wanted = {planned.name: planned for planned in plan.runs if planned.wanted}
    records: list[Record] = []
    missing: list[Missing] = []
    metric: Metric | None = None
    for planned in wanted.values():
        found = _look(store, plan, planned, metric)
        if isinstance(found, Missing):
            missing.append(found)
        else:
            records.append(found)
            metric = metric or Metric.of(found)
    missing += [
        Missing(
            name=point.get("overrides", "a point"),
            state="unreadable",
            why=_line(point.get("error", "")),
        )
        for point in plan.unreadable
    ]
    references, disputed = _references(records)
    flats = [series.of(record.configuration) for record in records]
    runs = _frame(records, flats)
    runs["weighed"], unreadable = measured.weights(store, runs["name"])
    runs["milliseconds"], more = measured.milliseconds(store, records)
    histories = read(store, runs, metric.name if metric else "")
    return Loaded(
        runs=runs,
        missing=missing,
        metric=metric,
        asked=len(wanted) + len(plan.unreadable),
        versions=_versions(records),
        references=references,
        gone_with_size=series.gone_with_size(flats, _data(records)),
        histories=histories,
        warnings=_warnings(records) + disputed + histories.warnings + unreadable + more,
    )


# --- what is there -----------------------------------------------------------------------------


def _data(records: list[Record]) -> list[str]:
    return [record.checksums.get("data", "") for record in records]


def _frame(records: list[Record], flats: list[series.Flat]) -> pd.DataFrame:
    named = series.names(flats, _data(records))
    sized = series.sizes(flats)
    rows = [
        {"series": name, "size": size, **_row(record, flat)}
        for record, flat, name, size in zip(records, flats, named, sized, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(record: Record, flat: series.Flat) -> dict[str, Any]:
    name = record.metric["name"]
    beside = published_rows.published(flat, name, _achieved(record))
    without_seed = {key: value for key, value in flat.items() if key != "seed"}
    return {
        "fingerprint": record.fingerprint,
        "name": record.name,
        "kind": series.kind(flat),
        "family": series.family(flat),
        "width": flat.get("model.width"),
        "hidden_size": flat.get("model.hidden_size"),
        "sparsity": flat.get("pruning.sparsity", _achieved(record)),
        "seed": flat.get("seed"),
        "parameters": record.counts.parameters,
        "nonzero": record.counts.nonzero,
        "megabytes": record.counts.megabytes,
        "batch_norm": record.counts.batch_norm,
        "valid": record.metrics["valid"][name],
        "test": record.metrics["test"][name],
        "step": record.metrics["step"],
        "steps": record.budget.steps,
        "examples": record.budget.examples,
        "total_steps": record.budget.total_steps,
        "total_examples": record.budget.total_examples,
        "data": record.checksums.get("data", ""),
        "seconds": record.circumstances.get("seconds"),
        # Runs that differ in their seed alone are one point of a curve.
        "point": digest(without_seed),
        "multiply_adds": record.counts.multiply_adds,
        "sparse_multiply_adds": record.counts.sparse_multiply_adds,
        "top5": record.metrics["test"].get("top5"),
        "published": beside.figure,
        "published_top5": beside.top5,
        "published_in": beside.source,
        "published_start": beside.start,
        "published_megabytes": published_rows.megabytes(flat),
        "quantised": series.quantised(flat),
    }


def _achieved(record: Record) -> float:
    """The share of the prunable weights that the masks say is gone."""
    masked = sum(group["masked"] for group in record.counts.groups)
    return masked / max(1, record.counts.prunable)


def _versions(records: list[Record]) -> dict[str, list[str]]:
    told = {
        key: {str(record.circumstances[key]) for record in records if key in record.circumstances}
        for key in VERSIONS
    }
    return {key: sorted(values) for key, values in told.items() if values}


def _warnings(records: list[Record]) -> list[str]:
    warnings = []
    sums = _data(records)
    if len(set(sums)) > 1:
        each = ", ".join(
            f"{sum_[:6] or 'unknown'} ({sums.count(sum_)} of {len(sums)} runs)"
            for sum_ in dict.fromkeys(sums)
        )
        warnings.append(f"The runs are on differing data, {each}: no curve mixes them.")
    warnings += [
        f"Nothing is left of {', '.join(record.counts.empty)} in {record.name}."
        for record in records
        if record.counts.empty
    ]
    return warnings


def _references(records: list[Record]) -> tuple[dict[str, float], list[str]]:
    """What all runs agree on, and a warning about the rest. Records older than references know
    none and agree with all."""
    told = [found for record in records if (found := _told(record)) is not None]
    agreed: dict[str, float] = {}
    disputed: list[str] = []
    for name in dict.fromkeys(name for each in told for name in each):
        values = [each[name] for each in told if name in each]
        # Another machine may round the last digit otherwise.
        same = all(math.isclose(value, values[0], rel_tol=1e-9) for value in values)
        if same and len(values) == len(told):
            agreed[name] = values[0]
        else:
            disputed.append(name)
    listed = ", ".join(f"“{name}”" for name in disputed)
    return agreed, [f"The runs do not agree on {listed}: left out."] * bool(disputed)


def _told(record: Record) -> dict[str, float] | None:
    references = record.metric.get("references")
    if references is None:
        return None
    return {str(name): float(value) for name, value in references.items()}


# --- what is not -------------------------------------------------------------------------------


def _look(store: Store, plan: Plan, planned: Planned, metric: Metric | None) -> Record | Missing:
    folder = store.folder(planned.name)
    try:
        record = folder.record()
        if record is None and folder.status() == "finished":  # ended between the two looks
            record = folder.record()
        if record is None:
            return _absent(store, plan, planned)
        _check(record, folder)
    except (files.Damaged, OSError) as error:
        return Missing(name=planned.name, state="damaged", why=str(error))
    if metric and record.metric["name"] != metric.name:
        why = f"measured by {record.metric['name']}, the others by {metric.name}"
        return Missing(name=planned.name, state="left out", why=why)
    return record


def _check(record: Record, folder: Folder) -> None:
    """Whether a record holds what a report needs."""
    try:
        Metric.of(record)
        _row(record, series.of(record.configuration))
        _told(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        raise files.Damaged(folder.path, f"its record lacks something ({kind}: {error})") from error


def _absent(store: Store, plan: Plan, planned: Planned) -> Missing:
    folder = store.folder(planned.name)
    state = folder.status()
    if state == "failed":
        return Missing(name=planned.name, state=state, why=_failure(folder))
    if state in ("running", "interrupted"):
        return Missing(name=planned.name, state=state, why=_standing(folder))
    for parent in plan.runs:
        waits = parent.name in planned.parents.values()
        if waits and store.folder(parent.name).status() != "finished":
            above = _absent(store, plan, parent)
            why = f"it starts from {above.name}, {above.state}"
            why += f": {above.why}" if above.why else ""
            return Missing(name=planned.name, state="never ran", why=why)
    return Missing(name=planned.name, state="never ran")


def _failure(folder: Folder) -> str:
    try:
        failure = folder.failure() or {}
    except files.Damaged as error:
        return str(error)
    message, error_, step = (failure.get(key) for key in ("message", "error", "step"))
    words = _line(str(message or "no message"))
    if error_ and error_ not in words:
        words = f"{error_}: {words}"
    return words if step is None or f"step {step}" in words else f"at step {step}, {words}"


def _standing(folder: Folder) -> str:
    progress = folder.progress()
    return f"at step {progress.step:,} of {progress.steps:,}" if progress else ""


def _line(text: str) -> str:
    return " ".join(text.split())
