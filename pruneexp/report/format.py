"""A table for people and for programs: rounded cells for the one, raw numbers for the other."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pruneexp.report.escape import for_csv, for_latex, for_markdown

BLANK = "–"  # what cannot be known


@dataclass(kw_only=True, slots=True)
class Table:
    """`raw` holds every digit; `cells` are what a person reads."""

    raw: pd.DataFrame
    header: list[str]
    cells: list[list[str]]
    align: str  # l or r for each column
    caption: str = ""

    def csv(self) -> str:
        text = self.raw.select_dtypes(["object", "string"]).columns
        safe = self.raw.assign(**{name: self.raw[name].map(for_csv) for name in text})
        safe.columns = [for_csv(name) for name in safe.columns]
        return safe.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        rule = ["---:" if side == "r" else "---" for side in self.align]
        body = [[for_markdown(cell) for cell in row] for row in [self.header, *self.cells]]
        lines = ["| " + " | ".join(row) + " |" for row in [body[0], rule, *body[1:]]]
        return (
            "\n".join(lines) + "\n" + (f"\n{for_markdown(self.caption)}\n" if self.caption else "")
        )

    def latex(self) -> str:
        """For a document that loads the package booktabs."""
        body = [" & ".join(map(for_latex, row)) + r" \\" for row in self.cells]
        lines = [
            r"\begin{table}",
            r"  \centering",
            *([rf"  \caption{{{for_latex(self.caption)}}}"] if self.caption else []),
            rf"  \begin{{tabular}}{{{self.align}}}",
            r"    \toprule",
            "    " + " & ".join(map(for_latex, self.header)) + r" \\",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


TABLE_FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": Table.csv,
    "md": Table.markdown,
    "tex": Table.latex,
}


def short(count: float, among: Iterable[float] = ()) -> str:
    """A count of weights as the paper prints it: 0.46M. Small ones, and those that stand in one
    column with small ones, in thousands: 24.5k."""
    together = [*among, count]
    thousands = min(together) < 100_000 and max(together) < 10_000_000
    if count < 1_000:
        return f"{count:.0f}"
    if count < 100_000 or thousands:
        return f"{count / 1e3:,.1f}k"
    digits = 2 if count < 10_000_000 else 1 if count < 100_000_000 else 0
    return f"{count / 1e6:.{digits}f}M"


def megabytes(value: float, among: Iterable[float]) -> str:
    """With as many decimals as give the smallest in the column two digits that mean something."""
    exponent = int(f"{min([*among, value]):e}".partition("e")[2])
    return f"{value:.{max(0, 1 - exponent)}f}"


def percent(share: float) -> str:
    return f"{round(100 * share, 6):g} %"


def estimate(mean: float, half: float | None, digits: int) -> str:
    """A mean and the half width of its interval, if there is one."""
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")


def signed(difference: float, half: float | None, digits: int) -> str:
    """A difference with its sign, and the half width of its interval, if there is one."""
    text = f"{difference:+.{digits}f}".replace("-", "−")
    return text + (f" ± {half:.{digits}f}" if half is not None else "")


def quoted(name: str) -> str:
    """A curve's name within a sentence: one that holds a comma is quoted."""
    return f"“{name}”" if "," in name else name


def span(low: float, high: float, write: Callable[[float], str]) -> str:
    """One number, or from one to another."""
    first, last = write(low), write(high)
    return first if first == last else f"{first} to {last}"


def number(value: Any) -> str:
    return f"{value:,.0f}"
