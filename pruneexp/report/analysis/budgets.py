"""What each curve was given: steps and examples, with those of the models its runs started from."""

from collections.abc import Iterable
from dataclasses import dataclass

from pruneexp.report.analysis.comparison import Pair
from pruneexp.report.analysis.search import searches
from pruneexp.report.data.load import Runs
from pruneexp.report.data.rows import Row
from pruneexp.report.format import number, span


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The least and the most that any run of a curve was given."""

    series: str
    runs: int
    steps: tuple[int, int]  # of the run's own stage
    total_steps: tuple[int, int]  # with its ancestors'
    total_examples: tuple[int, int]
    spent_steps: tuple[int, int]  # with those of every run that was needed, such as a mask's
    trials: int  # of its points, made to choose settings
    trial_steps: int  # of those that are no run of the report
    seconds: float  # of all runs together, without ancestors

    def __str__(self) -> str:
        return (
            f"{self.series}: {self.runs} {'run' if self.runs == 1 else 'runs, each'} given "
            f"{span(*self.total_steps, number)} steps and "
            f"{span(*self.total_examples, number)} examples"
            + (
                f" ({span(*self.steps, number)} steps of its own, the rest by the model it "
                "starts from)"
                if self.steps != self.total_steps
                else ""
            )
            + (
                f"; {span(*self.spent_steps, number)} steps with every run that was needed"
                if self.spent_steps != self.total_steps
                else ""
            )
            + (
                f"; settings chosen by {self.trials} trials, {number(self.trial_steps)} steps "
                "beside these runs"
                if self.trials
                else ""
            )
        )


def budgets(runs: Runs, order: list[str]) -> dict[str, Given]:
    """By curve."""
    by_curve: dict[str, list[Row]] = {name: [] for name in order}
    for row in runs.rows:
        by_curve[row.series].append(row)
    tried = _trials(runs, by_curve)
    return {
        name: Given(
            series=name,
            runs=len(rows),
            steps=_range([row.steps for row in rows]),
            total_steps=_range([row.total_steps for row in rows]),
            total_examples=_range([row.total_examples for row in rows]),
            spent_steps=_range([row.spent_steps for row in rows]),
            trials=tried[name][0],
            trial_steps=tried[name][1],
            seconds=sum(row.seconds or 0.0 for row in rows),
        )
        for name, rows in by_curve.items()
    }


def _trials(runs: Runs, by_curve: dict[str, list[Row]]) -> dict[str, tuple[int, int]]:
    """Of each curve, how many trials chose the settings of its points, and the steps of those that
    are no run of the report. A point's trials are given as many steps as its runs."""
    curve = {row.name: name for name, rows in by_curve.items() for row in rows}
    found = dict.fromkeys(by_curve, (0, 0))
    for row, trials in searches(runs.trials, [row for rows in by_curve.values() for row in rows]):
        beside = sum(trial.name not in curve for trial in trials)
        count, steps = found[curve[row.name]]
        found[curve[row.name]] = count + len(trials), steps + beside * row.total_steps
    return found


def _range(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)


def unequal(given: dict[str, Given], pairs: list[Pair]) -> list[str]:
    """A warning for each comparison whose two sides, or the models of one side, were not given the
    same."""
    warnings: dict[str, None] = {}
    apart: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for pair in pairs:
        dense, sparse = given[pair.theirs[0].series], given[pair.ours[0].series]
        if (
            dense.total_steps == sparse.total_steps
            and dense.total_examples == sparse.total_examples
        ):
            for side in (dense, sparse):
                if _varies(side):
                    warnings[
                        f"The models of {side.series} were not given the same: {_what(side)}."
                    ] = None
            continue
        ours, theirs = apart.setdefault((_what(sparse), _what(dense)), ({}, {}))
        ours[sparse.series] = theirs[dense.series] = None
    return [
        *(
            f"Not the same budget: {_listed(ours)} {'was' if len(ours) == 1 else 'were'} given "
            f"{ours_given}, {_listed(theirs)} {theirs_given}. Part of what sets them apart may be "
            "the budget."
            for (ours_given, theirs_given), (ours, theirs) in apart.items()
        ),
        *warnings,
    ]


def _listed(names: Iterable[str]) -> str:
    """Quoted where one of them holds a comma."""
    every = list(names)
    *others, last = [f"“{name}”" for name in every] if "," in "".join(every) else every
    return f"{', '.join(others)} and {last}" if others else last


def _varies(given: Given) -> bool:
    return given.total_steps[0] != given.total_steps[1] or (
        given.total_examples[0] != given.total_examples[1]
    )


def _what(given: Given) -> str:
    return (
        f"{span(*given.total_steps, number)} steps ({span(*given.total_examples, number)} examples)"
    )
