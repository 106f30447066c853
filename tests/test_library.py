"""The names that users import: they stay what they are, are documented, and are typed."""

import inspect
import subprocess
import sys
from pathlib import Path

import pruneexp

ROOT = Path(pruneexp.__file__).parent


def test_functions_stay_functions_however_often_they_are_used() -> None:
    code = (
        "import pruneexp\n"
        "from pruneexp.config.run import Run\n"
        "from pruneexp.tasks import Glyphs\n"
        "from pruneexp.models import MobileNetV1\n"
        "from pruneexp.training import Training\n"
        "run = Run(task=Glyphs(), model=MobileNetV1(layout='small'), training=Training(),\n"
        "          pruning=pruneexp.Gradual())\n"
        "first, second = pruneexp.size(run), pruneexp.size(run)\n"
        "assert first == second and first.nonzero\n"
        "import pruneexp.engine.execute, pruneexp.measure.planned, pruneexp.running.load\n"
        "assert all(callable(getattr(pruneexp, name)) for name in pruneexp.__all__)\n"
        "assert callable(pruneexp.execute) and callable(pruneexp.load)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_the_library_has_a_docstring_of_its_own() -> None:
    for name in pruneexp.__all__:
        documented = getattr(pruneexp, name)
        assert inspect.cleandoc(documented.__doc__ or ""), name
        assert not documented.__doc__.startswith(f"{name}("), f"{name} has dataclass's own text"
        if inspect.isclass(documented):
            for base in documented.__mro__[1:-1]:
                assert documented.__doc__ != base.__doc__, f"{name} is documented by {base}"


def test_type_checkers_see_the_same_names() -> None:
    text = (ROOT / "__init__.py").read_text()
    for name in pruneexp.__all__:
        assert f" as {name}\n" in text, name
    assert (ROOT / "py.typed").exists()


def test_every_base_class_says_how_it_is_extended() -> None:
    for name in ("Pruning", "Pruner", "Criterion", "Structure", "Allocation", "Schedule"):
        text = getattr(pruneexp, name).__doc__
        assert "subclass" in text or "of your own" in text or "class " in text, name
