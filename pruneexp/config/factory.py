"""A person's own Python, named as package.module:function; found, checked and called."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from typing import Any

from pruneexp.config.recipe import Fault, Invalid

FORM = "package.module:function"


def check(factory: str) -> None:
    """Refuse a factory whose module is not there, without importing it."""
    module, _, function = factory.partition(":")
    if not (module and function):
        raise Invalid([Fault("factory", f"takes {FORM}, got {factory!r}")])
    _see_working_folder()
    try:
        found = importlib.util.find_spec(module) is not None
    except Exception:  # a parent package may raise anything while it is imported
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
    with _named(key, f"={factory} cannot be imported"):
        made = getattr(importlib.import_module(module), function)
    given = ", ".join(arguments) or "nothing"
    with _named(key, f"={factory} does not take {given}"), suppress(ValueError):
        signature(made).bind(**arguments)  # some built-in functions have none to ask
    with _named(key, f"={factory} failed"):
        return made(**arguments)


@contextmanager
def _named(key: str, what: str) -> Iterator[None]:
    """Whatever a person's module raises, said with the key that names it."""
    try:
        yield
    except Invalid:
        raise
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        raise Invalid([Fault(key, f"{what} ({why})")]) from error


def _see_working_folder() -> None:
    # The console script does not put the working folder on the path; `python -m` does.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
