"""What positions take, encoding by encoding, against sparsity."""

import math
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.figures.style import BLACK, GREY, VERMILION, bare, powers, title
from pruneexp.report.format import percent

INCHES = (7.0, 5.2)
MOST_TICKS = 10  # sparsities that are written at the axis
# Words for each encoding that is shown, its colour and its dashes: what the paper counted in greys,
# and the smallest as a band behind them; the table of positions has more.
LOOKS: dict[str, tuple[str, str, Any]] = {
    "csr": ("CSR, 32-bit columns", GREY, (0, (4, 1.5))),
    "bitmask": ("bit-mask", BLACK, "-"),
    "runs4": ("4-bit runs and fillers", GREY, "-"),
    "auto": ("the smallest (auto)", VERMILION, "-"),
}


def positions(found: Findings) -> Figure | None:
    """Bits a prunable weight on logarithmic axes. Nothing where they were not measured, or where
    there is but one sparsity."""
    curve = longest(found) if found.bytes_are_known else []
    if len({point.sparsity for point in curve}) < 2:
        return None
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    kept = [1 - point.sparsity for point in curve]
    for encoding, (words, colour, dashes) in LOOKS.items():
        bits = [position_bits(point, encoding) for point in curve]
        band = {"lw": 7.0, "alpha": 0.4, "zorder": 1.8}
        line = {"lw": 1.3, "marker": "o", "markersize": 3}
        look = band if encoding == "auto" else line
        axes.plot(kept, bits, color=colour, ls=dashes, label=words, **look)
    bound = [8 * point.bound_bytes / point.prunable or math.nan for point in curve]
    axes.plot(kept, bound, color=BLACK, ls=(0, (1, 1.2)), lw=2, label="bound log2 C(n, k)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.margins(x=0.08)
    step = -(-len(kept) // MOST_TICKS)
    axes.xaxis.set_major_locator(FixedLocator(kept[::-step]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(round(1 - share, 3))))
    axes.xaxis.set_minor_locator(NullLocator())
    powers(axes.yaxis, *axes.get_ylim(), lambda value: f"{value:g}")
    bare(axes)
    axes.set_xlabel("sparsity")
    axes.set_ylabel("bits a prunable weight")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    several = f" of {curve[0].series}" if len(_sparse(found)) > 1 else ""
    model = f"{several}, model {curve[0].size}"
    says = f"positions of the kept weights as measured{model}; fillers as fp32"
    title(axes, f"{found.title}: bits of positions", says)
    return figure


def _sparse(found: Findings) -> list[list[Point]]:
    return [curve for curve in found.curves.values() if curve[0].kind == "sparse"]


def longest(found: Findings) -> list[Point]:
    """The sparse curve with most sparsities, which the figure shows; the first of several."""
    shown = [[point for point in curve if _has_a_place(point)] for curve in _sparse(found)]
    curve = max(shown, key=lambda curve: len({point.sparsity for point in curve}), default=[])
    return sorted(curve, key=lambda point: point.sparsity)


def _has_a_place(point: Point) -> bool:
    """On axes of powers: some weights are kept, and their positions take something."""
    return point.sparsity < 1 and point.prunable > 0 and position_bits(point, "auto") > 0


def position_bits(point: Point, encoding: str) -> float:
    """Of positions and fillers, a prunable weight; an encoding that was refused has no line."""
    file = point.encoded(encoding)
    size = 0.0 if file is None else file.position_bytes + file.filler_bytes
    return 8 * size / point.prunable if size else math.nan  # an axis of powers has no 0
