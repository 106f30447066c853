"""A sweep, once its points are read: plan it, let a launcher's workers run it, report it."""

import json
import re
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from omegaconf import OmegaConf

from pruneexp.cli.console import Console
from pruneexp.cli.dry_run import dry_run
from pruneexp.cli.grids import Grids
from pruneexp.cli.live import Display, DisplayRow, rows
from pruneexp.cli.matching import Matcher
from pruneexp.cli.messages import BAD_INPUT, FAILED, FINISHED, INTERRUPTED, complain
from pruneexp.cli.phases import Phases
from pruneexp.cli.points import Composer, read_points
from pruneexp.cli.slices import Slicer
from pruneexp.config.factory import demand_own_python
from pruneexp.config.options import OPTIONS, no_part_of_a_name
from pruneexp.config.read import read_part, restore
from pruneexp.config.recipe import Fault, Invalid, digest, either
from pruneexp.config.run import Run
from pruneexp.engine import distributed, files
from pruneexp.engine.data_identity import DataIdentity
from pruneexp.engine.integrity import Integrity
from pruneexp.engine.launchers import Launcher
from pruneexp.engine.plan import Standings, plan, standings
from pruneexp.engine.record import Plan, Planned, Progress, Trial
from pruneexp.engine.signals import stopping
from pruneexp.engine.store import Store

LOOK = 0.25  # seconds between two looks at where the runs stand


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """A sweep that has been read: what was asked for, and where it goes on."""

    experiment: str | None
    overrides: list[str]  # of the command line
    runs: list[Run]
    unreadable: list[dict[str, str]]  # points that are no run: `overrides` and `error`
    launcher: Launcher
    grids: Grids

    @property
    def name(self) -> str:
        """Of the plan."""
        return plan_name(self.experiment, self.overrides)


def read_sweep(grids: Grids, *, ask_first: bool = True) -> Sweep:
    """Read every point of the grids and the launcher. Raises `Invalid` where the grids or the
    launcher cannot be read; a point that cannot be read is kept as unreadable."""
    launcher = _launcher(grids)
    composer = Composer(grids.loader, grids.config)
    grids = replace(grids, matcher=Matcher(composer), cut=Slicer(composer))
    runs, unreadable = read_points(grids, ask_first=ask_first)
    return Sweep(
        experiment=grids.experiment,
        overrides=grids.arguments,
        runs=runs,
        unreadable=unreadable,
        launcher=launcher,
        grids=grids,
    )


def _launcher(grids: Grids) -> Launcher:
    node = grids.config.hydra.launcher
    kind = OmegaConf.get_type(node)
    if not (isinstance(kind, type) and issubclass(kind, Launcher)):
        chosen = grids.config.hydra.runtime.choices.get("hydra/launcher")
        words = either([option.word for option in OPTIONS["hydra/launcher"]])
        why = f"takes {words}, got {chosen}: workers of a sweep are started by pruneexp's launchers"
        raise Invalid([Fault("hydra/launcher", why)])
    launcher = read_part(node, "hydra.launcher")
    assert isinstance(launcher, Launcher)
    return launcher


def sweep(asked: Sweep) -> int:
    """Plan a sweep, run it, report it. Returns the exit status."""
    for point in asked.unreadable:
        complain(f"{point['overrides']}: {line}" for line in point["error"].splitlines())
    if not asked.runs:
        return BAD_INPUT
    first = asked.runs[0]
    if first.dry_run:
        return dry_run(asked.runs, asked.unreadable)
    clock = Clock(first.hours)
    phases = Phases(
        grids=asked.grids,
        runs=asked.runs,
        plan=lambda runs, trials: _planned(asked, runs, trials),
        make=lambda planned: _make(asked, planned, clock),
    )
    planned, stopped = phases.through()
    if planned.left_out and distributed.is_first():  # known only at the end
        with suppress(files.CannotWrite):
            first.store.save_plan(planned)
    if not distributed.is_first():
        return INTERRUPTED if stopped else FINISHED
    from pruneexp.report import report

    ended = standings(first.store, planned)
    try:
        written = report(first.store, planned, may_fail=True)
    except Exception as error:  # the runs stay finished, whatever a report fails at
        where = traceback.extract_tb(error.__traceback__)[-1]
        complain(
            [
                f"the report failed ({type(error).__name__}: {error}; {where.filename}, line "
                f"{where.lineno}); the runs are kept, and `pruneexp report {planned.name}` tries "
                "the report again"
            ]
        )
        return FAILED
    if first.format == "json":
        states = {standing.planned.name: standing.state for standing in ended}
        print(json.dumps({"plan": planned.name, "states": states}))
    else:
        written.print(Console())
    if stopped and clock.is_over:
        complain([f"the {first.hours:g} hours are over; the same command goes on from here"])
        return FINISHED
    if stopped:
        complain(["stopped; the same command goes on from here"])
        return INTERRUPTED
    left = sum(standing.state not in ("finished", "failed", "damaged") for standing in ended)
    if left:
        complain([f"{left} of {len(ended)} runs were not made; the same command tries them again"])
    failed = asked.unreadable or any(standing.state != "finished" for standing in ended)
    return FAILED if failed else FINISHED


