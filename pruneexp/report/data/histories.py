"""How runs went: learning rate, sparsity and validation over steps, of few enough to tell apart."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pruneexp.engine import files
from pruneexp.engine.store import Store
from pruneexp.report.format import percent

MOST = 6  # curves in one panel that an eye can follow


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """One run, the lowest seed of its point."""

    label: str
    kind: str
    seed: int
    own_stage: bool  # it started from a trained model, whose steps are not here
    steps: list[float]
    rates: list[float]
    sparsities: list[float]
    validated: list[float]  # the steps of the validations
    valid: list[float]


@dataclass(kw_only=True, slots=True)
class Histories:
    shown: list[History]
    pruned: int  # settings that were pruned, shown or not
    warnings: list[str]


def read(store: Store, runs: pd.DataFrame, metric: str) -> Histories:
    """Of the pruned settings the most sparse, from all curves alike, and the dense one of their
    model."""
    trained = runs[runs["steps"] > 0]  # not those that only measured rounded weights
    first = trained.sort_values("seed", kind="stable").groupby("point", sort=False).head(1)
    pruned = first[first["kind"] == "sparse"]
    beside = _dense(first, pruned)
    chosen = pd.concat([beside, _chosen(pruned, MOST - len(beside))])
    several = pruned["series"].nunique() > 1
    same = chosen[chosen["kind"] == "sparse"]["sparsity"].nunique() == 1
    histories = Histories(shown=[], pruned=len(pruned), warnings=[])
    for row in chosen.to_dict("records"):
        words = [percent(row["sparsity"])]
        if row["kind"] == "dense":
            words = [f"dense {row['size']}".strip()]
        elif several:
            own = row["series"].removeprefix("sparse, ")
            words = [own] if same else [own, *words]
        try:
            found = store.folder(row["name"]).history()
            if found:
                histories.shown.append(_history(", ".join(words), row, found, metric))
        except (files.Damaged, OSError, KeyError) as error:
            told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            histories.warnings.append(f"The history of {row['name']} is not shown: {told}.")
    return histories


def _dense(first: pd.DataFrame, pruned: pd.DataFrame) -> pd.DataFrame:
    """The dense run of the largest model that was pruned, if it is there."""
    same = ["family", "size", "data"]
    dense = first[first["kind"] == "dense"].merge(pruned[same].drop_duplicates(), on=same)
    return dense.sort_values("parameters", kind="stable").tail(1)


def _chosen(pruned: pd.DataFrame, most: int) -> pd.DataFrame:
    """The most sparse of each curve, then the next of each; in the order of the curves."""
    falling = pruned.sort_values("sparsity", ascending=False, kind="stable")
    turn = falling.groupby("series", sort=False).cumcount()
    taken = falling.assign(turn=turn).sort_values("turn", kind="stable").head(most)
    order = {name: place for place, name in enumerate(dict.fromkeys(pruned["series"]))}
    places = taken["series"].map(order)
    return taken.assign(place=places).sort_values(["place", "sparsity"], kind="stable")


def _history(
    label: str, row: dict[Any, Any], found: list[dict[str, float]], metric: str
) -> History:
    key = f"valid_{metric}"
    validations = [each for each in found if key in each]
    return History(
        label=label,
        kind=str(row["kind"]),
        seed=int(row["seed"]),
        own_stage=row["steps"] != row["total_steps"],
        steps=[each["step"] for each in found],
        rates=[each["rate"] for each in found],
        sparsities=[100 * each["sparsity"] for each in found],
        validated=[each["step"] for each in validations],
        valid=[each[key] for each in validations],
    )
