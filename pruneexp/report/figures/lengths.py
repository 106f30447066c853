"""BLEU by the length of sentences: which models fail at long ones."""

from matplotlib.figure import Figure

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.translations import Quality, Translations
from pruneexp.report.figures.style import DASHES, DENSE, SPARSE, bare, title

INCHES = (7.0, 4.6)
MOST_LINES = 10


def draw(found: Findings) -> Figure | None:
    """A line for the smallest and the largest model of each curve; None of a report on anything but
    translation."""
    made = found.translations
    if made is None or len(made.buckets) < 2:
        return None
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    counts = {"dense": 0, "sparse": 0}
    for one in _shown(made):
        kind = one.point.kind
        colours = DENSE if kind == "dense" else SPARSE
        number = counts[kind]
        counts[kind] += 1
        colour, marker = colours[number % len(colours)]
        dash = DASHES[number // len(colours) % len(DASHES)]
        axes.plot(
            range(len(one.by_length)),
            one.by_length,
            color=colour,
            marker=marker,
            ms=5,
            lw=1.4,
            ls=dash,
            label=_label(one),
        )
    axes.set_xticks(
        range(len(made.buckets)),
        [f"{a} to {b}" if a != b else str(a) for a, b in made.buckets],
    )
    axes.set_xlabel("words of the reference, as many sentences in each group")
    axes.set_ylabel("test BLEU of these sentences")
    bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    says = f"the smallest and the largest model of each curve; means over seeds, {found.seeds} each"
    title(axes, f"{found.title}: by length", says, letters=75)
    return figure


def _shown(made: Translations) -> list[Quality]:
    """Of each curve the smallest and the largest model."""
    curves: dict[str, list[Quality]] = {}
    for one in made.qualities:
        curves.setdefault(one.point.series, []).append(one)
    ends = [
        each
        for curve in curves.values()
        for each in dict.fromkeys((min(curve, key=_size), max(curve, key=_size)))
    ]
    return ends[:MOST_LINES]


def _size(one: Quality) -> float:
    return one.point.nonzero


def _label(one: Quality) -> str:
    series, label = one.point.series, one.point.label
    return f"{series}, {label}" if label and label not in series else series


def words(found: Findings) -> str:
    """The figure in words."""
    made = found.translations
    what = "BLEU by the length of sentences, model by model"
    if made is None:
        return f"{what}."
    falls = {one.by_length[0] - one.by_length[-1]: one for one in made.qualities}
    most = falls[max(falls)]
    return (
        f"{what}. {_label(most)} falls most from the shortest to the longest, from "
        f"{most.by_length[0]:.1f} to {most.by_length[-1]:.1f}."
    )
