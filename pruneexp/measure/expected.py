"""The sparsity at which a run's file is expected to meet its budget, before it is trained: as if
its masks lay at random. The masks themselves settle it at their last update.

    pruning = expected(run, network(run))
    pruning.final
"""

import math
from dataclasses import replace
from json import dumps

from torch import nn

from pruneexp.bisection import first
from pruneexp.config import amounts
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.config.run import Run
from pruneexp.measure.file_size import FileSize
from pruneexp.pruning import FileBudget, Pruning
from pruneexp.storage import values

LONG_SEED, LONG_RATE = 10**9, 0.1234567  # with as many digits as such numbers have
MIDDLE = 0.5  # any sparsity, where only shapes are asked for
LEVELS = 10**6  # steps of a sparsity between 0 and 1
NOTES, NOTES_LEAST = 640, 420  # bytes of a file's notes beside the run's configuration, about


def expected(run: Run, model: nn.Module) -> Pruning:
    """The run's method of pruning at the sparsity that its budget is expected to settle, if its
    masks lie at random; without a budget, the method as it is.

    Arguments:
        model: the run's network, on any device.

    Raises `Invalid` where the budget is below what cannot be pruned, or not below the dense file.
    """
    budget = run.pruning.file_budget()
    if budget is None:
        return run.pruning
    pruning = run.pruning
    tensors = [name for names in pruning.groups(model).values() for name in names]
    size = FileSize(
        model,
        run.task.shape(),
        tensors,
        values=values_of(run, budget),
        notes=notes_room(run),
    )
    steps, _ = pruning.stage(run.training.steps)

    def bytes_at(level: int) -> int:
        return size.expected(_kept(pruning.at(level / LEVELS), model, steps))

    words = amounts.bytes_in_words(budget.bytes)
    least = bytes_at(LEVELS - 1)
    if least > budget.bytes:
        why = f"={words} is below the {least:,} bytes of what is not pruned in "
        raise Invalid([Fault("budget", why + f"{network_words(run)}; take a smaller one")])
    dense = FileSize(model, run.task.shape(), [], values=values_of(run, budget), notes=size.notes)
    if dense.expected({}) <= budget.bytes:
        why = f"={words} holds all of {network_words(run)}, whose dense file takes "
        why += f"{dense.expected({}):,} bytes; take a larger one, or pruning=none"
        raise Invalid([Fault("budget", why)])
    low = least_level(pruning, model)
    level = first(low, LEVELS - 1, lambda level: bytes_at(level) <= budget.bytes)
    assert level is not None  # the highest fits
    return pruning.at(level / LEVELS)


def values_of(run: Run, budget: FileBudget) -> str:
    """The type of values of the file that a budget is about."""
    if budget.values:
        return budget.values
    return str(asked(run.quantisation).get("values", values.EXACT))


def notes_room(run: Run) -> int:
    """What the notes of a run's file take, at most about, before the run is trained; the same for
    all seeds and rates."""
    return NOTES + len(dumps(asked(alike(run)), ensure_ascii=False).encode())


def alike(run: Run) -> Run:
    """The same for runs that differ in nothing which decides their size: another seed, another
    learning rate."""
    rate = run.training.learning_rate
    longest = rate if len(repr(rate)) > len(repr(LONG_RATE)) else LONG_RATE
    return replace(run, seed=LONG_SEED, training=replace(run.training, learning_rate=longest))


def _kept(pruning: Pruning, model: nn.Module, steps: int) -> dict[str, float]:
    """How many weights of each tensor are kept, where those that are ranked together lose alike."""
    groups = pruning.ranked_groups(model)
    plan = pruning.plan(groups, steps)
    assert plan.total is not None, pruning
    kept: dict[str, float] = {}
    whole = sum(group.weights for group in groups)
    for group in groups:
        masked = plan.by_group[group.name]
        share = plan.total / whole if masked is None else masked / group.weights
        sizes = {name: math.prod(shape) for name, shape in group.shapes.items()}
        kept |= {name: weights * (1 - share) for name, weights in sizes.items()}
    return kept


def least_level(pruning: Pruning, model: nn.Module) -> int:
    """The lowest level that masks anything for certain."""
    units = [group.units for group in pruning.at(MIDDLE).ranked_groups(model)]
    return math.ceil(LEVELS / max(units)) + 1


def network_words(run: Run) -> str:
    """A run's network as messages name it: "lstm_lm of 64 units"."""
    sizes = [size.long_words for size in run.model.sizes() if size.heading]
    return " of ".join([run.model.word, *sizes])
