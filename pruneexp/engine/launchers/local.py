"""Worker processes on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from pruneexp.config.run import Run
from pruneexp.engine.store import Store


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
