"""What all figures share: colours, frames, titles, round numbers on an axis."""

import math
import textwrap

from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers tell apart; a marker each, for grey paper.
DENSE = (("#0072B2", "o"), ("#56B4E9", "D"), ("#000000", "X"))
SPARSE = (("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "v"), ("#E69F00", "P"))
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))  # for the curves of each round of colours
GREY = "#595959"
FINE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)


def title(axes: Axes, words: str, says: str) -> None:
    """A title over the axes, and under it in small letters what is shown."""
    lines = textwrap.wrap(says, 105)
    axes.set_title(
        "\n".join(textwrap.wrap(words, 56)),
        loc="left",
        fontsize=12,
        fontweight="bold",
        pad=10 + 12 * len(lines),
    )
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=GREY,
        fontsize=8.5,
    )


def bare(axes: Axes) -> None:
    """A light grid and no box."""
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
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), FINE, range(10, 100, 2)):
        scale = 10 if steps[0] == 10 else 1
        every = [float(f"{step / scale}e{decade}") for decade in decades for step in steps]
        found = [value for value in every if low <= value <= high]
        if len(found) >= 3:
            break
    return found
