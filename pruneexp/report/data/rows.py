"""A run as one typed row, and what becomes of the seeds of a point.

Whatever a report knows of a run is one field of `Row`. The field says how the seeds of a point
fold into one value, and in which CSV files it is a column; the frame, the points and the files
follow from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import Any

import pandas as pd

from pruneexp.config.recipe import digest
from pruneexp.engine.record import Curve
from pruneexp.report.data.facts import Facts, ShownFile, ShownSizes, ShownState

# --- how seeds fold ----------------------------------------------------------------------------


def first(values: Sequence[Any]) -> Any:
    """What all seeds of a point have in common."""
    return values[0]


def mean(values: Sequence[float]) -> float:
    """Without rounding where all are equal, as they are unless masks leave different numbers."""
    return values[0] if len(set(values)) == 1 else fmean(values)


def mean_if_all(values: Sequence[float | None]) -> float | None:
    """None where one of the runs does not have it."""
    there = [value for value in values if value is not None]
    return mean(there) if len(there) == len(values) else None


def mean_sizes(values: Sequence[ShownSizes | None]) -> ShownSizes | None:
    """Number by number; None where one of the runs was not measured."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return None
    folded = [sizes.batch_norm_folded for sizes in there if sizes.batch_norm_folded is not None]
    return ShownSizes(
        prunable=fmean(sizes.prunable for sizes in there),
        kept=fmean(sizes.kept for sizes in there),
        bound_bytes=fmean(sizes.bound_bytes for sizes in there),
        batch_norm_kept=_mean_state([sizes.batch_norm_kept for sizes in there]),
        batch_norm_folded=_mean_state(folded) if len(folded) == len(there) else None,
    )


def _mean_state(states: Sequence[ShownState]) -> ShownState:
    def files(part: str) -> dict[str, ShownFile]:
        every: list[dict[str, ShownFile]] = [getattr(state, part) for state in states]
        return {
            word: _mean_file([each[word] for each in every])
            for word in every[0]
            if all(word in each for each in every)
        }

    return ShownState(encodings=files("encodings"), values=files("values"))


def _mean_file(files: Sequence[ShownFile]) -> ShownFile:
    if all(file == files[0] for file in files):
        return files[0]
    return ShownFile(
        bytes=fmean(file.bytes for file in files),
        position_bytes=fmean(file.position_bytes for file in files),
        filler_bytes=fmean(file.filler_bytes for file in files),
    )


