"""Masks: the lowest n go, ties by order of tensors and then lowest index."""

import math
from math import inf

import hypothesis.strategies as some
import pytest
import torch
from hypothesis import given, settings

from pruneexp.pruning.allocation import count
from pruneexp.pruning.ranking import _keep, block_sums, keep_highest, lowest_of_each, over_blocks


def test_lowest_go_across_tensors() -> None:
    first, second = keep_highest([torch.tensor([3.0, 1.0]), torch.tensor([[2.0, 0.5]])], 2)
    assert first.tolist() == [True, False]
    assert second.tolist() == [[True, False]]


def test_ties_go_by_tensor_then_index() -> None:
    first, second = keep_highest([torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 1.0])], 3)
    assert first.tolist() == [False, True, False]
    assert second.tolist() == [False, True]


def test_two_of_four_by_hand() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0, 5.0, 6.0, 7.0, 8.0]])
    found = lowest_of_each(scores, 4, 2)
    assert found.tolist() == [[inf, 1, inf, 2, 5, 6, inf, inf]]
    assert keep_highest([found], 3)[0].tolist() == [[True, False, True, False, False, *[True] * 3]]


def test_neighbours_lie_along_the_inputs_of_a_convolution() -> None:
    scores = torch.arange(8.0).view(1, 2, 2, 2)  # 1 output, 2 inputs, 2 x 2
    found = lowest_of_each(scores, 2, 1)
    assert found.tolist() == [[[[0, 1], [2, 3]], [[inf, inf], [inf, inf]]]]


def test_blocks_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 9.0]])
    sums = block_sums(scores, 2, 2)
    assert sums.tolist() == [[[10, 9]]]
    kept = keep_highest([sums], 1)[0]
    assert over_blocks(kept, (2, 4), 2, 2).tolist() == [[True, True, False, False]] * 2
    assert over_blocks(kept[0, 0].view(1, 1, 2), (2, 4), 2, 2).sum() == 4


def test_blocks_of_a_convolution_come_back_where_they_were() -> None:
    scores = torch.rand(4, 6, 3, 3)
    sums = block_sums(scores, 2, 3)
    assert sums[1, 4, 1] == pytest.approx(float(scores[2:4, 3:6, 1, 1].sum()))
    mask = over_blocks(sums == sums[1, 4, 1], (4, 6, 3, 3), 2, 3)
    assert mask.sum() == 6
    assert mask[2:4, 3:6, 1, 1].all()


def test_index_is_the_logical_one_in_any_memory_order() -> None:
    scores = torch.ones(2, 3, 2, 2)
    plain = keep_highest([scores], 7)[0]
    other = keep_highest([scores.to(memory_format=torch.channels_last)], 7)[0]
    assert torch.equal(plain, other)
    assert plain.reshape(-1).tolist() == [False] * 7 + [True] * 17


@settings(deadline=None, max_examples=60)
@given(
    values=some.lists(some.integers(0, 5), min_size=1, max_size=60),
    cut=some.integers(0, 60),
    share=some.floats(0, 1),
)
def test_agrees_with_a_stable_sort(values: list[int], cut: int, share: float) -> None:
    scores = torch.tensor(values, dtype=torch.float32)
    masked = int(share * len(values))
    cut = min(cut, len(values))
    parts = [scores[:cut], scores[cut:]]
    order = sorted(range(len(values)), key=lambda index: values[index])[:masked]
    expected = [index not in order for index in range(len(values))]
    assert torch.cat(keep_highest(parts, masked)).tolist() == expected
    if masked:
        assert _keep(scores, masked).tolist() == expected  # the way of an accelerator


@pytest.mark.parametrize("masked", [1, 2])
def test_scores_that_are_no_numbers_are_refused(masked: int) -> None:
    with pytest.raises(FloatingPointError):
        keep_highest([torch.tensor([1.0, math.nan, 0.5])], masked)


@pytest.mark.parametrize(
    ("sparsity", "weights", "masked"),
    [(0.5, 5, 3), (0.5, 7, 4), (0.25, 10, 3), (0.9, 24064, 21658), (0.0, 9, 0), (0.1, 4, 0)],
)
def test_rounding_is_half_up(sparsity: float, weights: int, masked: int) -> None:
    assert count(sparsity, weights) == masked
