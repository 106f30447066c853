"""What all figures share: colours, frames, titles, round numbers on an axis."""

import math
import textwrap
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

# Okabe and Ito's colours, which colour-blind readers tell apart, with darker ones of either kind; a
# marker each, for grey paper. Cool colours are dense models, warm ones sparse.
BLUE, SKY, NAVY, BLACK = "#0072B2", "#56B4E9", "#003366", "#000000"
VERMILION, PURPLE, ORANGE = "#D55E00", "#CC79A7", "#E69F00"
BROWN, WINE = "#7F3B08", "#882255"
DENSE = ((BLUE, "o"), (SKY, "D"), (NAVY, "X"))
SPARSE = ((VERMILION, "s"), (PURPLE, "v"), (ORANGE, "^"), (BROWN, "P"), (WINE, "D"))
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))  # for the curves of each round of colours
GREY = "#595959"
LEAST_TICKS, MOST_TICKS = 4, 9  # on an axis of powers
# Of a decade, the roundest first.
STEPS: tuple[Sequence[float], ...] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 6, 8),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
    [step / 10 for step in range(10, 100, 2)],
    [step / 100 for step in range(100, 1000)],
)
MOST_DECADES = 6  # of which every ninth has a small tick


def title(axes: Axes, words: str, says: str, *, letters: int = 105) -> None:
    """A title over the axes, and under it in small letters what is shown.

    Arguments:
        letters: small ones that have room in a line, from the left end of the axes.
    """
    lines = textwrap.wrap(says, letters)
    axes.set_title(
        "\n".join(textwrap.wrap(words, round(0.53 * letters))),
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
    axes.tick_params(which="both", color="#999999")


def ticks(low: float, high: float) -> list[float]:
    """Round values between two: the roundest kind of which there are enough, and of very many some
    at equal distances."""
    found: list[float] = []
    for steps in STEPS:
        found = _between(low, high, steps)
        if len(found) >= LEAST_TICKS:
            break
    return found[:: -(-len(found) // MOST_TICKS) or 1]


def small_ticks(low: float, high: float) -> list[float]:
    """Ticks without numbers, which show that an axis is one of powers."""
    if math.log10(high) - math.log10(low) > MOST_DECADES:
        return []
    return _between(low, high, range(1, 10))


def _between(low: float, high: float, steps: Sequence[float]) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [value for value in every if low <= value <= high]


def powers(axis: Axis, low: float, high: float, write: Callable[[float], str]) -> None:
    """Ticks of an axis of powers between two values, and how their numbers are written."""
    axis.set_major_locator(FixedLocator(ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_locator(FixedLocator(small_ticks(low, high)))
    axis.set_minor_formatter(NullFormatter())
