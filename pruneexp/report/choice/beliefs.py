"""What validation says of each candidate, so that neither the luckiest run nor the most runs win.

The model: on the scale of comparisons, a candidate's true value is a straight line over the
logarithm of its file's size, another for each curve, plus a deviation of its own; what was seen is
that plus what seeds do. How far deviations spread is not known either: each spread that they may
have is weighed by how well it explains the same values. So a candidate is drawn towards its curve
by as much as its seeds leave open. True values are then drawn from what follows, with the seeds'
own spread uncertain too, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pruneexp.engine.record import Metric
from pruneexp.report.analysis.statistics import Scale, SeedModel, scale_of
from pruneexp.report.choice.candidates import Candidate

DRAWS = 20_000
MOST_NUMBERS = 2 * 10**6  # that are drawn in all
SEED = 20_171_001  # the same draws each time
SPREADS = 25  # of the deviations, that are looked at
MOST_SPREAD = 2.0  # times that of the residuals
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
    places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        found = {each.key: number for number, each in enumerate(self.order)}
        object.__setattr__(self, "places", found)

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

    def probabilities_above(self, candidate: Candidate, others: Sequence[Candidate]) -> list[float]:
        """Of each of these being better than a candidate. Asked where draws are there."""
        if not others:
            return []
        above = self._of(others) > self._one(candidate)[:, None]
        return [float(share) for share in above.mean(axis=0)]

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
        return self.places[candidate.key]

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
    made = shrunken(values, noise, design)
    return Beliefs(list(found), scale, made.mean, made.drawn(seen.freedom))


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


@dataclass(frozen=True, slots=True)
class Shrunken:
    """What is believed of true values, for each of several spreads of their deviations.

    Arguments:
        weights: how likely each spread is; they add up to 1.
        means: best guesses, a row a spread.
        spreads: covariances of what is left open.
    """

    weights: Matrix
    means: Matrix
    spreads: list[Matrix]

    @property
    def mean(self) -> Matrix:
        """The best guess of each true value."""
        guess: Matrix = self.weights @ self.means
        return guess

    def drawn(self, freedom: float) -> Matrix:
        """True values as they may be, a row a draw.

        Arguments:
            freedom: degrees of freedom of the noise's own estimate.
        """
        generator = np.random.default_rng(SEED)
        count = min(DRAWS, MOST_NUMBERS // self.means.shape[1])
        parts = []
        for share, mean, spread in zip(
            _shares(self.weights, count), self.means, self.spreads, strict=True
        ):
            sizes, directions = np.linalg.eigh(spread)
            root = directions * np.sqrt(np.clip(sizes, 0, None))
            normal = generator.standard_normal((share, len(mean)))
            stretch = np.sqrt(freedom / generator.chisquare(freedom, share))
            parts.append(mean + (normal @ root.T) * stretch[:, None])
        return np.concatenate(parts)


def shrunken(values: Matrix, noise: Matrix, design: Matrix) -> Shrunken:
    """Best guesses of true values that deviate from lines, where the spread of the deviations is
    not known: each that it may have is weighed by how well it explains what was seen (restricted
    likelihood, all spreads alike beforehand).

    Arguments:
        values: seen.
        noise: their covariance.
        design: of the lines.
    """
    project = np.eye(len(values)) - design @ np.linalg.pinv(design)
    left = project @ values
    if np.trace(project) < 0.5:  # each candidate stands for itself
        spreads = np.zeros(1)
    else:
        scale = float(np.sqrt(left @ left / np.trace(project)))
        spreads = np.linspace(0.0, MOST_SPREAD * scale, SPREADS)
    made = [_at_spread(values, noise, design, float(spread) ** 2) for spread in spreads]
    likely = np.array([each[0] for each in made])
    weights = np.exp(likely - likely.max())
    return Shrunken(
        weights / weights.sum(), np.stack([each[1] for each in made]), [each[2] for each in made]
    )


def _at_spread(
    values: Matrix, noise: Matrix, design: Matrix, deviation: float
) -> tuple[float, Matrix, Matrix]:
    """The logarithm of the likelihood, the best guesses and their covariance where true values
    deviate from their lines with this variance."""
    own = deviation * np.eye(len(values))
    whole = own + noise
    inverse = np.linalg.pinv(whole)
    inner = design.T @ inverse @ design
    of_lines = np.linalg.pinv(inner)
    line = design @ (of_lines @ design.T @ inverse @ values)
    gain = own @ inverse
    means = line + gain @ (values - line)
    rest = design - gain @ design
    spread = own - gain @ own + rest @ of_lines @ rest.T
    left = values - line
    sizes = np.linalg.slogdet(whole)[1] + np.linalg.slogdet(inner)[1]
    return -0.5 * float(sizes + left @ inverse @ left), means, (spread + spread.T) / 2


def _shares(weights: Matrix, count: int) -> list[int]:
    """So many draws in the proportion of the weights."""
    ends = np.round(np.cumsum(weights) * count).astype(int)
    return [int(share) for share in np.diff(ends, prepend=0)]
