"""The runs that a run is made from."""

from dataclasses import fields, replace
from typing import Any

from pruneexp import pruning
from pruneexp.config.read import restore
from pruneexp.config.recipe import Recipe
from pruneexp.config.run import Run
from pruneexp.quantisation import Quantisation


def parent(run: Run) -> Run | None:
    """The run whose weights this one starts from: the same question without its last stage."""
    if run.quantisation:
        return replace(run, quantisation=Quantisation(), keep="weights")
    start, _, reference = run.pruning.starts_from.partition(":")
    if start == "dense":
        return replace(run, pruning=pruning.Dense(), keep="weights")
    if start == "run":
        found = restore(run.store.find(reference).record_or_fail().configuration)
        return replace(
            found,
            results=run.results,
            device=run.device,
            task=_there(found.task, run.task),
            training=_there(found.training, run.training),
        )
    return None


def _there(found: Any, given: Recipe) -> Any:
    """`found`, where and as fast as `given` says: a record does not hold that."""
    if type(found) is not type(given):
        return found
    names = [item.name for item in fields(found) if item.metadata.get("here")]
    return replace(found, **{name: getattr(given, name) for name in names})
