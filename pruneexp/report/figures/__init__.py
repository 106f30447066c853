"""The figures of a report. To add one: a file here, an entry in `FIGURES` and in conf/report.yaml.

They are drawn without pyplot and without the reader's own matplotlib settings, so that the same
runs give the same bytes.
"""

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process, get_context
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from pruneexp.printable import printable
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.figures import lengths, sensitivity, trials, words
from pruneexp.report.figures.positions import positions
from pruneexp.report.figures.schedule import schedule
from pruneexp.report.figures.sizes import AXES, against
from pruneexp.report.figures.slices import draw as draw_slices

DPI = 160  # of the PNG
MANY_POINTS = 100  # from which on starting other processes pays
_SHARED: dict[str, Findings] = {}
# Dates and versions would make two files of one figure differ.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "pruneexp",
    "pdf.fonttype": 42,
    "font.size": 9.5,
    "text.parse_math": False,  # a name may hold dollar signs
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure: what draws it (None where there is nothing to draw), and what it shows and says in
    words, behind the report's title, for those who cannot see it."""

    draw: Callable[[Findings], Figure | None]
    words: Callable[[Findings], str]


FIGURES: dict[str, Drawing] = {
    **{
        name: Drawing(draw=partial(against, name), words=partial(words.curves, name))
        for name in AXES
    },
    "slices": Drawing(draw=draw_slices, words=words.parents),
    "trials": Drawing(draw=trials.draw, words=words.trials),
    "lengths": Drawing(draw=lengths.draw, words=lengths.words),
    "positions": Drawing(draw=positions, words=words.positions),
    "sensitivity": Drawing(draw=sensitivity.draw, words=words.sensitivity),
    "schedule": Drawing(draw=schedule, words=words.training),
}


def alternative(name: str, found: Findings) -> str:
    """The figure in words."""
    return f"{found.title}: {FIGURES[name].words(found)}"


@contextmanager
def drawing(
    found: Findings, wanted: dict[str, list[str]]
) -> Iterator[Callable[[], dict[str, dict[str, bytes]]]]:
    """Draw figures in the formats that each is wanted in; what comes gives their content when it
    is called. Of very many points, other processes draw while this one goes on; should one of
    them be killed, this one draws."""

    def here() -> dict[str, dict[str, bytes]]:
        return {name: draw(name, found, formats) for name, formats in wanted.items()}

    processes = min(_spare_cores(), len(wanted))
    if len(found.points) < MANY_POINTS or processes < 2:
        yield here
        return
    _SHARED["found"] = found  # which a forked process has too
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            drawn = pool.map(_draw_shared, wanted, wanted.values())

            def elsewhere() -> dict[str, dict[str, bytes]]:
                try:
                    return dict(zip(wanted, drawn, strict=True))
                except BrokenProcessPool:
                    return here()

            yield elsewhere
    finally:
        _SHARED.clear()


def _spare_cores() -> int:
    """How many processes may draw beside this one: 1 where it cannot be forked. That is so except
    on Linux, in a process that may have no children, and beside other threads, whose locks a
    forked process would hold for ever."""
    alone = threading.active_count() == 1 and not current_process().daemon
    return len(os.sched_getaffinity(0)) if alone and hasattr(os, "sched_getaffinity") else 1


def _draw_shared(name: str, formats: list[str]) -> dict[str, bytes]:
    return draw(name, _SHARED["found"], formats)


def draw(name: str, found: Findings, formats: list[str]) -> dict[str, bytes]:
    """One figure as the content of a file in each format; no file where there is nothing to
    draw."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # letters that no font here has
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = FIGURES[name].draw(found)
        if figure is None:
            return {}
        for text in figure.findobj(Text):
            text.set_text(printable(text.get_text()))
        if figure.get_layout_engine() is not None:  # once for all formats
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return {kind: _save(figure, kind) for kind in formats}


def _save(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=DPI, metadata=METADATA[kind])
    return file.getvalue()
