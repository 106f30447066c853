"""A report over ten thousand finished runs: the first, and a second that reads only what changed.

The runs are invented, their files are as real ones': twenty curves of a hundred levels with five
seeds, each with its record, its bytes and its history.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pruneexp.config.curve import describe
from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    HISTORY,
    RECORD,
    Budget,
    Counts,
    Metric,
    Plan,
    Planned,
    Record,
)
from pruneexp.engine.store import Store
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import Cubic
from pruneexp.tasks import Glyphs
from pruneexp.training import Training

RUNS = 10_000
CURVES, SEEDS = 20, 5
WORDS = ("auto", "dense", "bitmask", "runs4", "runs5", "escape4", "escape5", "csr", "golomb")
ACCURACY = Metric(name="accuracy", unit="%", higher_is_better=True, digits=1)


def report() -> None:
    """Seconds, processor seconds and memory of a first and of a second report."""
    print("\nA report over finished runs (20 curves, five seeds a point)")
    first: dict[int, float] = {}
    for runs in (RUNS // 10, RUNS):
        with tempfile.TemporaryDirectory() as folder:
            invent(Path(folder), runs)
            for which in ("first", "second"):
                wall, cpu, own, drawing = _timed(Path(folder))
                first.setdefault(runs, cpu)
                print(
                    f"  {runs:6,} runs, {which:<6} report: {wall:6.2f} s, {cpu:6.2f} s of a "
                    f"processor, {own:4.0f} MB, and up to {drawing:4.0f} MB in each process that "
                    "draws, in part the same"
                )
    print(f"  ten times the runs take {first[RUNS] / first[RUNS // 10]:.1f} times the time")


def _timed(results: Path) -> tuple[float, float, float, float]:
    """Seconds, seconds of processors, and the peaks in megabytes: of the report's own process, and
    of the largest that draws for it."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(results)], check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - began
    own, drawing = map(float, done.stdout.split()[-2:])
    return wall, cpu, own, drawing


# `ru_maxrss` of a new process begins with what its parent held, VmHWM does not.
CHILD = """
import resource, sys
from pathlib import Path
from pruneexp.engine.store import Store
from pruneexp.report import report
store = Store(Path(sys.argv[1]))
report(store, store.find_plan("many"))
status = Path("/proc/self/status").read_text().splitlines()
own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(own / 1000, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""


def invent(results: Path, count: int) -> None:
    """Finished runs with a plan called "many"."""
    levels = count // CURVES // SEEDS
    planned = []
    for curve in range(CURVES):
        for level in range(levels):
            for seed in range(SEEDS):
                run = _run(curve, level, levels, seed)
                record = _record(run, curve, level, levels, seed)
                _write(results / "runs" / record.name, record)
                planned.append(
                    Planned(fingerprint=record.fingerprint, name=record.name, run=asked(run))
                )
    Store(results).save_plan(Plan(name="many", title="Many runs", runs=planned))


def _run(curve: int, level: int, levels: int, seed: int) -> Run:
    """Curve 0 is dense at many widths; the others are pruned with another interval each."""
    share = (level + 1) / (levels + 1)
    pruning: Pruning = Dense()
    if curve:
        pruning = Gradual(sparsity=round(share, 6), schedule=Cubic(interval=curve))
    return Run(
        task=Glyphs(),
        model=MobileNetV1(width=1.0 if curve else round(share, 6), layout="small"),
        training=Training(),
        pruning=pruning,
        seed=seed,
    )


def _record(run: Run, curve: int, level: int, levels: int, seed: int) -> Record:
    share = (level + 1) / (levels + 1)
    nonzero = int(1e6 * (1 - share if curve else share**2)) + 1
    test = 90 - 10 / (1 + nonzero / 1e5) + 0.1 * curve + 0.05 * seed
    return Record(
        fingerprint=fingerprint(run),
        name=name(run),
        configuration=asked(run),
        seed=seed,
        curve=describe(run),
        parents={},
        budget=Budget(
            steps=1000,
            examples=128_000,
            total_steps=1000,
            total_examples=128_000,
            spent_steps=1000,
            spent_examples=128_000,
        ),
        metric=ACCURACY,
        chosen_by=ACCURACY,
        references={},
        step=900,
        valid={"accuracy": test + 1, "loss": 0.5},
        test={"accuracy": test, "loss": 0.5},
        counts=Counts(
            parameters=10**6,
            prunable=10**6,
            nonzero=nonzero,
            batch_norm=1000,
            groups=[],
            multiply_adds=10**7,
            sparse_multiply_adds=10 * nonzero,
        ),
        checksums={"data": "abcdef0123", "weights": "0" * 64, "masks": "0" * 64},
        circumstances={"seconds": 30.0, "torch": "2", "device": "cpu", "threads": 1},
    )


def _write(folder: Path, record: Record) -> None:
    folder.mkdir(parents=True)
    nonzero = record.counts.nonzero
    _save(folder / RECORD, record.to_plain())
    _save(folder / BYTES, _bytes(nonzero))
    rows = ["step,rate,loss,sparsity,valid_accuracy,valid_loss"]
    rows += [f"{step},0.1,0.5,0.5,80,0.5" for step in range(10, 1010, 10)]
    (folder / HISTORY).write_text("\n".join(rows) + "\n")


def _save(path: Path, data: dict[str, Any]) -> None:
    path.write_bytes(b"".join(files.json_parts(data)))  # without waiting for the disk


def _bytes(nonzero: int) -> dict[str, Any]:
    def state(more: int) -> dict[str, Any]:
        row = {
            "bytes": 5 * nonzero + more,
            "position_bytes": nonzero,
            "value_bytes": 4 * nonzero,
            "filler_bytes": 0,
            "overhead_bytes": more,
        }
        return {
            "dense_bytes": 4_000_000,
            "encodings": dict.fromkeys((*WORDS, "rows", "columns"), row),
            "values": dict.fromkeys(("fp32", "fp16", "bf16", "int8"), row),
        }

    return json.loads(
        json.dumps(
            {
                "version": 1,
                "prunable": 10**6,
                "kept": nonzero,
                "bound_bytes": 0.9 * nonzero,
                "batch_norm_kept": state(2000),
                "batch_norm_folded": state(1000),
                "refused": {},
            }
        )
    )
