"""How much of a difference could be chance.

The model: on a logarithmic scale, a run's value is its point's, plus its seed's, plus an error. All
points of a comparison share one spread of the errors, unless Bartlett's test finds that they differ
(then each point has its own, as Welch has it). What is the same for all runs of a seed cancels
where two points have the same seeds.

The scale: of a share in per cent the logarithm of what is missing to 100, of a value that is better
when low, such as a perplexity, its logarithm; signs such that higher is better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, stdtr, stdtrit

from pruneexp.engine.record import Metric

CONFIDENCE = 0.95
POWER = 0.8
UNEQUAL = 0.05  # a probability of Bartlett's test below which points have spreads of their own
MOST_SEEDS = 1000  # that are worth naming

Contrast = dict[str, float]  # of each point, its weight; they add up to 0


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale on which values are compared. `forward` rises with what is better."""

    name: str  # what a ratio is of: "error", "perplexity"; empty where differences are plain
    forward: Callable[[float], float]
    backward: Callable[[float], float]


def scale_of(metric: Metric, values: Sequence[float]) -> Scale:
    """The scale for these values of a metric."""
    if metric.higher_is_better and metric.unit == "%" and all(value < 100 for value in values):
        return Scale("error", lambda v: -math.log(100 - v), lambda g: 100 - math.exp(-g))
    if not metric.higher_is_better and all(value > 0 for value in values):
        return Scale(metric.name, lambda v: -math.log(v), lambda g: math.exp(-g))
    sign = 1 if metric.higher_is_better else -1
    return Scale("", lambda v: sign * v, lambda g: sign * g)


@dataclass(frozen=True, slots=True)
class Estimated:
    """A difference of points with what is known of its chance. `error` is its standard error and
    None where no point has two seeds."""

    gain: float
    error: float | None
    freedom: float  # degrees of freedom of the error

    def half(self, comparisons: int = 1) -> float | None:
        """Half the width of the interval that holds for as many differences at once (Šidák)."""
        if self.error is None:
            return None
        level = CONFIDENCE ** (1 / comparisons)
        return student(self.freedom, level) * self.error

    def probability(self) -> float | None:
        """Of a difference as large as this where there is none."""
        if self.error is None:
            return None
        if self.error == 0:
            return 1.0 if self.gain == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.gain) / self.error))

    def detectable(self, comparisons: int = 1) -> float | None:
        """The difference that four of five such experiments would find."""
        half = self.half(comparisons)
        if half is None or self.error is None:
            return None
        return half + float(stdtrit(self.freedom, POWER)) * self.error

    def is_within(self, margin: float) -> bool:
        """Whether two one-sided tests find that it is smaller than a margin on both sides."""
        if self.error is None:
            return False
        most = student(self.freedom, 1 - 2 * (1 - CONFIDENCE)) * self.error
        return abs(self.gain) + most < margin

    def with_items(self, variance: float, items: int) -> "Estimated":
        """The same with what the choice of test items adds, for a statement on new data."""
        if self.error is None:
            return self
        ours, theirs = self.error**2, variance
        total = ours + theirs
        if total == 0:
            return self
        parts = ours**2 / self.freedom + theirs**2 / max(1, items - 1)
        return Estimated(self.gain, math.sqrt(total), total**2 / parts)


def student(freedom: float, confidence: float = CONFIDENCE) -> float:
    """The quantile of Student's t that a two-sided interval goes to."""
    return float(stdtrit(freedom, (1 + confidence) / 2))


