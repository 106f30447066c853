"""A person's own Python, named as package.module:function; found, checked and called."""

import importlib
import importlib.util
import os
import sys
from typing import Any

from pruneexp.recipe import Fault, Invalid

FORM = "package.module:function"


def check(factory: str) -> None:
    """Refuse a factory whose module is not there, without importing it."""
    module, _, function = factory.partition(":")
    if not (module and function):
        raise Invalid([Fault("factory", f"takes {FORM}, got {factory!r}")])
    _see_working_folder()
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise Invalid(
            [
                Fault(
                    "factory",
                    f"takes {FORM}, got {factory}: there is no module {module} in the working "
                    "folder, on PYTHONPATH or among the installed packages",
                )
            ]
        )


def call(key: str, factory: str, arguments: dict[str, Any]) -> Any:
    """What the factory returns. `key` is the full key, for the message."""
    module, _, function = factory.partition(":")
    _see_working_folder()
    try:
        made = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a person's module raises while it is imported
        why = f"{type(error).__name__}: {error}"
        raise Invalid([Fault(key, f"={factory} cannot be imported ({why})")]) from error
    try:
        return made(**arguments)
    except TypeError as error:
        given = ", ".join(arguments) or "nothing"
        why = f"={factory} was called with {given} and refused ({error})"
        raise Invalid([Fault(key, why)]) from error


def _see_working_folder() -> None:
    # The console script does not put the working folder on the path; `python -m` does.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
