"""What would run: every run of a plan, where it stands and how large it will be. Nothing starts."""

import json

from pruneexp.cli import tables
from pruneexp.cli.console import Console
from pruneexp.cli.messages import BAD_INPUT, FINISHED, complain
from pruneexp.cli.sizes import Sizes
from pruneexp.config.read import restore
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine.lineage import demand_ready
from pruneexp.engine.plan import plan, standings


def dry_run(runs: list[Run], unreadable: list[dict[str, str]]) -> int:
    """Show what running these would do, the runs that they start from included. Returns the exit
    status."""
    planned = plan("", "dry run", runs, unreadable)
    sizes = Sizes(runs[0].store)
    rows = []
    faulty = bool(unreadable)
    for standing in standings(runs[0].store, planned):
        run = restore(standing.planned.run, trust=True, origin="this sweep")
        try:
            if standing.state != "finished":
                demand_ready(run)
            rows.append((standing, run, sizes.nonzero(run)))
        except Invalid as invalid:
            faulty = True
            complain(f"{standing.planned.name}: {fault}" for fault in invalid.faults)
    sizes.save()
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
