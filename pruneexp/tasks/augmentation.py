"""How a picture reaches the network: in training at random, in evaluation always alike.

inception   8 to 100 % of the picture's area, 3:4 to 4:3, flipped, colours jittered, scaled to
            [-1, 1]; evaluated on the middle 87.5 % of height and width (Szegedy et al. 2015, and
            the settings of TensorFlow's published preprocessing)
resnet      the same crop and flip, less ImageNet's mean, over its deviation; evaluated after
            resizing by 256/224 on the middle (torchvision's recipe)
crop_flip   shifted by up to 4 pixels and flipped (He et al. 2016, CIFAR)
none        as it is

Under crop_flip and none each picture is scaled to mean 0 and deviation 1, and what a shift leaves
free is 0. The transforms work on Pillow pictures and bytes, whose results no number of threads
changes, and draw from torch's generator alone.
"""

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor
from torchvision.transforms import v2

from pruneexp.tasks.images import SHIFT, STANDARDISED

MIDDLE = 0.875  # of height and width: 224 of 256
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red green blue
# Of TensorFlow's preprocessing for Inception; its brightness adds up to 32 of 255, this multiplies.
JITTER = {"brightness": 32 / 255, "contrast": 0.5, "saturation": 0.5, "hue": 0.2}


def transforms(word: str, pixels: int, channels: int) -> tuple[v2.Compose, v2.Compose]:
    """For training and for evaluation, from a Pillow picture to a tensor."""
    random_crop = [v2.RandomResizedCrop(pixels, (0.08, 1.0)), v2.RandomHorizontalFlip()]
    fitted = [v2.Resize(pixels), v2.CenterCrop(pixels), Standardise()]  # no change if it fits
    if word == "inception":
        scaled = _scaled([0.5] * channels, [0.5] * channels)
        train = [*random_crop, v2.ColorJitter(**JITTER), *scaled]
        return v2.Compose(train), v2.Compose([Middle(pixels), *scaled])
    if word == "resnet":
        scaled = _scaled(*_of_imagenet(channels))
        resized = [v2.Resize(round(pixels / MIDDLE)), v2.CenterCrop(pixels)]
        return v2.Compose([*random_crop, *scaled]), v2.Compose([*resized, *scaled])
    if word == "crop_flip":
        moved = [v2.RandomCrop(pixels, padding=SHIFT), v2.RandomHorizontalFlip()]
        return v2.Compose([*fitted, *moved]), v2.Compose(fitted)
    assert word == "none", word
    return v2.Compose(fitted), v2.Compose(fitted)


def described(word: str, pixels: int, channels: int) -> str:
    """How a picture becomes what the network takes when it is evaluated, in a line."""
    if word == "inception":
        return (
            f"the middle {MIDDLE:.1%} of height and width, scaled to {pixels} x {pixels}; values "
            "from 0 to 1, less 0.5, over 0.5"
        )
    if word == "resnet":
        mean, deviation = _of_imagenet(channels)
        return (
            f"the shorter side resized to {round(pixels / MIDDLE)}, the middle {pixels} x {pixels} "
            f"of it; values from 0 to 1, less {_listed(mean)}, over {_listed(deviation)}"
        )
    return f"the middle {pixels} x {pixels} after resizing; {STANDARDISED}"


def _of_imagenet(channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation for each channel; of grey pictures those of the three colours' mean."""
    mean, deviation = list(MEAN), list(DEVIATION)
    return ([sum(mean) / 3], [sum(deviation) / 3]) if channels == 1 else (mean, deviation)


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


def _scaled(mean: list[float], deviation: list[float]) -> list[v2.Transform]:
    return [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean, deviation),
    ]


class Middle:
    """The middle of a picture's height and width, scaled to a square."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, picture: Image) -> Image:
        width, height = picture.size
        left, top = (int(side * (1 - MIDDLE) / 2) for side in picture.size)
        middle = picture.crop((left, top, width - left, height - top))
        return middle.resize((self.pixels, self.pixels), Resampling.BILINEAR)


class Standardise:
    """Mean 0 and deviation 1, so that contrast and brightness cost no capacity."""

    def __call__(self, picture: Image) -> Tensor:
        values = np.asarray(picture, np.float32)
        values = (values - values.mean()) / max(values.std(), np.float32(1))
        planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(planes))
