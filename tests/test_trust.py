"""A run folder, plan or file from elsewhere runs no Python without --trust."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

import pruneexp
from pruneexp.cli import main
from pruneexp.config import factory
from pruneexp.config.recipe import Invalid, asked
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.plan import plan
from pruneexp.engine.record import BYTES, RECORD, Record
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.engine.work import work
from pruneexp.models import CustomModel
from pruneexp.pruning import Gradual
from pruneexp.pruning.start import FromRun
from pruneexp.tasks import CustomTask
from tests.conftest import Make, silent

PYTHON = """
from pathlib import Path
Path("it_ran").touch()
from torch import nn
def net(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(576, width), nn.ReLU(), nn.Linear(width, 47))
"""


@pytest.fixture
def foreign(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, RunFolder]:
    """A finished run of another author's network, and its folder. Importing the module leaves
    a file behind."""
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("from pathlib import Path\nPath('it_ran').touch()\n")
    (package / "nets.py").write_text(PYTHON)
    run = tiny(model=CustomModel(factory="elsewhere.nets:net", arguments={"width": 4}))
    record = execute(run, say=silent)
    forget()
    return run, run.store.find(record.fingerprint)


def forget() -> None:
    """As in a process that never imported the module."""
    for name in [name for name in sys.modules if name.startswith("elsewhere")]:
        del sys.modules[name]
    Path("it_ran").unlink(missing_ok=True)


def nothing_ran() -> bool:
    return not Path("it_ran").exists() and "elsewhere" not in sys.modules


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main.main(list(map(str, words)))
    return int(ended.value.code or 0)


COMMANDS = [
    ["export", "RUN", "-o", "m.onnx"],
    ["latency", "RUN", "--batch", "1"],
    ["bytes", "RUN"],
    ["pack", "RUN", "--fold", "-o", "m.pxp"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_commands_run_none_of_a_record_s_python(
    foreign: tuple[Run, RunFolder], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    run, folder = foreign
    (folder.path / BYTES).unlink()  # so that `bytes` has to measure
    asked_for = [str(folder.path) if word == "RUN" else word for word in words]
    assert command(*asked_for, "--results", run.results) == 2
    said = capsys.readouterr().err
    assert "model.factory=elsewhere.nets:net" in said
    assert str(folder.path / RECORD) in said
    assert "--trust" in said
    assert nothing_ran()


def test_trust_lets_it(foreign: tuple[Run, RunFolder]) -> None:
    _, folder = foreign
    assert command("export", folder.path, "-o", "m.safetensors", "--trust") == 0
    forget()
    with pytest.raises(Invalid, match="trust=True"):
        pruneexp.load(folder.path)
    assert nothing_ran()
    assert isinstance(pruneexp.load(folder.path, trust=True), nn.Sequential)


def test_what_needs_no_network_works(foreign: tuple[Run, RunFolder]) -> None:
    run, folder = foreign
    made = plan("title", "theirs", [run], [])
    run.store.save_plan(made)
    for words in (
        ["show", folder.path],
        ["status", "theirs"],
        ["report", "theirs"],
        ["pack", folder.path, "-o", "m.pxp"],
        ["clean"],
    ):
        assert command(*words, "--results", run.results) == 0
    assert nothing_ran()


def start_from(run: Run, folder: RunFolder) -> Run:
    start = FromRun(fingerprint=folder.fingerprint)
    return replace(run, pruning=Gradual(sparsity=0.5, start=start))


def test_a_start_from_a_run_makes_nothing_of_its_record(
    foreign: tuple[Run, RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    """The parent's weights fit a network of one's own; where they are damaged, the parent would
    have to be trained again, with its own Python."""
    run, folder = foreign
    mine = replace(run, model=CustomModel(factory="mine:net", arguments={"width": 4}))
    Path("mine.py").write_text(PYTHON.replace("it_ran", "mine_ran"))
    execute(start_from(mine, folder), say=silent)
    assert nothing_ran()
    (folder.path / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(Invalid, match=r"model\.factory=elsewhere\.nets:net.*--trust"):
        execute(replace(start_from(mine, folder), seed=1), say=silent)
    assert nothing_ran()
    assert folder.record() is not None
    trusting = replace(start_from(mine, folder), seed=1, trust=True)
    assert execute(trusting, say=silent).counts.nonzero > 0


def test_work_runs_a_plan_s_python_only_with_trust(foreign: tuple[Run, RunFolder]) -> None:
    run, _ = foreign
    other = replace(run, seed=7)
    path = run.store.save_plan(plan("title", "theirs", [other], []))
    heard: list[str] = []
    work(run.store, run.store.find_plan("theirs"), say=heard.append)
    assert "model.factory=elsewhere.nets:net" in heard[0]
    assert "the plan theirs" in heard[0]
    assert nothing_ran()
    store = Store(Path(run.results))
    for one in store.find_plan(str(path)).runs:
        store.folder(one.name).forget_failure()
    work(store, store.find_plan("theirs"), trust=True, say=heard.append)
    assert store.folder(plan("", "", [other], []).runs[0].name).status() == "finished"


def test_a_plan_cannot_vouch_for_the_records_it_starts_from(
    foreign: tuple[Run, RunFolder],
) -> None:
    """`trust` inside a file says nothing without --trust."""
    run, folder = foreign
    child = replace(start_from(run, folder), trust=True)
    made = plan("title", "theirs", [child], [])
    assert all(one.run["trust"] for one in made.runs)
    (folder.path / "weights.safetensors").unlink()
    run.store.save_plan(made)
    heard: list[str] = []
    work(run.store, run.store.find_plan("theirs"), say=heard.append)
    assert any("--trust" in line for line in heard)
    assert nothing_ran()


def test_a_forged_record_of_a_built_in_network_takes_no_memory_and_no_code(
    tiny: Make,
) -> None:
    run = tiny()
    record = execute(run, say=silent)
    folder = run.store.find(record.fingerprint)
    for model, says in (
        ({"width": 1e6}, "does not fit its own configuration|makes no network"),
        ({"option": "no_such"}, "model takes"),
        ({"extra": 1}, r"model\.extra is no key"),
        ({"layout": ["small"]}, r"model\.layout takes"),
    ):
        plain = record.to_plain()
        plain["configuration"]["model"] |= model
        files.save_json(folder.path / RECORD, plain)
        with pytest.raises(files.Damaged, match=says):
            pruneexp.load(folder.path)
    files.save_json(folder.path / RECORD, record.to_plain())
    pruneexp.load(folder.path)


def test_an_own_data_set_needs_no_trust_where_only_the_network_is_used(tiny: Make) -> None:
    run = tiny()
    record = execute(run, say=silent)
    folder = run.store.find(record.fingerprint)
    plain = record.to_plain()
    task = CustomTask(factory="nowhere:data", channels=1, pixels=24, classes=47)
    plain["configuration"]["task"] = asked(task)
    files.save_json(folder.path / RECORD, plain)
    assert json.loads((folder.path / RECORD).read_text())["configuration"]["task"]["factory"]
    assert isinstance(folder.record(), Record)
    pruneexp.load(folder.path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('raise RuntimeError("needs a licence")', "RuntimeError: needs a licence"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    ],
)
def test_a_package_that_cannot_be_imported_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, why: str
) -> None:
    package = f"package_{len(content)}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(content)
    (tmp_path / package / "net.py").write_text("def make(): ...")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid, match=re.escape(f"cannot be imported ({why})")):
        factory.check(f"{package}.net:make", "model.factory")
