"""The published rows that ours stand beside, from published/tables.yaml and the CSVs there."""

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pruneexp.engine.record import Curve
from pruneexp.engine.typed import typed

FOLDER = Path(__file__).parent / "published"
STARTS = {"dense": "a trained dense model", "scratch": "inside one training"}
BYTES = ("bitmask", "csr", "megabytes")  # metrics that the paper gives in megabytes


@dataclass(kw_only=True, slots=True)
class PublishedTable:
    """One table of a paper; tables.yaml says what each field means."""

    source: str
    file: str
    runs: dict[str, Any]
    columns: dict[str, str]
    size: str = ""
    methods: list[str] = field(default_factory=list)
    start: str = ""
    overall: float = 0.0

    def rows(self, metric: str) -> dict[tuple[float, float], float]:
        """Printed figures by size (0 if there is but one) and sparsity."""
        return _rows(self.file, self.size, self.columns.get(metric, ""), tuple(self.methods))

    def fits(self, configuration: dict[str, Any], curve: Curve) -> bool:
        """Whether runs of this configuration stand in the table."""
        trained_on = curve.kind == "dense" and curve.start != "scratch"
        return not trained_on and not curve.quantised and _agrees(configuration, self.runs)

    def row(self, curve: Curve, achieved: float) -> tuple[float, float]:
        """Size and sparsity of the row that a run stands beside."""
        sizes = {size.name: float(size.value) for size in curve.sizes}
        size = sizes.get(self.size, 0.0)
        asked = 0.0
        if curve.dial is not None:
            asked = curve.dial.value if curve.dial.name == "sparsity" else achieved
        if not self.overall or curve.kind == "dense":
            return size, asked
        printed = [sparsity for _, sparsity in self.rows(next(iter(self.columns)))]
        near = [sparsity for sparsity in printed if abs(sparsity - achieved) < self.overall]
        return size, min(near, key=lambda sparsity: abs(sparsity - achieved), default=-1.0)


@dataclass(kw_only=True, slots=True)
class Published:
    """What papers have beside one run."""

    figure: float | None = None  # the metric
    top5: float | None = None
    source: str = ""
    start: str = ""  # what the paper pruned, where this run did otherwise
    megabytes: dict[str, float] = field(default_factory=dict)  # of positions, and of all


@cache
def tables() -> list[PublishedTable]:
    """All tables, in the order in which they are looked through."""
    data = yaml.safe_load((FOLDER / "tables.yaml").read_text())
    return [typed(PublishedTable, table) for table in data["tables"]]


def published(
    configuration: dict[str, Any], curve: Curve, metric: str, achieved: float
) -> Published:
    """What stands beside a run of this configuration and share of masked weights."""
    fitting = [table for table in tables() if table.fits(configuration, curve)]
    beside = Published()
    for table in fitting:
        row = table.row(curve, achieved)
        figure = table.rows(metric).get(row)
        if figure is not None:
            beside = Published(
                figure=figure,
                top5=table.rows("top5").get(row),
                source=table.source,
                start=_otherwise(table, curve),
            )
            break
    for table in fitting:
        for what in BYTES:
            printed = table.rows(what).get(table.row(curve, achieved))
            if printed is not None:
                beside.megabytes.setdefault(what, printed)
    return beside


def _agrees(configuration: dict[str, Any], runs: dict[str, Any]) -> bool:
    """Whether a configuration has these values, where it has their keys."""
    for key, value in runs.items():
        own = configuration.get(key, value)
        if isinstance(value, dict) and isinstance(own, dict):
            if not _agrees(own, value):
                return False
        elif own != value:
            return False
    return True


def _otherwise(table: PublishedTable, curve: Curve) -> str:
    """What the paper pruned, where that is not what this run did."""
    if not table.start or curve.kind == "dense":
        return ""
    own = "scratch" if curve.start == "scratch" else "dense"
    return "" if own == table.start else STARTS[table.start]


@cache
def _rows(
    file: str, size: str, column: str, methods: tuple[str, ...]
) -> dict[tuple[float, float], float]:
    with (FOLDER / file).open(newline="") as lines:
        return {
            (float(row[size]) if size else 0.0, float(row["sparsity"])): float(row[column])
            for row in csv.DictReader(lines)
            if row.get(column) and (not methods or row["method"] in methods)
        }
