"""At one budget a dense model and parents of several sizes, each pruned to the dense model's bytes.

A grid with `parents: [1.5, 2, 3, 5, 8, 12]` makes such a slice of each of its points, which say a
budget: the dense model whose file fits it, and beside it models of so many times its weights,
pruned until their file is not above the dense one's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pruneexp.bisection import first
from pruneexp.cli.grids import PARENTS
from pruneexp.cli.points import Composer, read_point, without
from pruneexp.config import amounts
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run


@dataclass(frozen=True, slots=True)
class Level:
    """One model of a slice.

    Arguments:
        times: the weights of the dense model; 1 for that itself.
        point: as overrides.
    """

    times: float
    point: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """All models of one budget, the dense one first.

    Arguments:
        budget: as it was typed.
        levels: that can be made.
        impossible: lines about parents that cannot be pruned so far.
    """

    budget: str
    levels: tuple[Level, ...]
    impossible: tuple[str, ...]


class Slicer:
    """Makes a slice of a point that says a budget.

        Slicer(composer)(("budget=100kB", "task=glyphs"), [1.5, 2, 3])

    Arguments:
        composer: reads the points.
    """

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.known: dict[tuple[object, ...], Slice] = {}

    def __call__(self, point: Sequence[str], times: Sequence[float]) -> Slice:
        """The slice. Raises `Invalid` for a point without a budget, or one that no dense model
        meets."""
        key = (*point, *times)
        if key not in self.known:
            self.known[key] = self._slice(tuple(point), times)
        return self.known[key]

    def _slice(self, point: tuple[str, ...], times: Sequence[float]) -> Slice:
        from pruneexp.measure.fitting import dense_bytes  # imports torch

        budget = next((word for word in point if word.startswith("budget=")), "").partition("=")[2]
        if not budget:
            why = (
                f"takes points with a budget, such as budget=100kB, got {' '.join(point) or 'none'}"
            )
            raise Invalid([Fault(PARENTS, why)])
        bare = tuple(word for word in point if not re.match(r"pruning[./=]", word))
        dense = read_point(self.composer, [*bare, "pruning=none"])
        dial = dense.model.size_dial()
        assert dial is not None, dense.model  # a budget was met by it
        key = f"model.{dial.name}"
        others = without(bare, ["budget", key])
        levels = [Level(1.0, (*others, "pruning=none", f"{key}={dial.value:g}"))]
        limit = amounts.bytes_in_words(dense_bytes(dense, least=True))
        impossible: list[str] = []
        for each in times:
            parent = _larger(dense, each)
            if parent is None:
                impossible.append(f"{budget}, parent of {each:g} times: there is no such size")
                continue
            words = without(point, ["budget", key])
            made = (*words, f"{key}={parent:g}", f"budget={limit}")
            try:
                read_point(self.composer, [*made])
            except Invalid as invalid:
                why = "; ".join(str(fault) for fault in invalid.faults)
                impossible.append(f"{budget}, parent of {each:g} times: {why}")
                continue
            levels.append(Level(each, made))
        return Slice(budget, tuple(levels), tuple(impossible))


def _larger(dense: Run, times: float) -> float | None:
    """The size of the smallest network with so many times the weights."""
    dial = dense.model.size_dial()
    assert dial is not None, dense.model
    wanted = times * _weights(dense)

    def weights(number: int) -> int:
        return _weights(replace(dense, model=dense.model.resized(dial.at(number))))

    low = max(1, round(dial.value / dial.step))
    most = low
    while weights(most) < wanted and most < dial.steps:
        most = min(2 * most, dial.steps)
    number = first(low, most, lambda number: weights(number) >= wanted)
    return None if number is None else dial.at(number)


def _weights(run: Run) -> int:
    from pruneexp.measure.planned import network, nonzero

    known = nonzero(run, network(run))
    assert known is not None, run
    return known
