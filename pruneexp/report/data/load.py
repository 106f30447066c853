"""From run folders to typed rows: a row for each finished run, a line for each that is not there.

Nothing that lies in a folder stops a report; what cannot be read is named with the reason.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pruneexp.engine import files
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import Metric, Plan, Planned, Trait, Trial
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.report.data import naming
from pruneexp.report.data.facts import Facts
from pruneexp.report.data.histories import Histories, mean_nonzero, read
from pruneexp.report.data.index import Index
from pruneexp.report.data.rows import Row, frame, row

SEARCHED = "searched"  # the value of a setting that each point has chosen for itself
MOST_HISTORIES = 1_000  # runs whose histories are all read


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A run or a point of the plan that the report cannot show, and why."""

    name: str
    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.name}" + (f" ({self.why})" if self.why else "")


@dataclass(kw_only=True, slots=True)
class Runs:
    """All that a report knows before it compares."""

    rows: list[Row]
    frame: pd.DataFrame  # the same, a column a field
    missing: list[Missing]
    metric: Metric | None  # None without any finished run
    asked: int  # runs and points that the plan wants
    versions: dict[str, list[str]]  # of what made the runs
    references: dict[str, float]  # values of the metric to hold the runs against, by name
    gone_with_size: list[str]  # settings that differ between the models of one curve
    histories: Histories
    warnings: list[str]
    index: Index  # of what was read, to be saved
    trials: list[Trial]  # of settings that points have chosen on validation
    store: Store

    def outcomes(self, row: Row) -> Outcomes | None:
        """What came of each test item of a run; None where that is not known."""
        try:
            return self.store.folder(row.name).outcomes()
        except (files.Damaged, OSError) as error:
            self.warnings.append(f"{error}: left out.")
            return None


def load(store: Store, plan: Plan) -> Runs:
    """The finished runs of a plan, with their names, and what is missing."""
    wanted = {planned.name: planned for planned in plan.runs if planned.wanted}
    missing: list[Missing] = []
    warnings: list[str] = []
    index = Index(store)
    facts = list(_facts(store, plan, wanted.values(), index, missing, warnings))
    facts, so_far = _best_so_far(facts, wanted, warnings)
    metric = facts[0].metric if facts else None
    missing += [
        Missing(
            name=point.get("overrides", "a point"),
            state="unreadable",
            why=_line(point.get("error", "")),
        )
        for point in plan.unreadable
    ]
    data = [each.data for each in facts]
    called = naming.names([each.curve for each in facts], data)
    rows = [
        row(each, series, size)
        for each, series, size in zip(facts, called.series, called.sizes, strict=True)
    ]
    if len(rows) <= MOST_HISTORIES:
        for each in rows:
            each.trained_nonzero = mean_nonzero(store, each)
    references, disputed = _references(facts)
    histories = read(store, rows, metric.name if metric else "")
    return Runs(
        rows=rows,
        frame=frame(rows),
        missing=missing,
        metric=metric,
        asked=len(wanted) + len(plan.unreadable),
        versions=_versions(facts),
        references=references,
        gone_with_size=called.gone_with_size,
        histories=histories,
        warnings=_warnings(facts) + disputed + histories.warnings + warnings,
        index=index,
        trials=[*plan.trials, *so_far],
        store=store,
    )


def _best_so_far(
    facts: Sequence[Facts], wanted: Mapping[str, Planned], warnings: list[str]
) -> tuple[list[Facts], list[Trial]]:
    """Of each point that has not chosen its settings yet, the best trial on validation; and all
    trials of these points."""
    tried: dict[str, list[Facts]] = {}
    for each in facts:
        if (point := wanted[each.name].trial_of) and _is_searched(each):
            tried.setdefault(point, []).append(each)
    best = {
        point: (max if ones[0].metric.higher_is_better else min)(ones, key=lambda one: one.valid)
        for point, ones in tried.items()
    }
    if best:
        points = f"{len(best)} point{'s' * (len(best) > 1)}"
        warnings.append(
            f"The search of this plan has not ended: of {points} the best trial on validation so "
            "far is shown."
        )
    trials = [
        Trial(point=point, values={}, name=one.name, valid=one.valid, chosen=one is best[point])
        for point, ones in tried.items()
        for one in ones
    ]
    # One run may be shown twice, as it is and as a point's choice.
    left = {id(one) for ones in tried.values() for one in ones} - {id(b) for b in best.values()}
    return [each for each in facts if id(each) not in left], trials


def _is_searched(facts: Facts) -> bool:
    return any(trait.value == SEARCHED for trait in facts.curve.traits)


