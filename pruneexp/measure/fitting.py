"""What a budget, in bytes or in weights, makes of a run before it is trained: a sparsity that masks
will settle, or for a dense run the largest network of its family that meets it.

    run = fitted(run)  # neither run.budget nor run.nonzero is left
"""

from dataclasses import replace

from pruneexp.bisection import first
from pruneexp.config import amounts
from pruneexp.config.recipe import Fault, Invalid, asked, digest
from pruneexp.config.run import Run
from pruneexp.measure.counts import count
from pruneexp.measure.expected import (
    LEVELS,
    NOTES,
    NOTES_LEAST,
    alike,
    expected,
    least_level,
    network_words,
    notes_room,
)
from pruneexp.measure.file_size import FileSize
from pruneexp.measure.planned import network, nonzero
from pruneexp.storage import values

# What was found in this process, by a digest of what was asked: a sweep asks for each of its seeds.
_KNOWN: dict[str, Run] = {}


def fitted(run: Run) -> Run:
    """A run that meets its `budget` or its `nonzero`, and has neither any more. Raises `Invalid`
    for one that nothing of the kind can meet, with what is in the way."""
    key = digest(asked(alike(run)))
    if key not in _KNOWN:
        _KNOWN[key] = _fitted(run)
    found = _KNOWN[key]
    return replace(run, budget="", nonzero="", model=found.model, pruning=found.pruning)


def _fitted(run: Run) -> Run:
    bare = replace(run, budget="", nonzero="")
    if not run.pruning.prunes:
        return _resized(run, bare)
    if run.nonzero:
        return _at_most(bare, amounts.count_of(run.nonzero), run.nonzero)
    within = replace(bare, pruning=run.pruning.within(run.budget))
    expected(within, network(within))  # refuses what cannot be
    return within


# --- dense models, and budgets in weights -------------------------------------------------------


def _resized(run: Run, bare: Run) -> Run:
    """The largest network of a dense run's family that meets its budget."""
    dial = bare.model.size_dial()
    if dial is None:
        why = "takes a model with a number that says how large it is; name one of the arguments of "
        why += f"model={bare.model.word} by model.dial"
        raise Invalid([Fault("budget" if run.budget else "nonzero", why)])
    key, words = ("budget", run.budget) if run.budget else ("nonzero", run.nonzero)
    limit = amounts.bytes_of(words) if run.budget else amounts.count_of(words)
    size = dense_bytes if run.budget else _weights

    def at(number: int) -> Run:
        return replace(bare, model=bare.model.resized(dial.at(number)))

    most = 1
    while most < dial.steps and size(at(most)) <= limit:
        most = min(2 * most, dial.steps)
    too_large = first(1, most, lambda number: size(at(number)) > limit)
    if too_large is None:
        why = f"={words} holds more than the largest {bare.model.word}, model.{dial.name}="
        raise Invalid([Fault(key, why + f"{dial.most:g}")])
    if too_large == 1:
        unit = "bytes" if run.budget else "weights"
        why = f"={words} is below the smallest {bare.model.word}, {size(at(1)):,} {unit} at "
        raise Invalid([Fault(key, why + f"model.{dial.name}={dial.at(1):g}")])
    return at(too_large - 1)


def dense_bytes(run: Run, *, least: bool = False) -> int:
    """What the packed file of a dense run takes, before it is trained: at most about a hundred
    bytes too many, or with `least` about as many too few."""
    word = str(asked(run.quantisation).get("values", values.EXACT))
    room = notes_room(run) - (NOTES - NOTES_LEAST) * least
    return FileSize(network(run), run.task.shape(), [], values=word, notes=room).expected({})


def _weights(run: Run) -> int:
    known = nonzero(run, network(run))
    assert known is not None, run
    return known


def _at_most(run: Run, most: int, words: str) -> Run:
    """A sparse run that keeps no more weights than that."""
    model = network(run)

    def kept(level: int) -> int:
        known = nonzero(replace(run, pruning=run.pruning.at(level / LEVELS)), model)
        if known is None:
            why = f"cannot settle what pruning={run.pruning.word} removes"
            raise Invalid([Fault("nonzero", why)])
        return known

    if count(model, {}, 0).nonzero <= most:
        why = f"={words} holds all of {network_words(run)}; take a larger one, or pruning=none"
        raise Invalid([Fault("nonzero", why)])
    low = least_level(run.pruning, model)
    level = first(low, LEVELS - 1, lambda level: kept(level) <= most)
    if level is None:
        why = f"={words} is below the {kept(LEVELS - 1):,} weights that are not pruned in "
        raise Invalid([Fault("nonzero", why + f"{network_words(run)}; take a smaller one")])
    return replace(run, pruning=run.pruning.at(level / LEVELS))
