"""The figures of a report. To add one: a file here, an entry in `FIGURES` and in conf/report.yaml.

They are drawn without pyplot and without the reader's own matplotlib settings, so that the same
runs give the same bytes.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.figures.positions import positions
from pruneexp.report.figures.schedule import schedule
from pruneexp.report.figures.sizes import AXES, against

DPI = 160  # of the PNG
# Dates and versions would make two files of one figure differ.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "pruneexp", "pdf.fonttype": 42, "font.size": 9.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure: what draws it (None where there is nothing to draw), and what it shows in words,
    behind the report's title, for whoever does not see it."""

    draw: Callable[[Findings], Figure | None]
    words: Callable[[Findings], str]


def _against(name: str, found: Findings) -> str:
    return f"test {found.metric.label} against {AXES[name].against}"


FIGURES: dict[str, Drawing] = {
    **{name: Drawing(draw=partial(against, name), words=partial(_against, name)) for name in AXES},
    "positions": Drawing(
        draw=positions,
        words=lambda found: "bits of positions against sparsity, encoding by encoding",
    ),
    "schedule": Drawing(
        draw=schedule,
        words=lambda found: "learning rate, sparsity and validation over steps",
    ),
}


def alternative(name: str, found: Findings) -> str:
    """The figure in words."""
    return f"{found.title}: {FIGURES[name].words(found)}"


def draw(name: str, found: Findings, formats: list[str]) -> dict[str, bytes]:
    """One figure as the content of a file in each format; no file where there is nothing to
    draw."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = FIGURES[name].draw(found)
        if figure is None:
            return {}
        if figure.get_layout_engine() is not None:  # once for all formats
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return {kind: _save(figure, kind) for kind in formats}


def _save(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=DPI, metadata=METADATA[kind])
    return file.getvalue()
