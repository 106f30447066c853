"""The tables of a report. To add one: a function here, an entry in `TABLES` and in
conf/report.yaml."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from pruneexp.report import cells
from pruneexp.report.cells import Table, estimate, number, percent, short, span
from pruneexp.report.claims import Findings
from pruneexp.report.frontier import Estimate, Gap, Pair, Point


def table2(found: Findings) -> Table:
    """Width against sparsity in the layout of the paper's Table 2, dense models first."""
    rows = [
        point
        for curve in found.curves.values()
        for point in sorted(curve, key=lambda p: (p.sparsity, p.nonzero))
    ]
    kinds = [curve[0].kind for curve in found.curves.values()]
    named = len(kinds) != len(set(kinds)) or any("(" in name for name in found.curves)
    widths = all(point.width is not None and point.size == _times(point) for point in rows)
    body = []
    above: Point | None = None
    for point in rows:
        size = _width(point) if widths else point.size
        same = above is not None and (above.size, above.family) == (point.size, point.family)
        new = above is None or above.series != point.series
        name = [point.series if new else ""] if named else []
        body.append([*name, "" if same and not (named and new) else size, *_weighed(found, point)])
        above = point
    metric = found.metric
    header = ["Width" if widths else "Model", "Sparsity", "NNZ params", "(MB)"]
    return Table(
        raw=_raw_points(rows),
        header=[
            *(["Series"] if named else []),
            *header,
            f"test {metric.label}",
            f"valid {metric.label}",
        ],
        cells=body,
        align="l" * named + "lrrrrr",
        caption=_caption(found),
    )


def _times(point: Point) -> str:
    return f"×{point.width:g}"


def _width(point: Point) -> str:
    """As the paper prints it: 1.0, 0.25."""
    return str(point.width)


def _weighed(found: Findings, point: Point) -> list[str]:
    every = [other.nonzero for other in found.points]
    return [
        percent(point.sparsity),
        short(point.nonzero, every),
        cells.megabytes(point.megabytes, [other.megabytes for other in found.points]),
        f"{estimate(point.test, point.test_half, found.digits)} ({point.n})",
        f"{point.valid:.{found.digits}f}",
    ]


def _caption(found: Findings) -> str:
    spread = "the mean over seeds (how many) ± the half width of its 95 % t interval"
    if all(point.n == 1 for point in found.points):
        spread = "of one seed (1) each, so without an interval"
    return (
        f"Test {found.metric.name} of the state that validation chose: {spread}. NNZ: weights and "
        "biases that the mask keeps. MB: millions of bytes at 4 bytes a value."
    )


def _raw_points(points: list[Point]) -> pd.DataFrame:
    columns = (
        *("series", "kind", "family", "size", "width", "sparsity", "parameters", "nonzero"),
        *("megabytes", "test", "test_half", "valid", "valid_half", "n", "data"),
    )
    return pd.DataFrame(
        [[getattr(point, column) for column in columns] for point in points],
        columns=[_raw_name(column) for column in columns],
    )


def _raw_name(column: str) -> str:
    return f"{column}_width_95" if column.endswith("_half") else column


def comparison(found: Findings) -> Table:
    """Sparse against dense at every size that both reach."""
    gaps = [gap for pair in found.pairs for gap in pair.gaps]
    return _comparison(found, gaps, named=len(found.pairs) > 1)


def comparison_of(found: Findings, pair: Pair) -> Table:
    """The same for one pair of curves, whose names stand elsewhere."""
    return _comparison(found, pair.gaps, named=False)


def _comparison(found: Findings, gaps: list[Gap], named: bool) -> Table:
    every = [point.nonzero for point in found.points]
    unit = f" ({found.metric.points})" if found.metric.points else ""
    return Table(
        raw=pd.DataFrame([_raw_gap(gap) for gap in gaps], columns=GAP_COLUMNS),
        header=[
            *(["Sparse curve", "Dense curve"] if named else []),
            *("NNZ params", "Measured", "Sparse", "Dense", f"Sparse − dense{unit}", "Better"),
        ],
        cells=[
            [
                *([gap.sparse_series, gap.dense_series] if named else []),
                short(gap.nonzero, every),
                gap.measured,
                _read(gap.sparse, found.digits),
                _read(gap.dense, found.digits),
                _signed(gap, found.digits),
                gap.better,
            ]
            for gap in gaps
        ],
        align="ll" * named + "rlrrrl",
        caption=(
            f"Test {found.metric.name} at the sizes that both reach. ≈ is read off a straight line "
            "between measured neighbours, over the logarithm of the size. The ± of a difference is "
            "the root of the sum of squares of both half widths."
        ),
    )


GAP_COLUMNS = [
    *("sparse_series", "dense_series", "nonzero", "measured", "sparse", "sparse_half_width_95"),
    *("sparse_measured", "dense", "dense_half_width_95", "dense_measured"),
    *("sparse_minus_dense", "half_width_95", "better"),
]


def _raw_gap(gap: Gap) -> list[Any]:
    return [
        *(gap.sparse_series, gap.dense_series, gap.nonzero, gap.measured),
        *(gap.sparse.mean, gap.sparse.half, gap.sparse.measured),
        *(gap.dense.mean, gap.dense.half, gap.dense.measured),
        *(gap.difference, gap.half, gap.better),
    ]


def _read(value: Estimate, digits: int) -> str:
    return ("" if value.measured else "≈") + estimate(value.mean, value.half, digits)


def _signed(gap: Gap, digits: int) -> str:
    text = f"{gap.difference:+.{digits}f}".replace("-", "−")
    return text + (f" ± {gap.half:.{digits}f}" if gap.half is not None else "")


def budgets(found: Findings) -> Table:
    """What each curve was given."""
    given = list(found.budgets.values())
    return Table(
        raw=pd.DataFrame(
            [
                [g.series, g.runs, *g.steps, *g.total_steps, *g.total_examples, g.seconds]
                for g in given
            ],
            columns=[
                *("series", "runs", "steps_least", "steps_most", "total_steps_least"),
                *("total_steps_most", "total_examples_least", "total_examples_most", "seconds"),
            ],
        ),
        header=["Series", "Runs", "Own steps", "Steps in all", "Examples in all"],
        cells=[
            [
                g.series,
                str(g.runs),
                span(*g.steps, number),
                span(*g.total_steps, number),
                span(*g.total_examples, number),
            ]
            for g in given
        ],
        align="lrrrr",
        caption="What each run was given; in all counts the model it started from as well.",
    )


def runs(found: Findings) -> Table:
    """Every finished run."""
    frame = found.loaded.runs.drop(columns="point")
    digits, every = found.digits, list(frame["nonzero"])
    return Table(
        raw=frame,
        header=["Run", "Series", "NNZ params", f"test {found.metric.label}"],
        cells=[
            [row["name"], row["series"], short(row["nonzero"], every), f"{row['test']:.{digits}f}"]
            for row in frame.to_dict("records")
        ],
        align="llrr",
        caption=f"The finished runs of {found.title}.",
    )


TABLES: dict[str, Callable[[Findings], Table]] = {
    "table2": table2,
    "comparison": comparison,
    "budgets": budgets,
    "runs": runs,
}
