"""`dry_run` of a hundred points, each turn in a process of its own, against the former way: one
full composition by Hydra and one whole size for each point."""

import subprocess
import sys

from turns import table, turns

SWEEPS = {
    "a hundred seeds": ["seed=range(0,100)"],
    "5 sparsities x 4 widths x 5 seeds": [
        "pruning.sparsity=0.5,0.6,0.7,0.8,0.9",
        "model.width=0.25,0.5,0.75,1.0",
        "seed=range(0,5)",
    ],
}


def dry_run() -> None:
    """Both ways over both sweeps, in turns, with the seconds that a user waits."""
    for title, overrides in SWEEPS.items():
        words = ["-m", *overrides, "dry_run=true", "format=json"]
        candidates = {
            "pruneexp run ... dry_run=true": lambda words=words: _call(
                ["-m", "pruneexp", "run", *words]
            ),
            "one composition and one size a point": lambda words=words: _call([__file__, *words]),
        }
        base = "pruneexp run ... dry_run=true"
        table(f"Dry run: {title}", turns(candidates, 3, 1), base)


def _call(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


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
