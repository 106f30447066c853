"""What composed configurations are for: weigh one, run one, run a sweep of them.

Each returns the exit status of its command, and imports torch when it comes to work.
"""

import json
import os
import re
import time

from rich.console import Console

from pruneexp.cli import tables
from pruneexp.cli.live import Display, Row
from pruneexp.cli.messages import BAD_INPUT, FAILED, INTERRUPTED, complain
from pruneexp.config.read import restore
from pruneexp.config.recipe import Invalid, digest
from pruneexp.config.run import Run, name
from pruneexp.engine import distributed, files
from pruneexp.engine.launchers.local import Pool, workers_that_pay
from pruneexp.engine.lineage import demand_ready
from pruneexp.engine.plan import plan, standings
from pruneexp.engine.record import FAILURE, Plan, Progress, Record
from pruneexp.engine.signals import stopping

WIDE = 160  # columns where no terminal says how many there are
ASIDE = (  # what is no part of a run's name is none of a plan's
    *("experiment", "results", "workers", "device", "dry_run", "format", "keep", "title"),
    *("training.threads", "training.workers", "training.checkpoint_seconds"),
    *("task.root", "task.download"),
)


def weigh(run: Run) -> int:
    from pruneexp.measure.planned import size

    weighed = size(run)
    console = Console()
    if run.format == "json":
        print(json.dumps(weighed.to_plain()))
    elif console.is_terminal or "COLUMNS" in os.environ:
        console.print(tables.size(weighed, console.width))
    else:  # a file or a pipe has room for every column
        Console(width=WIDE).print(tables.size(weighed, WIDE))
    return 0


def run(asked: Run) -> int:
    """One configuration, in this process, with a display of its own."""
    if asked.dry_run:
        return _dry_run([asked], [])
    called = name(asked)
    folder = asked.store.folder(called)
    if folder.status() == "finished" and not folder.is_damaged():
        return _show_outcome(asked, folder.record_or_fail())
    console = Console(stderr=True, quiet=not distributed.is_first())
    demand_ready(asked)
    with stopping() as stop, Display(called, console) as display:
        from pruneexp.engine.device import keep_freed_memory
        from pruneexp.engine.execute import execute
        from pruneexp.engine.failure import failure
        from pruneexp.training.fit import Stopped

        keep_freed_memory()
        display.show([Row(called, "running")])
        try:
            record = execute(
                asked,
                watch=lambda progress: display.show([Row(called, "running", progress)]),
                stop=stop,
                say=display.say,
            )
        except Stopped:
            display.say("stopped; the same command goes on from here")
            return INTERRUPTED
        except (Invalid, files.Damaged, files.CannotWrite):
            raise
        except Exception as error:  # kept in the run's folder, with its traceback
            display.say(f"{called} failed: {failure(error)['message']}")
            display.say(f"the traceback is in {folder.path / FAILURE}")
            return FAILED
    return _show_outcome(asked, record)


def _show_outcome(asked: Run, record: Record) -> int:
    if not distributed.is_first():
        return 0
    if asked.format == "json":
        print(json.dumps(record.to_plain()))
    else:
        Console().print(tables.outcome(record))
    return 0


def sweep(
    experiment: str | None, overrides: list[str], runs: list[Run], unreadable: list[dict[str, str]]
) -> int:
    """A whole sweep: plan it, let workers run it, report it. Returns the exit status."""
    for point in unreadable:
        complain([f"{point['overrides']}: {line}" for line in point["error"].splitlines()])
    if not runs:
        return BAD_INPUT
    first = runs[0]
    if first.dry_run:
        return _dry_run(runs, unreadable)
    made = plan(
        first.title or experiment or "sweep", plan_name(experiment, overrides), runs, unreadable
    )
    stopped = _together(first, made) if distributed.count() > 1 else _conduct(first, made)
    if not distributed.is_first():
        return INTERRUPTED if stopped else 0
    from pruneexp.report import report

    console = Console()
    ended = standings(first.store, made)
    report_ = report(first.store, made)
    if first.format == "json":
        print(json.dumps({"plan": made.name, "states": {s.planned.name: s.state for s in ended}}))
    else:
        report_.print(console)
    if stopped:
        complain(["stopped; the same command goes on from here"])
        return INTERRUPTED
    return FAILED if unreadable or any(s.state != "finished" for s in ended) else 0


def _conduct(first: Run, made: Plan) -> bool:
    """Start workers over the plan and show where it stands until they leave."""
    store = first.store
    path = store.save_plan(made)
    for planned in made.runs:  # an error of an earlier start is tried again
        folder = store.folder(planned.name)
        if folder.status() == "failed":
            folder.forget_failure()
    left = sum(s.state != "finished" for s in standings(store, made))
    if not left:
        return False
    workers = workers_that_pay(first, left)
    title = f"{made.title} on {workers} worker{'s' if workers > 1 else ''}"
    with stopping() as stop, Display(title, Console(stderr=True)) as display:
        pool = Pool(store, path, workers)
        try:
            while pool.tend():
                if stop() and not pool.stopping:
                    pool.stop()
                for line in pool.said():
                    display.say(line)
                rows = [
                    Row(s.planned.name, s.state, s.progress, s.test, s.error)
                    for s in standings(store, made)
                ]
                display.show(rows, workers)
                time.sleep(0.25)
        except BaseException:  # a second Ctrl-C, a closed pipe: nothing may go on behind our back
            pool.kill()
            raise
        for line in pool.said():
            display.say(line)
    return pool.stopping


def _together(first: Run, made: Plan) -> bool:
    """Under `torchrun`: all ranks train one run after the other. A run that diverges does so at
    every rank and fails alone; any other error ends them all."""
    from pruneexp.engine.execute import execute
    from pruneexp.training.fit import Diverged, Stopped

    if distributed.is_first():
        first.store.save_plan(made)
    console = Console(stderr=True, quiet=not distributed.is_first())
    with stopping() as stop, Display(made.title, console) as display:
        for planned in made.runs:

            def watch(progress: Progress, called: str = planned.name) -> None:
                display.show([Row(called, "running", progress)])

            try:
                execute(restore(planned.run), watch=watch, stop=stop, say=display.say)
            except Stopped:
                return True
            except Diverged as error:
                display.say(f"{planned.name} failed: {error}")
    return False


def plan_name(experiment: str | None, overrides: list[str]) -> str:
    """The experiment's, and what the command line changed in it that is part of a run's name."""
    rest = [word for word in overrides if re.split(r"[=@]", word)[0].lstrip("+~") not in ASIDE]
    words = "+".join([experiment or "sweep", *rest])
    safe = re.sub(r"[^\w.,=+-]+", "_", words)
    return safe if len(safe) <= 100 else f"{safe[:87]}-{digest(rest)}"


def _dry_run(runs: list[Run], unreadable: list[dict[str, str]]) -> int:
    from pruneexp.measure.planned import size

    made = plan("", "dry run", runs, unreadable)
    store = runs[0].store
    rows = []
    for standing in standings(store, made):
        run = restore(standing.planned.run)
        try:
            rows.append((standing, run, size(run).counts))
        except Invalid as invalid:
            unreadable = [*unreadable, {"overrides": standing.planned.name, "error": str(invalid)}]
            complain([f"{standing.planned.name}: {fault}" for fault in invalid.faults])
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
                        "parents": standing.planned.parents,
                    }
                    for standing, run, counts in rows
                ]
            )
        )
    else:
        Console().print(tables.dry_run(rows, Console().width))
    return BAD_INPUT if unreadable else 0
