"""Pictures and batches follow from seeds and positions alone; the cache notices damage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pruneexp.config.recipe import Invalid
from pruneexp.data import batches, glyphs
from pruneexp.tasks.images import Classification, Pictures
from pruneexp.tasks.loaded import Setting
from pruneexp.tasks.shape import ImageShape


def test_pictures_follow_from_the_seed_and_the_split() -> None:
    first, labels = glyphs.draw(0, "train", 40)
    assert first.shape == (40, 24, 24) and first.dtype == np.uint8
    assert np.array_equal(first, glyphs.draw(0, "train", 40)[0])
    assert not np.array_equal(first, glyphs.draw(1, "train", 40)[0])
    assert not np.array_equal(first, glyphs.draw(0, "valid", 40)[0])
    assert labels.max() < len(glyphs.ALPHABET) == 47


def test_every_character_of_every_face_is_drawn_whole() -> None:
    for row in glyphs._sources():
        for picture in row:
            ink = np.asarray(picture)
            assert ink.max() > 200
            assert ink[0].max() == ink[-1].max() == ink[:, 0].max() == ink[:, -1].max() == 0


def setting(**changes: Any) -> Setting:
    plain = Setting(
        device=torch.device("cpu"),
        shape=ImageShape(1, 2, 3),
        seed=0,
        batch_size=2,
        unroll=0,
        label_smoothing=0.0,
        memory_format=torch.contiguous_format,
        workers=0,
    )
    return replace(plain, **changes)


def load(cache: Path) -> tuple[Any, str]:
    return glyphs.load(cache, seed=0, train=20, valid=10, test=10)


def test_the_cache_gives_the_same_pictures_and_checksum(tmp_path: Path) -> None:
    drawn, first = load(tmp_path)
    read, second = load(tmp_path)
    assert first == second
    for name in ("train", "valid", "test"):
        assert np.array_equal(drawn[name][0], read[name][0])
        assert np.array_equal(drawn[name][1], read[name][1])


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_cache_is_named_and_drawn_again(
    tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = load(tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[1000] ^= 1
    path.write_bytes(data if harm == "flip" else data[: 5000 if harm == "cut" else 0])
    assert load(tmp_path)[1] == first
    assert f"{path} is damaged" in capsys.readouterr().err
    assert load(tmp_path)[1] == first
    assert capsys.readouterr().err == ""


def test_an_epoch_has_every_example_once_and_the_next_another_order() -> None:
    first = list(batches.batches(0, 10, 3, 0, 3))
    second = list(batches.batches(0, 10, 3, 3, 6))
    indices = [index for batch in first for index, _ in batch]
    assert len(set(indices)) == 9  # the incomplete batch is left out
    assert indices != [index for batch in second for index, _ in batch]
    assert [position for batch in first + second for _, position in batch] == list(range(18))


def test_batches_from_the_middle_are_the_same() -> None:
    assert list(batches.batches(5, 50, 4, 0, 40))[17:] == list(batches.batches(5, 50, 4, 17, 40))
    assert list(batches.batches(5, 50, 4, 0, 3)) != list(batches.batches(6, 50, 4, 0, 3))


class Noisy:
    """A map-style dataset that draws at random, as augmentation does."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.rand(1, 2, 2) + np.random.rand() + index, index % 3


def test_augmentation_is_the_same_at_any_number_of_workers_and_from_any_step() -> None:
    task = Classification(train=Noisy(), valid=Noisy(), test=Noisy())

    def taken(workers: int, first: int) -> list[torch.Tensor]:
        task.settle(setting(seed=1, batch_size=4, workers=workers))
        return [pictures for pictures, _ in task.batches(first, 6)]

    whole = taken(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(whole, taken(2, 0), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], taken(1, 4), strict=True))
    assert not torch.equal(whole[0], whole[3])  # another epoch, another draw


def test_pictures_have_mean_0_and_deviation_1_whatever_their_contrast() -> None:
    pictures = np.array([[[10, 20]], [[200, 0]], [[7, 7]]], np.uint8)
    taken, _ = Pictures(pictures, np.zeros(3, np.uint8)).take([0, 1, 2])
    assert taken.tolist() == [[[[-1.0, 1.0]]], [[[1.0, -1.0]]], [[[0.0, 0.0]]]]


def test_accuracy_by_hand() -> None:
    left, right = [[255, 0]], [[0, 255]]
    split = Pictures(np.array([left, left, right, right], np.uint8), np.array([1, 0, 0, 0]))
    task = Classification(train=split, valid=split, test=split)

    class BrightOnTheLeft(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            first = pictures[:, 0, :, 0]
            return torch.cat([-first, first], 1)

    task.settle(setting(batch_size=1))
    metrics = task.evaluate(BrightOnTheLeft(), "test")
    assert metrics["accuracy"] == 75.0  # left is 1: right, wrong; right is 0: right, right
    low, high = np.log(1 + np.exp(-2)), np.log(1 + np.exp(2))
    assert metrics["loss"] == pytest.approx((3 * low + high) / 4, rel=1e-6)


def test_what_cannot_be_trained_on_is_refused() -> None:
    split = Pictures(np.zeros((4, 1, 1), np.uint8), np.array([5, 5, 5, 5], np.uint8))
    task = Classification(train=split, valid=split, test=split)
    with pytest.raises(Invalid, match=r"training\.batch_size takes at most the 4 .* got 5"):
        task.settle(setting(batch_size=5, shape=ImageShape(1, 1, 6)))
    with pytest.raises(Invalid, match=r"task\.classes=5, but there is a class 5"):
        task.settle(setting(batch_size=4, shape=ImageShape(1, 1, 5)))
    task.settle(setting(batch_size=4, shape=ImageShape(1, 1, 6)))
