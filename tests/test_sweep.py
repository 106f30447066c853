"""Plans, workers and the union sweeper."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pruneexp.cli.grids import points
from pruneexp.cli.sweep import plan_name
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.launchers.local import workers_that_pay
from pruneexp.engine.plan import plan, standings
from pruneexp.engine.record import FAILURE, RECORD
from pruneexp.engine.work import work
from pruneexp.pruning.start import FromDense
from pruneexp.training.optimiser import SGD
from tests.conftest import tiny_gradual

Make = Callable[..., Run]

TINY = [
    *["task.train=200", "task.valid=50", "task.test=60", "model.width=0.1", "device=cpu"],
    *["training.batch_size=16", "training.steps=12", "training.evaluations=4"],
]


def pruneexp(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pruneexp", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def silent(line: str) -> None:
    """Say nothing."""


class TestPlan:
    def test_parents_come_first_and_once(self, tiny: Make) -> None:
        children = [tiny(tiny_gradual(start=FromDense(), sparsity=s)) for s in (0.5, 0.9)]
        dense = tiny()
        made = plan("title", "mine", [children[0], dense, children[1]], [])
        names = [run.name for run in made.runs]
        assert names == [name(dense), name(children[0]), name(children[1])]
        assert [run.wanted for run in made.runs] == [True, True, True]
        assert made.runs[1].parents == {"weights": name(dense)}
        alone = plan("title", "mine", children, [])
        assert [run.wanted for run in alone.runs] == [False, True, True]

    def test_grids_are_a_union_multiplied_with_the_command_line(self) -> None:
        union = [{"pruning": "none", "model.width": [0.5, 1.0]}, {"pruning.sparsity": "0.5,0.9"}]
        assert points(union, ["seed=1,2"]) == [
            ["pruning=none", "model.width=0.5", "seed=1"],
            ["pruning=none", "model.width=0.5", "seed=2"],
            ["pruning=none", "model.width=1.0", "seed=1"],
            ["pruning=none", "model.width=1.0", "seed=2"],
            ["pruning.sparsity=0.5", "seed=1"],
            ["pruning.sparsity=0.5", "seed=2"],
            ["pruning.sparsity=0.9", "seed=1"],
            ["pruning.sparsity=0.9", "seed=2"],
        ]

    def test_the_command_line_wins_over_every_grid(self) -> None:
        union = [
            {"pruning": "none", "model.width": "0.25,1.0", "training.steps": "5,9"},
            {"pruning.sparsity": "0.5,0.9"},
        ]
        assert points(union, ["model.width=0.5", "training.steps=10"]) == [
            ["pruning=none", "model.width=0.5", "training.steps=10"],
            ["pruning.sparsity=0.5", "model.width=0.5", "training.steps=10"],
            ["pruning.sparsity=0.9", "model.width=0.5", "training.steps=10"],
        ]
        assert points(union[1:], ["pruning=none"]) == [["pruning=none"]]

    def test_an_axis_on_the_command_line_replaces_it(self) -> None:
        union = [{"pruning": "none"}, {"pruning.sparsity": "0.5,0.9"}]
        assert points(union, ["pruning.sparsity=0.7"]) == [
            ["pruning=none"],
            ["pruning.sparsity=0.7"],
        ]
        assert points([], ["seed=3,3,4"]) == [["seed=3"], ["seed=4"]]

    def test_what_is_said_of_pruning_is_not_said_of_dense_points(self) -> None:
        union = [{"pruning": "none", "model.width": [0.5]}, {"pruning.sparsity": 0.9}]
        assert points(union, ["pruning.start=dense", "pruning/schedule=linear"]) == [
            ["pruning=none", "model.width=0.5"],
            ["pruning.sparsity=0.9", "pruning.start=dense", "pruning/schedule=linear"],
        ]
        assert points([{"training.clip": None, "pruning.revive": False}], []) == [
            ["training.clip=null", "pruning.revive=false"]
        ]
        with pytest.raises(Invalid, match="experiment takes one experiment"):
            points([], ["experiment=a,b"])

    def test_a_plan_is_called_by_what_names_its_runs(self) -> None:
        assert plan_name("table2_small", ["experiment=table2_small", "results=x"]) == "table2_small"
        assert plan_name(None, ["seed=1,2", "+a.b=c/d"]) == "sweep+seed=1,2++a.b=c_d"
        assert len(plan_name(None, [f"model.width={'0.5,' * 50}1"])) == 100

    def test_workers_that_pay(self, tiny: Make) -> None:
        cores = len(os.sched_getaffinity(0))
        assert workers_that_pay(tiny(), 100) == cores
        assert workers_that_pay(tiny(), 1) == 1
        assert workers_that_pay(tiny(), 100, asked=7) == 7
        assert workers_that_pay(tiny(threads=cores), 100) == 1
        assert workers_that_pay(tiny(device="cuda"), 100) == 1


class TestWork:
    def test_a_failing_run_fails_alone_and_holds_back_its_children(self, tiny: Make) -> None:
        diverging = {"learning_rate": 1e30, "optimiser": SGD(momentum=0.0)}
        bad = tiny(**diverging)
        child = tiny(tiny_gradual(start=FromDense()), **diverging)
        good = tiny(tiny_gradual())
        made = plan("", "mine", [child, good], [])
        lines: list[str] = []
        work(good.store, made, say=lines.append)
        states = {s.planned.name: s for s in standings(good.store, made)}
        assert states[name(good)].state == "finished"
        assert states[name(good)].test.endswith("%")
        assert states[name(bad)].state == "failed"
        assert "step" in states[name(bad)].error
        assert states[name(child)].state == "waiting"
        assert any(line.startswith(f"{name(bad)} failed: ") for line in lines)

    def test_asked_to_stop_it_leaves(self, tiny: Make) -> None:
        run = tiny()
        made = plan("", "mine", [run], [])
        work(run.store, made, stop=lambda: True, say=silent)
        assert standings(run.store, made)[0].state == "waiting"

    def test_a_damaged_record_is_shown_and_made_again(self, tiny: Make) -> None:
        run = tiny()
        made = plan("", "mine", [run], [])
        work(run.store, made, say=silent)
        path = run.store.folder(name(run)).path / RECORD
        path.write_text("{}")
        (standing,) = standings(run.store, made)
        assert standing.state == "damaged" and str(path) in standing.error
        lines: list[str] = []
        work(run.store, made, say=lines.append)
        assert standings(run.store, made)[0].state == "finished"
        assert "is damaged" in lines[0]


class TestCommand:
    def test_a_sweep_from_yaml_to_plot(self, tmp_path: Path) -> None:
        sweep = ["run", "-m", *TINY, "pruning.sparsity=0.5,1.5,0.9", "pruning.start=dense"]
        done = pruneexp(*sweep, cwd=tmp_path)
        assert done.returncode == 1  # one point cannot be read
        assert "pruning.sparsity takes a number in [0, 1), got 1.5" in done.stderr
        states = json.loads(pruneexp("status", "--format", "json", cwd=tmp_path).stdout)
        assert [run["state"] for run in states["runs"]] == ["finished"] * 3
        assert states["unreadable"][0]["error"].startswith("pruning.sparsity takes")
        reports = tmp_path / "results" / "reports" / states["plan"]
        assert {"parameters.png", "megabytes.pdf", "table.csv", "report.md"} <= {
            path.name for path in reports.iterdir()
        }
        again = pruneexp(*sweep, cwd=tmp_path)
        assert "running" not in again.stderr  # nothing is repeated

    def test_a_dry_run_lists_and_weighs_and_starts_nothing(self, tmp_path: Path) -> None:
        done = pruneexp(
            "run", "experiment=table2_small", "dry_run=true", "format=json", cwd=tmp_path
        )
        rows = json.loads(done.stdout)
        assert [row["nonzero"] for row in rows] == [
            293_359,
            *(151_023, 151_840),  # a sparse model and the dense one of its size
            *(79_855, 80_065),
            *(37_154, 37_194),
            *(23_177, 23_167),
        ]
        assert {row["state"] for row in rows} == {"waiting"}
        assert not (tmp_path / "results").exists()

    def test_ctrl_c_stops_cleanly_and_the_next_start_goes_on(self, tmp_path: Path) -> None:
        long = ["-m", *TINY, "training.steps=400", "seed=0,1", "workers=2"]
        command = [sys.executable, "-m", "pruneexp", "run", *long]
        started = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        runs = tmp_path / "results" / "runs"
        while len(list(runs.glob("*/progress.json"))) < 2 and started.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
        assert started.returncode == 130
        assert "the same command goes on from here" in errors
        assert len(list(runs.glob("*/checkpoint.bin"))) == 2
        assert not list(runs.glob("*/.*.tmp"))
        done = pruneexp("run", *long, cwd=tmp_path)
        assert done.returncode == 0
        assert done.stderr.count("goes on at step") == 2
        whole = pruneexp("run", *long, "results=whole", cwd=tmp_path)
        assert whole.returncode == 0
        for folder in runs.iterdir():
            here, there = folder, tmp_path / "whole" / "runs" / folder.name
            weights = "weights.safetensors"
            assert (here / weights).read_bytes() == (there / weights).read_bytes()

    def test_a_worker_that_is_killed_leaves_its_run_to_another(self, tmp_path: Path) -> None:
        long = [*TINY, "training.steps=300", "training.checkpoint_seconds=0", "workers=2"]
        command = [sys.executable, "-m", "pruneexp", "run", "-m", *long, "seed=0,1"]
        started = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        runs = tmp_path / "results" / "runs"
        while len(list(runs.glob("*/checkpoint.bin"))) < 2 and started.poll() is None:
            time.sleep(0.02)
        children = subprocess.run(
            ["pgrep", "-P", str(started.pid)], capture_output=True, text=True, check=True
        )
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        started.communicate(timeout=120)
        assert started.returncode == 0
        assert len(list(runs.glob("*/record.json"))) == 2
        assert not list(runs.glob(f"*/{FAILURE}"))


POISON = """
import os, signal
from torch import nn
def net(die=0):
    if die == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if die == 2:
        raise SystemExit("no")
    return nn.Sequential(nn.Flatten(), nn.Linear(576, 47))
