"""`pruneexp run` and `pruneexp size`: what happens with what Hydra composed. One configuration is
run or weighed here; a sweep goes to `sweep.py`.

Each function returns the exit status of its command, and imports torch when it comes to work.
"""

import json
import shlex

from pruneexp.cli import tables
from pruneexp.cli.compose import Composed, compose
from pruneexp.cli.console import Console
from pruneexp.cli.dry_run import dry_run
from pruneexp.cli.imports import import_torch
from pruneexp.cli.live import Display, DisplayRow
from pruneexp.cli.messages import FAILED, FINISHED, INTERRUPTED
from pruneexp.cli.points import demand_one_size
from pruneexp.cli.sweep import read_sweep, sweep
from pruneexp.cli.words import without_cfg
from pruneexp.config.read import read
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine import distributed, files
from pruneexp.engine.data_identity import DataIdentity
from pruneexp.engine.lineage import demand_ready, settle
from pruneexp.engine.record import FAILURE, Record
from pruneexp.engine.signals import stopping

YES = "--yes"


def run_command(words: list[str]) -> int:
    """`pruneexp run WORDS`: one configuration, or a sweep."""
    words, only_shown = without_cfg(words)
    composed = compose([word for word in words if word != YES])
    if only_shown:
        return _show_configuration(composed)
    if composed.grids is not None:
        return sweep(read_sweep(composed.grids, ask_first=YES not in words))
    demand_one_size(words)
    return max([run(read(configuration)) for configuration in composed.configurations], default=0)


def size_command(words: list[str]) -> int:
    """`pruneexp size WORDS`: one configuration."""
    words, only_shown = without_cfg(words)
    composed = compose(words)
    if only_shown:
        return _show_configuration(composed)
    if composed.grids is not None:
        why = "size takes one configuration; `pruneexp run ... dry_run=true` weighs a sweep"
        raise Invalid([Fault("", why)])
    demand_one_size(words)
    return max(
        [weigh(settle(read(configuration))) for configuration in composed.configurations], default=0
    )


def _show_configuration(composed: Composed) -> int:
    """What `--cfg job` prints: YAML that can be run again."""
    from pruneexp.cli.again import configuration

    for node in composed.configurations:
        print(configuration(read(node)), end="")
    if composed.grids is not None:
        print(configuration(read(composed.grids.config), composed.grids), end="")
    return FINISHED


def weigh(run: Run) -> int:
    """Show how large a configuration will be, tensor by tensor."""
    run.model.ready()
    import_torch()
    from pruneexp.measure.planned import size

    weighed = size(run)
    console = Console()
    if run.format == "json":
        print(json.dumps(weighed.to_plain()))
    else:
        console.print(tables.size(weighed, console.width))
    return FINISHED


def run(given: Run) -> int:
    """Run one configuration in this process, with a display of its own."""
    asked = settle(given)
    if asked.dry_run:
        asked.model.ready()
        return dry_run([asked], [])
    called = name(asked)
    folder = asked.store.folder(called)
    if folder.status() == "finished" and not folder.is_damaged():
        record = folder.record_or_fail()
        DataIdentity(asked.store).demand_same(asked, record)
        return _show_outcome(asked, record, given.budget)
    console = Console(stderr=True, quiet=not distributed.is_first())
    demand_ready(asked)
    with stopping() as stop, Display(called, console) as display:
        import_torch()
        from pruneexp.engine.device import keep_freed_memory
        from pruneexp.engine.execute import execute
        from pruneexp.engine.failure import failure
        from pruneexp.training.fit import Stopped

        keep_freed_memory()
        display.show([DisplayRow(called, "running")])
        try:
            record = execute(
                asked,
                watch=lambda progress: display.show([DisplayRow(called, "running", progress)]),
                stop=stop,
                say=display.say,
            )
        except Stopped:
            display.say("stopped; the same command goes on from here")
            return INTERRUPTED
        except Invalid:  # told before anything was trained
            folder.forget_unless_begun()
            raise
        except (files.Damaged, files.CannotWrite):
            raise
        except Exception as error:  # kept in the run's folder, with its traceback
            display.say(f"{called} failed: {failure(error).message}")
            display.say(f"the traceback is in {folder.path / FAILURE}")
            return FAILED
    return _show_outcome(asked, record, given.budget)


def _show_outcome(asked: Run, record: Record, budget: str) -> int:
    if not distributed.is_first():
        return FINISHED
    if asked.format == "json":
        print(json.dumps(record.to_plain()))
    else:
        console = Console()
        try:
            sizes = asked.store.folder(record.name).packed_sizes()
        except files.Damaged:  # `pruneexp bytes` measures it anew, and says so
            sizes = None
        console.print(tables.outcome(record, sizes, budget))
        results = "" if asked.results == "results" else f" --results {shlex.quote(asked.results)}"
        console.print(f"in {asked.store.folder(record.name).path}", style="dim")
        how = tables.packed_as(record, sizes)
        console.print(
            f"next: pruneexp pack {record.fingerprint}{results}{how} -o model.pxp", style="dim"
        )
    return FINISHED
