"""Intervals against textbooks and against scipy's own tests."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pruneexp.engine.record import Metric
from pruneexp.report.analysis.statistics import (
    Estimated,
    SeedModel,
    holm,
    over_range,
    scale_of,
    seeds_needed,
    student,
)
from tests.results import ACCURACY, PERPLEXITY

RANDOM = np.random.default_rng(0)


def sample(mean: float, count: int, spread: float = 1.0) -> dict[int, float]:
    return dict(enumerate(mean + spread * RANDOM.standard_normal(count)))


@pytest.mark.parametrize(("freedom", "printed"), [(1, 12.7062), (2, 4.30265), (30, 2.04227)])
def test_student_is_as_printed_in_tables(freedom: int, printed: float) -> None:
    assert student(freedom) == pytest.approx(printed, abs=6e-5)


def test_two_points_with_the_same_seeds_are_a_paired_test() -> None:
    one, other = sample(1, 5), sample(2, 5)
    found = SeedModel({"a": one, "b": other}).contrast({"a": 1, "b": -1})
    paired: Any = stats.ttest_rel(list(one.values()), list(other.values()))
    assert found.probability() == pytest.approx(paired.pvalue)
    low, high = paired.confidence_interval()
    assert found.half() == pytest.approx((high - low) / 2)


def test_two_points_with_other_seeds_are_students_test() -> None:
    one = sample(1, 5)
    other = {seed + 10: value for seed, value in sample(2, 4).items()}
    found = SeedModel({"a": one, "b": other}).contrast({"a": 1, "b": -1})
    unpaired: Any = stats.ttest_ind(list(one.values()), list(other.values()))
    assert found.probability() == pytest.approx(unpaired.pvalue)
    assert found.freedom == 7


def test_points_share_their_spread() -> None:
    points = {str(number): sample(number, 3) for number in range(8)}
    found = SeedModel(points).contrast({"1": 1, "0": -1})
    assert found.freedom == 7 * 2  # points and seeds are taken out
    values = np.array([list(each.values()) for each in points.values()])
    left = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    assert found.error == pytest.approx(math.sqrt((left**2).sum() / 14 * 2 / 3))


def test_points_of_unequal_spread_have_their_own() -> None:
    one, other = sample(0, 6, 0.01), sample(1, 6, 10)
    model = SeedModel({"a": one, "b": other})
    assert not model.equal
    welch: Any = stats.ttest_ind(list(one.values()), list(other.values()), equal_var=False)
    found = model.contrast({"a": 1, "b": -1})
    assert found.probability() == pytest.approx(welch.pvalue)
    assert found.freedom == pytest.approx(welch.df)


def test_bartletts_test_is_scipys() -> None:
    for spread in (1.0, 2.0, 4.0):
        samples = [list(sample(0, 5, each).values()) for each in (1.0, spread, 1.0)]
        expected = stats.bartlett(*samples).pvalue >= 0.05
        assert (
            SeedModel({str(n): dict(enumerate(s)) for n, s in enumerate(samples)}).equal == expected
        )


def test_levels_of_one_parent_are_taken_seed_by_seed() -> None:
    """A good parent lifts all of its levels: three seeds stay three, however many levels."""
    parents = [0.0, 1.0, 2.0]
    levels = {f"s{n}": {seed: n + parent for seed, parent in enumerate(parents)} for n in range(4)}
    values = levels | {"dense": {0: 0.1, 1: -0.1, 2: 0.0}}
    weights = {"s0": 0.25, "s1": 0.25, "s2": 0.25, "s3": 0.25, "dense": -1.0}
    found = SeedModel(values, shared=True).contrast(weights)
    assert found.freedom == 2
    each = [1.5 + parent - dense for parent, dense in zip(parents, (0.1, -0.1, 0), strict=True)]
    assert found.error == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))


def test_a_seed_that_one_point_lacks_is_no_bias() -> None:
    """Seed 2 is a good one; the point that lacks it is not held against that."""
    one = {0: 1.0, 1: 2.0, 2: 9.0}
    other = {0: 2.0, 1: 3.0}
    assert SeedModel({"a": one, "b": other}).contrast({"b": 1, "a": -1}).gain == pytest.approx(1.0)


def test_one_seed_has_no_interval() -> None:
    found = SeedModel({"a": {0: 1.0}, "b": {0: 2.0}}).contrast({"a": 1, "b": -1})
    assert (found.gain, found.error, found.half(), found.probability()) == (-1, None, None, None)
    assert found.detectable() is None and not found.is_within(100)


def test_an_interval_covers_as_often_as_it_says() -> None:
    """Over 2,000 experiments; 95 % give or take three standard deviations."""
    inside = together = 0
    for _ in range(2_000):
        points = {name: sample(0, 3) for name in "abcd"}
        model = SeedModel(points)
        gaps = [model.contrast({"a": 1, "b": -1}), model.contrast({"c": 1, "d": -1})]
        inside += abs(gaps[0].gain) <= (gaps[0].half() or 0)
        together += all(abs(gap.gain) <= (gap.half(2) or 0) for gap in gaps)
    assert 0.935 <= inside / 2_000 <= 0.965
    assert 0.935 <= together / 2_000 <= 0.97


def test_what_would_have_been_found_is_found_four_times_of_five() -> None:
    found = Estimated(0.0, 1.0, 8)
    size = found.detectable()
    assert size is not None
    times = np.random.default_rng(1)
    means = size + times.standard_normal(20_000)
    errors = np.sqrt(times.chisquare(8, 20_000) / 8)
    assert np.mean(means / errors > student(8)) == pytest.approx(0.8, abs=0.02)


def test_more_seeds_tell_smaller_differences() -> None:
    found = Estimated(0.1, 0.1, 8)
    needed = seeds_needed(found, 5, 3, 0.1)
    assert needed is not None and needed > 5
    assert (seeds_needed(found, 5, 3, 0.5) or 0) < needed
    assert seeds_needed(found, 5, 3, 1e-9) is None


def test_equivalence_needs_the_whole_interval_within_the_margin() -> None:
    found = Estimated(0.1, 0.1, 1000)
    assert found.is_within(0.1 + 1.647 * 0.1)
    assert not found.is_within(0.1 + 1.645 * 0.1)


def test_holm_is_as_in_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_mean_over_a_range_weighs_the_middle_more() -> None:
    assert over_range([10, 100, 1000]) == pytest.approx([0.25, 0.5, 0.25])
    assert over_range([7]) == [1.0]


@pytest.mark.parametrize(
    ("metric", "values", "name"),
    [
        (ACCURACY, [50.0, 90.0], "error"),
        (ACCURACY, [50.0, 100.0], ""),
        (PERPLEXITY, [20.0, 15.0], "perplexity"),
        (PERPLEXITY, [0.0, -15.0], ""),
        (Metric(name="score", higher_is_better=True), [1.0, 3.0], ""),
    ],
)
def test_better_is_higher_on_every_scale(metric: Metric, values: list[float], name: str) -> None:
    scale = scale_of(metric, values)
    assert scale.name == name
    worse, better = sorted(values, reverse=not metric.higher_is_better)
    assert scale.forward(better) > scale.forward(worse)
    assert scale.backward(scale.forward(better)) == pytest.approx(better)


def test_the_choice_of_test_items_widens_an_interval() -> None:
    found = Estimated(0.1, 0.03, 8)
    wider = found.with_items(0.04**2, 1000)
    assert wider.error == pytest.approx(0.05)
    assert 8 < wider.freedom < 1000
