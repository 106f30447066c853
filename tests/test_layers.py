"""A file imports from lower layers only, what is light stays so, and a file holds one subject."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pruneexp"
# docs/architecture.md tells what each holds. A package stands for all of its files but those that
# are named with a layer of their own.
LAYERS = [
    {"printable", "seeds", "engine.files", "engine.signals", "engine.typed", "config.amounts"}
    | {"bisection"},
    {
        "config.recipe",
        "engine.record",
        "engine.outcomes",
        "cli.messages",
        "cli.imports",
        "cli.console",
    },
    {"config.factory", "pruning.ranking", "data", "engine.distributed", "measure.folding"}
    | {"tasks.shape", "engine.initial_weights", "measure.packed_sizes", "measure.layer_losses"}
    | {"running.kernels", "running.timing"},
    {"decoding"},
    {"engine.store", "engine.run_folder", "tasks", "models"},
    {"storage"},
    {"pruning"},
    {"training", "measure.counts", "quantisation", "loggers"},
    {"distillation"},
    {"config.run", "config.location", "config.short_forms"},
    {"config.curve", "engine.launchers"},
    {"config.options"},
    {"config.read", "config.schemas", "cli.names", "cli.quoting", "cli.words", "cli.keys"},
    {"measure", "engine.device", "engine.failure", "cli.hydra_errors", "cli.grids"},
    {"engine.lineage", "engine.data_identity", "engine.network", "engine.file_budget"}
    | {"engine.circumstances"},
    {"engine.following"},
    {"engine.execute"},
    {"engine", "report", "running", "integrations"},
    {
        "cli.again",
        "cli.arguments",
        "cli.search",
        "cli.live",
        "cli.points",
        "cli.sizes",
        "cli.tables",
    },
    {"cli.matching", "cli.slices", "cli.watching"},
    {"cli.rounds", "cli.phases"},
    {"cli.commands", "cli.completion", "cli.compose", "cli.dry_run", "cli.models", "cli.runs"}
    | {"cli.translate"}
    | {"cli.choose", "cli.listing"},
    {"cli.sweep"},
    {"cli.run"},
    {"cli.main"},
    {"__main__", "__init__"},
]
PACKAGES = {"cli", "config"}  # their own __init__ holds nothing
LIGHT = [
    *("printable", "seeds", "bisection"),
    *("engine.record", "engine.files", "engine.signals", "engine.store", "engine.plan"),
    "engine.run_folder",
    *("engine.work", "engine.distributed", "engine.lineage", "engine.launchers"),
    *("config.recipe", "config.factory", "config.run", "config.curve", "config.options"),
    *(
        "tasks",
        "tasks.shape",
        "tasks.pairs",
        "models",
        "models.translators",
        "pruning",
        "pruning.schedule",
        "pruning.scope",
    ),
    *("pruning.allocation", "pruning.criterion", "pruning.group", "pruning.start"),
    *("pruning.method", "pruning.gradual", "pruning.sparse_training"),
    *("pruning.found_mask", "pruning.stochastic", "pruning.two_phase"),
    "pruning.sensitivity",
    *("pruning.structure", "training", "training.optimiser", "training.decay", "quantisation"),
    *("distillation", "loggers"),
    *("storage", "storage.archive", "measure.packed_sizes", "measure.layer_losses", "report"),
    *("config.location", "config.read", "config.short_forms", "config.amounts"),
    "pruning.settling",
    *("cli.main", "cli.messages", "cli.commands", "cli.arguments", "cli.hydra_errors", "cli.live"),
    *("cli.tables", "cli.models", "cli.runs", "cli.run", "cli.sweep", "cli.dry_run", "cli.grids"),
    *("cli.points", "cli.compose", "cli.imports", "cli.sizes", "cli.again", "cli.completion"),
    *("cli.keys", "cli.names", "cli.quoting", "cli.words", "config.schemas", "cli.search"),
    *("cli.matching", "cli.slices", "cli.phases", "cli.translate"),
]


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer(name: str) -> int:
    """Of the longest listed name that this one begins with."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        for level, names in enumerate(LAYERS):
            if ".".join(parts[:length]) in names:
                return level
    raise AssertionError(f"{name} has no layer")


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in the file, types apart."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pruneexp"):
            above = ".".join((node.module or "").split(".")[1:])
            for alias in node.names:
                inner = f"{above}.{alias.name}".lstrip(".")
                found.add(inner if inner in MODULES else above)
        elif isinstance(node, ast.Import):
            names = [alias.name.partition("pruneexp.")[2] for alias in node.names]
            found |= {name for name in names if name}
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name not in PACKAGES])
def test_a_file_imports_from_lower_layers_only(name: str) -> None:
    """Within one layer a package's files may import each other."""
    for other in imported(MODULES[name]):
        same = layer(other) == layer(name) and other.partition(".")[0] == name.partition(".")[0]
        assert same or layer(other) < layer(name), f"{name} imports {other}"


def test_no_file_imports_itself_in_a_circle_when_it_is_loaded() -> None:
    """Each alone, in a process of its own order: what only works in one order is a circle."""
    optional = ("integrations.", "loggers.")  # import libraries that need not be there
    names = [n for n in MODULES if n not in ("__main__", "__init__") and not n.startswith(optional)]
    heavy = "import torch, pandas, matplotlib.figure\n"
    code = heavy + (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    for loaded in [m for m in sys.modules if m.startswith('pruneexp')]:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module('pruneexp.' + name)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_report_reads_records_only() -> None:
    for name, path in MODULES.items():
        if name.startswith("report"):
            for other in imported(path):
                allowed = (
                    "config.recipe",
                    "config.amounts",
                    "engine.record",
                    "engine.store",
                    "engine.files",
                )
                allowed += ("engine.run_folder", "engine.typed", "engine.outcomes", "printable")
                allowed += ("measure.layer_losses",)
                assert other.startswith("report") or other in allowed, f"{name} imports {other}"


def test_light_files_import_no_torch() -> None:
    code = f"import sys\n{''.join(f'import pruneexp.{name}{chr(10)}' for name in LIGHT)}"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_hold_one_subject() -> None:
    for path in [*ROOT.rglob("*.py"), *Path(ROOT.parent, "hydra_plugins").rglob("*.py")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= 400, f"{path} has {len(lines)} lines: it has found a second subject"
        assert lines[0].startswith('"""'), f"{path} does not say what it is"


def test_the_way_from_yaml_to_figure_is_short_and_as_told() -> None:
    """docs/architecture.md names the files that a reader opens, and they are there."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    section = page.partition("## From YAML to figure")[2].partition("\n## ")[0]
    files = []
    for line in section.splitlines():
        folder = ROOT.parent
        for name in re.findall(r"`([\w/]+\.(?:py|yaml))`", line):
            path = ROOT.parent / name if name.startswith(("conf/", "pruneexp/")) else folder / name
            folder = path.parent if name.startswith(("conf/", "pruneexp/")) else folder
            files.append(path)
    assert all(path.is_file() for path in files), [p for p in files if not p.is_file()]
    assert 20 <= len(files) < 28


def test_every_class_has_a_name_of_its_own() -> None:
    names: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(name)
    assert {name: homes for name, homes in names.items() if len(homes) > 1} == {}
