"""`dry_run` of a hundred points, each turn in a process of its own, against the former way: one
full composition by Hydra and one whole size for each point."""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from turns import table, turns

SWEEPS = {
    "a hundred seeds": ["seed=range(0,100)"],
    "5 sparsities x 4 widths x 5 seeds": [
        "pruning.sparsity=0.5,0.6,0.7,0.8,0.9",
        "model.width=0.25,0.5,0.75,1.0",
        "seed=range(0,5)",
    ],
}
FIRST = "dry_run=true, for the first time"


def dry_run() -> None:
    """Both ways over both sweeps, in turns, with the seconds that a user waits."""
    for title, overrides in SWEEPS.items():
        words = ["-m", *overrides, "dry_run=true", "format=json"]
        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder) / "known"  # has a results folder, whose cache keeps sizes
            (known / "results").mkdir(parents=True)
            run = ["-m", "pruneexp", "run", *words]
            candidates = {
                FIRST: partial(_call, run, folder),
                "dry_run=true, sizes known": partial(_call, run, str(known)),
                "a composition and a size for each point": partial(
                    _call, [str(Path(__file__).resolve()), *words], folder
                ),
            }
            table(f"Dry run: {title}", turns(candidates, 3, 1), FIRST)


def _call(arguments: list[str], folder: str) -> None:
    project = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": project}
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)


def former(words: list[str]) -> None:
    """What a dry run did before: every point from the YAML up, and its size with its work."""
    from pruneexp.cli.compose import compose
    from pruneexp.config.read import read
    from pruneexp.engine.lineage import settle
    from pruneexp.engine.plan import plan, standings

    grids = compose(words).grids
    assert grids is not None
    points = [grids.loader.load_sweep_config(grids.config, point) for point in grids.points()]
    runs = [settle(read(point)) for point in points]
    planned = standings(runs[0].store, plan("", "dry run", runs, []))
    from pruneexp.measure.planned import size

    for standing, run in zip(planned, runs, strict=True):
        print(standing.planned.name, standing.state, size(run).nonzero)


if __name__ == "__main__":
    former(sys.argv[1:])
