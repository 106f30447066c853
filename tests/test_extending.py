"""docs/extending.md, followed to the letter: each example's file, entry, YAML and test are written
into a copy of the project, and the examples' own tests are run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^`([\w./-]+)`\n+```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("pruneexp", "conf", "hydra_plugins", "tests", "pyproject.toml")
SEAMS = [
    *("criterion", "schedule", "allocation", "structure", "method", "model family", "task"),
    *("encoding", "optimiser", "launcher", "measurement", "figure", "claim", "logger"),
    "experiment",
]


def blocks() -> list[tuple[str, str, str]]:
    """Path, language and content of every named block of the page."""
    return BLOCK.findall(PAGE.read_text())


def apply(root: Path, path: str, language: str, content: str) -> None:
    """Write a new file, or change an existing one as a diff says."""
    target = root / path
    if language != "diff":
        assert not target.exists(), f"{path} exists already"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return
    lines = content.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = target.read_text()
    assert text.count(before) == 1, f"{path} holds {text.count(before)} times:\n{before}"
    target.write_text(text.replace(before, after))


def test_every_seam_has_a_worked_example_with_a_test() -> None:
    headings = re.findall(r"^## An? (.*)$", PAGE.read_text(), re.MULTILINE)
    assert headings == SEAMS
    for section in re.split(r"^## An? ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        paths = [path for path, _, _ in BLOCK.findall(section)]
        assert any(path.startswith("tests/test_") for path in paths), section.splitlines()[0]


def test_the_examples_work_as_written(tmp_path: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    tests = []
    for path, language, content in blocks():
        apply(tmp_path, path, language, content)
        tests += [path] if path.startswith("tests/") else []
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
