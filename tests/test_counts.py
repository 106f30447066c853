"""Multiply-adds of one example, against numbers worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruneexp.config.run import Run
from pruneexp.engine.execute import execute
from pruneexp.engine.record import Record
from pruneexp.measure.counts import count_masks, multiply_adds
from pruneexp.measure.planned import size
from pruneexp.models import CustomModel, LSTMLanguageModel
from pruneexp.tasks.shape import ImageShape, TextShape
from tests.conftest import tiny_gradual

WORDS = TextShape(vocabulary=10)


class Stubborn(nn.Module):
    """Takes batches of 16 and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(24 * 24, 47)

    def forward(self, pictures: Tensor) -> Tensor:
        if len(pictures) == 1:
            raise RuntimeError("one is too few")
        scores: Tensor = self.layer(pictures.flatten(1))
        return scores


def lstm(tied: bool = False) -> nn.Module:
    """Two layers of four units: 64 weights from the input, 64 from the state before, 40 around."""
    return LSTMLanguageModel(hidden_size=4, tied=tied).build(WORDS)


def test_a_convolution_uses_its_weights_at_every_place() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(24, 5)
    )
    work = multiply_adds(model, ImageShape(channels=2, pixels=6, classes=5))
    assert work == {"0.weight": 6 * 2 * 9 * 16, "1.weight": 6 * 9 * 4, "3.weight": 24 * 5}
    assert model.training


def test_a_word_is_looked_up_and_multiplied_once() -> None:
    work = multiply_adds(lstm(), WORDS)
    assert work["embedding.weight"] == 0
    assert sum(work.values()) == 2 * (64 + 64) + 40


def test_a_tied_softmax_still_multiplies() -> None:
    assert sum(multiply_adds(lstm(tied=True), WORDS).values()) == 2 * (64 + 64) + 40


def test_masks_tell_what_remains_of_tensors_ranked_together() -> None:
    model = lstm()
    masks = {
        "layers.0.weight_ih_l0": torch.arange(64).reshape(16, 4) < 10,
        "layers.0.weight_hh_l0": torch.arange(64).reshape(16, 4) < 22,
        "embedding.weight": torch.zeros(10, 4, dtype=torch.bool),  # saves no multiplication
    }
    counts = count_masks(model, {"layer": list(masks)}, masks, multiply_adds(model, WORDS))
    assert counts.multiply_adds == 296
    assert counts.sparse_multiply_adds == 10 + 22 + (64 + 64) + 40


def test_a_record_holds_what_the_size_table_says(tiny: Callable[..., Run]) -> None:
    run = tiny(tiny_gradual(sparsity=0.9))
    counts, weighed = execute(run).counts, size(run)
    assert counts.multiply_adds == weighed.multiply_adds
    assert counts.sparse_multiply_adds == weighed.sparse_multiply_adds
    dense = execute(tiny()).counts
    assert dense.sparse_multiply_adds == dense.multiply_adds == counts.multiply_adds


def test_a_network_that_refuses_one_example_keeps_its_training(
    tiny: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(model=CustomModel(factory="tests.test_counts:Stubborn"))
    counts = execute(run).counts
    assert counts.multiply_adds is None and counts.sparse_multiply_adds is None
    assert "one is too few" in capsys.readouterr().err


def test_an_older_record_is_read(tiny: Callable[..., Run], tmp_path: Path) -> None:
    plain = execute(tiny(steps=2, evaluations=1)).to_plain()
    del plain["counts"]["multiply_adds"], plain["counts"]["sparse_multiply_adds"]
    assert Record.from_plain(plain).counts.multiply_adds is None
