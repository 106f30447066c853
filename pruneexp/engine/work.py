"""What a worker does: take runs of a plan that are not finished, not held by another process and
not waiting for a parent, one after the other.

A run that fails leaves its error in its folder, and the others go on. Every launcher's workers call
`work`; a worker that starts after an interruption takes up what is left.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

from pruneexp.config.read import restore
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.lineage import settle
from pruneexp.engine.plan import parents_of
from pruneexp.engine.record import Plan, Planned, Progress
from pruneexp.engine.store import Store
from pruneexp.printable import printable

PATIENCE = 0.3  # seconds between two looks at what can be taken


def to_errors(line: str) -> None:
    """Write a line to standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def work(
    store: Store,
    plan: Plan,
    *,
    trust: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = to_errors,
) -> None:
    """Take runs of the plan, one after the other, until none is left to take.

    Arguments:
        trust: whether Python that the plan names may be imported.
        watch: is told where the run under way stands.
        stop: is asked between steps; once it is true, the run writes its checkpoint and work ends.
        say: is given lines for the user.
    """
    from pruneexp.engine.execute import Busy, execute
    from pruneexp.engine.failure import failure
    from pruneexp.training.fit import Stopped

    given_up: set[str] = set()  # runs that failed here, or whose parents cannot finish
    while not stop():
        left = [run for run in plan.runs if run.name not in given_up and _is_left(store, run)]
        if not left:
            return
        for planned in left:
            awaited = [
                parent
                for parent in parents_of(planned)
                if store.folder(parent).status() != "finished"
            ]
            if awaited:
                if not _hopeless(store, plan, given_up).isdisjoint(awaited):
                    given_up.add(planned.name)
                continue
            try:
                run = _restored(store, plan, planned, trust)
                execute(run, watch=watch, stop=stop, say=say, wait=False)
                break
            except Busy:
                continue
            except Stopped:
                return
            except Exception as error:  # a failing run fails alone; its error is kept with it
                given_up.add(planned.name)
                if _is_left(store, planned):  # it failed before its folder was held
                    store.folder(planned.name).fail(failure(error))
                say(f"{planned.name} failed: {failure(error).message}")
                break
        else:
            time.sleep(PATIENCE)


def _restored(store: Store, plan: Plan, planned: Planned, trust: bool) -> Run:
    """The run, in the results folder that the plan was found in: the folder may have been moved
    since. Raises `Invalid` for what is not the run that the plan says it is."""
    run = restore(planned.run, trust=trust, origin=f"the plan {plan.name}")
    run = settle(replace(run, results=str(store.results)))
    if name(run) != planned.name:
        why = f"is called {name(run)} by this version of pruneexp; start the sweep again"
        raise Invalid([Fault(planned.name, why)])
    return run


def _is_left(store: Store, planned: Planned) -> bool:
    """Whether a run still has to be made: it is neither failed nor finished with a record that can
    be read."""
    folder = store.folder(planned.name)
    state = folder.status()
    return state not in ("finished", "failed") or (state == "finished" and folder.is_damaged())


def _hopeless(store: Store, plan: Plan, given_up: set[str]) -> set[str]:
    """The runs that cannot finish: they failed, or a run that they wait for did. Parents stand
    before their children in a plan."""
    hopeless: set[str] = set()
    for planned in plan.runs:
        state = store.folder(planned.name).status()
        waits_in_vain = any(parent in hopeless for parent in parents_of(planned))
        if state == "failed" or (
            state != "finished" and (planned.name in given_up or waits_in_vain)
        ):
            hopeless.add(planned.name)
    return hopeless
