"""Which examples make up which batch: a function of (seed, step), never of a generator's state."""

from collections.abc import Iterator

from pruneexp import seeds

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
