"""Dense models of the sizes that sparse ones are pruned to, so that both are compared at one size.

A grid with `matched: true` makes two of each of its sparse points: the sparse one, and the smallest
dense model of the same family that keeps no fewer weights. Where the two differ by more than one
per cent, the sparsity is moved to meet the dense model. `matched` may also list rivals, each as the
settings in which it differs from the point: `matched: [{}, {model.tied: true}]`.

A point that starts from a trained dense model is matched by one that is given both stages too, of
which nothing is pruned in the second.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pruneexp.bisection import first
from pruneexp.cli.grids import MATCHED
from pruneexp.cli.points import Composer, read_point, without
from pruneexp.cli.sizes import Sizes
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run
from pruneexp.engine.record import NEAR

LEVELS = 10_000  # steps of a sparsity between 0 and 1


class Matcher:
    """Turns a sparse point into itself and its rivals, each as overrides.

        Matcher(composer)(("model.hidden_size=128", "pruning.sparsity=0.95"), [{}])

    Arguments:
        composer: reads the points.
    """

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.sizes: Sizes | None = None  # known once the first point says where results lie
        self.known: dict[tuple[Any, ...], list[tuple[str, ...]]] = {}

    def __call__(
        self, point: Sequence[str], rivals: Sequence[dict[str, str]]
    ) -> list[tuple[str, ...]]:
        """The point, its sparsity perhaps moved, and a dense point for each rival. A point that
        cannot be read comes back alone, to be refused as others are. Raises `Invalid` where there
        is no size to solve for."""
        key = (*point, *(tuple(rival.items()) for rival in rivals))
        if key not in self.known:
            self.known[key] = self._matched(tuple(point), rivals)
        return self.known[key]

    def _matched(
        self, point: tuple[str, ...], rivals: Sequence[dict[str, str]]
    ) -> list[tuple[str, ...]]:
        try:
            run = read_point(self.composer, [*point])
        except Invalid:
            return [point]
        if run.pruning.file_budget() is not None:
            return [point, *(self._of_the_same_budget(point, rival) for rival in rivals)]
        self.sizes = self.sizes or Sizes(run.store)
        wanted = self.sizes.nonzero(run)
        dial = run.pruning.dial()
        if dial is None or dial.name != "sparsity" or wanted is None:
            raise _refused(f"takes points with a pruning.sparsity, got {' '.join(point)}")
        moved = point
        found: list[tuple[str, ...]] = []
        for rival in rivals:
            overrides, size = self._rival(point, rival, wanted)
            if not found and size > wanted * (1 + NEAR):
                moved, wanted = self._moved(point, run, size)
            found.append(overrides)
        self.sizes.save()
        return [moved, *found]

    def _of_the_same_budget(self, point: tuple[str, ...], rival: dict[str, str]) -> tuple[str, ...]:
        """The dense point whose file fits the budget of a sparse one."""
        own = without(point, [*rival]) + tuple(f"{key}={value}" for key, value in rival.items())
        overrides = _dense(own, read_point(self.composer, [*own]))
        dense = read_point(self.composer, [*overrides]).model.size_dial()
        assert dense is not None, overrides
        key = f"model.{dense.name}"
        return (*without(overrides, [key, "budget"]), f"{key}={dense.value:g}")

    def _rival(
        self, point: tuple[str, ...], rival: dict[str, str], wanted: int
    ) -> tuple[tuple[str, ...], int]:
        """The smallest dense model not below a number of weights, as overrides, and its number."""
        assert self.sizes is not None
        own = without(point, [*rival])
        own += tuple(f"{key}={value}" for key, value in rival.items())
        overrides = _dense(own, read_point(self.composer, [*own]))
        dense = read_point(self.composer, [*overrides])
        dial = dense.model.size_dial()
        if dial is None:
            raise _refused(f"takes a model with one size to turn, got {dense.model.word}")

        def weights(number: int) -> int:
            return _known(self.sizes, replace(dense, model=dense.model.resized(dial.at(number))))

        most = max(1, round(dial.value / dial.step))
        number = first(1, most, lambda number: weights(number) >= wanted)
        if number is None:
            why = f"finds no {dial.name} up to {dial.value:g} with {wanted:,} weights, for "
            raise _refused(why + " ".join(point))
        full = f"model.{dial.name}"
        return (*without(overrides, [full]), f"{full}={dial.at(number):g}"), weights(number)

    def _moved(self, point: tuple[str, ...], run: Run, wanted: int) -> tuple[tuple[str, ...], int]:
        """The point with the sparsity that comes nearest to a number of weights, and its number."""

        def weights(level: int) -> int:
            pruning: Any = run.pruning
            return _known(
                self.sizes, replace(run, pruning=replace(pruning, sparsity=level / LEVELS))
            )

        fits = first(0, LEVELS - 1, lambda level: weights(level) <= wanted) or 0
        level = min((max(fits - 1, 0), fits), key=lambda level: abs(weights(level) - wanted))
        key = "pruning.sparsity"
        return (*without(point, [key]), f"{key}={level / LEVELS:g}"), weights(level)


def _dense(point: tuple[str, ...], run: Run) -> tuple[str, ...]:
    """A point without pruning; one with a start keeps its stages and prunes nothing in the last."""
    if run.pruning.starts_from.word == "scratch":
        left = tuple(word for word in point if not re.match(r"pruning[./=]", word))
        return (*left, "pruning=none")
    return (*without(point, ["pruning.sparsity"]), "pruning.sparsity=0")


def _known(sizes: Sizes | None, run: Run) -> int:
    assert sizes is not None
    weights = sizes.nonzero(run)
    assert weights is not None, run
    return weights


def _refused(why: str) -> Invalid:
    return Invalid([Fault(MATCHED, why)])
