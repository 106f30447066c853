"""The metric against size, in weights, bytes, work or time: one table of axes, one way to draw.

To add such a figure, for a measurement that is a field of `data.rows.Row`: an entry in `AXES` and
in conf/report.yaml.
"""

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruneexp.engine.record import BYTES_PER_WEIGHT
from pruneexp.report.analysis.at_size import SAME
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.figures.labels import Label, LineLabel, place
from pruneexp.report.figures.style import DASHES, DENSE, GREY, SPARSE, bare, powers, title
from pruneexp.report.format import percent, short

EXAMPLE = {"accuracy": "picture", "perplexity": "word"}  # what a metric is an average over
INCHES = (7.0, 4.6)
LEGEND_LETTERS = 92  # that stand beside each other below a figure, markers included
TOGETHER = 0.01  # reference lines within 1 % of each other have one label
MOST_LABELLED = 6  # curves; of more, the first of each kind alone has labels at its points
MOST_SEEDS = 200  # of a curve that are drawn as dots; of more, the intervals alone
MOST_POINTS = 24  # of a curve; of more, the first and the last have labels
SEED_SHIFT = 0.009  # of the axis, so that single seeds stand beside the bar of their mean


def _number(value: float) -> str:
    return f"{value:g}"


def _count(value: float) -> str:
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:g}{letter}"
    return f"{value:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A size that the metric is drawn against.

    Arguments:
        read: the size of a point; None where it was not measured, and then there is no figure.
        words: under the axis.
        write: a value at a tick.
        unit: behind a value in the alternative text.
        against: in the alternative text.
        settings: where all models have one size, their settings are shown side by side.
        published: published values lie under ours, since a model of theirs has the same size.
    """

    read: Callable[[Point], float | None]
    words: Callable[[Findings], str]
    against: str
    write: Callable[[float], str] = _number
    unit: str = ""
    settings: bool = False
    published: bool = False


def _example(found: Findings) -> str:
    return EXAMPLE.get(found.metric.name, "example")


def _work(found: Findings) -> str:
    words = f"multiply-adds for one {_example(found)}"
    sparse = any(point.kind == "sparse" for point in found.points)
    return words + ", masked weights skipped" * sparse


def _written(found: Findings) -> str:
    folds = any(point.file(folded=True) for point in found.points)
    return "size (MB really written" + ", batch-norm folded)" * folds + ")" * (not folds)


def _time(found: Findings) -> str:
    words = f"milliseconds for one {_example(found)} on one CPU thread"
    return words + ", dense or sparse, whichever is faster"


AXES: dict[str, Axis] = {
    # The paper's Figure 3: the metric against what is not zero.
    "parameters": Axis(
        read=lambda point: point.nonzero,
        words=lambda found: "non-zero parameters",
        write=_count,
        against="parameters",
        settings=True,
        published=True,
    ),
    # Where some values take fewer bits, `written` has what those weigh.
    "megabytes": Axis(
        read=lambda point: point.megabytes if point.values == "fp32" else None,
        words=lambda found: f"size (MB, {BYTES_PER_WEIGHT} bytes a non-zero weight)",
        against="megabytes",
        unit=" MB",
        published=True,
    ),
    "multiply_adds": Axis(
        read=lambda point: point.sparse_multiply_adds,
        words=_work,
        write=_count,
        against="multiply-adds",
    ),
    "written": Axis(
        read=lambda point: point.written,
        words=_written,
        against="bytes really written",
        unit=" MB",
    ),
    "trained": Axis(
        read=lambda point: point.trained_nonzero,
        words=lambda found: "non-zero parameters, mean over the steps of training",
        write=_count,
        against="the mean of non-zero parameters over training",
    ),
    "latency": Axis(
        read=lambda point: point.milliseconds, words=_time, against="milliseconds", unit=" ms"
    ),
}


def against(name: str, found: Findings) -> Figure | None:
    """The figure over one of the axes; None where some runs were not measured or have nothing that
    an axis of powers could show, or where all have the same size."""
    axis = AXES[name]
    sizes = [axis.read(point) for point in found.points]
    if any(size is None or size <= 0 for size in sizes):
        return None
    if _one_size(found):
        return _settings(found) if axis.settings else None
    if not axis.settings and _one_place([size or 0.0 for size in sizes]):
        return None
    return _curves(found, axis)


# --- size against the metric -------------------------------------------------------------------


def _curves(found: Findings, axis: Axis) -> Figure:
    def size(point: Point) -> float:
        return axis.read(point) or 0.0

    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, [size(point) for point in found.points], axis.write)
    axes.set_xlabel(axis.words(found))
    _metric(axes, found)
    _title(axes, found, f"against {axis.against}")
    ink: list[np.ndarray] = []
    for (name, curve), look in zip(found.curves.items(), _looks(found), strict=True):
        ink += _draw(axes, name, curve, size, look)
    if axis.published:
        ink += _published(axes, found, size)
    columns = max(1, LEGEND_LETTERS // (max(map(len, found.curves)) + 8))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    axes.margins(y=0.12)
    ink += _references(axes, found)
    lines = reference_labels(found.runs.references, found.digits)
    place(axes, [*_labels(found, size), *lines], ink)
    return figure


def _labels(found: Findings, size: Callable[[Point], float]) -> list[Label]:
    """What each point is. Points of one kind that are called the same and have the same size share
    a label, in the colour of the first."""
    called: dict[tuple[str, str, float], list[tuple[Point, str]]] = {}
    named: dict[str, int] = {}
    for curve, look in zip(found.curves.values(), _looks(found), strict=True):
        kind = curve[0].kind
        named[kind] = named.get(kind, 0) + 1
        if len(found.curves) > MOST_LABELLED and named[kind] > 1:
            continue  # its points follow each other as those of the first curve of its kind
        for point in curve if len(curve) <= MOST_POINTS else (curve[0], curve[-1]):
            if point.label:
                key = kind, point.label, round(math.log10(size(point)), 2)
                called.setdefault(key, []).append((point, look.colour))
    return [_label(found, size, points) for points in called.values()]


def _label(
    found: Findings, size: Callable[[Point], float], points: list[tuple[Point, str]]
) -> Label:
    """Beside the outermost of the points that share it."""
    above = (points[0][0].kind == "sparse") == found.metric.higher_is_better
    outermost = (max if above else min)(points, key=lambda each: each[0].test)[0]
    return Label(
        text=outermost.label,
        x=size(outermost),
        y=outermost.test,
        colour=points[0][1],
        above=above,
    )


def _one_size(found: Findings) -> bool:
    """Whether settings alone differ, so that an axis of sizes would show one place."""
    same = _one_place([point.nonzero for point in found.points])
    return same and len(found.points) == len(found.curves) > 1


def _one_place(sizes: list[float]) -> bool:
    return all(math.isclose(size, sizes[0], rel_tol=SAME) for size in sizes)


def _settings(found: Findings) -> Figure:
    """The metric of each setting, side by side, where all have one size."""
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    bare(axes)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.6, len(found.points) - 0.4)
    for place_, (point, look) in enumerate(zip(found.points, _looks(found), strict=True)):
        colour = look.colour
        axes.plot(place_, point.test, color=colour, marker=look.marker, markersize=7, lw=0)
        beside = np.full(point.n, place_ + 0.08)
        if point.n > 1:
            axes.scatter(
                beside,
                [row.test for row in point.rows],
                s=16,
                color=colour,
                alpha=0.5,
                linewidths=0,
            )
        if point.test_half is not None:
            axes.errorbar(place_, point.test, point.test_half, color=colour, capsize=3, lw=1.1)
    names = [point.series.removeprefix("sparse, ") for point in found.points]
    axes.set_xticks(range(len(names)), [textwrap.fill(name, 18) for name in names])
    sparsities = {point.sparsity for point in found.points}
    each = f", {percent(*sparsities)} sparse" if len(sparsities) == 1 else ""
    axes.set_xlabel(f"{short(found.points[0].nonzero)} non-zero parameters each{each}")
    _metric(axes, found)
    _title(axes, found, "setting by setting")
    axes.margins(y=0.12)
    return figure


def _metric(axes: Axes, found: Findings) -> None:
    better = "" if found.metric.higher_is_better else ", lower is better"
    axes.set_ylabel(f"test {found.metric.label}{better}")


@dataclass(frozen=True, slots=True)
class _Look:
    colour: str
    marker: str
    dashes: Any


def _looks(found: Findings) -> list[_Look]:
    """For each curve; dashed where colours begin anew."""
    used = {"dense": 0, "sparse": 0}
    looks = []
    for curve in found.curves.values():
        kind = curve[0].kind
        choices = DENSE if kind == "dense" else SPARSE
        again, place_ = divmod(used[kind], len(choices))
        looks.append(_Look(*choices[place_], DASHES[again % len(DASHES)]))
        used[kind] += 1
    return looks


def _draw(
    axes: Axes,
    name: str,
    curve: list[Point],
    size: Callable[[Point], float],
    look: _Look,
) -> list[np.ndarray]:
    """One curve: means, intervals and single seeds. Returns what labels must not hide."""
    colour, line = look.colour, {"ls": look.dashes, "marker": look.marker}
    curve = sorted(curve, key=size)
    sizes, means = [size(point) for point in curve], [point.test for point in curve]
    axes.plot(sizes, means, color=colour, markersize=6, lw=1.6, label=name, zorder=3, **line)
    ink = [np.column_stack([sizes, means])]
    shift = (axes.get_xlim()[1] / axes.get_xlim()[0]) ** SEED_SHIFT
    seeds = [
        (shift * size(p), seed) for p in curve if p.n > 1 for seed in (row.test for row in p.rows)
    ]
    if 0 < len(seeds) <= MOST_SEEDS:
        places = np.array(seeds)
        axes.scatter(places[:, 0], places[:, 1], s=14, color=colour, alpha=0.45, linewidths=0)
        ink += [place[None] for place in places]
    bars = [(size(p), p.test, p.test_half) for p in curve if p.test_half is not None]
    if bars:
        x, middle, half = np.array(bars).T
        axes.errorbar(
            x, middle, half, fmt="none", ecolor=colour, capsize=3, elinewidth=1.1, zorder=3
        )
        ink += list(np.stack([np.stack([x, x], 1), np.stack([middle - half, middle + half], 1)], 2))
    return ink


def _published(axes: Axes, found: Findings, size: Callable[[Point], float]) -> list[np.ndarray]:
    """What a paper printed of the same models, as hollow markers under ours."""
    ink, named = [], False
    for curve, look in zip(found.curves.values(), _looks(found), strict=True):
        printed = [(size(point), point.published) for point in curve if point.published is not None]
        if not printed:
            continue
        places = np.array(sorted(printed))
        axes.plot(
            *places.T,
            color=look.colour,
            alpha=0.55,
            lw=0.9,
            ls=DASHES[2],
            marker=look.marker,
            markersize=8,
            markerfacecolor="none",
            zorder=2,
            label=None if named else "published (hollow)",
        )
        named = True
        ink.append(places)
    return ink


def _references(axes: Axes, found: Findings) -> list[np.ndarray]:
    """A thin line across for each value to hold the curves against."""
    ends = axes.get_xlim()
    values = found.runs.references.values()
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


def _title(axes: Axes, found: Findings, what: str) -> None:
    spread = "one seed a point"
    if any(point.n > 1 for point in found.points):
        spread = f"mean of {found.seeds}, bars: 95 % t interval, dots: seeds"
    says = f"test {found.metric.words} of the state chosen on validation; {spread}{_signs(found)}"
    title(axes, f"{found.title}: {found.metric.words} {what}", says)


def _signs(found: Findings) -> str:
    """What labels at points mean, where a sign alone would not say it."""
    parts = []
    if any(point.kind == "dense" and point.label.startswith("×") for point in found.points):
        parts.append("×: width")
    if any(point.kind == "sparse" and point.label.endswith("%") for point in found.points):
        parts.append("%: pruned")
    return "; " * bool(parts) + ", ".join(parts)


def _frame(axes: Axes, sizes: list[float], write: Callable[[float], str]) -> None:
    low, high = min(sizes), max(sizes)
    room = max(0.07 * (math.log10(high) - math.log10(low)), 0.04)  # decades on either side
    low, high = low / 10**room, high * 10**room
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers(axes.xaxis, low, high, write)
    bare(axes)
