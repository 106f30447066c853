"""Launchers: chosen by hydra/launcher, read by type, and open to others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest
from hydra.core.config_store import ConfigStore

from pruneexp.cli.compose import compose
from pruneexp.cli.main import main
from pruneexp.cli.sweep import Sweep, read_sweep, sweep
from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.launchers import Launcher, Local, Started
from pruneexp.engine.launchers.local import Processes
from pruneexp.engine.store import Store
from pruneexp.engine.work import work
from tests.test_sweep import TINY

Make = Callable[..., Run]
ARGUMENTS = [*TINY, "seed=0,1"]


@dataclass(kw_only=True, slots=True)
class InAThread(Launcher):
    """One thread of this process does all the work."""

    word: ClassVar[str] = "thread"
    started: ClassVar[list[Started]]  # by the test that is under way
    most_lines: int = 10

    def start(self, store: Store, plan: Path, runs: Sequence[Run]) -> Started:
        self.started.append(OneThread(store, plan, len(runs)))
        return self.started[-1]


class OneThread(Started):
    workers = 1

    def __init__(self, store: Store, plan: Path, runs: int) -> None:
        self.runs = runs
        self.lines: list[str] = ["the thread has begun"]
        self.asked_to_stop = Event()
        self.killed = False
        work_on = partial(
            work,
            store,
            store.find_plan(str(plan)),
            stop=self.asked_to_stop.is_set,
            say=self.lines.append,
        )
        self.thread = Thread(target=work_on, daemon=True)
        self.thread.start()

    def tend(self) -> bool:
        return self.thread.is_alive()

    def said(self) -> list[str]:
        lines, self.lines[:] = list(self.lines), []
        return lines

    def stop(self) -> None:
        self.asked_to_stop.set()

    def kill(self) -> None:
        self.killed = True
        self.asked_to_stop.set()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder whose conf/ has the YAML of the launcher above, which has its entry."""
    before = dict(ConfigStore.instance().repo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(OPTIONS, "hydra/launcher", (*OPTIONS["hydra/launcher"], InAThread))
    InAThread.started = []
    path = tmp_path / "conf" / "hydra" / "launcher" / "thread.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("defaults: [base_thread]\n")
    yield tmp_path
    ConfigStore.instance().repo = before


def asked(*words: str) -> Sweep:
    composed = compose(["-m", *ARGUMENTS, *words])
    assert composed.grids is not None
    return read_sweep(composed.grids)


def test_a_launcher_is_one_class_one_entry_and_one_yaml(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "--config-dir", "conf", "hydra/launcher=thread", *ARGUMENTS])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert "the thread has begun" in said.err
    assert len(list((folder / "results" / "runs").glob("*/record.json"))) == 2
    (started,) = InAThread.started
    assert started.runs == 2 and not started.killed


def test_a_finished_sweep_starts_no_launcher(folder: Path) -> None:
    for _ in range(2):
        assert sweep(asked("--config-dir", "conf", "hydra/launcher=thread")) == 0
    assert len(InAThread.started) == 1


def test_an_error_while_the_display_is_shown_ends_all_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*arguments: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("pruneexp.cli.live.Display.show", closed)
    with pytest.raises(BrokenPipeError):
        sweep(asked("--config-dir", "conf", "hydra/launcher=thread"))
    assert InAThread.started[0].killed
    InAThread.started[0].thread.join()


def test_keys_of_a_launcher_are_typed(folder: Path) -> None:
    words = ["--config-dir", "conf", "hydra/launcher=thread", "hydra.launcher.most_lines=3"]
    assert asked(*words).launcher == InAThread(most_lines=3)


def test_local_is_the_default_and_workers_its_short_form(folder: Path) -> None:
    assert asked().launcher == Local()
    assert asked("hydra.launcher.workers=2").launcher == Local(workers=2)
    short = asked("workers=2")
    assert short.launcher == Local() and short.runs[0].workers == 2


def test_how_many_processes_are_started(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "_start", lambda self: None)
    runs = [tiny(workers=3, seed=seed) for seed in range(5)]

    def started(launcher: Launcher, runs: list[Run]) -> int:
        return launcher.start(runs[0].store, tmp_path / "plan.json", runs).workers

    assert started(Local(), runs) == 3
    assert started(Local(workers=4), runs) == 4
    assert started(Local(workers=4), runs[:2]) == 2
    assert name(runs[0]) == name(tiny(seed=0))  # where runs go on is no part of their names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.launcher.wrokers=2"], "hydra.launcher.wrokers is no key here (did you mean"),
        (["hydra.launcher.workers=many"], "hydra.launcher.workers takes a whole number, got many"),
        (["hydra.launcher.workers=-1"], "hydra.launcher.workers takes a number of processes"),
        (["hydra/launcher=basic"], "hydra/launcher takes local or thread, got basic"),
        (["hydra/launcher=joblib"], "hydra/launcher takes local, got joblib"),
        (["hydra/launcher=submitit_local"], "hydra/launcher takes local, got submitit_local"),
    ],
)
def test_what_is_no_launcher_is_refused_with_what_there_is(
    words: list[str], message: str, folder: Path
) -> None:
    with pytest.raises(Invalid) as invalid:
        asked(*words)
    assert message in str(invalid.value)
