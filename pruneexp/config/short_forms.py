"""Short forms of overrides, and the long forms they stand for.

pruning.start=dense                  pruning/start=dense
pruning.start=torchvision:NAME       pruning/start=torchvision pruning.start.weights=NAME
pruning.start=weights.pth            pruning/start=file pruning.start.file=weights.pth
pruning.start=NAME_OF_A_RUN          pruning/start=run pruning.start.run=NAME_OF_A_RUN
pruning.steps=100                    pruning.start.steps=100
pruning.rate=0.5                     pruning.start.rate=0.5
pruning/allocation=n_of_m            pruning/structure=n_of_m
pruning.allocation.keep=2            pruning.structure.keep=2
logger=wandb,mlflow                  logger=[wandb,mlflow]
logger=none                          logger=[]
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pruneexp.config.recipe import Fault, Invalid

WITHOUT_REFERENCE = ("scratch", "dense")  # starts that need not say of what
REFERENCES = {"torchvision": "weights", "file": "file", "run": "run"}  # the key of the others
STRUCTURES = ("n_of_m", "blocks")
RENAMED = {
    "pruning.steps": "pruning.start.steps",
    "pruning.rate": "pruning.start.rate",
    "pruning.allocation.keep": "pruning.structure.keep",
    "pruning.allocation.among": "pruning.structure.among",
    "pruning.allocation.rows": "pruning.structure.rows",
    "pruning.allocation.columns": "pruning.structure.columns",
}
# What a budget settles, so that nothing else says it.
BUDGETS = ("budget", "nonzero")
SETTLED_BY_A_BUDGET = "pruning.sparsity"  # of a sparse run
SIZES = ("model.width", "model.hidden_size")  # of a dense one

# Keys that only exist together with the option of a group that a short form chooses.
DEPENDS_ON = {f"pruning.start.{key}": "pruning/start" for key in REFERENCES.values()}

OVERRIDE = re.compile(r"(?P<sign>[+~]{0,2})(?P<key>[\w./]+)(?P<rest>(?:=.*)?)", re.DOTALL)
# A value of a list: in quotes, or without anything that a list, a dictionary or a call begins with.
VALUE = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,'"\[\](){}]*)\s*""", re.DOTALL)
# What Hydra would take for a number, so that the digits of a fingerprint would change.
NUMBER = re.compile(r"[+-]?[\d_.]+(e[+-]?[\d_]+)?", re.IGNORECASE)


def expand(overrides: list[str]) -> list[str]:
    """Overrides with each short form replaced by its long form, in the same order.

    Arguments:
        overrides: what a user typed, or an axis of a grid; a list of values (`a,b`) is a sweep.

    Raises `Invalid` where one sweep holds several kinds, which no pair of overrides can say::

        >>> expand(["seed=1", "pruning.start=torchvision:IMAGENET1K_V1"])
        ['seed=1', 'pruning/start=torchvision', 'pruning.start.weights=IMAGENET1K_V1']
    """
    return [long for override in overrides for long in _long_forms(override)]


def _long_forms(override: str) -> Iterator[str]:
    parts = OVERRIDE.fullmatch(override)
    if parts is None:
        yield override
        return
    sign, key, rest = parts["sign"], parts["key"], parts["rest"]
    values = _values(rest[1:]) if rest else None
    if key in RENAMED:
        yield f"{sign}{RENAMED[key]}{rest}"
    elif key == "pruning.start" and not sign and values:
        yield from _start(values)
    elif key == "logger" and values:
        names = [] if values == ["none"] else values
        yield f"{sign}logger=[{','.join(names)}]"
    elif key == "pruning/allocation" and not sign and values:
        yield f"{_allocation(values)}{rest}"
    else:
        yield override


def _values(text: str) -> list[str] | None:
    """The values of a list as they were typed; None where the text is more than plain values."""
    values = []
    position = 0
    while True:
        value = VALUE.match(text, position)
        assert value is not None, text  # it also matches nothing
        if not value[1]:
            return None
        values.append(value[1])
        position = value.end()
        if position == len(text):
            return values
        if text[position] != ",":
            return None
        position += 1


def _start(values: list[str]) -> Iterator[str]:
    kinds = [_kind(_unquoted(value)) for value in values]
    if len({"" if kind in WITHOUT_REFERENCE else kind for kind in kinds}) > 1:
        given = " and ".join(
            f"{_unquoted(value)} ({'an option' if kind in WITHOUT_REFERENCE else kind})"
            for value, kind in zip(values, kinds, strict=True)
        )
        why = f"takes starts of one kind in one sweep, got {given}; use one sweep for each kind"
        raise Invalid([Fault("pruning.start", why)])
    if kinds[0] in WITHOUT_REFERENCE:
        yield f"pruning/start={','.join(values)}"
        return
    yield f"pruning/start={kinds[0]}"
    if values != [kinds[0]]:  # else the word of the option itself; what it refers to comes apart
        references = [_reference(value, kinds[0]) for value in values]
        yield f"pruning.start.{REFERENCES[kinds[0]]}={','.join(references)}"


def _kind(text: str) -> str:
    if text in WITHOUT_REFERENCE or text in REFERENCES:
        return text
    if text.startswith("torchvision:"):
        return "torchvision"
    if re.search(r"\.(pt|pth|bin|safetensors)$", text) or Path(text).is_file():
        return "file"
    return "run"


def _reference(value: str, kind: str) -> str:
    """What a start refers to, without the kind before it, so that Hydra reads it as a text."""
    text = _unquoted(value).removeprefix(f"{kind}:")
    if value[0] in "'\"" or NUMBER.fullmatch(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text


def _unquoted(value: str) -> str:
    if value[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _allocation(values: list[str]) -> str:
    """The group that options of `pruning/allocation` belong to."""
    structures = [value for value in values if value in STRUCTURES]
    if structures and len(structures) < len(values):
        others = [value for value in values if value not in STRUCTURES]
        why = (
            f"cannot sweep over {', '.join(structures)}, which are options of pruning/structure, "
            f"together with {', '.join(others)}; use one sweep for each group"
        )
        raise Invalid([Fault("pruning/allocation", why)])
    return "pruning/structure" if structures else "pruning/allocation"
