"""What each point's search came to: all its trials on validation, beside what was chosen."""

import math
from dataclasses import dataclass

from matplotlib.figure import Figure

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.search import searches
from pruneexp.report.figures.style import DENSE, GREY, SPARSE, bare, title

WIDTH, ROW, ABOVE = 7.0, 0.27, 1.9  # inches
MOST_ROWS = 60  # points; of more, the first
FAR = 1.0  # trials further from all that was chosen than so many times its spread are cut


@dataclass(frozen=True, slots=True)
class Searched:
    """A point and what its trials came to on validation."""

    point: Point
    trials: list[float]
    failed: int  # trials without a value

    @property
    def label(self) -> str:
        """The point's curve and place on it."""
        series = self.point.series.removeprefix("sparse, ")
        return f"{series}, {self.point.label}" if self.point.label else series


def searched(found: Findings) -> list[Searched]:
    """The points that chose their settings among several trials, in the order of the curves."""
    by_run = {row.name: point for point in found.points for row in point.rows}
    rows = [row for point in found.points for row in point.rows]
    made: dict[str, Searched] = {}
    for row, trials in searches(found.runs.trials, rows):
        own = next((trial.valid for trial in trials if trial.name == row.name), None)
        if own is not None and not math.isclose(own, row.valid, rel_tol=1e-9):
            continue  # chosen by another metric than the one on the axis
        values = [trial.valid for trial in trials if trial.valid is not None]
        point = by_run[row.name]
        if len(values) > 1:
            made.setdefault(point.key, Searched(point, values, len(trials) - len(values)))
    return [made[point.key] for point in found.points if point.key in made]


def draw(found: Findings) -> Figure | None:
    """A row for each point; None where nothing was searched."""
    made = searched(found)[:MOST_ROWS]
    if not made:
        return None
    made = sorted(made, key=lambda one: _place(one.point, found))
    low, high = _ends(found, made)
    figure = Figure(figsize=(WIDTH, ABOVE + ROW * len(made)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(made):
        colour = (DENSE if one.point.kind == "dense" else SPARSE)[0][0]
        shown = [min(max(value, low), high) for value in one.trials]
        axes.plot([min(shown), max(shown)], [place, place], color=GREY, lw=1.0, zorder=1)
        axes.plot(shown, [place] * len(shown), ls="none", marker="|", ms=8, color=GREY, zorder=2)
        outwards = "<>" if found.metric.higher_is_better else "><"  # on an axis that is turned
        ends = (
            (low, outwards[0], min(one.trials) < low),
            (high, outwards[1], max(one.trials) > high),
        )
        for end, sign, is_passed in ends:
            if is_passed:
                axes.plot(end, place, marker=sign, ms=5, color=GREY, ls="none", clip_on=False)
        half = one.point.test_half
        axes.errorbar(
            one.point.test,
            place,
            xerr=half,
            fmt="o",
            color=colour,
            ms=5.5,
            capsize=2.5,
            elinewidth=1.1,
            zorder=3,
        )
    axes.set_yticks(range(len(made)), [one.label for one in made], fontsize=8)
    axes.set_ylim(len(made) - 0.4, -0.6)
    room = 0.03 * (high - low)
    axes.set_xlim(low - room, high + room)
    better = "" if found.metric.higher_is_better else ", better to the right"
    if better:
        axes.invert_xaxis()
    axes.set_xlabel(f"{found.metric.label}{better}")
    bare(axes)
    axes.grid(visible=False, axis="y")
    says = "dots: test of the settings that validation chose"
    if any(one.point.test_half is not None for one in made):
        says += ", with 95 % t intervals over seeds"
    says += "; grey: every trial of the search, on validation; arrows: trials further out"
    taken = max(len(one.label) for one in made) - 8  # letters beside the axes
    letters = max(40, 105 - round(1.1 * taken))
    title(axes, f"{found.title}: what the search was worth", says, letters=letters)
    return figure


def _place(point: Point, found: Findings) -> tuple[str, float, float]:
    """Dense before sparse, large before small, and of about one size the best first."""
    sign = -1 if found.metric.higher_is_better else 1
    return point.kind, -round(math.log10(max(1.0, point.nonzero)), 1), sign * point.test


def _ends(found: Findings, made: list[Searched]) -> tuple[float, float]:
    """Of the axis: all that was chosen, and on the worse side as far again as makes the spread of
    trials readable."""
    tests = [one.point.test for one in made]
    halves = [one.point.test_half or 0.0 for one in made]
    best = [(max if found.metric.higher_is_better else min)(one.trials) for one in made]
    values = [value for one in made for value in one.trials]
    low = min([*best, *(t - h for t, h in zip(tests, halves, strict=True))])
    high = max([*best, *(t + h for t, h in zip(tests, halves, strict=True))])
    reach = FAR * max(high - low, 0.02 * abs(high))
    if found.metric.higher_is_better:
        return max(min(low, *values), low - reach), max(high, *best)
    return min(low, *best), min(max(high, *values), high + reach)
