"""Which runs make one curve, and what it is called.

Runs of one curve differ in size, sparsity and seed alone. A curve is named by what sets it apart
from the others of its kind: "sparse" alone, "sparse, random" beside "sparse, magnitude".
"""

from collections.abc import Sequence
from typing import Any

Flat = dict[str, Any]
MODEL_SIZE = "model."  # numbers under this key are how large a dense model is; words are its family
# Which of several keys that tell the same series apart is the best name for them.
PREFERENCE = ("data", "model", "pruning", "training", "task")


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
    """The model without its size."""
    words = [
        str(value)
        for key, value in flat.items()
        if key.startswith(MODEL_SIZE) and not is_number(value)
    ]
    return " ".join(words)


def identity(flat: Flat) -> Flat:
    """What all runs of one curve have in common."""
    dense = kind(flat) == "dense"
    return {
        key: value
        for key, value in flat.items()
        if key not in ("seed", "pruning.sparsity")
        and not (dense and key.startswith(MODEL_SIZE) and is_number(value))
    }


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


def _preference(key: str) -> tuple[int, bool, str]:
    group = key.partition(".")[0]
    place = PREFERENCE.index(group) if group in PREFERENCE else len(PREFERENCE)
    return place, not key.endswith(("option", "start")), key


def names(flats: Sequence[Flat], data: Sequence[str]) -> list[str]:
    """The name of each run's curve, from configurations and checksums of the data."""
    several = len(set(data)) > 1
    kinds = [kind(flat) for flat in flats]
    identities = [{"data": sum_, **identity(flat)} for flat, sum_ in zip(flats, data, strict=True)]
    named = []
    for own, mine, sum_ in zip(kinds, identities, data, strict=True):
        beside = [other for k, other in zip(kinds, identities, strict=True) if k == own]
        keys = [key for key in telling(beside) if key != "data"]
        words = [own, *(_word(key, mine.get(key), keys) for key in keys)]
        named.append(", ".join(words) + (f" (data {sum_[:6] or 'unknown'})" if several else ""))
    return named


def _word(key: str, value: Any, keys: list[str]) -> str:
    """One thing a curve is named by: "random", "from dense", "width 0.5"."""
    above, _, leaf = key.rpartition(".")
    if leaf == "option":
        part = above.rpartition(".")[2]
        return str(value) if above.startswith(("pruning", "model")) else f"{part} {value}"
    if key == "pruning.start":
        return "from " + str(value).replace(":", " ")
    alone = sum(other.rpartition(".")[2] == leaf for other in keys) == 1
    return write(leaf if alone else key, value)


def write(leaf: str, value: Any) -> str:
    name = leaf.replace("_", " ")
    if value is None or value is False:
        return f"no {name}"
    if value is True:
        return name
    return f"{name} {value:g}" if is_number(value) else f"{name} {value}"


def sizes(flats: Sequence[Flat]) -> list[str]:
    """What tells a model from its larger and smaller brothers: "×0.5", "hidden 200"."""
    numbers = [
        {
            key: value
            for key, value in flat.items()
            if key.startswith(MODEL_SIZE) and is_number(value)
        }
        for flat in flats
    ]
    keys = telling(numbers)
    if all("model.width" in flat for flat in numbers):
        keys = ["model.width", *(key for key in keys if key != "model.width")]
    return [", ".join(_size(key, flat[key]) for key in keys if key in flat) for flat in numbers]


def _size(key: str, value: float) -> str:
    return f"×{value:g}" if key == "model.width" else write(key.rpartition(".")[2], value)