def _searched(facts: Facts, chosen: Sequence[str]) -> Facts:
    """The facts of a run whose point has chosen some settings for itself: they are the same for all
    points of its curve, searched."""
    traits = tuple(_chosen(t) if t.key in chosen else t for t in facts.curve.traits)
    return replace(facts, curve=replace(facts.curve, traits=traits))


def _chosen(trait: Trait) -> Trait:
    """A setting whose value each point has chosen for itself."""
    words = f"{trait.key.rpartition('.')[2].replace('_', ' ')} {SEARCHED}"
    return replace(trait, value=SEARCHED, words=words, full_words=f"{trait.key} {SEARCHED}")


# --- what is there -----------------------------------------------------------------------------


def _facts(
    store: Store,
    plan: Plan,
    wanted: Iterable[Planned],
    index: Index,
    missing: list[Missing],
    warnings: list[str],
) -> Iterator[Facts]:
    by_name = {one.name: one for one in plan.runs}
    metric: Metric | None = None
    for planned in wanted:
        folder = store.folder(planned.name)
        try:
            facts = index.facts(folder, warnings)
            if facts is None and folder.status() == "finished":  # ended between the two looks
                facts = index.facts(folder, warnings)
        except (files.Damaged, OSError) as error:
            missing.append(Missing(name=planned.name, state="damaged", why=str(error)))
            continue
        if facts is None:
            missing.append(_absent(store, by_name, planned))
        elif metric and facts.metric.name != metric.name:
            why = f"measured by {facts.metric.name}, the others by {metric.name}"
            missing.append(Missing(name=planned.name, state="left out", why=why))
        else:
            metric = metric or facts.metric
            if planned.chosen:
                yield _searched(facts, planned.chosen)
            if planned.as_it_is or not planned.chosen:
                yield facts


def _versions(facts: Sequence[Facts]) -> dict[str, list[str]]:
    told: dict[str, set[str]] = {}
    for each in facts:
        for key, version in each.versions.items():
            told.setdefault(key, set()).add(version)
    return {key: sorted(versions) for key, versions in told.items()}


def _warnings(facts: Sequence[Facts]) -> list[str]:
    warnings = []
    counts: dict[str, int] = {}
    for each in facts:
        counts[each.data] = counts.get(each.data, 0) + 1
    if len(counts) > 1:
        words = ", ".join(
            f"{data[:6] or 'unknown'} ({count} of {len(facts)} runs)"
            for data, count in counts.items()
        )
        warnings.append(f"The runs are on differing data, {words}: no curve mixes them.")
    warnings += [
        f"Nothing is left of {', '.join(each.empty)} in {each.name}."
        for each in facts
        if each.empty
    ]
    processors = sorted({each.timed.processor for each in facts if each.timed})
    if len(processors) > 1:
        listed = ", ".join(processors)
        warnings.append(f"Milliseconds were measured on several processors: {listed}.")
    return warnings


def _references(facts: Sequence[Facts]) -> tuple[dict[str, float], list[str]]:
    """What all runs agree on, and a warning about the rest."""
    told = [each.references for each in facts]
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


# --- what is not -------------------------------------------------------------------------------


def _absent(store: Store, by_name: dict[str, Planned], planned: Planned) -> Missing:
    """Why a run of the plan is not there. Where it waits for others, the first that keeps it
    waiting is named."""
    state, why = _standing(store.folder(planned.name))
    cause = planned
    while state == "never ran" and (parent := _awaited(store, by_name, cause)) is not None:
        cause = parent
        its_state, its_why = _standing(store.folder(cause.name))
        why = f"it starts from {cause.name}, {its_state}"
        why += f": {its_why}" if its_why else ""
        if its_state != "never ran":
            break
    return Missing(name=planned.name, state=state, why=why)


def _awaited(store: Store, by_name: dict[str, Planned], planned: Planned) -> Planned | None:
    """The first parent that is not finished."""
    for name in planned.parents.values():
        if name in by_name and store.folder(name).status() != "finished":
            return by_name[name]
    return None


def _standing(folder: RunFolder) -> tuple[str, str]:
    """A run's state and what there is to say about it."""
    state = folder.status()
    if state == "failed":
        return state, _failure(folder)
    if state not in ("running", "interrupted"):
        return "never ran", ""
    progress = folder.progress()
    return state, f"at step {progress.step:,} of {progress.steps:,}" if progress else ""


def _failure(folder: RunFolder) -> str:
    try:
        failure = folder.failure()
    except files.Damaged as error:
        return str(error)
    if failure is None:
        return ""
    words = _line(failure.message or "no message")
    if failure.error not in words:
        words = f"{failure.error}: {words}"
    step = failure.step
    return words if step is None or f"step {step}" in words else f"at step {step}, {words}"


def _line(text: str) -> str:
    return " ".join(text.split())
