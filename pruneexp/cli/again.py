"""How what was run is asked for again: one run as a command, a configuration or a sweep as YAML."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from pruneexp.cli.grids import Grids
from pruneexp.cli.quoting import in_quotes
from pruneexp.config import schemas
from pruneexp.config.location import CONF
from pruneexp.config.read import read
from pruneexp.config.recipe import Recipe, is_part
from pruneexp.config.run import Run

SHORT = {"pruning.budget": "budget"}  # keys that have a shorter form
AMOUNT = re.compile(r"\d+(\.\d+)?[kMG]?B")  # of bytes, which Hydra reads as a text
# Of one start, not of what is run.
NOT_REPEATED = ("dry_run", "format", "trust", "device", "workers", "results", "title", "logger")


def command(run: Run) -> str:
    """`pruneexp run ...` that asks for this run, with the words that the defaults do not say."""
    GlobalHydra.instance().clear()
    schemas.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        default = dict(_options(read(compose("run"))))
        chosen = [f"{key}={word}" for key, word in _options(run) if default.get(key) != word]
        base = compose("run", overrides=chosen)
    settled = getattr(run.pruning, "budget", "")  # says what its sparsity, null, does not
    words = [
        f"{SHORT.get(key, key)}={_typed(value)}"
        for key, value in _values(run)
        if OmegaConf.select(base, key) != value
        and key not in NOT_REPEATED
        and not (settled and key == "pruning.sparsity")
    ]
    return " ".join(["pruneexp run", *(shlex.quote(word) for word in [*chosen, *words])])


def configuration(run: Run, sweep: Grids | None = None) -> str:
    """A run, or the sweep that it is the base of, as the YAML of an experiment."""
    lines = [
        "# @package _global_",
        "# As conf/experiment/NAME.yaml, or under another folder: pruneexp run --config-dir FOLDER "
        "experiment=NAME",
    ]
    defaults = [{f"override /{group}": word} for group, word in _options(run)]
    nested: dict[str, Any] = {"defaults": defaults}
    for key, value in _values(run):
        if key in ("dry_run", "format", "trust"):
            continue
        *above, leaf = key.split(".")
        node = nested
        for name in above:
            node = node.setdefault(name, {})
        node[leaf] = value
    if sweep is not None:
        nested["hydra"] = {"mode": "MULTIRUN", "sweeper": {"union": sweep.axes()}}
    return "\n".join(lines) + "\n" + yaml.safe_dump(nested, sort_keys=False, allow_unicode=True)


def _options(recipe: Recipe, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The group of each part and the option that it is."""
    for item in fields(recipe):
        if is_part(item.type):
            part = getattr(recipe, item.name)
            yield f"{prefix}{item.name}", part.word or "none"
            yield from _options(part, f"{prefix}{item.name}/")


def _values(recipe: Recipe, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in fields(recipe):
        value = getattr(recipe, item.name)
        if is_part(item.type):
            yield from _values(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", str(value) if isinstance(value, str) else value


def _typed(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_typed, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {_typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        plain = value.replace("_", "a").isalpha() or AMOUNT.fullmatch(value)
        return value if plain else in_quotes(value)
    return str(value)
