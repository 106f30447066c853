"""What the figures show, in words, for those who cannot see them: what is drawn, and what comes out
of it."""

import math

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.slices import slices, verdict
from pruneexp.report.choice import told
from pruneexp.report.choice.choose import chooser_of
from pruneexp.report.data.histories import History
from pruneexp.report.figures.positions import longest, position_bits
from pruneexp.report.figures.sensitivity import most_sensitive
from pruneexp.report.figures.sizes import AXES, Axis
from pruneexp.report.figures.trials import searched
from pruneexp.report.format import percent, span

MOST_CURVES = 4  # whose ends are said
PAPER_ENCODINGS = {"bitmask": "a bit-mask", "csr": "CSR"}


def curves(name: str, found: Findings) -> str:
    """Of the figure over one of the axes: where each curve begins and ends, and what follows."""
    axis = AXES[name]
    parts = [f"test {found.metric.label} against {axis.against}"]
    ends = [_ends(found, curve, axis) for curve in found.curves.values()]
    parts += ["; ".join(end for end in ends[:MOST_CURVES] if end)]
    if len(ends) > MOST_CURVES:
        parts[-1] += f"; and {len(ends) - MOST_CURVES} more curves"
    chooser = chooser_of(found) if name == "written" else None
    parts += [told.crossover(chooser) if chooser else found.verdicts[0].split(". ")[0]]
    return _sentences(parts)


def _ends(found: Findings, curve: list[Point], axis: Axis) -> str:
    placed = sorted((size, point.test) for point in curve if (size := axis.read(point)))
    if not placed:
        return ""
    (low, first), (high, last) = placed[0], placed[-1]
    value = f"{first:.{found.digits}f}"
    if first != last:
        value += f" to {last:.{found.digits}f}"
    sizes = span(low, high, lambda size: axis.write(float(f"{size:.3g}")))
    return f"{curve[0].series}: {value} at {sizes}{axis.unit}"


def parents(found: Findings) -> str:
    """Of the figure of budgets with parents."""
    what = f"test {found.metric.label} against the parent's size at equal bytes"
    return _sentences([what, verdict(slices(found))])


def trials(found: Findings) -> str:
    """Of the figure of searches: what the worst and the best choice of a point are apart."""
    made = searched(found)
    parts = ["every trial of each search on validation, beside the test of what was chosen"]
    if made:
        most = max(made, key=lambda one: abs(max(one.trials) - min(one.trials)))
        apart = max(most.trials) - min(most.trials)
        parts.append(f"the trials of {most.label} lie furthest apart, {apart:.{found.digits}f}")
    return _sentences(parts)


def positions(found: Findings) -> str:
    """Of the figure of positions, at the most sparse model."""
    parts = ["bits of positions for each prunable weight against sparsity, encoding by encoding"]
    curve = [point for point in longest(found) if point.prunable]
    if curve:
        last = curve[-1]
        others = [
            f"{position_bits(last, encoding):.2g} in {words}"
            for encoding, words in PAPER_ENCODINGS.items()
            if not math.isnan(position_bits(last, encoding))
        ]
        beside = f", against {' and '.join(others)}" if others else ""
        parts.append(f"at {percent(last.sparsity)} {position_bits(last, 'auto'):.2g} bits{beside}")
    return _sentences(parts)


def sensitivity(found: Findings) -> str:
    """Of the heat map of layers."""
    what = "what each layer, pruned alone to a level, adds to the loss on validation"
    return _sentences([what, most_sensitive(found)])


def training(found: Findings) -> str:
    """Of the figure of training: what masking cost the most sparse run, and where it ended."""
    parts = ["learning rate, sparsity and validation over steps"]
    pruned = [one for one in found.runs.histories.shown if one.kind == "sparse" and one.valid]
    if pruned:
        most = max(pruned, key=lambda history: history.sparsities[-1])
        parts.append(_healing(found, most))
    return _sentences(parts)


def _healing(found: Findings, history: History) -> str:
    """How far validation fell in one step between validations, and where it ended."""
    sign = 1 if found.metric.higher_is_better else -1
    digits = found.digits
    pairs = list(zip(history.valid, history.valid[1:], history.validated[1:], strict=False))
    falls = [(sign * (before - after), before, after, step) for before, after, step in pairs]
    end = f"the most sparse run, {history.label}, ends at {history.valid[-1]:.{digits}f}"
    fall, before, after, step = max(falls, default=(0.0, 0.0, 0.0, 0.0))
    if fall <= 0:
        return f"{end} of validation and never fell on its way"
    return (
        f"{end} of validation; it fell from {before:.{digits}f} to {after:.{digits}f} by step "
        + (f"{step:,.0f}")
    )


def _sentences(parts: list[str]) -> str:
    """Each with a capital but the first, which stands behind a colon, and a full stop."""
    said = [part.rstrip(".") for part in parts if part]
    return ". ".join([said[0], *(part[0].upper() + part[1:] for part in said[1:])]) + "."