def mean_costs(costs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each cost that all seeds tell, the mean."""
    shared = set.intersection(*(set(each) for each in costs))
    return {key: fmean(each[key] for each in costs) for key in costs[0] if key in shared}


# --- rows --------------------------------------------------------------------------------------

RUNS, POINTS = "runs", "points"  # the CSV files of all runs and of the table of points


def known(fold: Callable[..., Any], *columns: str) -> dict[str, Any]:
    """What a field of `Row` says: how seeds fold, and the CSV files in which it is a column."""
    return {"fold": fold, "columns": columns}


@dataclass(kw_only=True, slots=True)
class Row:
    """One finished run. The order of the fields is that of the columns."""

    fingerprint: str = field(metadata=known(first, RUNS))
    name: str = field(metadata=known(first, RUNS))
    series: str = field(metadata=known(first, RUNS, POINTS))  # the name of its curve
    kind: str = field(metadata=known(first, RUNS, POINTS))  # dense or sparse
    family: str = field(metadata=known(first, RUNS, POINTS))
    size: str = field(metadata=known(first, RUNS, POINTS))  # "×0.5"
    sizes: dict[str, float] = field(metadata=known(first))  # "width": 0.5; a column each
    size_heading: str = field(metadata=known(first))  # "Width", where one number is the size
    sparsity: float = field(metadata=known(mean, RUNS, POINTS))
    seed: int = field(metadata=known(first, RUNS))
    parameters: int = field(metadata=known(first, RUNS, POINTS))
    nonzero: float = field(metadata=known(mean, RUNS, POINTS))
    megabytes: float = field(metadata=known(mean, RUNS, POINTS))
    multiply_adds: float | None = field(
        metadata=known(mean_if_all, RUNS, POINTS)
    )  # of an example, dense
    sparse_multiply_adds: float | None = field(
        metadata=known(mean_if_all, RUNS, POINTS)
    )  # what masks leave
    batch_norm: int = field(metadata=known(first, RUNS))
    valid: float = field(metadata=known(fmean, RUNS, POINTS))
    test: float = field(metadata=known(fmean, RUNS, POINTS))
    top5: float | None = field(metadata=known(mean_if_all, RUNS))
    step: int = field(metadata=known(first, RUNS))
    steps: int = field(metadata=known(first, RUNS))
    examples: int = field(metadata=known(first, RUNS))
    total_steps: int = field(metadata=known(first, RUNS))
    total_examples: int = field(metadata=known(first, RUNS))
    spent_steps: int = field(metadata=known(first, RUNS))
    spent_examples: int = field(metadata=known(first, RUNS))
    data: str = field(metadata=known(first, RUNS, POINTS))
    seconds: float | None = field(metadata=known(first, RUNS))
    point: str = field(
        metadata=known(first)
    )  # runs that differ in their seed alone are one point of a curve
    published: float | None = field(metadata=known(first))
    published_top5: float | None = field(metadata=known(first))
    published_in: str = field(metadata=known(first))
    published_start: str = field(
        metadata=known(first)
    )  # what the paper pruned, where these runs did otherwise
    published_megabytes: dict[str, float] = field(metadata=known(first))
    start: str = field(metadata=known(first))  # the word of what its weights began with
    curve: Curve = field(metadata=known(first))  # with all settings
    values: str = field(metadata=known(first))  # the type of values
    quantised: str = field(
        metadata=known(first)
    )  # "int8 after training"; nothing where values are fp32
    packed: ShownSizes | None = field(metadata=known(mean_sizes))
    # Non-zero weights in the mean over all steps that the weights have seen, from the history.
    trained_nonzero: float | None = field(metadata=known(mean_if_all, RUNS, POINTS))
    milliseconds: float | None = field(metadata=known(mean_if_all))  # of one example at batch 1
    costs: dict[str, float] = field(metadata=known(mean_costs))  # of training, as a record tells it


def row(facts: Facts, series: str, size: str) -> Row:
    """The row of a run whose curve and size have their names."""
    curve = facts.curve
    primary = [each for each in curve.sizes if each.heading]
    return Row(
        fingerprint=facts.fingerprint,
        name=facts.name,
        series=series,
        kind=curve.kind,
        family=curve.family,
        size=size,
        sizes={each.name: each.value for each in primary},
        size_heading=primary[0].heading if primary else "",
        sparsity=_sparsity(facts),
        seed=facts.seed,
        parameters=facts.parameters,
        nonzero=facts.nonzero,
        megabytes=facts.megabytes,
        multiply_adds=facts.multiply_adds,
        sparse_multiply_adds=facts.sparse_multiply_adds,
        batch_norm=facts.batch_norm,
        valid=facts.valid,
        test=facts.test,
        top5=facts.top5,
        step=facts.step,
        steps=facts.budget.steps,
        examples=facts.budget.examples,
        total_steps=facts.budget.total_steps,
        total_examples=facts.budget.total_examples,
        spent_steps=facts.budget.spent_steps,
        spent_examples=facts.budget.spent_examples,
        data=facts.data,
        seconds=facts.seconds,
        point=point_of(facts),
        published=facts.published.figure,
        published_top5=facts.published.top5,
        published_in=facts.published.source,
        published_start=facts.published.start,
        published_megabytes=facts.published.megabytes,
        start=curve.start,
        curve=curve,
        values=curve.values,
        quantised=curve.quantised,
        packed=facts.packed,
        trained_nonzero=None,
        milliseconds=facts.timed.milliseconds if facts.timed else None,
        costs=facts.costs,
    )


def _sparsity(facts: Facts) -> float:
    """What was asked for, or where another setting is turned, what came out."""
    dial = facts.curve.dial
    return dial.value if dial is not None and dial.name == "sparsity" else facts.achieved


def point_of(facts: Facts) -> str:
    """The same for runs that differ in their seed alone."""
    curve = facts.curve
    dial = curve.dial
    turned = [dial.name, dial.value] if dial else []
    return digest([curve.kind, turned, [[trait.key, trait.value] for trait in curve.traits]])


def folded(rows: Sequence[Row]) -> dict[str, Any]:
    """The fields of a point from the rows of its seeds."""
    return {
        item.name: item.metadata["fold"]([getattr(each, item.name) for each in rows])
        for item in fields(Row)
    }


def columns(file: str) -> list[str]:
    """The fields that are columns of a CSV file."""
    return [item.name for item in fields(Row) if file in item.metadata["columns"]]


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """All runs, with a column for each number that is a model's size."""
    data: dict[str, list[Any]] = {}
    for name in [*columns(RUNS), "point"]:
        data[name] = [getattr(each, name) for each in rows]
        if name == "size":
            for size in dict.fromkeys(key for each in rows for key in each.sizes):
                data[size] = [each.sizes.get(size) for each in rows]
    return pd.DataFrame(data)
