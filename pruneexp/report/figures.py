"""The figures of a report. To add one: a function here, an entry in `FIGURES` and in
conf/report.yaml.

They are drawn without pyplot and without the reader's own matplotlib settings, so that the same
runs give the same bytes.
"""

import io
import math
import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pruneexp.record import BYTES_PER_WEIGHT
from pruneexp.report.claims import Findings
from pruneexp.report.frontier import Point
from pruneexp.report.labels import Label, LineLabel, place

# Okabe and Ito's colours, which colour-blind readers tell apart; a marker each, for grey paper.
DENSE = (("#0072B2", "o"), ("#56B4E9", "D"), ("#000000", "X"))
SPARSE = (("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "v"), ("#E69F00", "P"))
GREY = "#595959"
INCHES = (7.0, 4.6)
LEGEND_LETTERS = 92  # that stand beside each other below a figure, markers included
DPI = 160  # of the PNG
TOGETHER = 0.01  # reference lines within 1 % of each other have one label
SEED_SHIFT = 0.009  # of the axis, so that single seeds stand beside the bar of their mean

# Dates and versions would make two files of one figure differ.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "pruneexp", "pdf.fonttype": 42, "font.size": 9.5}


def parameters(found: Findings) -> Figure:
    """The paper's Figure 3: the metric against what is not zero."""
    return _curves(found, lambda point: point.nonzero, "non-zero parameters", _count)


def megabytes(found: Findings) -> Figure:
    """The same against what the values take."""
    words = f"size (MB, {BYTES_PER_WEIGHT} bytes a non-zero weight)"
    return _curves(found, lambda point: point.megabytes, words, lambda value: f"{value:g}")


FIGURES: dict[str, Callable[[Findings], Figure]] = {
    "parameters": parameters,
    "megabytes": megabytes,
}


def draw(name: str, found: Findings, formats: list[str]) -> dict[str, bytes]:
    """One figure as the content of a file in each format."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = FIGURES[name](found)
        return {kind: _save(figure, kind) for kind in formats}


def _save(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=DPI, metadata=METADATA[kind])
    return file.getvalue()


# --- size against the metric -------------------------------------------------------------------


def _curves(
    found: Findings, size: Callable[[Point], float], words: str, write: Callable[[float], str]
) -> Figure:
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, [size(point) for point in found.points], write)
    axes.set_xlabel(words)
    better = "" if found.metric.higher_is_better else ", lower is better"
    axes.set_ylabel(f"test {found.metric.label}{better}")
    _title(axes, found)
    ink: list[np.ndarray] = []
    labels: list[Label | LineLabel] = []
    for (name, curve), (colour, marker) in zip(found.curves.items(), _looks(found), strict=True):
        ink += _draw(axes, name, curve, size, colour, marker)
        labels += [
            Label(
                text=point.label,
                x=size(point),
                y=point.test,
                colour=colour,
                above=(point.kind == "sparse") == found.metric.higher_is_better,
            )
            for point in curve
            if point.label
        ]
    columns = max(1, LEGEND_LETTERS // (max(map(len, found.curves)) + 8))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    axes.margins(y=0.12)
    ink += _references(axes, found)
    place(axes, [*labels, *reference_labels(found.loaded.references, found.digits)], ink)
    return figure


def _looks(found: Findings) -> list[tuple[str, str]]:
    """A colour and a marker for each curve."""
    used = {"dense": 0, "sparse": 0}
    looks = []
    for curve in found.curves.values():
        kind = curve[0].kind
        choices = DENSE if kind == "dense" else SPARSE
        looks.append(choices[used[kind] % len(choices)])
        used[kind] += 1
    return looks


def _draw(
    axes: Axes,
    name: str,
    curve: list[Point],
    size: Callable[[Point], float],
    colour: str,
    marker: str,
) -> list[np.ndarray]:
    """One curve: means, intervals and single seeds. Returns what labels must not hide."""
    sizes, means = [size(point) for point in curve], [point.test for point in curve]
    axes.plot(sizes, means, color=colour, marker=marker, markersize=6, lw=1.6, label=name, zorder=3)
    ink = [np.column_stack([sizes, means])]
    for point in curve:
        x = size(point)
        if point.n > 1:
            beside = x * (axes.get_xlim()[1] / axes.get_xlim()[0]) ** SEED_SHIFT
            axes.scatter(
                [beside] * point.n, point.seeds, s=14, color=colour, alpha=0.45, linewidths=0
            )
            ink += [np.array([[beside, seed]]) for seed in point.seeds]
        if point.test_half is not None:
            axes.errorbar(x, point.test, point.test_half, color=colour, capsize=3, lw=1.1, zorder=3)
            ends = (point.test - point.test_half, point.test + point.test_half)
            ink.append(np.array([[x, end] for end in ends]))
    return ink


def _references(axes: Axes, found: Findings) -> list[np.ndarray]:
    """A thin line across for each value to hold the curves against."""
    ends = axes.get_xlim()
    values = found.loaded.references.values()
    for value in values:
        axes.axhline(value, color=GREY, lw=0.8, ls=(0, (6, 3)), zorder=1.5)
    return [np.array([[end, value] for end in ends]) for value in values]


def reference_labels(references: dict[str, float], digits: int) -> list[LineLabel]:
    """Lines closer to each other than `TOGETHER` share a label."""
    groups: list[list[tuple[str, float]]] = []
    for name, value in sorted(references.items(), key=lambda item: item[1]):
        if groups and math.isclose(value, groups[-1][-1][1], rel_tol=TOGETHER):
            groups[-1].append((name, value))
        else:
            groups.append([(name, value)])
    return [
        LineLabel(
            text=textwrap.fill(
                ", ".join(f"{name} {value:.{digits}f}" for name, value in group), 90
            ),
            low=group[0][1],
            high=group[-1][1],
            colour=GREY,
        )
        for group in groups
    ]


def _title(axes: Axes, found: Findings) -> None:
    spread = "one seed a point"
    if any(point.n > 1 for point in found.points):
        spread = f"mean of {found.seeds}, bars: 95 % t interval, dots: seeds"
    says = f"test {found.metric.name} of the state chosen on validation; {spread}"
    lines = textwrap.wrap(says, 105)
    title = "\n".join(textwrap.wrap(found.title, 56))
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=10 + 12 * len(lines))
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=GREY,
        fontsize=8.5,
    )


def _frame(axes: Axes, sizes: list[float], write: Callable[[float], str]) -> None:
    low, high = min(sizes), max(sizes)
    room = max(0.07 * math.log10(high / low), 0.04)  # decades on either side
    low, high = low / 10**room, high * 10**room
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(color="#999999")


def ticks(low: float, high: float) -> list[float]:
    """Round sizes between two, the roundest kind of which there are three or more."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), range(10, 100, 2)):
        scale = 10 if steps[0] == 10 else 1
        every = [float(f"{step / scale}e{decade}") for decade in decades for step in steps]
        found = [value for value in every if low <= value <= high]
        if len(found) >= 3:
            break
    return found


def _count(value: float) -> str:
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:g}{letter}"
    return f"{value:g}"
