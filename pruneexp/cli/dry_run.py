"""What would run: every run of a plan, where it stands and how large it will be. Nothing starts,
and nothing is written."""

import json
from typing import TYPE_CHECKING

from rich.console import Console

from pruneexp.cli import tables
from pruneexp.cli.messages import BAD_INPUT, FINISHED, complain
from pruneexp.config.read import restore
from pruneexp.config.recipe import Invalid, asked, digest
from pruneexp.config.run import Run
from pruneexp.engine.plan import plan, standings

if TYPE_CHECKING:
    from torch import nn


def dry_run(runs: list[Run], unreadable: list[dict[str, str]]) -> int:
    """Show what running these would do, the runs that they start from included. Returns the exit
    status."""
    planned = plan("", "dry run", runs, unreadable)
    sizes = Sizes()
    rows = []
    faulty = bool(unreadable)
    for standing in standings(runs[0].store, planned):
        run = restore(standing.planned.run)
        try:
            rows.append((standing, run, sizes.nonzero(run)))
        except Invalid as invalid:
            faulty = True
            complain(f"{standing.planned.name}: {fault}" for fault in invalid.faults)
    if runs[0].format == "json":
        print(
            json.dumps(
                [
                    {
                        "name": standing.planned.name,
                        "state": standing.state,
                        "steps": run.steps,
                        "nonzero": nonzero,
                        "megabytes": tables.megabytes(nonzero),
                        "parents": standing.planned.parents,
                    }
                    for standing, run, nonzero in rows
                ]
            )
        )
    else:
        console = Console()
        console.print(tables.dry_run(rows, console.width))
    return BAD_INPUT if faulty else FINISHED


class Sizes:
    """How many weights runs will keep, each question asked once: runs that differ in their seed or
    their learning rate keep the same number, and runs of one model and one shape of task share a
    network."""

    def __init__(self) -> None:
        self._networks: dict[str, nn.Module] = {}
        self._nonzero: dict[str, int | None] = {}

    def nonzero(self, run: Run) -> int | None:
        """None where only training tells. Raises `Invalid` where the network cannot be built or
        pruned as asked."""
        from pruneexp.measure.planned import network, nonzero

        of_network = [asked(run.model), repr(run.task.shape())]
        built = digest(of_network)
        key = digest([*of_network, asked(run.pruning), run.training.steps])
        if key not in self._nonzero:
            if built not in self._networks:
                self._networks[built] = network(run)
            self._nonzero[key] = nonzero(run, self._networks[built])
        return self._nonzero[key]
