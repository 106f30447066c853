"""Whole runs: threads, and sweeps."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from turns import table, turns


def threads() -> None:
    """Two one-thread runs side by side against one two-thread run, in runs per second."""
    one = [*_run(), "training.threads=1"]
    two = [*_run(), "training.threads=2"]

    def side_by_side() -> None:
        with tempfile.TemporaryDirectory() as folder:
            both = [_start(one, Path(folder) / str(index)) for index in range(2)]
            assert [process.wait() for process in both] == [0, 0]

    def one_after_another() -> None:
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                assert _start(two, Path(folder)).wait() == 0

    candidates = {
        "two runs, one thread each, side by side": side_by_side,
        "two runs, two threads, one after the other": one_after_another,
    }
    base = "two runs, one thread each, side by side"
    table("Threads: two runs of 150 steps", turns(candidates, 3, 0), base)


def sweep() -> None:
    """The demo's sweep, cut to 50 steps, against the same runs through Hydra's basic launcher."""
    runs = ["experiment=table2_small", "training.steps=50", "format=json"]
    # The basic sweeper knows no union: the same eight runs as two plain sweeps.
    plain = ["hydra/sweeper=basic", "hydra/launcher=basic", "training.steps=50", "-m"]
    sparse = [*plain, "pruning.sparsity=0.5,0.75,0.9,0.95", "pruning.schedule.interval=20"]
    dense = [*plain, "pruning=none", "model.width=1.0,0.75,0.5,0.25"]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert _start(runs, Path(folder)).wait() == 0

    def basic() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for part in (sparse, dense):
                assert _start(part, Path(folder)).wait() == 0

    candidates = {"pruneexp's plan and workers": ours, "Hydra's basic launcher": basic}
    table(
        "The demo's eight runs, 50 steps each",
        turns(candidates, 1, 0),
        "pruneexp's plan and workers",
    )


def _run() -> list[str]:
    return ["training.steps=150", "training.evaluations=1", "task.train=2000", "task.test=100"]


def _start(overrides: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pruneexp", "run", *overrides, f"results={folder}"]
    command.append(f"hydra.sweep.dir={folder}")  # where Hydra's own sweeper leaves its notes
    environment = {key: text for key, text in os.environ.items() if key != "OMP_NUM_THREADS"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
