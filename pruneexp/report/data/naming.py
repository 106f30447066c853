"""Which runs make one curve, and what it is called.

Runs of one curve differ in size, dial and seed, and in what goes with the size: a large model may
have a learning rate and a dropout of its own, as in the paper's Table 3. A curve is named by what
sets it apart from the others of its kind: "sparse" alone, "sparse, random" beside "sparse,
magnitude".

Everything here is computed over distinct sets of settings, not over runs, so that many seeds and
levels cost little.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruneexp.engine.record import Curve, Trait

DATA = "data"
# Which of several settings that tell the same curves apart is the best name for them.
PREFERENCE = (DATA, "model", "pruning", "training", "task")
Settings = Mapping[str, Trait]  # by key


@dataclass(frozen=True, slots=True)
class Names:
    """What each run's curve and size are called, in the order of the runs."""

    series: list[str]
    sizes: list[str]
    gone_with_size: list[str]  # settings that differ between the models of one curve


def names(curves: Sequence[Curve], data: Sequence[str]) -> Names:
    """The names of runs, from their curves' facts and the checksums of their data."""
    keys = [_identity(curve, sum_) for curve, sum_ in zip(curves, data, strict=True)]
    distinct: dict[Any, tuple[Curve, str]] = {}
    for key, curve, sum_ in zip(keys, curves, data, strict=True):
        distinct.setdefault(key, (curve, sum_))
    series, gone = _series(distinct)
    labels = _sizes({key: curve for key, (curve, _) in distinct.items()})
    return Names(
        series=[series[key] for key in keys],
        sizes=[labels[key] for key in keys],
        gone_with_size=gone,
    )


def _identity(curve: Curve, data: str) -> Any:
    """All that names depend on: everything but seed and dial."""
    return (
        curve.kind,
        data,
        curve.quantised,
        tuple((trait.key, trait.value) for trait in curve.traits),
    )


# --- curves ------------------------------------------------------------------------------------


def _series(distinct: dict[Any, tuple[Curve, str]]) -> tuple[dict[Any, str], list[str]]:
    own = _own_settings(distinct)
    called = _data_words(distinct)
    titles: dict[Any, str] = {}
    by_kind: dict[str, list[Settings]] = {}
    for key, settings in own.items():
        by_kind.setdefault(key[0], []).append(settings)
    telling = {kind: _telling(_unique(settings)) for kind, settings in by_kind.items()}
    for key, (curve, data) in distinct.items():
        chosen = [name for name in telling[curve.kind] if name != DATA]
        # A run without a setting is of a time or a kind that knows no such thing, and says nothing.
        words = [curve.kind, *(_word(own[key][n], chosen, own) for n in chosen if n in own[key])]
        words += [curve.quantised] * (bool(curve.quantised) and "quantisation" not in chosen)
        titles[key] = ", ".join(words) + (f" ({called[data]})" if called else "")
    return titles, _gone_with_size(distinct, own)


def _data_words(distinct: dict[Any, tuple[Curve, str]]) -> dict[str, str]:
    """What each data set is called, by its checksum: by settings in words, such as a direction,
    where these tell all of them apart, otherwise by the checksum; nothing where there is one."""
    found: dict[str, dict[str, Trait]] = {}
    for curve, data in distinct.values():
        told = {t.key: t for t in curve.traits if t.of_data and isinstance(t.value, str)}
        found.setdefault(data, told)
    if len(found) < 2:
        return {}
    keys = sorted(_varying(list(found.values())))
    words = {
        data: ", ".join(told[key].words for key in keys if key in told)
        for data, told in found.items()
    }
    if all(words.values()) and len({*words.values()}) == len(words):
        return words
    return {data: f"data {data[:6] or 'unknown'}" for data in found}