def _planned(asked: Sweep, runs: Sequence[Run], trials: Sequence[Trial] = ()) -> Plan:
    """The plan of these runs, and of what is known of trials."""
    first = asked.runs[0]
    title = first.title or asked.experiment or "sweep"
    made = plan(title, asked.name, [*runs], asked.unreadable)
    made.trials = [*trials]
    return made


class Clock:
    """How long a sweep may go on.

    Arguments:
        hours: 0 for as long as it takes.
    """

    def __init__(self, hours: float) -> None:
        self.end = time.monotonic() + 3600 * hours if hours else None

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.end is not None and time.monotonic() >= self.end


def _make(asked: Sweep, planned: Plan, clock: Clock) -> bool:
    """Train the runs of a plan. Returns whether the sweep was asked to stop, or its time is up."""
    first = asked.runs[0]
    if distributed.count() > 1:
        return _at_all_ranks(first, planned, clock)
    return _with_workers(asked.launcher, first, planned, clock)


def _with_workers(launcher: Launcher, first: Run, planned: Plan, clock: Clock) -> bool:
    """Start workers over the plan and show where it stands until they leave. Returns whether the
    sweep was asked to stop, or its time is up."""
    store = first.store
    _look_for_damage(store, planned)
    _demand_same_data(first, planned)
    look = Standings(store, planned)
    left = [restored(s.planned) for s in look.now() if s.state != "finished"]
    if not left:
        with suppress(files.CannotWrite):  # a finished sweep may lie where nothing can be written
            store.save_plan(planned)
        return False
    path = store.save_plan(planned)
    for run in planned.runs:  # an error of an earlier start is tried again
        folder = store.folder(run.name)
        if folder.status() == "failed":
            folder.forget_failure()
    for one in left:  # a parent's record may name Python, which the plan's file would not tell
        demand_own_python(one)
    if clock.is_over:
        return True
    asked_to_stop = False
    started = launcher.start(store, path, left)
    title = f"{planned.title} on {started.workers} worker{'s' if started.workers > 1 else ''}"
    with stopping() as stop, Display(title, Console(stderr=True)) as display:
        try:
            while started.tend():
                if (stop() or clock.is_over) and not asked_to_stop:
                    asked_to_stop = True
                    started.stop()
                for line in started.said():
                    display.say(line)
                display.show(rows(look.now()), started.workers)
                time.sleep(LOOK)
        except BaseException:  # a second Ctrl-C, a closed pipe: no worker may outlive the sweep
            started.kill()
            raise
        for line in started.said():
            display.say(line)
    return asked_to_stop


def _demand_same_data(first: Run, planned: Plan) -> None:
    """Raise `Invalid` where finished runs were trained on other data than is at hand."""
    if first.task.signature() is None:
        return
    identity = DataIdentity(first.store)
    for one in planned.runs:
        folder = first.store.folder(one.name)
        if folder.status() == "finished" and not folder.is_damaged():
            identity.demand_same(restored(one), folder.record_or_fail())


def _look_for_damage(store: Store, planned: Plan) -> None:
    """Let runs be made again whose weights are no longer what was written."""
    integrity = Integrity(store)
    for folder in integrity.damaged(planned):
        complain([f"weights in {folder.path} are damaged; the run is made again"])
        folder.reopen()
    integrity.save()


def _at_all_ranks(first: Run, planned: Plan, clock: Clock) -> bool:
    """Under `torchrun`: all ranks train one run after the other. A run that diverges does so at
    every rank and fails alone; any other error ends them all. Returns whether the sweep was asked
    to stop."""
    from pruneexp.engine.execute import execute
    from pruneexp.training.fit import Diverged, Stopped

    if distributed.is_first():
        first.store.save_plan(planned)
    console = Console(stderr=True, quiet=not distributed.is_first())
    with stopping() as stop, Display(planned.title, console) as display:
        for one in planned.runs:

            def watch(progress: Progress, called: str = one.name) -> None:
                display.show([DisplayRow(called, "running", progress)])

            try:
                execute(
                    restored(one),
                    watch=watch,
                    stop=lambda: stop() or clock.is_over,
                    say=display.say,
                )
            except Stopped:
                return True
            except Diverged as error:
                display.say(f"{one.name} failed: {error}")
    return False


def restored(planned: Planned) -> Run:
    """A run of the plan that this command composed. What it took from records, such as a parent's
    configuration, stays as trusted as it was."""
    return restore(planned.run, trust=True, origin="this sweep")


def plan_name(experiment: str | None, overrides: list[str]) -> str:
    """The experiment's name, and what the command line changed in it that is part of a run's
    name."""
    without = no_part_of_a_name()
    rest = [word for word in overrides if re.split(r"[=@]", word)[0].lstrip("+~") not in without]
    words = "+".join([experiment or "sweep", *rest])
    safe = re.sub(r"[^\w.,=+-]+", "_", words)
    return safe if len(safe) <= 100 else f"{safe[:87]}-{digest(rest)}"
