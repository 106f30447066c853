"""Kill a sweep again and again, and compare what comes out with a sweep that nobody disturbed.

    make test-kill                       two hundred kills, about twenty minutes on two cores
    python -m scripts.kill 20 7          twenty kills from seed 7

The sweep has eight runs: dense parents, sparse children that start from them, and int8 children of
those. Killed with SIGKILL are, at random, the process of the sweep, one of its workers, or all;
after a random time, or as soon as a file appears. The same command goes on until all is finished;
then the next sweep begins in a new folder. Of every sweep all files must be equal, but for what a
record says about circumstances, and no record may ever be lost or written twice.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from pruneexp.engine.record import FAILURE, RECORD

SETTINGS = [
    *["task.train=200", "task.valid=50", "task.test=60", "model.width=0.1", "device=cpu"],
    *["training.batch_size=16", "training.steps=60", "training.evaluations=4"],
    *["training.checkpoint_seconds=0", "pruning.schedule.interval=5", "workers=2"],
]
SWEEP = [
    *["run", "-m", *SETTINGS, "pruning.start=dense", "pruning.sparsity=0.5,0.9"],
    *["quantisation=none,rounding", "seed=0,1"],
]
RUNS = 10  # eight that are asked for, and two dense parents


def start(results: Path) -> subprocess.Popen[bytes]:
    """Begin the sweep, or go on with it. What it says is kept beside its folder."""
    with open(f"{results}.txt", "ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "pruneexp", *SWEEP, f"results={results}"],
            stdout=said,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def children(pid: int) -> list[int]:
    """The workers of a sweep."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait(sweep: subprocess.Popen[bytes], results: Path, random: Random) -> None:
    """For a random time, or until a file appears after one; less if the sweep ends."""
    until = time.monotonic() + random.uniform(0, 6)
    by_event = random.random() < 0.5
    names: set[Path] = set()
    while sweep.poll() is None:
        now = set(results.glob("runs/*/*"))
        if time.monotonic() > until and (not by_event or now - names):
            return
        names = now
        time.sleep(0.002)


def strike(sweep: subprocess.Popen[bytes], random: Random) -> str:
    """Kill the sweep, a worker or all. Returns which."""
    workers = children(sweep.pid)
    what = random.choice(["sweep", "worker", "all"]) if workers else "sweep"
    if what == "worker":
        kill(random.choice(workers))
        return what
    kill(sweep.pid)
    if what == "all":
        for worker in workers:
            kill(worker)
    sweep.wait()
    for worker in workers:  # without the sweep they leave at their next step
        while Path(f"/proc/{worker}").exists():
            time.sleep(0.01)
    return what


def records(results: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in results.glob(f"runs/*/{RECORD}")}


def outcome(results: Path) -> dict[str, Any]:
    """All that equal sweeps share, by file."""
    found: dict[str, Any] = {}
    for path in sorted(results.glob("runs/*/*")):
        name = str(path.relative_to(results))
        if path.name == RECORD:
            plain = json.loads(path.read_bytes())
            del plain["circumstances"], plain["checksum"]
            found[name] = plain
        elif path.name != "lease":  # it holds the number of the last process
            found[name] = path.read_bytes()
    for path in results.glob("reports/*/*.csv"):
        found[path.name] = "there"  # times differ, so that their text may
    return found


def main(kills: int, seed: int) -> None:
    random = Random(seed)
    began = time.monotonic()
    told = {"sweep": 0, "worker": 0, "all": 0}
    sweeps = starts = 0
    with tempfile.TemporaryDirectory() as name:
        undisturbed = start(Path(name) / "undisturbed")
        said = Path(name) / "undisturbed.txt"
        assert undisturbed.wait() == 0, said.read_text()
        expected = outcome(Path(name) / "undisturbed")
        assert len(records(Path(name) / "undisturbed")) == RUNS
        alone = time.monotonic() - began
        print(f"undisturbed: {RUNS} runs in {alone:.0f} s", flush=True)
        while sum(told.values()) < kills:
            results = Path(name) / f"sweep{sweeps}"
            seen: dict[str, bytes] = {}
            sweep = start(results)
            starts += 1
            while True:
                wait(sweep, results, random)
                if sweep.poll() is None and sum(told.values()) < kills:
                    told[strike(sweep, random)] += 1
                elif sweep.poll() is None:
                    sweep.wait()
                now = records(results)
                changed = [run for run, content in seen.items() if now.get(run) != content]
                assert not changed, f"records lost or written again: {changed}"
                seen = now
                if sweep.poll() == 0:
                    break
                if sweep.poll() is not None:
                    sweep = start(results)
                    starts += 1
            found = outcome(results)
            differing = [key for key in expected if found.get(key) != expected[key]]
            more = [key for key in found if key not in expected]
            assert not differing, f"sweep {sweeps} differs in {differing}"
            assert not more, f"sweep {sweeps} left {more}"
            assert not list(results.glob(f"runs/*/{FAILURE}"))
            sweeps += 1
            print(f"{sum(told.values())} kills, {sweeps} sweeps equal", flush=True)
    of = ", ".join(f"{count} of {what}" for what, count in told.items())
    print(
        f"{sum(told.values())} kills ({of}; seed {seed}) in {starts} starts of {sweeps} sweeps of "
        f"{RUNS} runs: no record lost or repeated, no file differs; "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    main(int(words[0]) if words else 200, int(words[1]) if len(words) > 1 else 0)
