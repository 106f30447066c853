"""Picture sets on disk as splits: files that the loader's processes decode, or arrays in memory."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data import batches, folders
from pruneexp.data.archives import Arrays
from pruneexp.data.folders import Tree
from pruneexp.tasks.augmentation import described, transforms
from pruneexp.tasks.images import Classification, Examples, Pictures, Unreadable
from pruneexp.tasks.shape import ImageShape

MODES = {1: "L", 3: "RGB"}  # Pillow's words for that many channels
# What Pillow raises for files that are no pictures, cut short or broken inside.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def load(
    root: Path, shape: ImageShape, augmentation: str, valid: int, seed: int, unreadable: str
) -> Classification:
    """train/ and others under `root`: with `valid` pictures of train held out, val/ or test/ is
    what tests; without, val/ validates and test/ tests."""
    there = [name for name in ("val", "test") if (root / name).is_dir()]
    names = ["train", (there or ["val"])[0]] if valid else ["train", "val", "test"]
    if not valid and len(there) == 1:
        lacking = root / ("test" if there == ["val"] else "val")
        why = f"=0 means that val/ validates and test/ tests, but {lacking} is not there; give a "
        why += f"number of pictures to hold out of train, and {there[0]}/ tests"
        raise Invalid([Fault("task.valid", why)])
    trees = folders.read(root, names, shape.classes)
    train = trees["train"]
    kept, held = batches.hold_out(seed, len(train.paths), valid)
    augmented, plain = transforms(augmentation, shape.pixels, shape.channels)
    test = trees[names[-1]]

    _say_if_small(train, shape.pixels, augmentation)

    def files(tree: Tree, rows: np.ndarray | None = None, transform: Any = plain) -> Files:
        chosen = np.arange(len(tree.paths)) if rows is None else rows
        return Files(tree, chosen, transform, shape.channels)

    return Classification(
        files(train, kept, augmented),
        files(train, held) if valid else files(trees["val"]),
        files(test),
        checksum=folders.checksum(trees),
        unreadable=unreadable,
        classes=train.classes,
        inputs=described(augmentation, shape.pixels, shape.channels),
    )


def _say_if_small(train: Tree, pixels: int, augmentation: str) -> None:
    """The defaults are ImageNet's, which is rarely meant where pictures are small."""
    if augmentation not in ("resnet", "inception") or not len(train.paths):
        return
    try:
        with Image.open(train.folder / os.fsdecode(train.paths[0])) as picture:
            side = max(picture.size)
    except BROKEN:
        return
    if side < pixels / 2:
        print(
            f"the first picture is {picture.size[0]} x {picture.size[1]}, and is scaled to "
            f"{pixels} with task.augmentation={augmentation}; perhaps task.pixels={side} "
            "task.augmentation=crop_flip is meant",
            file=sys.stderr,
            flush=True,
        )


def from_arrays(
    arrays: dict[str, Arrays],
    checksum: str,
    classes: list[str],
    shape: ImageShape,
    augmentation: str,
    valid: int,
    seed: int,
) -> Classification:
    """Official training and test pictures, with `valid` of the former held out."""
    pictures, labels = arrays["train"]
    kept, held = batches.hold_out(seed, len(labels), valid)
    parts = ((pictures[kept], labels[kept]), (pictures[held], labels[held]), arrays["test"])
    splits: list[Examples]
    if augmentation in ("none", "crop_flip"):
        moved = [augmentation == "crop_flip", False, False]
        splits = [Pictures(*part, moved=moves) for part, moves in zip(parts, moved, strict=True)]
    else:
        augmented, plain = transforms(augmentation, shape.pixels, shape.channels)
        ways = (augmented, plain, plain)
        splits = [Scaled(*part, way) for part, way in zip(parts, ways, strict=True)]
    inputs = described(augmentation, shape.pixels, shape.channels)
    return Classification(*splits, checksum=checksum, classes=classes, inputs=inputs)


class Files:
    """Pictures of a folder that are decoded when they are asked for."""

    def __init__(self, tree: Tree, rows: np.ndarray, transform: Any, channels: int) -> None:
        self.folder = os.fsencode(tree.folder)
        self.paths, self.labels = tree.paths[rows], tree.labels[rows]
        self.transform, self.mode = transform, MODES[channels]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path = os.path.join(self.folder, self.paths[index])
        return self.transform(decode(path, self.mode)), int(self.labels[index])


def decode(path: bytes, mode: str) -> Image.Image:
    """A whole picture, or `Unreadable`. Damage that still decodes goes unnoticed."""
    try:
        with open(path, "rb") as file, Image.open(file) as picture:
            if picture.mode[0] in "IF":  # Pillow would cut these off at 255
                raise ValueError("its pixels have more than 8 bits")
            return picture.convert(mode)
    except BROKEN as error:
        raise Unreadable(f"{os.fsdecode(path)} cannot be read ({error})") from error


class Scaled:
    """Pictures in memory that go one by one through a transform."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, transform: Any) -> None:
        self.pictures, self.labels, self.transform = pictures, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pictures[index])), int(self.labels[index])
