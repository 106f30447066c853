"""Batches of sentence pairs of like lengths, following from seed and epoch alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pruneexp import seeds


@dataclass(frozen=True, slots=True)
class LengthBatches:
    """Pairs are sorted by length, those of equal lengths in an order that each epoch draws anew,
    and cut into batches, which come in an order of their own. Sorted lengths are the same in each
    epoch, and so are the cuts: an epoch always has as many batches, and nothing is left out.

        list(LengthBatches.of(source_lengths, target_lengths, 128, "sentences").rows(seed, 0, 10))

    Arguments:
        keys: of each pair, what they are sorted by.
        cuts: where batches begin and end among the sorted pairs.
    """

    keys: np.ndarray
    cuts: np.ndarray

    @classmethod
    def of(cls, source: np.ndarray, target: np.ndarray, size: int, by: str) -> "LengthBatches":
        """Batches of so many sentences, or of so many words of the longer side with its padding.

        Arguments:
            source, target: lengths of both sides.
            size: of a batch.
            by: what it is counted in, sentences or words.
        """
        keys = source.astype(np.int64) * (int(target.max()) + 1) + target
        if by == "sentences":
            ends = np.arange(size, len(keys) + size, size).clip(max=len(keys))
        else:
            order = np.argsort(keys, kind="stable")
            ends = _cut_by_words(np.maximum(source, target)[order], size)
        return cls(keys, np.stack([np.concatenate([[0], ends[:-1]]), ends], 1))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.cuts)

    def rows(self, seed: int, first: int, last: int) -> Iterator[np.ndarray]:
        """The pairs of the batches of the steps from `first` up to `last`."""
        epoch, sorted_rows, order = -1, None, None
        for step in range(first, last):
            if step // len(self) != epoch or sorted_rows is None or order is None:
                epoch = step // len(self)
                drawn = seeds.generator(seed, "order", epoch).permutation(len(self.keys))
                sorted_rows = drawn[np.argsort(self.keys[drawn], kind="stable")]
                order = seeds.generator(seed, "order of batches", epoch).permutation(len(self))
            start, end = self.cuts[order[step % len(self)]]
            yield sorted_rows[start:end]


def _cut_by_words(lengths: np.ndarray, size: int) -> np.ndarray:
    """Ends of batches whose pairs, each as long as the longest, have at most `size` words; a longer
    pair is a batch of its own."""
    ends: list[int] = []
    start, longest = 0, 0
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > start and (place + 1 - start) * longest > size:
            ends.append(place)
            start, longest = place, length
    return np.array([*ends, len(lengths)])
