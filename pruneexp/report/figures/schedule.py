"""The paper's Figure 2 for the runs of a report: learning rate, sparsity and validation over steps.

It shows what masking costs at once, how a model recovers, and whether the rate was still high
enough to heal.
"""

from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.data.histories import History
from pruneexp.report.figures.style import DASHES, DENSE, GREY, SPARSE, bare, powers, title

INCHES = (7.0, 6.6)
HEIGHTS = (1.0, 1.3, 2.2)
# As in the other figures: cool colours are dense models, warm ones sparse.
PRUNED = [(colour, marker, dashes) for dashes in DASHES for colour, marker in SPARSE]
LETTERS = 8.5  # points
SPACING = 1.25  # of a letter's height, between two labels


def schedule(found: Findings) -> Figure | None:
    """Nothing where nothing was pruned or no history is left."""
    shown = found.runs.histories.shown
    if not any(history.kind == "sparse" for history in shown):
        return None
    figure = Figure(figsize=INCHES, layout="constrained")
    rate, sparsity, valid = figure.subplots(3, 1, sharex=True, height_ratios=HEIGHTS)
    free = iter(PRUNED)
    looks = [(*DENSE[0], "-") if run.kind == "dense" else next(free) for run in shown]
    rates = [history.rates for history in shown]
    paths = [[round(share, 1) for share in history.sparsities] for history in shown]
    ends: list[tuple[float, str, str]] = []
    for number, (history, (colour, marker, dashes)) in enumerate(zip(shown, looks, strict=True)):
        line: dict[str, Any] = {"lw": 1.4, "ls": dashes}
        rate.plot(history.steps, history.rates, color=_own(rates, number, colour), **line)
        sparsity.plot(
            history.steps,
            history.sparsities,
            color=_own(paths, number, colour),
            drawstyle="steps-post",  # a row says how sparse the model is from its step on
            **line,
        )
        valid.plot(
            history.validated, history.valid, color=colour, marker=marker, markersize=4.5, **line
        )
        if history.valid:
            ends.append((history.valid[-1], history.label, colour))
    for axes in (rate, sparsity, valid):
        bare(axes)
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate")
    sparsity.set_ylabel("sparsity (%)")
    _validation(found, valid)
    own = any(history.own_stage for history in shown)
    valid.set_xlabel("steps of its own stage" if own else "steps")
    valid.set_xlim(0, 1.01 * max(1, *(history.steps[-1] for history in shown)))
    title(rate, f"{found.title}: how training went", _says(found))
    figure.align_ylabels()
    FigureCanvasAgg(figure).draw()  # only now is it known where a point lies
    _label(valid, ends)
    _label(sparsity, _reached(shown, [colour for colour, _, _ in looks]))
    return figure


def _own(paths: list[list[float]], number: int, colour: str) -> str:
    """A run's colour, or grey where another takes the same path."""
    return colour if paths.count(paths[number]) == 1 else GREY


def _validation(found: Findings, axes: Axes) -> None:
    axes.set_ylabel(f"validation {found.metric.label}")
    values = [value for history in found.runs.histories.shown for value in history.valid]
    if found.metric.higher_is_better or not values or min(values) <= 0:
        return
    axes.set_yscale("log")  # an untrained model's is many times a trained one's
    powers(axes.yaxis, *axes.get_ylim(), lambda value: f"{value:,g}")


def _says(found: Findings) -> str:
    histories = found.runs.histories
    pruned = sum(history.kind == "sparse" for history in histories.shown)
    seeds = sorted({history.seed for history in histories.shown})
    which = f"seed {seeds[0]} of each" if len(seeds) == 1 else "the lowest seed of each"
    rest = f"; {pruned} of {histories.pruned} pruned settings, the most sparse ones"
    return f"{which}, markers: validations" + rest * (pruned < histories.pruned)


def _reached(shown: list[History], colours: list[str]) -> list[tuple[float, str, str]]:
    """The final sparsities; in grey what several share."""
    ends = sorted(
        (round(history.sparsities[-1], 1), colour)
        for history, colour in zip(shown, colours, strict=True)
        if history.kind == "sparse"
    )
    each = {
        value: [colour for _, colour in same] for value, same in groupby(ends, lambda end: end[0])
    }
    return [
        (value, f"{value:g} %", those[0] if len(those) == 1 else GREY)
        for value, those in each.items()
    ]


def _label(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right of the frame, each beside its curve's end, pushed apart where they would
    lie on each other."""
    if not ends:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    ends = sorted(ends)
    points = 72 / figure.dpi
    at = [points * axes.transData.transform((0, value))[1] for value, _, _ in ends]
    for (value, text, colour), place, here in zip(
        ends, spread(at, LETTERS * SPACING), at, strict=True
    ):
        axes.annotate(
            text,
            (1, value),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, place - here),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=LETTERS,
            annotation_clip=False,
        )


def spread(places: list[float], room: float) -> list[float]:
    """Rising places moved as little as leaves `room` between neighbours: those that are too close
    stand evenly around their middle."""
    blocks: list[tuple[float, int]] = []  # middle and how many
    for place in places:
        middle, count = place, 1
        while blocks and middle - blocks[-1][0] < room * (count + blocks[-1][1]) / 2:
            before, more = blocks.pop()
            middle = (middle * count + before * more) / (count + more)
            count += more
        blocks.append((middle, count))
    return [
        float(middle + room * offset)
        for middle, count in blocks
        for offset in np.arange(count) - (count - 1) / 2
    ]
