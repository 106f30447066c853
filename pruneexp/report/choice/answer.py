"""Which model to ship: the answer from all finished runs of a results folder, or from one plan's.

answer = pruneexp.choose("results", budget="200kB")
print(answer.text())
answer.choices[0].pick.words
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruneexp.config import amounts
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine import files
from pruneexp.engine.record import Metric, Plan
from pruneexp.engine.store import Store
from pruneexp.report.analysis.points import curves
from pruneexp.report.choice import told
from pruneexp.report.choice.candidates import Candidate, Limits
from pruneexp.report.choice.choose import Chooser, Recommendation, Step
from pruneexp.report.choice.comparable import comparable
from pruneexp.report.choice.next_runs import NextRun, next_runs
from pruneexp.report.data.load import load
from pruneexp.report.format import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to ship within each of the limits that were given, and for which budgets it is what.

    Arguments:
        title: of the runs that it is taken from.
        results: their folder, as commands name it.
        metric: that they are measured by.
        choices: one for each set of limits.
        next: for each choice the runs worth making.
        steps: the answer for every budget in bytes.
        crossover: for which budgets to prune, in a sentence.
        budgets: the same as a table, a row where the answer changes; None without any candidate.
        notes: what was left out, and why.
    """

    title: str
    results: str
    metric: Metric
    choices: list[Recommendation]
    next: list[list[NextRun]]
    steps: list[Step]
    crossover: str
    budgets: Table | None
    notes: list[str]

    def pack_command(self, choice: Recommendation) -> str:
        """What writes the file of the pick; nothing where there is none."""
        if choice.pick is None:
            return ""
        return told.pack_command(choice.pick, self.metric, self.results)

    def text(self) -> str:
        """The answers as plain text, without the table."""
        lines: list[str] = []
        for choice in self.choices:
            lines += [told.headline(choice, self.metric), told.how_sure(choice)]
            lines += [f"{line[0].upper()}{line[1:]}." for line in choice.lacking]
            lines += [self.pack_command(choice)]
        return "\n".join(filter(None, [*lines, self.crossover, *self.notes]))

    def to_plain(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {
            "runs": self.title,
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "higher_is_better": self.metric.higher_is_better,
            "choices": [
                _choice(choice, self.metric)
                | {
                    "pack": self.pack_command(choice),
                    "next": [_next(each) for each in runs],
                }
                for choice, runs in zip(self.choices, self.next, strict=True)
            ],
            "budgets": [
                {
                    "from_bytes": step.least,
                    "below_bytes": step.most,
                    "probability_sparse_better": step.sparse_better,
                    **_choice(step.choice, self.metric),
                }
                for step in self.steps
            ],
            "crossover": self.crossover,
            "notes": self.notes,
        }


def answer(
    store: Store,
    limits: Sequence[Limits],
    *,
    plan: Plan | None = None,
    task: str = "",
) -> Answer:
    """The answer from a plan's finished runs, or without one from the largest group of comparable
    runs. Raises `NotFound` where no run is finished.

    Arguments:
        limits: a choice is made for each.
        task: of the runs, where no plan is named and there are several.
    """
    notes: list[str] = []
    if plan is None:
        found = comparable(store, task)
        plan = found.plan
        notes += [*found.damaged, *_left_out(found.others, found.task)]
    runs = load(store, plan)
    runs.index.save()
    if runs.metric is None:
        raise files.NotFound(f"no run of {plan.name} is finished; `pruneexp status` says why")
    kept, others = _on_one_data([point for curve in curves(runs).values() for point in curve])
    notes += [f"{others} points on other data are left out"] * (others > 0)
    chooser = Chooser(kept, runs.metric)
    choices = [chooser.choose(each) for each in limits]
    steps = chooser.steps()
    return Answer(
        title=plan.title or plan.name,
        results=str(store.results),
        metric=runs.metric,
        choices=choices,
        next=[next_runs(chooser, choice) for choice in choices],
        steps=steps,
        crossover=told.crossover(chooser),
        budgets=told.budgets(chooser, steps) if steps else None,
        notes=notes,
    )


def choose(
    results: str | Path = "results",
    *,
    budget: str | int | None = None,
    nonzero: str | int | None = None,
    milliseconds: float | None = None,
    at_least: float | None = None,
    plan: str = "",
    task: str = "",
) -> Answer:
    """Which model to ship within a budget.

        pruneexp.choose("results", budget="200kB").choices[0].pick.words

    Arguments:
        results: the folder of runs.
        budget: what the packed file may take, as a text or in bytes.
        nonzero: how many weights may be kept.
        milliseconds: of one example on the processor that timed the runs.
        at_least: the metric that must be reached (at most, where lower is better); then the
            smallest file is chosen.
        plan: of the runs; without it, all that can be compared.
        task: of the runs, where there are several.

    Raises `Invalid` for an amount that cannot be read, and `NotFound` where no run is finished.
    """
    store = Store(Path(results).expanduser())
    limits = Limits(
        bytes=None if budget is None else _bytes(budget),
        nonzero=None if nonzero is None else _count(nonzero),
        milliseconds=milliseconds,
        at_least=at_least,
    )
    return answer(store, [limits], plan=store.find_plan(plan) if plan else None, task=task)


def _bytes(given: str | int) -> int:
    try:
        return amounts.bytes_of(given) if isinstance(given, str) else given
    except ValueError as error:
        raise Invalid([Fault("budget", str(error))]) from None


def _count(given: str | int) -> int:
    try:
        return amounts.count_of(given) if isinstance(given, str) else given
    except ValueError as error:
        raise Invalid([Fault("nonzero", str(error))]) from None


def _left_out(others: dict[str, int], task: str) -> Iterator[str]:
    for other, number in others.items():
        how = "of other data" if other == task else f"of {other} (--task {other} takes those)"
        yield f"{number} runs {how} are left out"


def _on_one_data(points: Sequence[Any]) -> tuple[list[Any], int]:
    """The points on the data that most of them are on, and how many are not."""
    groups: dict[str, list[Any]] = {}
    for point in points:
        groups.setdefault(point.data, []).append(point)
    kept = max(groups.values(), key=len)
    return kept, len(points) - len(kept)


def _choice(choice: Recommendation, metric: Metric) -> dict[str, Any]:
    known = choice.certainty
    return {
        "limits": {
            "bytes": choice.limits.bytes,
            "nonzero": choice.limits.nonzero,
            "milliseconds": choice.limits.milliseconds,
            "at_least": choice.limits.at_least,
        },
        "pick": None if choice.pick is None else _candidate(choice.pick, metric),
        "probability_best": known.best if known else None,
        "probability_near_best": known.near if known else None,
        "probability_reaches": known.reaches if known else None,
        "tie": choice.is_tie,
        "tied": [_candidate(each, metric) for each in choice.tied],
        "runner_up": None if choice.runner_up is None else _candidate(choice.runner_up, metric),
        "best": {kind: _candidate(each, metric) for kind, each in choice.best.items()},
        "candidates": choice.within,
        "lacking": list(choice.lacking),
    }


def _candidate(candidate: Candidate, metric: Metric) -> dict[str, Any]:
    point = candidate.point
    by_values = point.packed.state(candidate.folded) if point.packed else None
    return {
        "words": candidate.words,
        "run": told.best_run(point, metric).name,
        "kind": point.kind,
        "series": point.series,
        "size": point.size,
        "sparsity": point.sparsity,
        "values": point.values,
        "seeds": point.n,
        "valid": point.valid,
        "test": point.test,
        "test_width_95": point.test_half,
        "bytes": candidate.bytes,
        "batch_norm_folded": candidate.folded,
        "bytes_by_values": {k: file.bytes for k, file in by_values.values.items()}
        if by_values
        else {},
        "nonzero": point.nonzero,
        "milliseconds": point.milliseconds,
        "multiply_adds": point.sparse_multiply_adds,
    }


def _next(run: NextRun) -> dict[str, Any]:
    return {"like": run.like, "changes": run.changes, "settles": run.settles}