def _own_settings(distinct: dict[Any, tuple[Curve, str]]) -> dict[Any, Settings]:
    """What all runs of each run's curve have in common. A setting of training, task or model that
    differs between sizes but never within one goes with the size and parts no curve."""
    firm: dict[Any, dict[str, Trait]] = {}
    alike: dict[Any, list[Any]] = {}  # those of one size that settings alone could part
    for key, (curve, data) in distinct.items():
        firm[key] = {DATA: _data_trait(data)} | {
            trait.key: trait for trait in curve.traits if _is_firm(trait, data)
        }
        size = tuple((trait.key, trait.value) for trait in curve.traits if trait.is_size)
        alike.setdefault((_written(firm[key]), size), []).append(key)
    parting: dict[str, set[str]] = {"dense": set(), "sparse": set()}
    for group in alike.values():
        settings = [_by_key(distinct[key][0]) for key in group]
        parting[distinct[group[0]][0].kind] |= _varying(settings)
    return {
        key: fixed
        | {t.key: t for t in distinct[key][0].traits if t.is_size and key[0] == "sparse"}
        | {t.key: t for t in distinct[key][0].traits if t.key in parting[key[0]]}
        for key, fixed in firm.items()
    }


def _is_firm(trait: Trait, data: str) -> bool:
    """Whether a setting parts curves whatever the size. Without a checksum the task alone tells
    data apart."""
    return not (trait.goes_with_size or trait.is_size or (trait.of_data and data))


def _data_trait(data: str) -> Trait:
    return Trait(key=DATA, group=DATA, value=data, words="", full_words="")


def _by_key(curve: Curve) -> dict[str, Trait]:
    return {trait.key: trait for trait in curve.traits}


def _gone_with_size(distinct: dict[Any, tuple[Curve, str]], own: dict[Any, Settings]) -> list[str]:
    """The settings that differ between the models of one curve."""
    curves: dict[Any, list[Settings]] = {}
    for key, settings in own.items():
        curves.setdefault(_written(settings), []).append(_by_key(distinct[key][0]))
    sizes = {t.key for curve, _ in distinct.values() for t in curve.traits if t.is_size}
    return sorted({key for curve in curves.values() for key in _varying(curve)} - sizes)


def _varying(many: Sequence[Settings]) -> set[str]:
    """The settings that are not the same in all; one that is lacking differs."""
    if len(many) < 2:
        return set()
    values: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for settings in many:
        for key, trait in settings.items():
            values.setdefault(key, set()).add(repr(trait.value))
            counts[key] = counts.get(key, 0) + 1
    return {key for key in values if len(values[key]) > 1 or counts[key] < len(many)}


def _written(settings: Settings) -> Any:
    return tuple(sorted((key, repr(trait.value)) for key, trait in settings.items()))


def _unique(many: Iterable[Settings]) -> list[Settings]:
    return list({_written(settings): settings for settings in many}.values())


def _telling(many: Sequence[Settings]) -> list[str]:
    """The fewest settings, the best names first, that tell apart whatever differs."""
    best: dict[str, Trait] = {}
    for settings in many:
        for key, trait in settings.items():
            best.setdefault(key, trait)
    chosen: list[str] = []
    classes = [0] * len(many)  # the class of each among the settings chosen so far
    count = 1 if many else 0
    for key in sorted(best, key=lambda key: _preference(best[key])):
        refined = [
            (before, repr(settings[key].value) if key in settings else None)
            for before, settings in zip(classes, many, strict=True)
        ]
        numbers = {value: number for number, value in enumerate(dict.fromkeys(refined))}
        if len(numbers) > count:
            chosen.append(key)
            classes = [numbers[value] for value in refined]
            count = len(numbers)
    return chosen


def _preference(trait: Trait) -> tuple[int, bool, bool, str]:
    known = trait.group in PREFERENCE
    place = PREFERENCE.index(trait.group) if known else len(PREFERENCE)
    return place, not trait.is_option, not trait.is_size, trait.key


def _word(trait: Trait, chosen: Sequence[str], own: dict[Any, Settings]) -> str:
    """One thing a curve is named by, with its part where two of them are called the same."""
    leaf = trait.key.rpartition(".")[2]
    ambiguous = sum(key.rpartition(".")[2] == leaf for key in chosen) > 1
    return trait.full_words if ambiguous else trait.words


# --- sizes -------------------------------------------------------------------------------------


def _sizes(curves: dict[Any, Curve]) -> dict[Any, str]:
    """What tells a model from larger and smaller ones: "×0.5", "650 units", "hidden 200"."""
    sized = {
        key: {trait.key: trait for trait in curve.traits if trait.is_size}
        for key, curve in curves.items()
    }
    telling = _telling(_unique(sized.values()))
    return {
        key: ", ".join(
            size.words for size in curve.sizes if size.heading or f"model.{size.name}" in telling
        )
        for key, curve in curves.items()
    }
