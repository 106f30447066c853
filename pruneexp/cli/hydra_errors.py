"""From what Hydra and OmegaConf raise to one line a fault: the key, what it got, what it takes.

Composing stops at the first wrong override. `faults` says that one, leaves it out, and composes
again, until everything wrong has been said.
"""

import re
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pruneexp.config.location import CONF
from pruneexp.config.options import OPTIONS
from pruneexp.config.read import read
from pruneexp.config.recipe import Fault, Invalid, either, is_part, nearest, no_key
from pruneexp.config.run import Run

# Not every ValueError: what goes wrong in this program is no fault of a configuration.
EXPECTED = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)
RUN_KEYS = [item.name for item in fields(Run)]
KINDS = {
    "Float": "a number",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "String": "a text",
}


def faults(overrides: list[str], config_dir: str | None = None) -> list[Fault]:
    """Everything wrong with a configuration, in the order of the command line."""
    said: list[Fault] = []
    left = list(overrides)
    extra = [f"hydra.searchpath=[file://{config_dir}]"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        while True:
            try:
                read(compose("run", overrides=[*extra, *left]))
                return said
            except Invalid as invalid:
                return said + invalid.faults
            except (*EXPECTED, ValueError) as error:
                demand_hydras(error)
                one, key = fault(error)
                said.append(one or Fault("", str(error)))
                culprit = _culprit(left, key)
                if culprit is None:
                    return said
                left.remove(culprit)


def demand_hydras(error: Exception) -> None:
    """Raise an error again unless Hydra or OmegaConf raised it: they raise some plain ValueErrors
    for what is wrong in a configuration, and any other one is a mistake of this program."""
    if isinstance(error, EXPECTED):
        return
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__")) if trace else ""
    if module.partition(".")[0] not in ("hydra", "omegaconf"):
        raise error


def fault(error: Exception) -> tuple[Fault | None, str]:
    """What Hydra or OmegaConf raised as one line for the user, and the key that it is about. None
    where no key can be named."""
    text = str(error)
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return Fault("", f"a YAML file cannot be read: {' '.join(text.split())}"), ""
    if "does not have a `_target_` field" in text:  # a sweeper of Hydra's own met our launcher
        why = "takes basic with a sweeper of Hydra's own: add hydra/launcher=basic"
        return Fault("hydra/launcher", why), "hydra/launcher"
    causes = [error, error.__cause__, error.__context__]
    for cause in causes:
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return _about_value(cause), cause.full_key
    sweep = re.search(
        r"(?:Ambiguous value for argument|Sweep parameters) '(?P<override>[^']*)'", text
    )
    if sweep:
        key, _, got = sweep["override"].partition("=")
        return Fault(key, f"takes one value, got {got}; a sweep is `pruneexp run -m`"), key
    option = re.search(r"Could not (?:find|load) '(?P<group>[\w/]+)/(?P<word>[^'/]*)'", text)
    if option:
        group, word = option["group"], option["word"]
        known = sorted(set(re.findall(r"^\t([\w-]+)$", text, re.M)))
        known = [name for name in known if not name.startswith("base_")]
        if group == "hydra/launcher":
            known = [name for name in known if name != "basic"]  # Hydra's own starts no workers
        if word.startswith("base_"):
            known = [f"base_{option.word}" for option in OPTIONS.get(group, ())]
        near = get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return Fault(group, f"takes {either(known)}, got {word}{hint}"), group
    group_match = re.search(r"Could not override '(?P<key>[^']+)'", text)
    if group_match:
        key = group_match["key"]
        return _unknown(key), key
    return Fault("", text.splitlines()[0]), ""


def _unknown(key: str) -> Fault:
    """A key of no group, and where it is known: `sparsity` is pruning.sparsity."""
    if "/" in key:
        return no_key(key, list(OPTIONS))
    if "." not in key and nearest(key, RUN_KEYS) is None:
        leaves = {
            item.name: f"{group.replace('/', '.')}.{item.name}"
            for group, options in reversed(OPTIONS.items())
            for option in options
            for item in fields(option)
            if not is_part(item.type)
        }
        if near := nearest(key, list(leaves)):
            return Fault(key, f"is no key here (did you mean {leaves[near]}?)")
    return no_key(key, RUN_KEYS)


def _about_value(error: OmegaConfBaseException) -> Fault:
    key = str(error.full_key)
    first = str(error).splitlines()[0]
    if "/" in key:
        return no_key(key, list(OPTIONS))
    if "not in struct" in first or "not in '" in first:
        kind: Any = error.object_type
        above, _, leaf = key.rpartition(".")
        group = above.replace(".", "/")
        having = [o.word for o in OPTIONS.get(group, ()) if leaf in {f.name for f in fields(o)}]
        if having and is_part(kind):
            has = "have" if len(having) > 1 else "has"
            words = either(having, "and")
            return Fault(key, f"is no key with {group}={kind.word}; {words} {has} it")
        if "." not in key:
            return _unknown(key)
        return no_key(key, [item.name for item in fields(kind if is_part(kind) else Run)])
    converted = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", first)
    if converted:
        hint = "; null is none" if converted[1] == "None" else ""
        takes = KINDS.get(converted[2], converted[2])
        return Fault(key, f"takes {takes}, got {converted[1]}{hint}")
    no_bool = re.search(r"Value '(.*)' is not a valid bool", first)
    if no_bool:
        return Fault(key, f"takes true or false, got {no_bool[1]}")
    return Fault(key, f"cannot be read: {first}")


def _culprit(overrides: list[str], key: str) -> str | None:
    """The override that is about `key`, or about something inside it."""
    keys: dict[str, str] = {}
    for override in overrides:
        try:
            parsed = OverridesParser.create().parse_override(override)
        except HydraException:
            if not key:
                return override
        else:
            keys[override] = parsed.key_or_group
    exactly = [override for override, its_key in keys.items() if its_key == key]
    inside = [override for override, its_key in keys.items() if re.match(rf"{key}[./]", its_key)]
    return next(iter(exactly + inside), None)


def plainly(error: Exception) -> str:
    """An error as one line."""
    one, _ = fault(error)
    return str(one).strip() if one else str(error).splitlines()[0]
