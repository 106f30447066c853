"""The tables of a report. To add one: a function here, an entry in `TABLES` and in
conf/report.yaml."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from pruneexp.engine.record import MEGABYTE
from pruneexp.report import format
from pruneexp.report.analysis.costs import costs as analysed_costs
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.analysis.slices import slices as analysed
from pruneexp.report.choice import told
from pruneexp.report.choice.choose import chooser_of
from pruneexp.report.data.rows import POINTS, columns
from pruneexp.report.format import Table, estimate, number, percent, short, span
from pruneexp.report.output.byte_tables import storage, written
from pruneexp.report.output.comparison_tables import comparison, overall, rivals
from pruneexp.report.output.translation_tables import translations


def table(found: Findings) -> Table:
    """Size against sparsity in the layout of the paper's Tables 2 and 3: sizes ascending, the dense
    model first, under it what was pruned from it."""
    rows = _placed(found)
    named = _named(found)
    columns = _columns(found)
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
                *(write(point) for _, write in columns),
            ]
        )
        above = point
    return Table(
        raw=_raw_points(rows),
        header=[*["Series"] * named, head, *(header for header, _ in columns)],
        cells=body,
        align="l" * named + "l" + "r" * len(columns),
        caption=_caption(found),
    )


def _columns(found: Findings) -> list[tuple[str, Callable[[Point], str]]]:
    """What stands in a row behind the model: a header each, and how it is written. What no record
    or no paper has is left out."""
    points, label, digits = found.points, found.metric.label, found.digits
    sizes, megabytes = found.sizes, _ends([p.megabytes for p in points])
    columns: list[tuple[str, Callable[[Point], str]]] = [
        ("Sparsity", lambda p: percent(p.sparsity)),
        ("NNZ params", lambda p: short(p.nonzero, sizes)),
    ]
    if not found.rounded:  # else the table of bytes has what each weighs
        columns.append(("MB", lambda p: format.megabytes(p.megabytes, megabytes)))
    if found.work_is_known:
        work = _ends([p.sparse_multiply_adds or 0 for p in points])
        columns.append(("Multiply-adds", lambda p: short(p.sparse_multiply_adds or 0, work)))
    columns.append((f"test {label}", lambda p: f"{estimate(p.test, p.test_half, digits)} ({p.n})"))
    columns.append((f"valid {label}", lambda p: f"{p.valid:.{digits}f}"))
    if any(p.top5 is not None for p in points):
        columns.append(("test top-5 (%)", lambda p: _or_blank(p.top5, p.top5_half, digits)))
    if any(p.published is not None for p in points):
        printed = found.metric.digits
        columns.append(("published", lambda p: _or_blank(p.published, None, printed)))
        columns.append(("difference (%)", _written_difference))
    if any(p.published_top5 is not None for p in points):
        columns.append(("published top-5 (%)", lambda p: _or_blank(p.published_top5, None, 1)))
    return columns


def _ends(values: list[float]) -> list[float]:
    """The least and the most, which say how all of a column are written."""
    return [min(values), max(values)]


def _or_blank(mean: float | None, half: float | None, digits: int) -> str:
    return format.BLANK if mean is None else estimate(mean, half, digits)


def _placed(found: Findings) -> list[Point]:
    """The points in the order of the table."""
    kin = {key: n for n, key in enumerate(dict.fromkeys((p.family, p.data) for p in found.points))}
    curves = {name: number for number, name in enumerate(found.curves)}

    def place(point: Point) -> tuple[Any, ...]:
        large = next(iter(point.sizes.values()), point.parameters)
        return (
            *(kin[point.family, point.data], large, point.size, point.kind),
            *(curves[point.series], point.sparsity, point.nonzero),
        )

    return sorted(found.points, key=place)


def _named(found: Findings) -> bool:
    """Whether size and sparsity do not yet say which curve a row is of."""
    if len({(point.family, point.data) for point in found.points}) > 1:
        return True
    curves = {(p.kind, p.size if p.kind == "sparse" else "") for p in found.points}
    return len(found.curves) > len(curves)


def _size(points: list[Point]) -> tuple[str, Callable[[Point], str]]:
    """The head of the column of sizes, and its cells, as the paper prints them: 0.25, 1500."""
    headings = {point.size_heading for point in points}
    if len(headings) == 1 and headings != {""}:
        return headings.pop(), lambda point: str(next(iter(point.sizes.values())))
    return "Model", lambda point: point.size


def _written_difference(point: Point) -> str:
    """How far ours is from the paper's figure."""
    far = _difference(point)
    return format.BLANK if far is None else f"{far:+.1f}".replace("-", "−")


def _difference(point: Point) -> float | None:
    return None if point.published is None else 100 * (point.test / point.published - 1)


def _caption(found: Findings) -> str:
    spread = "the mean over seeds (how many) ± the half width of its 95 % t interval"
    if all(point.n == 1 for point in found.points):
        spread = "of one seed (1) each, so without an interval"
    work = " Multiply-adds: of one example, when masked weights are skipped." * found.work_is_known
    return (
        f"Test {found.metric.words} of the state that validation chose: {spread}. NNZ: weights and "
        "biases that the mask keeps."
        + " MB: millions of bytes at 4 bytes a value." * (not found.rounded)
        + work
        + _papers(found)
    )


def _papers(found: Findings) -> str:
    """Where the published figures are from, and how those models were made otherwise."""
    papers = dict.fromkeys(p.published_in for p in found.points if p.published_in)
    if not papers:
        return ""
    otherwise = dict.fromkeys(
        f" Note: {p.published_in} pruned {p.published_start}, which the {p.series} runs beside it "
        "did not."
        for p in found.points
        if p.published_start
    )
    listed = f" Published: {', '.join(papers)}; difference: ours / published − 1."
    return listed + "".join(otherwise)


