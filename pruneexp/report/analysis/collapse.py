"""What pruning costs for a moment, and what further training wins back, from runs' histories."""

from dataclasses import dataclass
from statistics import fmean

from pruneexp.engine import files
from pruneexp.report.analysis.points import Point
from pruneexp.report.data.load import Runs
from pruneexp.report.data.rows import Row


@dataclass(frozen=True, slots=True)
class Collapse:
    """In the metric's unit, on validation; means over seeds."""

    lost: float  # from the best before or while it was pruned to the worst after that
    healed: float  # from that worst to the best at the end


def collapses(runs: Runs, point: Point) -> Collapse | None:
    """Of a point's runs; None where a history does not tell it."""
    told = [_of_run(runs, row) for row in point.rows]
    known = [each for each in told if each is not None]
    if len(known) < len(told):
        return None
    return Collapse(fmean(each.lost for each in known), fmean(each.healed for each in known))


def _of_run(runs: Runs, row: Row) -> Collapse | None:
    assert runs.metric is not None
    key = f"valid_{runs.metric.name}"
    sign = 1 if runs.metric.higher_is_better else -1
    try:
        history = runs.store.folder(row.name).history()
    except (files.Damaged, OSError):
        return None
    seen = [(each["sparsity"], sign * each[key]) for each in history if key in each]
    pruned = [place for place, (sparsity, _) in enumerate(seen) if sparsity > 0]
    if not pruned or len(seen) < 3:
        return None
    values = [value for _, value in seen]
    # The deepest fall from what had been reached, once pruning has begun.
    falls = [(max(values[:place]) - values[place], place) for place in pruned if place > 0]
    if not falls:
        return None
    lost, worst = max(falls)
    return Collapse(max(lost, 0.0), max(values[worst:]) - values[worst])
