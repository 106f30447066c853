"""What validation says of each candidate, so that neither the luckiest run nor the most runs win.

The model: on the scale of comparisons, a candidate's true value is a straight line over the
logarithm of its file's size, another for each curve, plus a deviation of its own; what was seen is
that plus what seeds do. The spread of the deviations is estimated from the same values, so a
candidate is drawn towards its curve by as much as its seeds leave open. True values are then drawn
from what follows, with the seeds' own spread uncertain too, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruneexp.engine.record import Metric
from pruneexp.report.analysis.statistics import Scale, SeedModel, scale_of
from pruneexp.report.choice.candidates import Candidate

DRAWS = 20_000
MOST_NUMBERS = 10**7  # that are drawn in all
SEED = 20_171_001  # the same draws each time
LEAST_OF_A_LINE = 3  # candidates of a curve that a line is drawn through

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What is known of the true values of candidates, on a scale that rises with what is better.

    Arguments:
        order: the candidates.
        scale: from the metric to the scale and back.
        means: what is believed of each, the best guess.
        draws: of all true values together, a row a draw; None where no candidate has two seeds, so
            that nothing says what chance does.
    """

    order: list[Candidate]
    scale: Scale
    means: Matrix
    draws: Matrix | None

    def value(self, candidate: Candidate) -> float:
        """The best guess in the metric's unit."""
        return self.scale.backward(self.mean(candidate))

    def mean(self, candidate: Candidate) -> float:
        """The best guess on the scale."""
        return float(self.means[self._place(candidate)])

    def probability_best(self, candidate: Candidate, among: Sequence[Candidate]) -> float | None:
        """Of being the best of these."""
        if self.draws is None:
            return None
        of_these = self._of(among)
        return float(np.mean(self._one(candidate) >= of_these.max(axis=1)))

    def probability_near(
        self, candidate: Candidate, among: Sequence[Candidate], margin: float
    ) -> float | None:
        """Of lying no more than a margin below the best of these."""
        if self.draws is None:
            return None
        return float(np.mean(self._one(candidate) >= self._of(among).max(axis=1) - margin))

    def probability_above(self, candidate: Candidate, other: Candidate) -> float | None:
        """Of being better than another."""
        if self.draws is None:
            return None
        return float(np.mean(self._one(candidate) > self._one(other)))

    def probability_of_mix(
        self, ours: Sequence[tuple[Candidate, float]], theirs: Sequence[tuple[Candidate, float]]
    ) -> float:
        """Of one weighted mean of candidates being above another. Asked where draws are there."""
        one, other = (
            sum((share * self._one(each) for each, share in side), start=np.zeros(1))
            for side in (ours, theirs)
        )
        return float(np.mean(one > other))

    def probability_reaches(self, candidate: Candidate, target: float) -> float | None:
        """Of being at least as good as a value on the scale."""
        if self.draws is None:
            return None
        return float(np.mean(self._one(candidate) >= target))

    def _place(self, candidate: Candidate) -> int:
        return next(n for n, each in enumerate(self.order) if each.key == candidate.key)

    def _one(self, candidate: Candidate) -> Matrix:
        assert self.draws is not None
        column: Matrix = self.draws[:, self._place(candidate)]
        return column

    def _of(self, among: Sequence[Candidate]) -> Matrix:
        assert self.draws is not None
        columns: Matrix = self.draws[:, [self._place(each) for each in among]]
        return columns


def beliefs(found: Sequence[Candidate], metric: Metric) -> Beliefs:
    """What the validation values of these candidates, on one task, say of them."""
    every = [row.valid for each in found for row in each.point.rows]
    scale = scale_of(metric, every)
    seen = SeedModel(
        {
            each.key: {row.seed: scale.forward(row.valid) for row in each.point.rows}
            for each in found
        }
    )
    values = np.asarray(seen.means, dtype=np.float64)
    if seen.freedom < 1 or seen.variance == 0:
        return Beliefs(list(found), scale, values, None)
    noise = np.asarray(seen.covariance, dtype=np.float64) * seen.variance
    design = _lines(found)
    means, spread = shrunken(values, noise, design)
    return Beliefs(list(found), scale, means, _drawn(means, spread, seen.freedom))


def _lines(found: Sequence[Candidate]) -> Matrix:
    """The design of a line for each curve that has enough candidates; any other candidate stands
    for itself."""
    by_curve: dict[str, list[int]] = {}
    for number, each in enumerate(found):
        by_curve.setdefault(each.point.series, []).append(number)
    columns: list[Matrix] = []
    for numbers in by_curve.values():
        sizes = {found[number].bytes for number in numbers}
        if len(numbers) < LEAST_OF_A_LINE or len(sizes) < 2:
            for number in numbers:
                own = np.zeros(len(found))
                own[number] = 1
                columns.append(own)
            continue
        level, slope = np.zeros(len(found)), np.zeros(len(found))
        level[numbers] = 1
        places = np.log([found[number].bytes for number in numbers])
        slope[numbers] = places - places.mean()
        columns += [level, slope]
    return np.stack(columns, axis=1)


def shrunken(values: Matrix, noise: Matrix, design: Matrix) -> tuple[Matrix, Matrix]:
    """Best guesses of true values, and the covariance of what is left open.

    Arguments:
        values: seen.
        noise: their covariance.
        design: of the lines that true values deviate from.
    """
    deviation = _deviation(values, noise, design)
    own = deviation * np.eye(len(values))
    inverse = np.linalg.pinv(own + noise)
    of_lines = np.linalg.pinv(design.T @ inverse @ design)
    line = design @ (of_lines @ design.T @ inverse @ values)
    gain = own @ inverse
    means = line + gain @ (values - line)
    rest = design - gain @ design
    spread = own - gain @ own + rest @ of_lines @ rest.T
    return means, (spread + spread.T) / 2


def _deviation(values: Matrix, noise: Matrix, design: Matrix) -> float:
    """The variance of true values about their lines: what residuals have beyond the noise (method
    of moments, unweighted)."""
    project = np.eye(len(values)) - design @ np.linalg.pinv(design)
    free = float(np.trace(project))
    if free < 0.5:  # each candidate stands for itself
        return 0.0
    left = project @ values
    return max(0.0, (float(left @ left) - float(np.trace(project @ noise))) / free)


def _drawn(means: Matrix, spread: Matrix, freedom: float) -> Matrix:
    generator = np.random.default_rng(SEED)
    sizes, directions = np.linalg.eigh(spread)
    root = directions * np.sqrt(np.clip(sizes, 0, None))
    draws = min(DRAWS, MOST_NUMBERS // len(means))
    normal = generator.standard_normal((draws, len(means)))
    stretch = np.sqrt(freedom / generator.chisquare(freedom, draws))
    drawn: Matrix = means + (normal @ root.T) * stretch[:, None]
    return drawn
