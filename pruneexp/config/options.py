"""`OPTIONS` is the one table of everything that can be chosen; Hydra's schemas, the reader,
`restore` and the help all come from it."""

from pruneexp import models, pruning, quantisation, tasks, training
from pruneexp.config.recipe import Recipe
from pruneexp.engine import launchers
from pruneexp.pruning import allocation, criterion, schedule, scope, start, structure
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
    "pruning/allocation": allocation.OPTIONS,
    "quantisation": quantisation.OPTIONS,
    "hydra/launcher": launchers.OPTIONS,
}
