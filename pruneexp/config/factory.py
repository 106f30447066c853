"""Python of your own, named as package.module:function: looked for, checked and called.

What you compose yourself is imported. A name that was read from a file (a record, a plan, a packed
file) is a `ForeignName`, and nothing here imports that.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from inspect import signature
from typing import Any

from pruneexp.config.recipe import Fault, Invalid, Recipe

FORM = "package.module:function"


class ForeignName(str):
    """A name of Python that a file gave and nobody vouched for. Looking for its module would
    already import that module's parents, so `check` and `call` refuse it.

    Arguments:
        name: package.module:function.
        origin: the file, for the message.
    """

    origin: str

    def __new__(cls, name: str, origin: str = "") -> "ForeignName":
        made = super().__new__(cls, name)
        made.origin = origin
        return made


def demand_own(factory: str, key: str) -> None:
    """Raise `Invalid` for a name that came from a file which is not trusted."""
    if isinstance(factory, ForeignName):
        why = f"={factory} would run Python that {factory.origin} names; trust=True (--trust on"
        remedy = "the command line) allows that, for a file whose author you trust"
        raise Invalid([Fault(key, f"{why} {remedy}")])


def demand_own_python(recipe: Recipe, key: str = "") -> None:
    """Raise `Invalid` where a recipe or a part of it names Python that a file gave."""
    for item in fields(recipe):
        value = getattr(recipe, item.name)
        full = f"{key}.{item.name}" if key else item.name
        if isinstance(value, Recipe):
            demand_own_python(value, full)
        elif isinstance(value, str):
            demand_own(value, full)


def check_form(factory: str) -> None:
    """Refuse what names no module and function; nothing is looked for."""
    module, _, function = factory.partition(":")
    if not (module and function):
        raise Invalid([Fault("factory", f"takes {FORM}, got {factory!r}")])


def check(factory: str, key: str) -> None:
    """Refuse a factory whose module is not there, without importing it."""
    demand_own(factory, key)
    check_form(factory)
    module = factory.partition(":")[0]
    with working_folder_on_path():
        try:
            is_there = importlib.util.find_spec(module) is not None
        except Exception as error:  # a parent package may raise anything while it is imported
            if not _is_missing(error, module):
                why = f"a package of {module} cannot be imported ({type(error).__name__}: {error})"
                raise Invalid([Fault(key, f"takes {FORM}, got {factory}: {why}")]) from error
            is_there = False
    if not is_there:
        why = f"there is no module {module} in the working folder, on PYTHONPATH or among the"
        raise Invalid([Fault(key, f"takes {FORM}, got {factory}: {why} installed packages")])


def _is_missing(error: Exception, module: str) -> bool:
    """Whether a module, or a package that it is said to be in, is not there; not one of those that
    these import."""
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")


@contextmanager
def working_folder_on_path() -> Iterator[None]:
    """Inside, modules of the working folder can be imported, as under `python -m`; the console
    script does not put it on the path."""
    folder = os.getcwd()
    if folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def call(key: str, factory: str, arguments: dict[str, Any]) -> Any:
    """What the factory returns. `key` is the full key, for the message."""
    demand_own(factory, key)
    module, _, function = factory.partition(":")
    with working_folder_on_path():
        with _named(key, f"={factory} cannot be imported"):
            made = getattr(importlib.import_module(module), function)
        given = ", ".join(arguments) or "nothing"
        with _named(key, f"={factory} does not take {given}"), suppress(ValueError):
            signature(made).bind(**arguments)  # some built-in functions have none to ask
        with _named(key, f"={factory} failed"):
            return made(**arguments)


@contextmanager
def _named(key: str, what: str) -> Iterator[None]:
    """Whatever the module raises, said with the key that names it."""
    try:
        yield
    except Invalid:
        raise
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        raise Invalid([Fault(key, f"{what} ({why})")]) from error
