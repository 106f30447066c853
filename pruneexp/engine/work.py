"""What a worker does: take what is not finished, not held by another and not waiting for a parent.

A run that fails leaves its error and the others go on. A start after an interruption takes up what
is left.
"""

import sys
import time
from collections.abc import Callable

from pruneexp.config.read import restore
from pruneexp.engine.record import Plan, Planned, Progress
from pruneexp.engine.store import Store

PATIENCE = 0.3  # seconds between two looks at what can be taken


def work(
    store: Store,
    made: Plan,
    *,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> None:
    """Take runs of the plan, one after the other, until none is left to take."""
    from pruneexp.engine.execute import Busy, execute
    from pruneexp.engine.failure import failure
    from pruneexp.training.fit import Stopped

    given_up: set[str] = set()
    while not stop():
        left = [run for run in made.runs if run.name not in given_up and _open(store, run)]
        if not left:
            return
        for planned in left:
            if waits_for := _unfinished_parents(store, planned):
                lost = waits_for & given_up
                if lost or not all(_may_finish(store, made, name) for name in waits_for):
                    given_up.add(planned.name)
                continue
            try:
                execute(restore(planned.run), watch=watch, stop=stop, say=say, wait=False)
                break
            except Busy:
                continue
            except Stopped:
                return
            except Exception as error:  # a failing run fails alone; its error is kept with it
                given_up.add(planned.name)
                if _open(store, planned):  # it failed before its folder was held
                    store.folder(planned.name).fail(failure(error))
                say(f"{planned.name} failed: {failure(error)['message']}")
                break
        else:
            time.sleep(PATIENCE)


def _open(store: Store, planned: Planned) -> bool:
    folder = store.folder(planned.name)
    state = folder.status()
    return state not in ("finished", "failed") or (state == "finished" and folder.is_damaged())


def _unfinished_parents(store: Store, planned: Planned) -> set[str]:
    parents = planned.parents.values()
    return {name for name in parents if store.folder(name).status() != "finished"}


def _may_finish(store: Store, made: Plan, name: str) -> bool:
    """Whether a run that another one waits for may yet be finished: neither it nor one that it
    waits for itself has failed."""
    if store.folder(name).status() == "failed":
        return False
    planned = next(run for run in made.runs if run.name == name)
    return all(_may_finish(store, made, other) for other in _unfinished_parents(store, planned))
