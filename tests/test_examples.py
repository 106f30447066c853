"""The files under examples/ run as they stand, with fewer steps."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pruneexp.engine.execute import execute
from pruneexp.models import MobileNetV1
from tests.conftest import Make, silent, tiny_gradual

EXAMPLES = Path(__file__).parent.parent / "examples"


def loaded(name: str) -> dict[str, Any]:
    """The names of an example's file."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile((EXAMPLES / f"{name}.py").read_text(), name, "exec"), names)
    return names


def test_a_loop_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = loaded("own_loop")["main"](steps=30, file=tmp_path / "own.pxp")
    assert size == (tmp_path / "own.pxp").stat().st_size
    assert "1,894 of 18,944 weights" in capsys.readouterr().out


def test_a_trainer() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    assert loaded("hugging_face")["main"](steps=12) == pytest.approx(0.8, abs=0.01)


def commands() -> list[str]:
    """Those in the docstring of mine.py, as they would be pasted."""
    text = (EXAMPLES / "mine.py").read_text().split('"""')[1].replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith("pruneexp ")]


def test_a_network_and_data_of_your_own(tmp_path: Path) -> None:
    train, choose = commands()
    (tmp_path / "mine.py").write_text((EXAMPLES / "mine.py").read_text())
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def shell(line: str) -> str:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shell(f"{train} training.steps=12 training.evaluations=2 seed=0 workers=1")
    (plan,) = (tmp_path / "results" / "plans").glob("*.json")
    (page,) = (tmp_path / "results" / "reports").glob("*/report.md")
    kept = bool(json.loads(plan.read_text())["left_out"])
    assert ("What was not made" in page.read_text()) == kept
    said = shell(choose)
    assert said.startswith("For 0.012 MB: ")
    packed = next(line for line in said.splitlines() if line.startswith("pack it:"))
    shell(packed.partition(":")[2])
    assert (tmp_path / "model.pxp").stat().st_size <= 12_000


def test_the_notebook(tiny: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for run in (tiny(), tiny(tiny_gradual()), tiny(model=MobileNetV1(width=0.2, layout="small"))):
        execute(run, say=silent)
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / "choosing.ipynb").read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["answer"].choices[0].pick is not None
    assert not any(cell.get("outputs") for cell in cells)
