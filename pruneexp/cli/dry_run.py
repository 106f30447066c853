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
from pruneexp.engine.record import Counts

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
            rows.append((standing, run, sizes.counts(run)))
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
                        "nonzero": counts.nonzero,
                        "megabytes": counts.megabytes,
                        "parent": standing.planned.parent,
                    }
                    for standing, run, counts in rows
                ]
            )
        )
    else:
        console = Console()
        console.print(tables.dry_run(rows, console.width))
    return BAD_INPUT if faulty else FINISHED


class Sizes:
    """What runs will count, each question asked once: runs that differ in their seed or their
    learning rate have one size, and runs of one model and one shape of task one network."""

    def __init__(self) -> None:
        self.networks: dict[str, nn.Module] = {}
        self.sizes: dict[str, Counts] = {}

    def counts(self, run: Run) -> Counts:
        """Raises `Invalid` where the network cannot be built or pruned as asked."""
        from pruneexp.measure.planned import network, planned_counts

        of_network = [asked(run.model), repr(run.task.shape())]
        built = digest(of_network)
        key = digest([*of_network, asked(run.pruning), run.training.steps])
        if key not in self.sizes:
            if built not in self.networks:
                self.networks[built] = network(run)
            self.sizes[key] = planned_counts(run, self.networks[built])
        return self.sizes[key]
