"""The house keeps its floors: a file imports from lower floors only, and what is light stays so."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pruneexp"
# docs/architecture.md tells what lives on each.
FLOORS = [
    {"recipe", "seeds", "record", "files", "stopping", "ending"},
    {"factory", "masks", "data", "ranks", "folding"},
    {"store", "tasks", "models"},
    {"pruning", "storage"},
    {"training", "counts", "quantisation"},
    {"config"},
    {"size", "explain", "display", "weights", "weighing", "place"},
    {"execute"},
    {"sweep", "report", "running"},
    {"terminal"},
    {"workbench"},
    {"desk", "conduct"},
    {"cli"},
    {"__main__", "__init__"},
]
LIGHT = [
    *("recipe", "seeds", "record", "files", "factory", "store", "tasks", "models", "pruning"),
    *("pruning.schedule", "pruning.scope", "pruning.allocation", "training"),
    "quantisation",
    *("training.optimiser", "training.decay", "config", "explain", "display", "stopping"),
    *(
        "storage",
        "storage.archive",
        "storage.weigh",
        "ranks",
        "sweep",
        "report",
        "terminal",
        "workbench",
        "desk",
        "conduct",
        "ending",
        "cli",
    ),
]


def floor(module: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if module in rooms)


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """The rooms of the package that a file imports from, wherever in the file."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pruneexp"):
            parts = node.module.split(".")[1:] if node.module else []
            rooms |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            rooms |= {name[1] for name in names if name[0] == "pruneexp" and len(name) > 1}
    return rooms


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=str)
def test_a_file_imports_from_lower_floors_only(path: Path) -> None:
    mine = room(path)
    for other in imported(path) - {mine}:
        assert floor(other) < floor(mine), f"{path} imports {other}"


def test_every_room_has_a_floor() -> None:
    rooms = {room(path) for path in ROOT.rglob("*.py")}
    assert rooms == set().union(*FLOORS)


def test_report_reads_records_only() -> None:
    for path in (ROOT / "report").glob("*.py"):
        assert imported(path) <= {"recipe", "record", "store", "files", "report"}, path


def test_light_rooms_import_no_torch() -> None:
    code = f"import sys\n{''.join(f'import pruneexp.{name}{chr(10)}' for name in LIGHT)}"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_hold_one_subject() -> None:
    for path in [*ROOT.rglob("*.py"), *Path(ROOT.parent, "hydra_plugins").rglob("*.py")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= 400, f"{path} has {len(lines)} lines: it has found a second subject"
        assert lines[0].startswith('"""'), f"{path} does not say what it is"
