"""Which runs of a budget experiment are made next."""

import numpy as np
import pytest

from pruneexp.cli.rounds import Next, coarse, following

MARGIN = 0.02


def test_coarse_levels_first() -> None:
    assert coarse(7) == (0, 2, 4, 6)
    assert coarse(6) == (0, 2, 4, 5)
    assert coarse(1) == (0,)
    assert following([[]] * 7, 5, MARGIN) == Next(levels=(0, 2, 4, 6))


def test_then_those_beside_the_best() -> None:
    assert following([[0.1], [], [0.3], [], [0.2], [], [0.1]], 5, MARGIN) == Next(levels=(1, 3))
    # The best has moved to a new level, one of whose neighbours is not made.
    assert following([[0.1], [0.2], [0.3], [0.4], [0.2], [], [0.1]], 5, MARGIN).levels == ()
    assert following([[0.1], [], [0.3], [], [0.4], [], [0.5]], 5, MARGIN) == Next(levels=(5,))


def test_then_seeds_of_the_best_the_dense_and_the_next_two() -> None:
    values = [[0.1], [0.2], [0.3], [0.4], [0.2], [], [0.1]]
    assert following(values, 5, MARGIN) == Next(seeds=(0, 1, 2, 3))


def test_a_best_that_is_beyond_chance_is_decided() -> None:
    spread = [0.0, 0.001, 0.002]
    values = [[level + each for each in spread] for level in (0.1, 0.2, 0.5, 0.2)]
    assert following(values, 5, MARGIN) == Next()


def test_what_may_still_be_better_gets_seeds() -> None:
    values = [[0.0, 0.01, 0.02], [0.50, 0.60, 0.40], [0.52, 0.39, 0.62], [0.1, 0.0, 0.05]]
    assert following(values, 5, MARGIN) == Next(seeds=(1, 2))
    full = [each * 2 for each in values]
    assert following(full, 6, MARGIN) == Next()  # there are no seeds left


def test_equal_within_the_margin_is_decided() -> None:
    values = [[0.0, 0.001, 0.002], [0.500, 0.501, 0.502], [0.501, 0.500, 0.5025]]
    assert following(values, 5, MARGIN) == Next()


@pytest.mark.parametrize("seed", range(8))
def test_it_comes_to_an_end_and_mostly_finds_the_best(seed: int) -> None:
    generator = np.random.default_rng(seed)
    true = -0.1 * (np.arange(7) - 3.0) ** 2
    drawn = true[:, None] + generator.normal(0, 0.05, (7, 5))
    counts = [0] * 7
    for _ in range(30):
        then = following([list(drawn[n, : counts[n]]) for n in range(7)], 5, MARGIN)
        if then == Next():
            break
        for number in then.levels:
            counts[number] = 1
        for number in then.seeds:
            counts[number] += 1
    else:
        raise AssertionError("it goes on for ever")
    means = [drawn[n, : counts[n]].mean() if counts[n] else -9.0 for n in range(7)]
    assert true[int(np.argmax(means))] >= true.max() - 0.1
    assert sum(counts) < 7 * 5
