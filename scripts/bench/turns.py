"""Candidates in turns: seconds of each, and ratios to one of them."""

import time
from collections.abc import Callable
from statistics import median


def turns(
    candidates: dict[str, Callable[[], object]], times: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of several turns; the first ones are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(times + warm_up):
        for name, act in candidates.items():
            began = time.perf_counter()
            act()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def table(title: str, seconds: dict[str, list[float]], base: str) -> None:
    """Median seconds, and the median over turns of the ratio to `base`."""
    print(f"\n{title}")
    for name, values in seconds.items():
        ratios = [value / other for value, other in zip(values, seconds[base], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name:<44} {median(values):9.4f} s   x{median(ratios):<6.2f} ({spread})")