def _raw_points(points: list[Point]) -> pd.DataFrame:
    """The points with every digit; what no point has is left out."""
    data: dict[str, list[Any]] = {}

    def column(name: str, optional: bool = False) -> None:
        values = [getattr(point, name) for point in points]
        if not optional or any(value is not None for value in values):
            data[_raw_name(name)] = values

    for name in columns(POINTS):
        column(name)
        if name == "size":
            for size in dict.fromkeys(key for point in points for key in point.sizes):
                data[size] = [point.sizes.get(size) for point in points]
        if name in ("test", "valid"):
            column(f"{name}_half")
    data["n"] = [point.n for point in points]
    for name in ("top5", "top5_half", "published", "published_top5"):
        column(name, optional=True)
    if "published" in data:
        data["published_in"] = [point.published_in for point in points]
        data["difference_percent"] = [_difference(point) for point in points]
    return pd.DataFrame(data)


def _raw_name(column: str) -> str:
    return f"{column}_width_95" if column.endswith("_half") else column


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


def costs(found: Findings) -> Table | None:
    """What each method costs in training, beside gradual magnitude pruning."""
    made = analysed_costs(found)
    if not made:
        return None
    names = ["series", "seconds_a_step", "times_magnitude", "memory_times_magnitude", "own"]

    def blank(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return Table(
        raw=pd.DataFrame(
            [[c.series, c.seconds, c.times, c.memory, c.own] for c in made], columns=names
        ),
        header=["Series", "Seconds a step", "× magnitude", "memory ×", "own parameters"],
        cells=[
            [c.series, blank(c.seconds, 4), blank(c.times, 2), blank(c.memory, 2), blank(c.own, 2)]
            for c in made
        ],
        align="lrrrr",
        caption="Of training, in the mean over a curve's runs, with validations; memory: the most "
        "in use; own parameters: those of the method that are trained, for each of the model's. "
        "Runs may have shared a machine with others. A threshold that is moved costs what its "
        "training did.",
    )


def runs(found: Findings) -> Table:
    """Every finished run."""
    frame = found.runs.frame.drop(columns="point")
    digits, every = found.digits, found.sizes
    return Table(
        raw=frame,
        header=["Run", "Series", "NNZ params", f"test {found.metric.label}"],
        cells=[
            [row.name, row.series, short(row.nonzero, every), f"{row.test:.{digits}f}"]
            for row in found.runs.rows
        ],
        align="llrr",
        caption=f"The finished runs of {found.title}.",
    )


def trials(found: Findings) -> Table | None:
    """How each point chose its settings on validation; None where nothing was searched."""
    tried = found.runs.trials
    if not tried:
        return None
    keys = list(dict.fromkeys(key for trial in tried for key in trial.values))
    digits = found.digits
    return Table(
        raw=pd.DataFrame(
            [
                [t.point, *(t.values.get(key) for key in keys), t.valid, t.chosen, t.name]
                for t in tried
            ],
            columns=["point", *keys, "valid", "chosen", "name"],
        ),
        header=["Point", *keys, "On validation", ""],
        cells=[
            [
                t.point,
                *(t.values.get(key, "") for key in keys),
                "failed" if t.valid is None else f"{t.valid:.{digits}f}",
                "chosen" if t.chosen else "",
            ]
            for t in tried
        ],
        align="l" + "r" * len(keys) + "rl",
        caption="Every trial, at one seed; a point's other seeds have the values that validation "
        "chose. All points of a search were given as many trials.",
    )


def slices(found: Findings) -> Table | None:
    """Models of several sizes at one budget; None where no budget has parents."""
    made = analysed(found)
    if not made:
        return None
    rows = [(one, rung) for one in made for rung in one.rungs]
    return Table(
        raw=pd.DataFrame(
            [
                [
                    one.bytes,
                    rung.times,
                    rung.point.kind,
                    rung.point.size,
                    rung.point.n,
                    rung.point.valid,
                    rung.point.test,
                    rung.point.test_half,
                    rung is one.best,
                    rung in one.as_good,
                ]
                for one, rung in rows
            ],
            columns=[
                *("budget_bytes", "parent_times", "kind", "size", "n", "valid", "test"),
                *("test_width_95", "best_on_validation", "not_worse_beyond_chance"),
            ],
        ),
        header=["MB", "Parent", "Model", f"test {found.metric.label}", "Seeds", ""],
        cells=[
            [
                f"{one.bytes / MEGABYTE:.3f}",
                "dense" if rung.times == 1 else f"{rung.times:.3g} times",
                rung.point.size,
                estimate(rung.point.test, rung.point.test_half, found.digits),
                str(rung.point.n),
                "best" if rung is one.best else "as good" if rung in one.as_good else "",
            ]
            for one, rung in rows
        ],
        align="rrlrrl",
        caption="At each budget in bytes the dense model, and models of so many times its weights "
        "that were pruned to its file's size. Best: on validation; as good: not worse beyond "
        "chance (Šidák over the models of a budget).",
    )


def choice(found: Findings) -> Table | None:
    """For each budget in bytes what to take; None where no file was measured."""
    chooser = chooser_of(found)
    steps = chooser.steps() if chooser else []
    return told.budgets(chooser, steps) if chooser and steps else None


TABLES: dict[str, Callable[[Findings], Table | None]] = {
    "table": table,
    "comparison": comparison,
    "rivals": rivals,
    "overall": overall,
    "budgets": budgets,
    "costs": costs,
    "runs": runs,
    "trials": trials,
    "choice": choice,
    "slices": slices,
    "translations": translations,
    "storage": storage,
    "bytes": written,
}
