"""What can be chosen: each point of a report that is written as one file of a known size."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from pruneexp.engine.record import MEGABYTE
from pruneexp.report.analysis.points import Point

MOST = 200  # candidates that are all looked at
MOST_SETTINGS = 2  # that stand behind a name
SHORT = 6  # digits of a fingerprint
AHEAD = 8  # better and no larger candidates of its kind that rule one out


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration, trained and measured, as the file that would be shipped.

    Arguments:
        point: all of its seeds.
        bytes: of the file, the mean over seeds.
        folded: whether batch-norm is folded in it.
        words: how a sentence names it, and no other: "sparse 90 % from ×1, int8 after training".
    """

    point: Point
    bytes: float
    folded: bool
    words: str

    @property
    def kind(self) -> str:
        """Dense or sparse."""
        return self.point.kind

    @property
    def key(self) -> str:
        """Another for each candidate."""
        return self.point.key


def candidates(points: Sequence[Point]) -> list[Candidate]:
    """All points whose file was measured, the smallest first."""
    found = []
    several = len({point.family for point in points}) > 1
    alike: dict[str, list[Point]] = {}
    for point in points:
        alike.setdefault(_words(point, several), []).append(point)
    for point in points:
        folded = point.file(folded=True) is not None
        file = point.file(folded=folded)
        if file is not None:
            words = _words(point, several)
            if len(alike[words]) > 1:
                words += f" ({_apart(point, alike[words])})"
            found.append(Candidate(point, float(file.bytes), folded, words))
    return sorted(found, key=lambda each: (each.bytes, each.key))


def _words(point: Point, several: bool) -> str:
    """Kind and size, and the family where there are several."""
    size = f" {point.size}" if point.size else ""
    size = f" {point.family}{size}" if several else size
    what = f"dense{size}"
    if point.kind == "sparse":
        what = f"sparse {point.label}" + (f" from{size}" if size else "")
    return what + (f", {point.quantised}" if point.quantised else "")


def _apart(point: Point, others: Sequence[Point]) -> str:
    """What sets a point apart from others that are called the same: one or two settings, or the
    beginning of a run's fingerprint."""
    differing = [
        trait.words
        for trait in point.curve.traits
        if any(other.setting(trait.key) != trait.value for other in others)
    ]
    if 0 < len(differing) <= MOST_SETTINGS:
        return ", ".join(differing)
    return point.rows[0].fingerprint[:SHORT]


def contenders(found: Sequence[Candidate], sign: int) -> list[Candidate]:
    """Of very many candidates those that can still matter: fewer than some other ones are no larger
    and better on validation. `sign` is -1 where lower is better."""
    if len(found) <= MOST:
        return list(found)
    kept: list[Candidate] = []
    best: dict[str, list[float]] = {}  # of each kind, the best values so far, rising
    for each in found:
        value = sign * each.point.valid
        above = best.setdefault(each.kind, [])
        if len(above) < AHEAD or value > above[0]:
            insort(above, value)
            del above[:-AHEAD]
            kept.append(each)
    return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a model may take, and what it must reach. None where that does not matter.

    Arguments:
        bytes: of its file.
        nonzero: weights that are kept.
        milliseconds: of one example at batch 1 on the processor that timed it.
        at_least: the value of the metric that it must reach; where lower is better, at most.
    """

    bytes: float | None = None
    nonzero: float | None = None
    milliseconds: float | None = None
    at_least: float | None = None

    def hold(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps within what it may take. One that was not timed does not keep
        within a time."""
        point = candidate.point
        taken = (
            (candidate.bytes, self.bytes),
            (point.nonzero, self.nonzero),
            (point.milliseconds, self.milliseconds),
        )
        return all(most is None or (value is not None and value <= most) for value, most in taken)

    def words(self) -> str:
        """What a model may take, as a heading says it: "0.2 MB and 5 ms"."""
        parts = []
        if self.bytes is not None:
            parts.append(megabytes(self.bytes))
        if self.nonzero is not None:
            parts.append(f"{self.nonzero:,.0f} weights")
        if self.milliseconds is not None:
            parts.append(f"{self.milliseconds:g} ms")
        return " and ".join(parts)


def megabytes(amount: float) -> str:
    """Bytes as reports say them: "0.179 MB", with three digits that matter."""
    value = amount / MEGABYTE
    decimals = 3 if value < 1 else 2 if value < 10 else 1
    return f"{value:.{decimals}f} MB"
