"""Which runs make one curve, and what it is called.

Runs of one curve differ in size, sparsity and seed, and in what goes with the size: a large model
may have a learning rate and a dropout of its own, as in the paper's Table 3. A curve is named by
what sets it apart from the others of its kind: "sparse" alone, "sparse, random" beside "sparse,
magnitude".
"""

from collections.abc import Sequence
from typing import Any

Flat = dict[str, Any]
MODEL = "model."  # words under this key are a model's family
# How large a model is. Of one that has neither, every number under `MODEL` is its size.
SIZES = ("model.width", "model.hidden_size")
FREE = {"seed", "pruning.sparsity"}  # what varies along every curve
MUTE = ("scope",)  # parts of pruning whose options say nothing without the part's name
QUANTISATION = "quantisation"  # the key under which `of` says how values were made smaller
ROUNDED = {"rounding": "after training"}  # words of its options that a reader understands better
# Which of several keys that tell the same series apart is the best name for them.
PREFERENCE = ("data", "model", "pruning", "training", "task")


def of(configuration: dict[str, Any]) -> Flat:
    """A record's configuration, flat. A stage in which nothing is pruned, which is a dense model's
    share of what a sparse one was given, is a dense one with a start, a length and a rate."""
    flat = _with_quantisation(flatten(configuration))
    if flat.get("pruning.sparsity") != 0 or flat["pruning.start"] == "scratch":
        return flat
    stage = ("pruning.start", "pruning.steps", "pruning.rate")
    kept = {
        key: value for key, value in flat.items() if key in stage or not key.startswith("pruning.")
    }
    return kept | {"pruning.option": "none"}


def _with_quantisation(flat: Flat) -> Flat:
    """Option and type of values as one: "int8 after training". Without them, values are fp32."""
    option, values = (f"{QUANTISATION}.{leaf}" for leaf in ("option", "values"))
    if flat.get(option, "none") == "none":
        return {key: value for key, value in flat.items() if not key.startswith(QUANTISATION)}
    others = {key: value for key, value in flat.items() if key not in (option, values)}
    control = flat[values] == "fp32"  # the same steps, with nothing rounded
    how = "trained on" if control else ROUNDED.get(flat[option], flat[option])
    return others | {QUANTISATION: f"{flat[values]} {how}"}


def quantised(flat: Flat) -> str:
    """How values were made smaller, the type first; nothing where they are fp32."""
    return flat.get(QUANTISATION, "")


def flatten(data: dict[str, Any], prefix: str = "") -> Flat:
    flat: Flat = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def kind(flat: Flat) -> str:
    return "dense" if flat["pruning.option"] == "none" else "sparse"


def family(flat: Flat) -> str:
    """The model without its numbers: "mobilenet_v1 small", "lstm_lm", "lstm_lm tied"."""
    words = [
        value if isinstance(value, str) else write(key.rpartition(".")[2], value)
        for key, value in flat.items()
        if key.startswith(MODEL) and not is_number(value) and value not in (None, False)
    ]
    return " ".join(words)


def size(flat: Flat) -> Flat:
    """How large the model is."""
    numbers = {k: value for k, value in flat.items() if k.startswith(MODEL) and is_number(value)}
    return {key: numbers[key] for key in SIZES if key in numbers} or numbers


def identities(flats: Sequence[Flat], data: Sequence[str]) -> list[Flat]:
    """What all runs of each run's curve have in common. A setting of training, task or model that
    differs between sizes but never within one goes with the size and parts no curve."""
    firm = [_firm(flat, sum_) for flat, sum_ in zip(flats, data, strict=True)]
    alike: dict[str, list[Flat]] = {}  # runs of one size that their settings alone could part
    for flat, fixed in zip(flats, firm, strict=True):
        alike.setdefault(_written({**fixed, **size(flat)}), []).append(flat)
    parting: dict[str, set[str]] = {"dense": set(), "sparse": set()}
    for group in alike.values():
        parting[kind(group[0])] |= _varying(group)
    return [
        fixed
        | (size(flat) if kind(flat) == "sparse" else {})
        | {key: value for key, value in flat.items() if key in parting[kind(flat)]}
        for flat, fixed in zip(flats, firm, strict=True)
    ]


