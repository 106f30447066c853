"""Tables of two curves held against each other."""

from typing import Any

import pandas as pd

from pruneexp.report import format
from pruneexp.report.analysis.at_size import Estimate
from pruneexp.report.analysis.comparison import Difference, Gap, Pair
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.format import Table, estimate, short, signed


def comparison(found: Findings) -> Table:
    """Sparse against dense at every size that both reach."""
    gaps = [gap for pair in found.pairs for gap in pair.gaps]
    return _comparison(found, gaps, named=len(found.pairs) > 1)


def comparison_of(found: Findings, pair: Pair) -> Table:
    """The same for one pair of curves, whose names stand elsewhere."""
    return _comparison(found, pair.gaps, named=False)


def rivals(found: Findings) -> Table | None:
    """Sparse curves against each other, two by two. Nothing where there is but one."""
    gaps = [gap for pair in found.rivals for gap in pair.gaps]
    several = len(found.rivals) > 1
    return _comparison(found, gaps, named=several, words=("A", "B")) if found.rivals else None


def _comparison(
    found: Findings, gaps: list[Gap], named: bool, words: tuple[str, str] = ("sparse", "dense")
) -> Table:
    every = found.sizes
    unit = f" ({found.metric.points})" if found.metric.points else ""
    ours, theirs = (f"{word[0].upper()}{word[1:]}" for word in words)
    curves = [f"{ours} curve", f"{theirs} curve"]
    work = any(gap.work and round(gap.work, 2) != 1 for gap in gaps)

    def names(gap: Gap) -> list[str]:
        both = [gap.ours_series, gap.theirs_series]
        # What all are called needs no room.
        return both if words != ("A", "B") else [name.removeprefix("sparse, ") for name in both]

    return Table(
        raw=pd.DataFrame([_raw_gap(gap) for gap in gaps], columns=_gap_columns(words)),
        header=[
            *(curves if named else []),
            *("NNZ params", "Measured", f"{ours}", f"{theirs}"),
            *(f"{ours} −\N{NO-BREAK SPACE}{words[1]}{unit}", "Better"),
            *["Multiply-adds"] * work,
        ],
        cells=[
            [
                *(names(gap) if named else []),
                short(gap.nonzero, every),
                gap.measured,
                _read(gap.ours, found.digits),
                _read(gap.theirs, found.digits),
                _difference_words(gap.difference, found.digits),
                gap.better,
                *[f"×{gap.work:.2f}" if gap.work else format.BLANK] * work,
            ]
            for gap in gaps
        ],
        align="ll" * named + "rlrrrl" + "r" * work,
        caption=(
            f"Test {found.metric.words} at the sizes at which both were measured, within one per "
            "cent; where not all have such a rival, at those that both reach: ≈ is read between "
            "measured neighbours, over the logarithm of the size. The interval of a difference, "
            "in brackets, holds for all sizes of its table at once."
            + f" Multiply-adds: {words[0]} as a multiple of {words[1]}."
            * work
        ),
    )


def _gap_columns(words: tuple[str, str]) -> list[str]:
    ours, theirs = (word.lower() for word in words)
    return [
        *(f"{ours}_series", f"{theirs}_series", "nonzero", "measured"),
        *(ours, f"{ours}_half_width_95", f"{ours}_measured"),
        *(theirs, f"{theirs}_half_width_95", f"{theirs}_measured"),
        *(f"{ours}_minus_{theirs}", "low_95", "high_95", "better", "multiply_adds_ratio"),
        *("gain_on_scale", "standard_error", "degrees_of_freedom"),
    ]


def _raw_gap(gap: Gap) -> list[Any]:
    return [
        *(gap.ours_series, gap.theirs_series, gap.nonzero, gap.measured),
        *(gap.ours.mean, gap.ours.half, gap.ours.measured),
        *(gap.theirs.mean, gap.theirs.half, gap.theirs.measured),
        *(gap.difference.value, gap.difference.low, gap.difference.high, gap.better, gap.work),
        *(gap.found.gain, gap.found.error, gap.found.freedom),
    ]


def _difference_words(difference: Difference, digits: int) -> str:
    """With its sign and its interval: "+3.6 (+1.9 to +5.1)"."""
    text = signed(difference.value, None, digits)
    if difference.low is None or difference.high is None:
        return text
    ends = (signed(end, None, digits) for end in (difference.low, difference.high))
    return f"{text} ({' to '.join(ends)})"


def overall(found: Findings) -> Table | None:
    """The primary endpoint of each pair of curves; None where no two have a size in common."""
    compared = [pair for pair in [*found.pairs, *found.rivals] if pair.overall is not None]
    if not compared:
        return None
    columns = [
        *("series", "other_series", "scale", "sizes", "measured_at_both", "seeds"),
        *("gain_on_scale", "standard_error", "degrees_of_freedom"),
        *("ratio", "ratio_low_95", "ratio_high_95", "new_data_low_95", "new_data_high_95"),
        *("p_adjusted", "comparisons", "better", "detectable_ratio", "seeds_that_would_tell"),
    ]
    rows = []
    for pair in compared:
        each = pair.overall
        assert each is not None
        ratio, new = each.ratio or each.difference, each.new_data
        rows.append(
            [
                *(pair.ours[0].series, pair.theirs[0].series, pair.scale.name or "plain"),
                *(len(pair.gaps), each.matched, each.seeds),
                *(each.found.gain, each.found.error, each.found.freedom),
                *((ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)),
                *((new.low, new.high) if new else (None, None)),
                *(each.probability, each.comparisons, _better_of(pair)),
                *(each.detectable, each.needed),
            ]
        )
    return Table(
        raw=pd.DataFrame(rows, columns=columns),
        header=["Curve", "Against", "Sizes", "Ratio", "p", "Better"],
        cells=[_overall_cells(pair) for pair in compared],
        align="llrrrl",
        caption="The mean over the common range of log size, on the logarithm of the error or of "
        "the metric: one figure a comparison, fixed before any run. Ratio: of the first curve's "
        "error (or metric) to the second's, below 1 where the first is better.",
    )


def _overall_cells(pair: Pair) -> list[str]:
    each = pair.overall
    assert each is not None
    ratio = each.ratio or each.difference
    assert ratio is not None
    text = f"{ratio.value:.3f}"
    if ratio.low is not None and ratio.high is not None:
        text += f" ({ratio.low:.3f} to {ratio.high:.3f})"
    chance = format.BLANK if each.probability is None else f"{each.probability:.2g}"
    names = (pair.ours[0].series, pair.theirs[0].series)
    return [*names, str(len(pair.gaps)), text, chance, _better_of(pair)]


def _better_of(pair: Pair) -> str:
    assert pair.overall is not None
    names = dict(zip(pair.words, (pair.ours[0].series, pair.theirs[0].series), strict=True))
    return names.get(pair.overall.better, pair.overall.better)


def _read(value: Estimate, digits: int) -> str:
    return ("" if value.measured else "≈") + estimate(value.mean, value.half, digits)
