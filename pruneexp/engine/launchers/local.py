"""Worker processes on this machine."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import ClassVar

from pruneexp.config.recipe import demand
from pruneexp.config.run import Run
from pruneexp.engine.launchers.launcher import Launcher, Started, worker_command
from pruneexp.engine.record import Failure
from pruneexp.engine.store import Store


@dataclass(kw_only=True, slots=True)
class Local(Launcher):
    """Processes on this machine that share the runs of a sweep."""

    word: ClassVar[str] = "local"
    workers: int = 0  # how many; 0: what the key `workers` says, or as many as pay

    def __post_init__(self) -> None:
        demand(self, workers=(self.workers >= 0, "a number of processes, 0 for as many as pay"))

    def start(self, store: Store, plan: Path, runs: Sequence[Run]) -> Started:
        asked = self.workers or runs[0].workers
        return Processes(store, plan, workers_that_pay(runs[0], len(runs), asked))


def workers_that_pay(run: Run, runs: int, asked: int = 0) -> int:
    """How many of `runs` like `run` go on side by side: as many as asked for, or with 0 one process
    for each core or group of `training.threads` cores, and on an accelerator one."""
    if asked:
        return min(asked, runs)
    if run.device not in ("auto", "cpu") or (
        run.device == "auto" and Path("/dev/nvidiactl").exists()
    ):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(runs, (cores or 1) // run.training.threads))


def _cause(code: int) -> str:
    """What ended a process, from its exit status."""
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"signal {-code} ({name}{hint})"


class Processes(Started):
    """Worker processes over one plan. A worker that dies is replaced, and its run is tried once
    more; a run that two workers died of is recorded as failed."""

    def __init__(self, store: Store, plan: Path, workers: int) -> None:
        self.store, self.plan, self.workers = store, plan, workers
        self.lines: list[str] = []
        self.deaths: dict[str, int] = {}  # by the run that a dead worker held
        self.told: set[int] = set()  # dead workers that have been spoken of
        self.stopping = False
        self.processes = [self._start() for _ in range(workers)]

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*worker_command(self.store, self.plan), "--attached"],
            stdin=subprocess.PIPE,  # closes when this process is gone, and the worker leaves
            stderr=subprocess.PIPE,
            text=True,
            # One thread unless the run says otherwise: two busy processes with two threads each
            # are many times slower.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C reaches this process alone, which passes it on once
        )
        Thread(target=self._read, args=[process], daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stderr is not None
        with process.stdin, process.stderr:  # both are closed when the worker has left
            for line in process.stderr:
                self.lines.append(line.rstrip("\n"))

    def said(self) -> Iterator[str]:
        while self.lines:
            yield self.lines.pop(0)

    def tend(self) -> bool:
        for index, process in enumerate(self.processes):
            code = process.poll()
            if code in (None, 0) or self.stopping or process.pid in self.told:
                continue
            self.told.add(process.pid)
            if self._note_death(process.pid, _cause(code)):
                self.processes[index] = self._start()
        return any(process.poll() is None for process in self.processes)

    def _note_death(self, pid: int, died_of: str) -> bool:
        """Note which run a dead worker held. False if it held none, since then no run is at fault
        and another worker would die in the same way; that is said."""
        for folder in self.store.folders():
            if folder.last_holder() == pid and folder.status() in ("waiting", "interrupted"):
                name = folder.path.name
                self.deaths[name] = self.deaths.get(name, 0) + 1
                why = f"its process died of {died_of}"
                if self.deaths[name] > 1:
                    why += ", twice"
                    folder.fail(Failure(error="Died", message=why))
                self.lines.append(f"{name}: {why}")
                return True
        self.lines.append(
            f"worker {pid} died of {died_of} before it had a run; its last lines are above, and "
            f"`{' '.join(worker_command(self.store, self.plan))}` does by itself what it did"
        )
        return False

    def stop(self) -> None:
        self.stopping = True
        for process in self.processes:
            process.terminate()

    def kill(self) -> None:
        self.stopping = True
        for process in self.processes:
            process.kill()
