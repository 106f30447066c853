"""From a composed configuration to a typed `Run`, and back from what a record holds.

Nothing passes beyond `read` but plain dataclasses.
"""

from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pruneexp.config.factory import ForeignName
from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import (
    Fault,
    Invalid,
    Recipe,
    either,
    filled,
    is_part,
    no_key,
)
from pruneexp.config.run import Run
from pruneexp.engine.typed import reader, shortened


def read(node: DictConfig) -> Run:
    """The composed configuration as a `Run`; nothing is looked up on the disk. Raises `Invalid`
    with all faults at once."""
    faults: list[Fault] = []
    run = _read(node, "", faults)
    if faults:
        raise Invalid(faults)
    assert isinstance(run, Run)
    return run


def read_part(node: DictConfig, key: str) -> Recipe:
    """One composed recipe that is no part of a run, such as the launcher of a sweep; `key` is
    where it stands. Raises `Invalid` with all faults at once."""
    faults: list[Fault] = []
    recipe = _read(node, key, faults)
    if recipe is None:
        raise Invalid(faults)
    return recipe


def _read(node: DictConfig, prefix: str, faults: list[Fault]) -> Recipe | None:
    """A recipe and its parts, or None with its faults added. Where a part is at fault, a stand-in
    lets the recipe's own fields be checked all the same."""
    recipe: Any = OmegaConf.get_type(node)
    if not is_part(recipe) or (prefix and not recipe.word):
        why = "takes one of the options of its group; this YAML names none"
        if isinstance(node, str):
            why = f"is a group; its option is chosen by {prefix.replace('.', '/')}={node}"
        faults.append(Fault(prefix, why))
        return None
    values: dict[str, Any] = {}
    before = len(faults)
    known = [item.name for item in fields(recipe)]
    full = {name: f"{prefix}.{name}" if prefix else name for name in [*known, *map(str, node)]}
    faults += [no_key(full[str(name)], known) for name in node if name not in [*known, "hydra"]]
    for item in fields(recipe):
        key = full[item.name]
        if OmegaConf.is_missing(node, item.name):
            faults.append(Fault(key, "must be given"))
            continue
        try:
            value = node[item.name]
        except OmegaConfBaseException as error:  # an interpolation of what is not there
            faults.append(Fault(key, f"cannot be read: {str(error).splitlines()[0]}"))
            continue
        if is_part(item.type):
            values[item.name] = _read(value, key, faults) or _stand_in(item)
        elif isinstance(value, DictConfig | ListConfig):
            values[item.name] = OmegaConf.to_container(value, resolve=True)
        else:
            values[item.name] = value
    complete = len(faults) == before
    try:
        made: Recipe = recipe(**values)
    except Invalid as invalid:
        faults.extend(fault.under(prefix) for fault in invalid.faults)
        return None
    except TypeError:
        if complete:
            raise
        return None  # a field that must be given is not there, and that has been said
    return made if complete else None


def _stand_in(item: Field[Any]) -> Any:
    return None if item.default_factory is MISSING else item.default_factory()


def restore(data: Any, *, trust: bool, origin: str | Path) -> Run:
    """The run that `asked` wrote down, with what an old record could not know filled in.

    Arguments:
        data: plain data of a file, of which nothing is believed: a field that is unknown, of
            another type or out of range raises `Invalid`, which names it and the file.
        trust: whether Python that it names may be imported, and the same for the runs that it
            starts from.
        origin: the file, for messages.
    """
    try:
        run = _restore(Run, "", data, None if trust else str(origin))
        assert isinstance(run, Run)
    except Invalid as invalid:
        raise Invalid(
            Fault(f"{origin}: {one.key}", one.message) for one in invalid.faults
        ) from None
    return replace(run, trust=trust and run.trust)


def _restore(recipe: type[Recipe], key: str, data: Any, foreign: str | None) -> Recipe:
    """One recipe and its parts; `foreign` is the file that names its Python, if it is not
    trusted."""
    if type(data) is not dict:
        raise Invalid([Fault(key, f"takes a dictionary, got {shortened(data)}")])
    values = filled(recipe, data)
    known = {item.name: item for item in fields(recipe)}
    full = {name: f"{key}.{name}" if key else str(name) for name in values}
    if faults := [no_key(full[name], known) for name in values if name not in known]:
        raise Invalid(faults)
    for name, value in values.items():
        values[name] = _restored(known[name], full[name], value, foreign)
    try:
        return recipe(**values)
    except Invalid as invalid:
        raise Invalid(fault.under(key) for fault in invalid.faults) from None
    except TypeError as error:  # a field without a default is not there
        raise Invalid([Fault(key, f"is not whole ({error})")]) from error


def _restored(item: Field[Any], key: str, value: Any, foreign: str | None) -> Any:
    if is_part(item.type):
        word = value.get("option") if type(value) is dict else value
        group = key.replace(".", "/")
        chosen = next((option for option in OPTIONS[group] if option.word == word), None)
        if chosen is None:
            takes = either([option.word for option in OPTIONS[group]])
            raise Invalid([Fault(key, f"takes {takes}, got {shortened(word)}")])
        return _restore(chosen, key, value, foreign)
    if item.metadata.get("python") and foreign and value:
        return ForeignName(str(value), foreign)
    if isinstance(value, ForeignName):  # of a run that was restored before
        return value
    try:
        kind: Any = item.type
        return reader(kind)(value, key)
    except TypeError as error:
        raise Invalid([Fault(key, str(error).removeprefix(key).strip())]) from error
