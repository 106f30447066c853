"""What came of each item of the test split: a bit an image, summed nats and words a sentence, what
BLEU is made of for each translated one.

Kept beside the record as `outcomes.json`, so that two runs can be compared on the same items, and
an interval can speak of new data. Anyone can recompute the metric: of "percent" it is 100 times the
mean, of "mean" the mean, of "exponential" e to the sum over the sum of the counts, of "bleu" what
`bleu` makes of the sums of all columns.
"""

import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np

from pruneexp.engine.record import LARGEST_VALUE, Count, Line
from pruneexp.engine.typed import Longest, Within, typed

OUTCOMES_VERSION = 1
MOST_ITEMS = 1_000_000
DIGITS = 6  # that mean something of a value that is no bit
LONGEST = 20  # characters of a number and the space behind it

Numbers = Annotated[str, Longest(MOST_ITEMS * LONGEST)]  # with spaces between them

BLEU_ORDER = 4  # the longest n-grams that are counted
BLEU_COLUMNS = 2 * BLEU_ORDER + 2


def bleu(sums: np.ndarray) -> float:
    """BLEU in per cent, from sums over sentences: matching n-grams of length 1 to 4, all such
    n-grams, words written, words of the references. Where no n-gram of a length matches, it is
    smoothed as sacrebleu does ("exp")."""
    matching, written = sums[:BLEU_ORDER], sums[BLEU_ORDER : 2 * BLEU_ORDER]
    length, reference = sums[2 * BLEU_ORDER :]
    if not length or not matching.any():
        return 0.0
    nats, halved = 0.0, 1.0
    for right, every in zip(matching, written, strict=True):
        if not every:
            return 0.0
        if right < 1e-9:
            halved *= 2
        nats += math.log((right or 1 / halved) / every) / BLEU_ORDER
    return 100 * math.exp(nats + min(0.0, 1 - reference / length))


# From the sums of the values (a row of them where an item has several) and of the counts to the
# metric.
SUMMARIES: dict[str, Callable[[np.ndarray, float], float]] = {
    "percent": lambda values, counts: 100 * float(values[0]) / counts,
    "mean": lambda values, counts: float(values[0]) / counts,
    "exponential": lambda values, counts: math.exp(min(float(values[0]) / counts, 700.0)),
    "bleu": lambda values, counts: bleu(values),
}