"""


def test_a_run_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    own = [word for word in TINY if not word.startswith("model.")]
    own += ["model=custom", "model.factory=poison:net", "+model.arguments.die=1,2,0,3"]
    done = pruneexp("run", "-m", *own, "workers=2", cwd=tmp_path)
    assert done.returncode == 1
    states = json.loads(pruneexp("status", "--format", "json", cwd=tmp_path).stdout)["runs"]
    assert [run["state"] for run in states] == ["failed", "failed", "finished", "finished"]
    assert "died of signal 9" in states[0]["error"]
    assert "SystemExit" in states[1]["error"]


def test_workers_leave_with_the_process_that_started_them(tmp_path: Path) -> None:
    long = [*TINY, "training.steps=100000", "seed=0,1", "workers=2"]
    command = [sys.executable, "-m", "pruneexp", "run", "-m", *long]
    started = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    runs = tmp_path / "results" / "runs"
    while len(list(runs.glob("*/progress.json"))) < 2 and started.poll() is None:
        time.sleep(0.05)
    workers = [int((path / "lease").read_text()) for path in runs.iterdir()]
    started.kill()
    started.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert len(list(runs.glob("*/checkpoint.bin"))) == 2


def test_two_starts_of_one_plan_share_the_work(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pruneexp", "run", "-m", *TINY, "seed=0,1,2", "workers=1"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        process.communicate(timeout=120)
    assert [process.returncode for process in both] == [0, 0]
    assert len(list((tmp_path / "results" / "runs").glob("*/record.json"))) == 3


@pytest.mark.parametrize("first", [True, False])
def test_order_in_a_plan_is_no_part_of_its_runs(tiny: Make, first: bool) -> None:
    runs = [tiny(), tiny(tiny_gradual())]
    made = plan("", "mine", runs if first else runs[::-1], [])
    assert {run.name for run in made.runs} == {name(run) for run in runs}
    assert all(
        run.run == plan("", "", [replace(r)], []).runs[0].run
        for run, r in zip(made.runs, runs if first else runs[::-1], strict=True)
    )
