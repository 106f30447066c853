"""From a composed configuration to a typed `Run`, and back from what a record holds.

Nothing passes beyond `read` but plain dataclasses.
"""

from dataclasses import MISSING, Field, fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import Fault, Invalid, Recipe, filled, finite, is_part, no_key
from pruneexp.config.run import Run


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
        faults.append(Fault(prefix, "takes one of the options of its group; this YAML names none"))
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
        value = node[item.name]
        if is_part(item.type):
            values[item.name] = _read(value, key, faults) or _stand_in(item)
        elif isinstance(value, DictConfig | ListConfig):
            values[item.name] = OmegaConf.to_container(value, resolve=True)
        else:
            faults += finite(key, value)
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


def restore(data: dict[str, Any]) -> Run:
    """The run that `asked` wrote down, with what an old record could not know filled in."""
    made = _restore(Run, "", data)
    assert isinstance(made, Run)
    return made


def _restore(recipe: type[Recipe], group: str, data: dict[str, Any]) -> Recipe:
    values = filled(recipe, data)
    for item in fields(recipe):
        if is_part(item.type) and item.name in data:
            part = data[item.name]
            inner = f"{group}/{item.name}" if group else item.name
            values[item.name] = _restore(_option(inner, part["option"]), inner, part)
    return recipe(**values)


def _option(group: str, word: str) -> type[Recipe]:
    return next(option for option in OPTIONS[group] if option.word == word)