@dataclass(frozen=True)
class Outcomes:
    """What came of each item of a split, in the order of the split.

    Arguments:
        metric: what they are of, such as accuracy.
        summary: how they become the metric; a key of `SUMMARIES`.
        values: of each item; a row for each where it has several.
        counts: what each item counts, such as its words; None where each counts one.
        in_sequence: whether items that stand together depend on each other, as sentences do.

    Two runs on three pictures, the second of which is wrong::

        >>> Outcomes("accuracy", "percent", np.array([1, 0, 1])).value()
        66.66666666666667
    """

    metric: str
    summary: str
    values: np.ndarray
    counts: np.ndarray | None = None
    in_sequence: bool = False

    def value(self) -> float:
        """The metric."""
        counts = len(self.values) if self.counts is None else self.counts.sum()
        return SUMMARIES[self.summary](self.rows.sum(0), float(counts))

    @property
    def rows(self) -> np.ndarray:
        """The values as (items, columns)."""
        return self.values.reshape(len(self.values), -1)

    @cached_property
    def weights(self) -> np.ndarray:
        """What each item counts."""
        return np.ones(len(self.values)) if self.counts is None else self.counts

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it: bits packed and in base64 where all values are 0 or 1."""
        columns = self.rows.shape[1]
        is_bits = columns == 1 and bool(np.isin(self.values, (0, 1)).all())
        bits = np.packbits(self.values.astype(bool)) if is_bits else None
        return asdict(
            _Plain(
                version=OUTCOMES_VERSION,
                metric=self.metric,
                summary=self.summary,
                items=len(self.values),
                in_sequence=self.in_sequence,
                bits=None if bits is None else base64.b64encode(bits.tobytes()).decode(),
                values=None if is_bits else _text(self.values.flatten()),
                counts=None if self.counts is None else _text(self.counts),
                columns=columns,
            )
        )

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Self:
        """What `to_plain` gave. Raises TypeError for anything else."""
        plain = typed(_Plain, data)
        if plain.bits is not None:
            packed = np.frombuffer(base64.b64decode(plain.bits, validate=True), np.uint8)
            values: np.ndarray = np.unpackbits(packed, count=plain.items).astype(float)
        else:
            count = plain.items * plain.columns
            flat = _numbers("values", plain.values, count, lowest=-LARGEST_VALUE)
            values = flat if plain.columns == 1 else flat.reshape(plain.items, plain.columns)
        counts = None
        if plain.counts is not None:
            counts = _numbers("counts", plain.counts, plain.items, lowest=1)
        return cls(plain.metric, plain.summary, values, counts, plain.in_sequence)


@dataclass(kw_only=True, slots=True)
class _Plain:
    """The content of the file."""

    version: Count
    metric: Line
    summary: Line
    items: Annotated[int, Within(1, MOST_ITEMS)]
    in_sequence: bool
    bits: Annotated[str, Longest(MOST_ITEMS)] | None
    values: Numbers | None
    counts: Numbers | None
    columns: Annotated[int, Within(1, BLEU_COLUMNS)] = 1

    def check(self) -> None:
        """Raise TypeError where the fields do not go together."""
        if self.version != OUTCOMES_VERSION:
            raise TypeError("another version of pruneexp wrote it")
        if self.summary not in SUMMARIES:
            raise TypeError(f"summary takes {', '.join(SUMMARIES)}, got {self.summary}")
        wanted = BLEU_COLUMNS if self.summary == "bleu" else 1
        if self.columns != wanted:
            raise TypeError(f"columns takes {wanted} of {self.summary}, got {self.columns}")
        if (self.bits is None) == (self.values is None):
            raise TypeError("it takes either bits or values")
        if self.bits is not None:
            try:
                held = len(base64.b64decode(self.bits, validate=True))
            except (binascii.Error, ValueError) as error:
                raise TypeError(f"bits is no base64 ({error})") from error
            if held != (self.items + 7) // 8:
                raise TypeError(f"bits takes {(self.items + 7) // 8} bytes, got {held}")


def _text(numbers: np.ndarray) -> str:
    return " ".join(f"{number:.{DIGITS}g}" for number in numbers)


def _numbers(name: str, text: str | None, items: int, *, lowest: float) -> np.ndarray:
    """What `_text` wrote, checked. Raises TypeError."""
    words = (text or "").split()
    if len(words) != items:
        raise TypeError(f"{name} takes {items} numbers, got {len(words)}")
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise TypeError(f"{name} takes numbers ({error})") from error
    if not bool(((numbers >= lowest) & (numbers <= LARGEST_VALUE)).all()):
        raise TypeError(f"{name} takes numbers from {lowest:g} to {LARGEST_VALUE:g}")
    return numbers


def by_sentence(nats: np.ndarray, ends: np.ndarray) -> Outcomes:
    """Perplexity's outcomes: nats and words of each sentence of a text.

    Arguments:
        nats: of each word.
        ends: whether a word ends a sentence. A text whose sentences are longer than a thousand
            words, or that has none, is cut into pieces of fifty.
    """
    starts = np.concatenate([[0], np.flatnonzero(ends[:-1]) + 1])
    if len(starts) < len(nats) / 1000 or len(starts) < 2:
        starts = np.arange(0, len(nats), 50)
    sums = np.add.reduceat(nats, starts)
    words = np.diff(np.append(starts, len(nats)))
    return Outcomes("perplexity", "exponential", sums, words, in_sequence=True)
