"""The sparsity that makes something, such as a file, just small enough: settled on the masks
themselves, once their ranking is final."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MaskSize = Callable[["Mapping[str, Tensor]"], int]

LEVELS = 10**7  # steps of a sparsity between 0 and 1
CLOSE = 1 / 2000  # of the limit; nearer need not be looked for
MOST_TRIES = 40
FURTHER = 1.2  # than a straight line says, as long as one end is not known
EDGE = 0.1  # of the bracket: a guess nearer to its end would shrink it by little


@dataclass(frozen=True, slots=True)
class Settling:
    """What a sparsity is settled by: the size under some masks, and the most that it may be."""

    size: MaskSize
    limit: int


def least_sparsity(
    size: Callable[[float], int], limit: int, *, start: float, lowest: float = 0.0
) -> float:
    """The least sparsity that was found whose size is not above the limit, and within a thousandth
    of it where steps are fine enough. Where none fits, the highest.

        least_sparsity(lambda s: round(1000 * (1 - s)), 100, start=0.8) == 0.9

    Arguments:
        size: falls with the sparsity, about.
        start: a guess.
        lowest: the least that may be.
    """
    low, high = round(lowest * LEVELS), LEVELS - 1
    sizes: dict[int, int] = {}
    guess = min(max(round(start * LEVELS), low), high)
    for _ in range(MOST_TRIES):
        sizes[guess] = size(guess / LEVELS)
        if sizes[guess] <= limit:
            high = guess
            if guess == low or sizes[guess] >= limit * (1 - CLOSE):
                break
        else:
            low = guess
        if high - low <= 1:
            break
        guess = _next(low, high, sizes, limit)
    return high / LEVELS


def _next(low: int, high: int, sizes: dict[int, int], limit: int) -> int:
    """Where a straight line through the ends of the bracket says that it fits just so. An end that
    is not known yet is taken as nothing at a sparsity of 1, or as if each weight took the same; a
    guess then goes a little too far, and soon half of the way, so that both are known."""
    below = sizes.get(high, 0)
    above = sizes.get(low, below * (LEVELS - low) // max(1, LEVELS - high))
    share = (above - limit) / (above - below) if above > below else 0.5
    if low in sizes and high in sizes:
        share = min(max(share, EDGE), 1 - EDGE)
    elif low in sizes:
        share = max(FURTHER * share, 0.5 if len(sizes) > 2 else 0.0)
    else:
        share = 1 - max(FURTHER * (1 - share), 0.5 if len(sizes) > 2 else 0.0)
    return min(max(round(low + share * (high - low)), low + (low in sizes)), high - 1)
