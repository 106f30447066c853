"""What Hydra knows of the options: their names and the types of their keys."""

from dataclasses import fields
from typing import get_origin

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import Recipe, is_part
from pruneexp.config.run import Run


def register() -> None:
    """Tell Hydra the type of every option: base_<word> in its group."""
    configurations = ConfigStore.instance()
    configurations.store(name="base_run", node=_schema(Run))
    for group, options in OPTIONS.items():
        for option in options:
            configurations.store(group=group, name=f"base_{option.word}", node=_schema(option))


def _schema(recipe: type[Recipe]) -> DictConfig:
    """A recipe's fields and types. Parts stay open: the defaults list chooses them. A part with a
    default would leave its keys behind when another option is merged over it. A dictionary takes
    any key, so that `at_most={fc.weight: 0.8}` needs no plus sign."""
    node = OmegaConf.structured(recipe)
    for item in fields(recipe):
        if is_part(item.type):
            node.__dict__["_content"][item.name] = DictConfig("???", key=item.name, parent=node)
        elif get_origin(item.type) is dict:
            OmegaConf.set_struct(node._get_node(item.name), False)
    return node