class SeedModel:
    """The points of one comparison with their seeds, and the spread of the errors.

        SeedModel({"a": {0: 70.1, 1: 70.4}, "b": {0: 71.0, 1: 71.2}}).contrast({"b": 1, "a": -1})

    Arguments:
        values: by point and by seed, on the scale.
        shared: whether points share more than the seed, as levels that were pruned from one parent
            do; then a difference is taken seed by seed.
    """

    def __init__(self, values: dict[str, dict[int, float]], *, shared: bool = False) -> None:
        self.values = values
        self.shared = shared
        self.equal = _are_equal([list(each.values()) for each in values.values()])
        self._fit()

    def contrast(self, weights: Contrast) -> Estimated:
        """A weighted sum of points, such as one less another."""
        weights = {point: weight for point, weight in weights.items() if weight}
        if self.shared:
            return self._by_seed(weights)
        if not self.equal:
            return self._welch(weights)
        vector = np.array([weights.get(point, 0.0) for point in self.points])
        gain = float(vector @ self.means)
        if self.freedom < 1:
            return Estimated(gain, None, 0)
        variance = float(vector @ self.covariance @ vector) * self.variance
        return Estimated(gain, math.sqrt(max(variance, 0.0)), self.freedom)

    def _fit(self) -> None:
        """Least squares over points and, where two points share one, seeds."""
        self.points = list(self.values)
        rows = [(p, s, v) for p, each in self.values.items() for s, v in each.items()]
        seeds = sorted({seed for _, seed, _ in rows})
        blocks = seeds[1:] if any(self._sharing(seed) > 1 for seed in seeds) else []
        if len(rows) - len(self.points) - len(blocks) < 1:
            blocks = []
        design = np.zeros((len(rows), len(self.points) + len(blocks)))
        for number, (point, seed, _) in enumerate(rows):
            design[number, self.points.index(point)] = 1
            if seed in blocks:
                design[number, len(self.points) + blocks.index(seed)] = 1
        if blocks:  # a point's mean is that of its seeds taken evenly
            design[:, len(self.points) :] -= 1 / len(seeds)
        observed = np.array([value for _, _, value in rows])
        found, _, rank, _ = np.linalg.lstsq(design, observed, rcond=None)
        left = observed - design @ found
        self.freedom = len(rows) - int(rank)
        self.variance = float(left @ left) / self.freedom if self.freedom else 0.0
        count = len(self.points)
        self.means = found[:count]
        self.covariance = np.linalg.pinv(design.T @ design)[:count, :count]

    def _sharing(self, seed: int) -> int:
        return sum(seed in each for each in self.values.values())

    def _by_seed(self, weights: Contrast) -> Estimated:
        """The difference of each seed that all points have, as one sample."""
        points = list(weights)
        seeds = set.intersection(*(set(self.values[point]) for point in points))
        each = [sum(weights[p] * self.values[p][seed] for p in points) for seed in sorted(seeds)]
        if not each:
            return Estimated(self._plain(weights), None, 0)
        if len(each) < 2:
            return Estimated(each[0], None, 0)
        error = float(np.std(each, ddof=1)) / math.sqrt(len(each))
        return Estimated(float(np.mean(each)), error, len(each) - 1)

    def _plain(self, weights: Contrast) -> float:
        return sum(w * float(np.mean(list(self.values[p].values()))) for p, w in weights.items())

    def _welch(self, weights: Contrast) -> Estimated:
        """Each point with its own spread; degrees of freedom as Satterthwaite has them."""
        parts = []
        for point, weight in weights.items():
            sample = list(self.values[point].values())
            if len(sample) < 2:
                return Estimated(self._plain(weights), None, 0)
            variance = weight**2 * float(np.var(sample, ddof=1)) / len(sample)
            parts.append((variance, len(sample) - 1))
        total = sum(variance for variance, _ in parts)
        if total == 0:
            return Estimated(self._plain(weights), 0.0, min(freedom for _, freedom in parts))
        freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
        return Estimated(self._plain(weights), math.sqrt(total), freedom)


def _are_equal(samples: Sequence[Sequence[float]]) -> bool:
    """Whether Bartlett's test lets the spreads of these samples pass as one."""
    known = [
        (len(sample) - 1, float(np.var(sample, ddof=1))) for sample in samples if len(sample) > 1
    ]
    if len(known) < 2 or all(variance == known[0][1] for _, variance in known):
        return True
    if any(variance == 0 for _, variance in known):
        return False
    freedom = sum(f for f, _ in known)
    pooled = sum(f * v for f, v in known) / freedom
    statistic = freedom * math.log(pooled) - sum(f * math.log(v) for f, v in known)
    correction = 1 + (sum(1 / f for f, _ in known) - 1 / freedom) / (3 * (len(known) - 1))
    return float(chdtrc(len(known) - 1, statistic / correction)) >= UNEQUAL


def holm(probabilities: Sequence[float]) -> list[float]:
    """The probabilities of several tests, so adjusted that one in twenty sets of them would hold
    one below 0.05 by chance (Holm 1979)."""
    order = sorted(range(len(probabilities)), key=lambda place: probabilities[place])
    adjusted = [0.0] * len(order)
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * probabilities[place]))
        adjusted[place] = least
    return adjusted


def seeds_needed(found: Estimated, seeds: int, points: int, size: float) -> int | None:
    """How many seeds a point would let a difference of this size be told, at the spread that was
    seen; None where no number that is worth naming would.

    Arguments:
        seeds: a point has now.
        points: of the comparison.
    """
    if found.error is None or not size:
        return None
    spread = found.error * math.sqrt(seeds)
    for count in range(2, MOST_SEEDS):
        freedom = (points - 1) * (count - 1)
        if freedom < 1:
            continue
        reach = student(freedom) + float(stdtrit(freedom, POWER))
        if reach * spread / math.sqrt(count) <= abs(size):
            return count
    return None


def over_range(sizes: Sequence[float]) -> list[float]:
    """What each of several sizes weighs in a mean over the range of their logarithms."""
    if len(sizes) == 1:
        return [1.0]
    places = np.log(np.asarray(sizes))
    widths = np.diff(places)
    weights = np.zeros(len(sizes))
    weights[:-1] += widths / 2
    weights[1:] += widths / 2
    return [float(weight) for weight in weights / weights.sum()]
