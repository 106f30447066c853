"""How runs went: learning rate, sparsity and validation over steps, of few enough to tell apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pruneexp.engine import files
from pruneexp.engine.record import LARGEST_VALUE
from pruneexp.engine.store import Store
from pruneexp.report.data.rows import Row
from pruneexp.report.format import percent

MOST = 6  # curves in one panel that an eye can follow


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """One run, the lowest seed of its point."""

    label: str
    kind: str
    seed: int
    own_stage: bool  # it started from a trained model, whose steps are not here
    steps: list[float]
    rates: list[float]
    sparsities: list[float]
    validated: list[float]  # the steps of the validations
    valid: list[float]


@dataclass(kw_only=True, slots=True)
class Histories:
    shown: list[History]
    pruned: int  # settings that were pruned, shown or not
    warnings: list[str]


def read(store: Store, rows: Sequence[Row], metric: str) -> Histories:
    """Of the pruned settings the most sparse, from all curves alike, and the dense one of their
    model."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.steps > 0:  # not those that only measured rounded weights
            key = row.series, row.point
            if key not in first or row.seed < first[key].seed:
                first[key] = row
    pruned = [row for row in first.values() if row.kind == "sparse"]
    beside = _dense(first.values(), pruned)
    chosen = [*beside, *_chosen(pruned, MOST - len(beside))]
    several = len({row.series for row in pruned}) > 1
    same = len({row.sparsity for row in chosen if row.kind == "sparse"}) == 1
    histories = Histories(shown=[], pruned=len(pruned), warnings=[])
    for row in chosen:
        words = [percent(round(row.sparsity, 3))]
        if row.kind == "dense":
            words = [f"dense {row.size}".strip()]
        elif several:
            own = row.series.removeprefix("sparse, ")
            words = [own] if same else [own, *words]
        try:
            steps = store.folder(row.name).history()
            if _is_beyond(steps):
                why = f"it holds values beyond {LARGEST_VALUE:g}"
                histories.warnings.append(f"The history of {row.name} is not shown: {why}.")
            elif steps:
                histories.shown.append(_history(", ".join(words), row, steps, metric))
        except (files.Damaged, OSError, KeyError) as error:
            told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            histories.warnings.append(f"The history of {row.name} is not shown: {told}.")
    return histories


def mean_nonzero(store: Store, row: Row) -> float | None:
    """The non-zero weights of a run in the mean over the steps that its weights have seen; None
    where its history does not tell it. What it began with was dense until then."""
    if row.kind == "dense":
        return float(row.parameters)
    try:
        steps = store.folder(row.name).history()
    except (files.Damaged, OSError):
        return None
    last = steps[-1] if steps else {}
    if (
        not last.get("sparsity")
        or not row.steps * row.total_steps
        or any("sparsity" not in each for each in steps)
    ):
        return None
    prunable = (row.parameters - row.nonzero) / last["sparsity"]
    total = float(row.total_steps - row.steps) * row.parameters
    before = 0.0
    for each in steps:
        total += (each["step"] - before) * (row.parameters - each["sparsity"] * prunable)
        before = each["step"]
    return total / row.total_steps


def _is_beyond(steps: list[dict[str, float]]) -> bool:
    """Whether a value is so large that an axis could not show the others."""
    return any(abs(value) > LARGEST_VALUE for row in steps for value in row.values())


def _dense(first: Iterable[Row], pruned: Sequence[Row]) -> list[Row]:
    """The dense run of the largest model that was pruned, if it is there."""
    models = {(row.family, row.size, row.data) for row in pruned}
    dense = [
        row for row in first if row.kind == "dense" and (row.family, row.size, row.data) in models
    ]
    largest = max((row.parameters for row in dense), default=0)
    return [row for row in dense if row.parameters == largest][-1:]


def _chosen(pruned: Sequence[Row], most: int) -> list[Row]:
    """The most sparse of each curve, then the next of each; in the order of the curves."""
    falling = sorted(pruned, key=lambda row: -row.sparsity)
    turns: dict[str, int] = {}
    taken: list[tuple[int, Row]] = []
    for row in falling:
        turns[row.series] = turns.get(row.series, 0) + 1
        taken.append((turns[row.series], row))
    taken = sorted(taken, key=lambda entry: entry[0])[:most]
    order = {name: place for place, name in enumerate(dict.fromkeys(r.series for r in pruned))}
    return sorted((row for _, row in taken), key=lambda row: (order[row.series], row.sparsity))


def _history(label: str, row: Row, rows: list[dict[str, float]], metric: str) -> History:
    key = f"valid_{metric}"
    validations = [each for each in rows if key in each]
    return History(
        label=label,
        kind=row.kind,
        seed=row.seed,
        own_stage=row.steps != row.total_steps,
        steps=[each["step"] for each in rows],
        rates=[each["rate"] for each in rows],
        sparsities=[100 * each["sparsity"] for each in rows],
        validated=[each["step"] for each in validations],
        valid=[each[key] for each in validations],
    )
