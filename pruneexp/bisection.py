"""The first number from which on something holds."""

from collections.abc import Callable


def first(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The lowest number from `low` to `high` from which on it holds; None where it never does.

    first(0, 100, lambda number: number**2 >= 50) == 8
    """
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
