"""The searches of a report: which trials chose the settings of which runs."""

from collections.abc import Iterable, Sequence

from pruneexp.engine.record import Trial
from pruneexp.report.data.rows import Row


def searches(trials: Iterable[Trial], rows: Iterable[Row]) -> list[tuple[Row, list[Trial]]]:
    """Of each point that chose its settings, a run of the report and all trials. Points whose runs
    are not in the report are left out."""
    shown = {row.name: row for row in rows}
    tried: dict[str, list[Trial]] = {}
    for trial in trials:
        tried.setdefault(trial.point, []).append(trial)
    found = ((_run(shown, each), each) for each in tried.values())
    return [(row, each) for row, each in found if row is not None]


def _run(shown: dict[str, Row], trials: Sequence[Trial]) -> Row | None:
    """The run of the trial that was chosen, if it is shown, else of any other that is."""
    first = sorted(trials, key=lambda trial: not trial.chosen)
    return next((shown[trial.name] for trial in first if trial.name in shown), None)
