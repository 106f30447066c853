"""Masks: the lowest n go, ties by order of tensors and then lowest index."""

import math

import hypothesis.strategies as some
import pytest
import torch
from hypothesis import given, settings

from pruneexp.masks import _keep, keep_highest
from pruneexp.pruning.allocation import count


def test_lowest_go_across_tensors() -> None:
    first, second = keep_highest([torch.tensor([3.0, 1.0]), torch.tensor([[2.0, 0.5]])], 2)
    assert first.tolist() == [True, False]
    assert second.tolist() == [[True, False]]


def test_ties_go_by_tensor_then_index() -> None:
    first, second = keep_highest([torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 1.0])], 3)
    assert first.tolist() == [False, True, False]
    assert second.tolist() == [False, True]


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
