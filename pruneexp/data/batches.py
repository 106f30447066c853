"""Which examples make up which split and which batch: a function of seed and step, never of a
generator's state."""

from collections.abc import Iterator

import numpy as np

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid

Place = tuple[int, int]  # an example's index in the data, and its position in the run


def batches(
    seed: int, examples: int, batch_size: int, first: int, last: int
) -> Iterator[list[Place]]:
    """The batches of the steps from `first` up to `last`. Each epoch is shuffled anew, and its
    incomplete last batch is left out."""
    per_epoch = examples // batch_size
    assert per_epoch > 0, (examples, batch_size)
    epoch, order = -1, None
    for step in range(first, last):
        if step // per_epoch != epoch or order is None:
            epoch = step // per_epoch
            order = seeds.generator(seed, "order", epoch).permutation(examples)
        start = step % per_epoch * batch_size
        chosen = order[start : start + batch_size]
        yield [(int(index), step * batch_size + row) for row, index in enumerate(chosen)]


def hold_out(seed: int, examples: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay in train and the `count` that are held out, both in order."""
    if not 0 <= count < examples:
        why = f"takes fewer than the {examples:,} training examples, got {count:,}"
        raise Invalid([Fault("task.valid", why)])
    order = seeds.generator(seed, "held out").permutation(examples)
    return np.sort(order[count:]), np.sort(order[:count])
