"""Every finished run under a results folder as one table: what was chosen, and what came of it.

    python -m scripts.trials results trials.csv task=grammar training.steps=13680

Only runs whose configuration has the given values are listed, in the order of their names; a value
that all of them share is left out of the columns.
"""

import csv
import sys
from pathlib import Path
from typing import Any

from pruneexp.cli.tables import flat
from pruneexp.engine.record import Record
from pruneexp.engine.store import Store


def rows(store: Store, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each finished run with these values."""
    records = [record for folder in store.folders() if (record := folder.record()) is not None]
    return [_row(record) for record in records if _has(_asked(record), wanted)]


def _asked(record: Record) -> dict[str, Any]:
    return {key.removesuffix(".option"): value for key, value in flat(record.configuration).items()}


def _has(asked: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(str(asked.get(key)) == value for key, value in wanted.items())


def _row(record: Record) -> dict[str, Any]:
    metric = record.metric.name
    return _asked(record) | {
        "name": record.name,
        "nonzero": record.counts.nonzero,
        f"valid_{metric}": record.valid[metric],
        f"test_{metric}": record.test[metric],
        "seconds": record.circumstances.get("seconds"),
        "torch": record.circumstances.get("torch"),
    }


def main() -> None:
    """Write the table that the command line asks for."""
    results, out, *words = sys.argv[1:]
    wanted = dict(word.split("=", 1) for word in words)
    table = rows(Store(Path(results)), wanted)
    columns = list(dict.fromkeys(key for row in table for key in row))
    varied = [key for key in columns if len({str(row.get(key)) for row in table}) > 1]
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, varied, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(f"{out}: {len(table)} runs")


if __name__ == "__main__":
    main()
