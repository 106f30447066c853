"""The published rows that ours stand beside. To add a table: its CSV in published/, an entry in
`PUBLISHED`."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pruneexp.report.data import series
from pruneexp.report.data.series import Flat

FOLDER = Path(__file__).parent / "published"

# What Zhu and Gupta 2017 pruned with. A one-shot control has no published row.
GRADUAL = {
    "pruning.schedule.option": "cubic",
    "pruning.scope.option": "model",
    "pruning.criterion.option": "magnitude",
    "pruning.allocation.option": "uniform",
}
MOBILENET = {
    "task.option": "imagenet",
    "model.option": "mobilenet_v1",
    "model.layout": "published",
    **GRADUAL,
}
RESNET = {
    "task.option": "imagenet",
    "model.option": "resnet50",
    "model.width": 1.0,
    "model.layout": "published",
    **GRADUAL,
}
BEST = "Gale et al. 2019, the best of their runs"
OVERALL = 0.004  # an overall sparsity is printed to half a percent: 94.7 % as 95 %
STARTS = {"dense": "a trained dense model", "scratch": "inside one training"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One table of a paper: a row for each size, if it has several, and sparsity."""

    source: str
    file: str
    runs: dict[str, Any]  # what a run of this table is; a dense one lacks the keys of pruning
    columns: dict[str, str]  # of each metric
    size: str = ""  # the key of a run's configuration that is the size, and its column
    methods: tuple[str, ...] = ()  # the rows of a table of several, and its dense row
    start: str = ""  # what the paper pruned, if it says so: dense or scratch
    overall: bool = False  # sparsity is counted over all layers, whatever each was asked for

    def rows(self, metric: str) -> dict[tuple[float, float], float]:
        """By size (0 if there is but one) and sparsity."""
        column = self.columns.get(metric, "")
        return _rows(self.file, self.size.rpartition(".")[2], column, self.methods)

    def fits(self, flat: Flat) -> bool:
        trained_on = series.kind(flat) == "dense" and "pruning.start" in flat
        return (
            not trained_on
            and not series.quantised(flat)
            and all(flat.get(key, value) == value for key, value in self.runs.items())
        )

    def row(self, flat: Flat, achieved: float) -> tuple[float, float]:
        """Which row a run stands beside."""
        size = flat.get(self.size, 0.0)
        if not self.overall or series.kind(flat) == "dense":
            return size, flat.get("pruning.sparsity", 0.0)
        printed = [sparsity for _, sparsity in self.rows(next(iter(self.columns)))]
        near = [sparsity for sparsity in printed if abs(sparsity - achieved) < OVERALL]
        return size, min(near, key=lambda sparsity: abs(sparsity - achieved), default=-1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What a paper has beside a run."""

    figure: float | None = None
    top5: float | None = None
    source: str = ""
    start: str = ""  # what the paper pruned, where this run did otherwise


PUBLISHED = (
    Published(
        source="Zhu and Gupta 2017, Table 1",
        file="table1_inception_v3.csv",
        runs={
            "task.option": "imagenet",
            "model.option": "inception_v3",
            "model.width": 1.0,
            "model.layout": "published",
            **GRADUAL,
        },
        columns={"accuracy": "top1_percent", "top5": "top5_percent"},
        start="scratch",
    ),
    Published(
        source="Zhu and Gupta 2017, Table 2",
        file="table2_mobilenet.csv",
        runs=MOBILENET,
        columns={"accuracy": "top1_percent", "top5": "top5_percent"},
        size="model.width",
        start="dense",
    ),
    Published(
        source="Zhu and Gupta 2017, Table 5",
        file="table5_storage.csv",
        runs={**MOBILENET, "model.width": 1.0},
        columns={"bitmask": "bitmask_megabytes", "csr": "csr_megabytes"},
    ),
    Published(
        source="Zhu and Gupta 2017, Table 6",
        file="table6_bytes.csv",
        runs=MOBILENET,
        columns={"megabytes": "megabytes"},
        size="model.width",
    ),
    Published(
        source="Zhu and Gupta 2017, Table 3",
        file="table3_ptb.csv",
        runs={
            "task.option": "ptb",
            "model.option": "lstm_lm",
            "model.layers": 2,
            "model.tied": False,
            **GRADUAL,
        },
        columns={"perplexity": "test_perplexity"},
        size="model.hidden_size",
    ),
    Published(
        source=BEST,
        file="state_of_sparsity_resnet50_top1.csv",
        runs=RESNET,
        columns={"accuracy": "top1_percent"},
        methods=("dense", "magnitude"),
        start="scratch",
    ),
    Published(
        source=BEST,
        file="state_of_sparsity_resnet50_top1.csv",
        runs={**RESNET, "pruning.allocation.option": "per_layer"},
        columns={"accuracy": "top1_percent"},
        methods=("dense", "magnitude_extended"),
        start="scratch",
        overall=True,
    ),
    Published(
        source=BEST,
        file="state_of_sparsity_resnet50_top1.csv",
        runs={**RESNET, "pruning.criterion.option": "random"},
        columns={"accuracy": "top1_percent"},
        methods=("dense", "random"),
        start="scratch",
    ),
)


def published(flat: Flat, metric: str, achieved: float = 0.0) -> Beside:
    """What stands beside a run of this configuration and share of masked weights."""
    for table in PUBLISHED:
        if not table.fits(flat):
            continue
        row = table.row(flat, achieved)
        figure = table.rows(metric).get(row)
        if figure is not None:
            top5 = table.rows("top5").get(row)
            return Beside(
                figure=figure, top5=top5, source=table.source, start=_otherwise(table, flat)
            )
    return Beside()


def megabytes(flat: Flat) -> dict[str, float]:
    """The megabytes that a paper prints: of positions (bitmask, csr), and of all (megabytes)."""
    figures = {what: published(flat, what).figure for what in ("bitmask", "csr", "megabytes")}
    return {what: figure for what, figure in figures.items() if figure is not None}


def _otherwise(table: Published, flat: Flat) -> str:
    """What the paper pruned, where that is not what this run did."""
    if not table.start or series.kind(flat) == "dense":
        return ""
    mine = "scratch" if flat.get("pruning.start") == "scratch" else "dense"
    return "" if mine == table.start else STARTS[table.start]


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
