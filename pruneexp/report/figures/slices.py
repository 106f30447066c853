"""Quality against the parent's size at equal bytes, one line a budget."""

from matplotlib.figure import Figure

from pruneexp.engine.record import MEGABYTE
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.slices import BudgetSlice, slices
from pruneexp.report.figures.style import DENSE, GREY, SPARSE, bare, powers, title

INCHES = (7.0, 4.6)


def draw(found: Findings) -> Figure | None:
    """A line for each budget, from the dense model to the largest parent; None where no budget has
    parents."""
    made = slices(found)
    if not made:
        return None
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    dense, square = DENSE[0][0], "s"
    for number, one in enumerate(made):
        colour, marker = SPARSE[number % len(SPARSE)]
        times = [rung.times for rung in one.rungs]
        tests = [rung.point.test for rung in one.rungs]
        halves = [rung.point.test_half or 0.0 for rung in one.rungs]
        axes.plot(times, tests, color=colour, lw=1.4, marker=marker, ms=5, label=_label(one))
        axes.errorbar(times, tests, halves, fmt="none", ecolor=colour, elinewidth=0.9, capsize=2.5)
        axes.plot(times[:1], tests[:1], marker=square, ms=8, color=dense, ls="none", zorder=3)
        best = one.rungs.index(one.best)
        axes.plot(times[best], tests[best], marker="o", ms=13, mfc="none", mec=colour, ls="none")
    axes.set_xscale("log")
    powers(axes.xaxis, 0.95, 1.05 * max(rung.times for one in made for rung in one.rungs), _number)
    axes.set_xlabel("the parent's weights, as a multiple of the dense model of the same bytes")
    better = "" if found.metric.higher_is_better else ", better upwards"
    axes.set_ylabel(f"test {found.metric.label}{better}")
    if better:
        axes.invert_yaxis()
    axes.plot([], [], marker=square, color=dense, ls="none", label="dense, not pruned")
    axes.plot([], [], marker="o", ms=11, mfc="none", mec=GREY, ls="none", label="best (validation)")
    bare(axes)
    axes.legend(frameon=False, fontsize=8.5)
    says = f"each line: models whose files have equal bytes, {found.seeds} each"
    if any(rung.point.test_half is not None for one in made for rung in one.rungs):
        says += "; bars: 95 % t intervals"
    title(axes, found.title, says)
    return figure


def _number(value: float) -> str:
    return f"{value:g}"


def _label(one: BudgetSlice) -> str:
    return f"{one.bytes / MEGABYTE:.3f} MB"
