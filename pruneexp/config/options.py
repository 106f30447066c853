"""`OPTIONS` is the one table of everything that can be chosen; Hydra's schemas, the reader,
`restore` and the help all come from it."""

from dataclasses import fields
from functools import cache

from pruneexp import distillation, models, pruning, quantisation, tasks, training
from pruneexp.config.recipe import Recipe
from pruneexp.config.run import Run
from pruneexp.engine import launchers
from pruneexp.pruning import allocation, criterion, schedule, scope, start, structure
from pruneexp.pruning.sensitivity import Sensitivity
from pruneexp.training import decay, optimiser

OPTIONS: dict[str, tuple[type[Recipe], ...]] = {
    "task": tasks.OPTIONS,
    "model": models.OPTIONS,
    "training": training.OPTIONS,
    "training/optimiser": optimiser.OPTIONS,
    "training/decay": decay.OPTIONS,
    "pruning": pruning.OPTIONS,
    "pruning/schedule": schedule.OPTIONS,
    "pruning/scope": scope.OPTIONS,
    "pruning/start": start.OPTIONS,
    "pruning/criterion": criterion.OPTIONS,
    "pruning/structure": structure.OPTIONS,
    "pruning/allocation": (*allocation.OPTIONS, Sensitivity),
    "quantisation": quantisation.OPTIONS,
    "distillation": distillation.OPTIONS,
    "hydra/launcher": launchers.OPTIONS,
}


@cache
def no_part_of_a_name() -> frozenset[str]:
    """Keys of what says where or how fast: they are no part of a run's name, and of no plan's."""
    recipes: list[tuple[str, type[Recipe]]] = [("", Run)]
    recipes += [(group.replace("/", "."), o) for group, options in OPTIONS.items() for o in options]
    here = (
        ".".join(filter(None, [above, item.name]))
        for above, recipe in recipes
        for item in fields(recipe)
        if item.metadata.get("here")
    )
    return frozenset({"experiment", *here})