def gone_with_size(flats: Sequence[Flat], data: Sequence[str]) -> list[str]:
    """The settings that differ between the models of one curve."""
    curves: dict[str, list[Flat]] = {}
    for flat, own in zip(flats, identities(flats, data), strict=True):
        curves.setdefault(_written(own), []).append(flat)
    sizes = {key for flat in flats for key in size(flat)}
    return sorted({key for curve in curves.values() for key in _varying(curve)} - sizes)


def _firm(flat: Flat, data: str) -> Flat:
    """What parts curves whatever the size. Without a checksum the task alone tells data apart."""
    loose = ("training.", "task.") if data else ("training.",)
    return {"data": data} | {
        key: value
        for key, value in flat.items()
        if key not in FREE
        and not key.startswith(loose)
        and not (key.startswith(MODEL) and is_number(value))
    }


def _varying(flats: Sequence[Flat]) -> set[str]:
    keys = {key for flat in flats for key in flat} - FREE
    return {key for key in keys if _classes(flats, [key]) > 1}


def _written(flat: Flat) -> str:
    return repr(sorted(flat.items()))


def telling(flats: Sequence[Flat]) -> list[str]:
    """The fewest keys, the best names first, that tell apart whatever differs."""
    keys = dict.fromkeys(key for flat in flats for key in flat)
    chosen: list[str] = []
    for key in sorted(keys, key=_preference):
        if _classes(flats, [*chosen, key]) > _classes(flats, chosen):
            chosen.append(key)
    return chosen


def _classes(flats: Sequence[Flat], keys: list[str]) -> int:
    return len({tuple(repr(flat.get(key)) for key in keys) for flat in flats})


def _preference(key: str) -> tuple[int, bool, bool, str]:
    group = key.partition(".")[0]
    place = PREFERENCE.index(group) if group in PREFERENCE else len(PREFERENCE)
    return place, not key.endswith(("option", "start")), key not in SIZES, key


def names(flats: Sequence[Flat], data: Sequence[str]) -> list[str]:
    """The name of each run's curve, from configurations and checksums of the data."""
    several = len(set(data)) > 1
    kinds = [kind(flat) for flat in flats]
    owned = identities(flats, data)
    named = []
    for own, mine, sum_ in zip(kinds, owned, data, strict=True):
        beside = [other for k, other in zip(kinds, owned, strict=True) if k == own]
        keys = [key for key in telling(beside) if key != "data"]
        # A run without a key is of a time or a kind that knows no such thing, and says nothing.
        words = [own, *(_word(own, key, mine[key], keys) for key in keys if key in mine)]
        words += [quantised(mine)] * (QUANTISATION in mine and QUANTISATION not in keys)
        named.append(", ".join(words) + (f" (data {sum_[:6] or 'unknown'})" if several else ""))
    return named


def _word(own: str, key: str, value: Any, keys: list[str]) -> str:
    """One thing a curve is named by: "random", "from dense", "width 0.5", "650 units"."""
    above, _, leaf = key.rpartition(".")
    if leaf == "option":
        part = above.rpartition(".")[2]
        speaks = above.startswith(("pruning", "model")) and part not in MUTE
        return str(value) if speaks else f"{part} {value}"
    if key == QUANTISATION:
        return str(value)
    if key == "pruning.start" and own == "dense":
        return "trained on"
    if key == "pruning.start":
        return "from " + str(value).replace(":", " ")
    if key == "model.hidden_size" and value is not None:
        return _size(key, value)
    alone = sum(other.rpartition(".")[2] == leaf for other in keys) == 1
    return write(leaf if alone else key, value)


def write(leaf: str, value: Any) -> str:
    name = leaf.replace("_", " ")
    if value is None:
        return f"{name} unset"
    if value is False:
        return f"no {name}"
    if value is True:
        return name
    return f"{name} {value:g}" if is_number(value) else f"{name} {value}"


def sizes(flats: Sequence[Flat]) -> list[str]:
    """What tells a model from larger and smaller ones: "×0.5", "650 units", "hidden 200"."""
    sized = [size(flat) for flat in flats]
    keys = [*SIZES, *(key for key in telling(sized) if key not in SIZES)]
    return [", ".join(_size(key, flat[key]) for key in keys if key in flat) for flat in sized]


def _size(key: str, value: float) -> str:
    if key == "model.width":
        return f"×{value:g}"
    return f"{value} units" if key == "model.hidden_size" else write(key.rpartition(".")[2], value)
