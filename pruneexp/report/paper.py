"""The published rows that ours stand beside. To add a table: its CSV in published/, an entry in
`PUBLISHED`."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pruneexp.report.series import Flat

FOLDER = Path(__file__).parent / "published"

# What Zhu and Gupta 2017 pruned with. A random or one-shot control has no published row.
GRADUAL = {
    "pruning.schedule.option": "cubic",
    "pruning.scope.option": "model",
    "pruning.criterion.option": "magnitude",
    "pruning.allocation.option": "uniform",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One table of a paper: a row for each size and sparsity."""

    source: str
    file: str
    runs: dict[str, Any]  # what a run of this table is; a dense one lacks the keys of pruning
    size: str  # the key of a run's configuration that is the size, and its column
    metric: str
    column: str  # of the metric

    def rows(self) -> dict[tuple[float, float], float]:
        return _rows(self.file, self.size.rpartition(".")[2], self.column)


PUBLISHED = (
    Published(
        source="Zhu and Gupta 2017, Table 2",
        file="table2_mobilenet.csv",
        runs={
            "task.option": "imagenet",
            "model.option": "mobilenet_v1",
            "model.layout": "published",
            **GRADUAL,
        },
        size="model.width",
        metric="accuracy",
        column="top1_percent",
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
        size="model.hidden_size",
        metric="perplexity",
        column="test_perplexity",
    ),
)


def published(flat: Flat, metric: str) -> tuple[float | None, str]:
    """The paper's figure for a run's configuration and where it stands; None and "" where there is
    none."""
    for table in PUBLISHED:
        if table.metric != metric:
            continue
        if any(flat.get(key, value) != value for key, value in table.runs.items()):
            continue
        figure = table.rows().get((flat.get(table.size, 0.0), flat.get("pruning.sparsity", 0.0)))
        if figure is not None:
            return figure, table.source
    return None, ""


@cache
def _rows(file: str, size: str, column: str) -> dict[tuple[float, float], float]:
    with (FOLDER / file).open(newline="") as lines:
        return {
            (float(row[size]), float(row["sparsity"])): float(row[column])
            for row in csv.DictReader(lines)
        }
