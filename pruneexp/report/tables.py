"""The tables of a report. To add one: a function here, an entry in `TABLES` and in
conf/report.yaml."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from pruneexp.report import cells
from pruneexp.report.cells import Table, estimate, number, percent, short, span
from pruneexp.report.claims import Findings
from pruneexp.report.frontier import Estimate, Gap, Pair, Point


def table(found: Findings) -> Table:
    """Size against sparsity in the layout of the paper's Tables 2 and 3: sizes ascending, the dense
    model first, under it what was pruned from it."""
    rows = sorted(found.points, key=lambda point: _place(found, point))
    named = _named(found)
    beside = any(point.published is not None for point in rows)
    head, size = _size(rows)
    body = []
    above: Point | None = None
    for point in rows:
        same = above is not None and (above.size, above.family) == (point.size, point.family)
        new = above is None or above.series != point.series
        name = [point.series if new else ""] if named else []
        body.append(
            [
                *(*name, "" if same and not (named and new) else size(point)),
                *_weighed(found, point),
                *(_published(found, point) if beside else []),
            ]
        )
        above = point
    label = found.metric.label
    return Table(
        raw=_raw_points(rows, beside),
        header=[
            *["Series"] * named,
            *(head, "Sparsity", "NNZ params", "MB", f"test {label}", f"valid {label}"),
            *["published", "difference (%)"] * beside,
        ],
        cells=body,
        align="l" * named + "lrrrrr" + "rr" * beside,
        caption=_caption(found),
    )


def _place(found: Findings, point: Point) -> tuple[Any, ...]:
    """Where a point stands in the table."""
    kin = list(dict.fromkeys((other.family, other.data) for other in found.points))
    large = point.width or point.hidden_size or point.parameters
    return (
        *(kin.index((point.family, point.data)), large, point.size, point.kind),
        *(list(found.curves).index(point.series), point.sparsity, point.nonzero),
    )


def _named(found: Findings) -> bool:
    """Whether size and sparsity do not yet say which curve a row is of."""
    if len({(point.family, point.data) for point in found.points}) > 1:
        return True
    curves = {(p.kind, p.size if p.kind == "sparse" else "") for p in found.points}
    return len(found.curves) > len(curves)


def _size(points: list[Point]) -> tuple[str, Callable[[Point], str]]:
    """The head of the column of sizes, and its cells, as the paper prints them: 0.25, 1500."""
    if all(point.width is not None for point in points):
        return "Width", lambda point: str(point.width)
    if all(point.hidden_size is not None for point in points):
        return "Model size (hidden units)", lambda point: str(point.hidden_size)
    return "Model", lambda point: point.size


def _published(found: Findings, point: Point) -> list[str]:
    """The paper's figure and how far ours is from it."""
    if point.published is None:
        return [cells.BLANK, cells.BLANK]
    return [
        f"{point.published:.{found.metric.digits}f}",
        f"{_difference(point):+.1f}".replace("-", "−"),
    ]


def _difference(point: Point) -> float | None:
    return None if point.published is None else 100 * (point.test / point.published - 1)


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
    papers = dict.fromkeys(p.published_in for p in found.points if p.published_in)
    beside = f" Published: {', '.join(papers)}; difference: ours / published − 1." if papers else ""
    return (
        f"Test {found.metric.name} of the state that validation chose: {spread}. NNZ: weights and "
        "biases that the mask keeps. MB: millions of bytes at 4 bytes a value." + beside
    )


def _raw_points(points: list[Point], beside: bool) -> pd.DataFrame:
    columns = (
        *("series", "kind", "family", "size", "width", "hidden_size", "sparsity"),
        *(
            "parameters",
            "nonzero",
            "megabytes",
            "test",
            "test_half",
            "valid",
            "valid_half",
            "n",
            "data",
        ),
        *(("published", "published_in") if beside else ()),
    )
    frame = pd.DataFrame(
        [[getattr(point, column) for column in columns] for point in points],
        columns=[_raw_name(column) for column in columns],
    )
    if beside:
        frame["difference_percent"] = [_difference(point) for point in points]
    return frame


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
            *(
                "NNZ params",
                "Measured",
                "Sparse",
                "Dense",
                f"Sparse −\N{NO-BREAK SPACE}dense{unit}",
                "Better",
            ),
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
    frame = found.loaded.runs.drop(columns=["point", "published", "published_in"])
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
    "table": table,
    "comparison": comparison,
    "budgets": budgets,
    "runs": runs,
}
