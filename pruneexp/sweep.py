"""Sweeps: a plan of runs, workers that claim them, and where each stands.

A plan holds parents first and each run once. Workers take what is not finished, not held by
another and not waiting for a parent; a run that fails leaves its error and the others go on. A
start after an interruption takes up what is left.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from pruneexp import files
from pruneexp.config import Run, fingerprint, name, parent, restore
from pruneexp.recipe import asked
from pruneexp.record import Plan, Planned, Progress
from pruneexp.store import Store

PATIENCE = 0.3  # seconds between two looks at what can be taken


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one run of a plan stands."""

    planned: Planned
    state: str  # finished, running, failed, interrupted, waiting
    progress: Progress | None = None
    test: str = ""  # the finished run's test metric, with its unit
    error: str = ""


def plan(title: str, called: str, runs: list[Run], unreadable: list[dict[str, str]]) -> Plan:
    """Every run once, each after the one it starts from."""
    planned: dict[str, Planned] = {}

    def add(run: Run, wanted: bool) -> str:
        key = name(run)
        before = parent(run)
        waits_for = None if before is None else add(before, False)
        if key not in planned:
            planned[key] = Planned(
                fingerprint=fingerprint(run),
                name=key,
                run=asked(run, everything=True),
                parent=waits_for,
                wanted=wanted,
            )
        planned[key].wanted |= wanted
        if not wanted:  # others start from it, so its weights are kept
            planned[key].run["keep"] = "weights"
        return key

    for run in runs:
        add(run, True)
    return Plan(name=called, title=title, runs=list(planned.values()), unreadable=unreadable)


def standings(store: Store, made: Plan) -> list[Standing]:
    return [_standing(store, planned) for planned in made.runs]


def _standing(store: Store, planned: Planned) -> Standing:
    folder = store.folder(planned.name)
    state = folder.status()
    try:
        if state == "finished":
            record = folder.record_or_fail()
            value = record.metrics["test"][record.metric["name"]]
            return Standing(planned, state, test=f"{value:.2f} {record.metric['unit']}".strip())
        if state == "failed":
            failure = folder.failure() or {}
            return Standing(planned, state, error=str(failure.get("message", "")))
    except files.Damaged as error:
        return Standing(planned, "damaged", error=str(error))
    return Standing(planned, state, folder.progress())


def work(
    store: Store,
    made: Plan,
    *,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> None:
    """Take runs of the plan, one after the other, until none is left to take."""
    from pruneexp.execute import Busy, execute, failure
    from pruneexp.training.fit import Stopped

    given_up: set[str] = set()
    while not stop():
        left = [run for run in made.runs if run.name not in given_up and _open(store, run)]
        if not left:
            return
        for planned in left:
            if planned.parent and store.folder(planned.parent).status() != "finished":
                if planned.parent in given_up or not _parent_may_finish(store, made, planned):
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


def _parent_may_finish(store: Store, made: Plan, planned: Planned) -> bool:
    """A failed parent, or one that its own parent keeps from starting, holds its children back."""
    assert planned.parent is not None
    if store.folder(planned.parent).status() == "failed":
        return False
    above = next(run for run in made.runs if run.name == planned.parent)
    return above.parent is None or _parent_may_finish(store, made, above)


def workers_that_pay(run: Run, runs: int) -> int:
    """One process for each core or group of `training.threads`; on an accelerator one."""
    if run.workers:
        return min(run.workers, runs)
    if run.device not in ("auto", "cpu") or (
        run.device == "auto" and Path("/dev/nvidiactl").exists()
    ):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(runs, (cores or 1) // run.training.threads))


class Pool:
    """Worker processes over one plan on this machine. A worker that dies is replaced, and its run
    tried once more; a run that two workers died of is recorded as failed."""

    def __init__(self, store: Store, plan_path: Path, workers: int) -> None:
        self.store, self.plan_path = store, plan_path
        self.lines: list[str] = []
        self.deaths: dict[str, int] = {}
        self.stopping = False
        self.processes = [self._start() for _ in range(workers)]

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pruneexp", "work", str(self.plan_path), "--attached"]
        process = subprocess.Popen(
            [*command, "--results", str(self.store.results)],
            stdin=subprocess.PIPE,  # closes when this process is gone, and the worker leaves
            stderr=subprocess.PIPE,
            text=True,
            # One thread unless the run says otherwise: two busy processes with two threads each
            # are many times slower.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C is ours to pass on, once
        )
        Thread(target=self._read, args=[process], daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(line.rstrip("\n"))

    def said(self) -> Iterator[str]:
        """What workers have said since the last call."""
        while self.lines:
            yield self.lines.pop(0)

    def tend(self) -> bool:
        """Replace workers that died. False once all have left."""
        for index, process in enumerate(self.processes):
            code = process.poll()
            if code not in (None, 0) and not self.stopping:
                died_of = f"signal {-code}" if code < 0 else f"exit status {code}"
                if self._bury(process.pid, died_of):
                    self.processes[index] = self._start()
        return any(process.poll() is None for process in self.processes)

    def _bury(self, pid: int, died_of: str) -> bool:
        """Note which run a dead worker held. False if none: then the fault is not a run's."""
        for folder in self.store.folders():
            if folder.last_holder() == pid and folder.status() in ("waiting", "interrupted"):
                name = folder.path.name
                self.deaths[name] = self.deaths.get(name, 0) + 1
                why = f"its process died of {died_of}"
                if self.deaths[name] > 1:
                    why += ", twice; is it out of memory?"
                    folder.fail({"error": "Died", "message": why, "step": None})
                self.lines.append(f"{name}: {why}")
                return True
        return False

    def stop(self) -> None:
        """Ask every worker to write its checkpoint and leave."""
        self.stopping = True
        for process in self.processes:
            process.terminate()

    def kill(self) -> None:
        self.stopping = True
        for process in self.processes:
            process.kill()
