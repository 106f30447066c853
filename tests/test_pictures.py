"""Recipes of picture sets, transforms and scores, against numbers computed by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.measure.planned import size
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense
from pruneexp.tasks import CIFAR10, ImageNet, PictureFolder, Task
from pruneexp.tasks.augmentation import transforms
from pruneexp.tasks.images import Classification, Pictures, shifted
from pruneexp.tasks.pictures import AUGMENTATIONS
from pruneexp.tasks.shape import ImageShape
from pruneexp.training import Training
from tests.test_data import setting


def loaded(task: Task, **changes: Any) -> Classification:
    data = task.load(Path())
    assert isinstance(data, Classification)
    data.settle(setting(**{"shape": task.shape(), **changes}))
    return data


class Mean(nn.Module):
    """As many scores as classes, from each picture's first pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, : self.classes]


class TestRecipes:
    def test_packed_sizes_needs_no_data(self) -> None:
        run = Run(
            task=ImageNet(), model=MobileNetV1(), training=Training(), pruning=Dense(), device="cpu"
        )
        assert size(run).counts.parameters == 4_210_088  # Howard et al. 2017: 4.2 million
        assert ImageNet(pixels=299).shape() == ImageShape(3, 299, 1000)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda: ImageNet(download=True, pixels=0),
                r"(?s)pixels takes .* got 0.*download takes false with ImageNet, whose terms",
            ),
            (lambda: ImageNet(valid=0), "valid takes a number of pictures above 0, got 0"),
            (lambda: ImageNet(unreadable="no"), "unreadable takes stop or skip, got no"),
            (lambda: PictureFolder(classes=1), "classes takes a number of classes above 1.*got 1"),
            (lambda: PictureFolder(classes=2, channels=4), r"channels takes 1 \(grey\) or 3"),
            (
                lambda: CIFAR10(augmentation="flip"),
                "augmentation takes inception, resnet, crop_flip or none, got flip",
            ),
            (lambda: CIFAR10(pixels=64), "pixels takes 32 with augmentation crop_flip .* got 64"),
        ],
    )
    def test_what_cannot_be_is_refused(self, make: Callable[[], Task], message: str) -> None:
        with pytest.raises(Invalid, match=message):
            make()


class TestTransforms:
    """On pictures whose outcome is plain."""

    def test_inception_scales_to_plus_and_minus_1_and_keeps_the_middle(self) -> None:
        white = np.zeros((32, 64, 3), np.uint8)
        white[2:30, 4:60] = 255  # the middle 87.5 % of both sides
        _, evaluation = transforms("inception", 14, 3)
        assert evaluation(Image.fromarray(white)).unique().tolist() == [1.0]
        assert evaluation(Image.new("RGB", (64, 32))).unique().tolist() == [-1.0]

    def test_resnet_takes_the_square_in_the_middle(self) -> None:
        colours = np.zeros((256, 300, 3), np.uint8)
        colours[16:240, 38:262] = 255
        _, evaluation = transforms("resnet", 224, 3)
        inputs = evaluation(Image.fromarray(colours))
        assert inputs.shape == (3, 224, 224)
        highest = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
        assert inputs.amin((1, 2)).tolist() == pytest.approx(highest)

    @pytest.mark.parametrize("augmentation", ["inception", "resnet", "crop_flip"])
    def test_they_draw_from_torch_alone(self, augmentation: str) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        training, _ = transforms(augmentation, 16, 3)

        def drawn(seed: int) -> Tensor:
            torch.manual_seed(seed)
            return training(Image.fromarray(noise))

        assert torch.equal(drawn(1), drawn(1))
        assert len({drawn(seed).numpy().tobytes() for seed in range(8)}) > 6

    def test_threads_change_no_bits(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
        for augmentation in AUGMENTATIONS:
            training, _ = transforms(augmentation, 224, 3)
            taken = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                torch.manual_seed(0)
                taken.append(training(Image.fromarray(noise)))
            torch.set_num_threads(1)
            assert torch.equal(*taken)

    def test_a_shift_by_hand(self) -> None:
        pictures = torch.arange(1.0, 37.0).reshape(1, 1, 6, 6)
        # The draw counts down by 9s: 5 down is +1, 3 across is -1, then whether it stays unflipped.
        still = shifted(pictures, [5 + 9 * 3 + 81])[0, 0]
        assert still[0].tolist() == [0] * 6
        assert still[1].tolist() == [2, 3, 4, 5, 6, 0]
        assert still[5].tolist() == [26, 27, 28, 29, 30, 0]
        flipped = shifted(pictures, [4 + 9 * 4])[0, 0]
        assert flipped[0].tolist() == [6, 5, 4, 3, 2, 1]
        draws = [seeds.draw(0, "example", position) for position in range(400)]
        assert len({draw % 162 for draw in draws}) > 120  # all moves come


class TestScores:
    def test_the_best_five_by_hand(self) -> None:
        ranks = np.array([[[7, 6, 5, 4, 3, 2, 1]]] * 4, np.uint8)
        split = Pictures(ranks, np.array([0, 4, 5, 6]))
        data = Classification(split, split, split)
        data.settle(setting(shape=ImageShape(1, 7, 7)))
        metrics = data.evaluate(Mean(7), "test")
        assert metrics["accuracy"] == 25.0  # 0 has the highest score
        assert metrics["top5"] == 50.0  # 0 and 4 are among 0 to 4

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_auxiliary_scores_weigh_what_the_network_says(self, wrapped: bool) -> None:
        class Two(nn.Module):
            auxiliary = 0.4

            def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
                first = pictures.flatten(1)
                return first, -first

        class Wrapper(nn.Module):
            def __init__(self, module: nn.Module) -> None:
                super().__init__()
                self.module = module

            def forward(self, pictures: Tensor) -> Any:
                return self.module(pictures)

        split = Pictures(np.zeros((2, 1, 2), np.uint8), np.array([0, 1]))
        data = Classification(split, split, split)
        data.settle(setting(shape=ImageShape(1, 2, 2), label_smoothing=0.2))
        batch = (torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([0]))
        network: nn.Module = Wrapper(Two()) if wrapped else Two()
        loss, carry = data.loss(network, batch, None)
        # Smoothed targets are 0.9 and 0.1; scores differ by 1 for the right class, then against it.
        low, high = np.log1p(np.exp(-1)), np.log1p(np.exp(1))
        expected = 0.9 * low + 0.1 * high + 0.4 * (0.9 * high + 0.1 * low)
        assert float(loss) == pytest.approx(expected, rel=1e-6) and carry is None

    def test_auxiliary_scores_without_a_weight_are_refused(self) -> None:
        class Two(nn.Module):
            def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
                return pictures.flatten(1), pictures.flatten(1)

        split = Pictures(np.zeros((2, 1, 2), np.uint8), np.array([0, 1]))
        data = Classification(split, split, split)
        data.settle(setting(shape=ImageShape(1, 2, 2)))
        batch = (torch.zeros(1, 1, 1, 2), torch.tensor([0]))
        with pytest.raises(Invalid, match="must have a number `auxiliary`"):
            data.loss(Two(), batch, None)
