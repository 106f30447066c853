"""`pruneexp status --watch`: where a plan's runs stand, again and again, whoever trains them."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress

from rich.live import Live

from pruneexp.cli.console import Console
from pruneexp.cli.live import rows, seconds_left, table, told
from pruneexp.engine.plan import Standing, standings
from pruneexp.engine.record import Plan
from pruneexp.engine.store import Store

SECONDS = 2.0  # between two looks
OVER = ("finished", "failed", "damaged")  # what no worker goes on with by itself


def watch(
    store: Store,
    find: Callable[[], Plan],
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look until every run is finished or failed, or Ctrl-C. On a terminal one table that changes,
    in a file or a pipe a line for each change.

    Arguments:
        find: reads the plan, which may grow while it is watched.
    """
    said = ""
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with suppress(KeyboardInterrupt), live or nullcontext():
        while True:
            plan = find()
            now = standings(store, plan)
            if live is not None:
                shown = table(rows(now), headline(plan, now), console.width)
                live.update(shown, refresh=True)
            elif (line := headline(plan, now, timed=False)) != said:
                said = line
                console.print(line)
            if is_over(now):
                return
            sleep(SECONDS)


def is_over(now: Sequence[Standing]) -> bool:
    """Whether nothing is left to wait for."""
    return all(one.state in OVER for one in now)


def headline(plan: Plan, now: Sequence[Standing], *, timed: bool = True) -> str:
    """How many runs are where, and how long the rest takes."""
    counts: dict[str, int] = {}
    for one in now:
        counts[one.state] = counts.get(one.state, 0) + 1
    words = [f"{counts.pop('finished', 0)} of {len(now)} finished"]
    words += [f"{count} {state}" for state, count in sorted(counts.items())]
    running = sum(one.state == "running" for one in now)
    left = seconds_left(rows(now), running) if timed and running else None
    words += [f"{told(left)} left"] if left is not None else []
    return f"{plan.name} · {', '.join(words)}"
