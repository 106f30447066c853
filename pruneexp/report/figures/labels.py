"""Where the labels of a plot go, so that none lies on a line, a marker or another label."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

GRAIN = 3.0  # pixels between two points that stand for a line
CLEAR = 3.0  # pixels between a label and what is drawn
# How many of these points it is as bad to cover as:
ON_ANOTHER = 300  # to lie on another label
OUTSIDE = 1000  # to leave the frame
# Around a point, the places that read best first: an angle in degrees.
ABOVE = (90, 135, 45, 180, 0, 225, 315, 270)
BELOW = (270, 315, 225, 0, 180, 45, 135, 90)
DISTANCES = (7.0, 11.0, 16.0, 22.0)  # in points, from the marker's middle
# Along a horizontal line.
SHARES = (1.0, 0.0, 0.5, 0.25, 0.75)
DISTANCE = 3.5  # in points, from the line
INSET = 8.0  # in points, twice the room at either end

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """Beside a point."""

    text: str
    x: float
    y: float
    colour: str
    above: bool  # of the curve, if there is room

    def notes(self, axes: Axes) -> Iterator[Annotation]:
        """The label at every place it could have, the best first."""
        for distance in DISTANCES:
            for angle in ABOVE if self.above else BELOW:
                right, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                yield axes.annotate(
                    self.text,
                    (self.x, self.y),
                    xytext=(distance * right, distance * up),
                    textcoords="offset points",
                    ha="center" if abs(right) < 0.1 else "left" if right > 0 else "right",
                    va="center" if abs(up) < 0.1 else "bottom" if up > 0 else "top",
                    **_look(self.colour),
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class LineLabel:
    """On horizontal lines that lie close together: over the highest or under the lowest."""

    text: str
    low: float
    high: float
    colour: str

    def notes(self, axes: Axes) -> Iterator[Annotation]:
        """The label at every place it could have, the best first."""
        return (
            axes.annotate(
                self.text,
                (share, y),
                xycoords=axes.get_yaxis_transform(),
                xytext=((0.5 - share) * INSET, up * DISTANCE),
                textcoords="offset points",
                ha="left" if share == 0 else "right" if share == 1 else "center",
                va="bottom" if up > 0 else "top",
                **_look(self.colour),
            )
            for y, up in ((self.high, 1), (self.low, -1))
            for share in SHARES
        )


def _look(colour: str) -> dict[str, Any]:
    stroke = withStroke(linewidth=2, foreground="white")
    return {"fontsize": 8.5, "color": colour, "path_effects": [stroke], "in_layout": False}


def place(axes: Axes, labels: Iterable[Label | LineLabel], drawn: Sequence[np.ndarray]) -> None:
    """Put each label at the first of its places that covers least of what is drawn: the lines of
    `drawn`, each an array of (x, y) in data coordinates. The label of a point is left out where it
    would lie on another label or leave the frame at every place."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # only now is it known where a point lies
    figure.set_layout_engine("none")  # and there it stays, whatever the file's format
    ink = np.concatenate([_dots(axes.transData.transform(line)) for line in drawn])
    frame = axes.get_window_extent()
    taken: list[Box] = []
    for label in labels:
        tries: list[tuple[int, int, Box, Annotation]] = []
        for note in label.notes(axes):
            extent = note.get_window_extent(canvas.get_renderer())
            box = (extent.x0, extent.y0, extent.x1, extent.y1)
            outside = not (frame.x0 < box[0] and frame.x1 > box[2])
            outside |= not (frame.y0 < box[1] and frame.y1 > box[3])
            covers = _covered(box, ink) + ON_ANOTHER * sum(_meet(box, other) for other in taken)
            tries.append((covers + OUTSIDE * outside, len(tries), box, note))
            if tries[-1][0] == 0:  # no later place is better
                break
        cost, chosen, box, _ = min(tries, key=lambda entry: entry[:2])
        fits = cost < ON_ANOTHER or isinstance(label, LineLabel)
        taken += [box] * fits
        for _, index, _, note in tries:
            if index != chosen or not fits:
                note.remove()


def _dots(line: np.ndarray) -> np.ndarray:
    """Points along a line, close enough that no label slips between two."""
    pieces = [line[:1]]
    for start, end in pairwise(line):
        steps = max(2, int(np.hypot(*(end - start)) / GRAIN))
        pieces.append(start + (end - start) * np.linspace(0, 1, steps)[1:, None])
    return np.concatenate(pieces)


def _covered(box: Box, ink: np.ndarray) -> int:
    left, bottom, right, top = box
    x, y = ink[:, 0], ink[:, 1]
    inside = (x > left - CLEAR) & (x < right + CLEAR) & (y > bottom - CLEAR) & (y < top + CLEAR)
    return int(inside.sum())


def _meet(box: Box, other: Box) -> bool:
    apart = box[0] > other[2] or box[2] < other[0] or box[1] > other[3] or box[3] < other[1]
    return not apart
