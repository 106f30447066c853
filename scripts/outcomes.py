"""Outcomes of finished runs that were made before outcomes were kept, from their weights.

    python -m scripts.outcomes results

Runs without weights, and runs that have their outcomes, are left as they are.
"""

import sys
from pathlib import Path

import torch

from pruneexp.config.read import restore
from pruneexp.engine.network import setting
from pruneexp.engine.record import OUTCOMES, WEIGHTS
from pruneexp.engine.store import Store
from pruneexp.running.source import of_run


def main() -> None:
    """Measure each run's test split once more, item by item."""
    store = Store(Path(sys.argv[1]))
    torch.set_num_threads(1)
    for folder in store.folders():
        record = folder.record()
        there = [(folder.path / name).exists() for name in (WEIGHTS, OUTCOMES)]
        if record is None or there != [True, False]:
            continue
        run = restore(record.configuration, trust=False, origin=folder.path)
        task = run.task.load(store.cache)
        task.settle(setting(run, torch.device("cpu")))
        outcomes = task.outcomes(of_run(folder).model)
        if outcomes is not None:
            folder.save_outcomes(outcomes)
            print(f"{record.name}: {outcomes.value():.6g}, in the record {record.test_value:.6g}")


if __name__ == "__main__":
    main()
