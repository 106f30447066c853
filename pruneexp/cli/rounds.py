"""Which runs of a budget experiment are made next: coarse levels first, then those beside the best,
then seeds where they can still change the answer.

At one budget stand a dense model and parents of several sizes, each pruned to its bytes: levels.

1. The dense model, every other parent and the largest, at one seed.
2. The neighbours of the best, until the best has both.
3. Three seeds of the best, of the dense model and of the next two.
4. One more seed for the best and for whatever may still be better, until the best is, with a
   probability of 95 %, no more than what makes no difference below the best of all; or until there
   are no seeds left.

Everything is decided on validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pruneexp.report.analysis.statistics import SeedModel
from pruneexp.report.choice.beliefs import shrunken
from pruneexp.report.choice.choose import CERTAIN

LEAST_SEEDS = 3
AHEAD = 2  # levels after the best that get seeds with it
DENSE = 0  # the number of the dense model's level

Values = Sequence[Sequence[float]]  # of each level, one a seed; on a scale that rises


@dataclass(frozen=True, slots=True)
class Next:
    """What is made next at one budget. Nothing at all: it is decided.

    Arguments:
        levels: numbers of levels that are begun.
        seeds: numbers of levels that get one more seed.
    """

    levels: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()


def coarse(levels: int) -> tuple[int, ...]:
    """The levels that are made first: the dense one, every other and the last."""
    return tuple(sorted({*range(0, levels, 2), levels - 1}))


def following(values: Values, most_seeds: int, margin: float) -> Next:
    """What is made next at one budget.

    Arguments:
        values: of each level on validation, none of one that is not made.
        most_seeds: that a level may have.
        margin: on the scale of the values, what makes no difference.
    """
    made = [number for number, each in enumerate(values) if each]
    if not made:
        return Next(levels=coarse(len(values)))
    ranked = sorted(made, key=lambda number: -float(np.mean(values[number])))
    best = ranked[0]
    beside = [n for n in (best - 1, best + 1) if 0 <= n < len(values) and not values[n]]
    if beside:
        return Next(levels=tuple(beside))
    needed = {*ranked[: 1 + AHEAD], DENSE} & {*made}
    wanted = min(LEAST_SEEDS, most_seeds)
    if few := tuple(sorted(n for n in needed if len(values[n]) < wanted)):
        return Next(seeds=few)
    rivals = _rivals(values, made, best, margin)
    return Next(seeds=tuple(n for n in rivals if len(values[n]) < most_seeds))


def _rivals(values: Values, made: Sequence[int], best: int, margin: float) -> list[int]:
    """The best and what may still be better; none where it is decided."""
    seen = SeedModel({str(n): dict(enumerate(values[n])) for n in made})
    if seen.freedom < 1 or seen.variance == 0:
        return []
    noise = np.asarray(seen.covariance) * seen.variance
    drawn = shrunken(np.asarray(seen.means), noise, np.eye(len(made))).drawn(seen.freedom)
    mine = drawn[:, made.index(best)]
    if float(np.mean(mine >= drawn.max(axis=1) - margin)) >= CERTAIN:
        return []
    better = [n for k, n in enumerate(made) if float(np.mean(drawn[:, k] > mine)) > 1 - CERTAIN]
    return sorted({best, *better})
