"""Recipes of picture sets on disk: ImageNet, CIFAR, Fashion-MNIST, any folder of pictures.

The official validation or test set is our test split, measured once; validation is cut out of the
training pictures.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, demand, either, here
from pruneexp.tasks.shape import ImageShape
from pruneexp.tasks.task import Signature, Task, place_of, signature_of

if TYPE_CHECKING:
    from pruneexp.tasks.images import Classification

AUGMENTATIONS = ("inception", "resnet", "crop_flip", "none")


@dataclass(kw_only=True, slots=True)
class OnDisk(Task):
    """What they share. `augmentation` says how a picture reaches the network; see `augmentation`
    beside this file."""

    pixels: int  # height and width of what the network sees
    augmentation: str  # how a picture reaches the network: none, crop_flip, resnet, inception
    valid: int  # pictures held out of train
    seed: int = 0  # governs which are held out; stays fixed while a run's seed varies
    root: str = here("")  # the folder where the data lies

    def __post_init__(self) -> None:
        self._demand()

    def ready(self) -> None:
        """The folder must be there, or be fetched."""
        folder = self.folder()
        downloads = getattr(self, "download", None)
        if not (folder.is_dir() or downloads):
            remedy = "task.download=true fetches it" if downloads is False else "put the data there"
            raise Invalid([Fault("task.root", f"={folder} is no folder; {remedy}")])

    def folder(self) -> Path:
        """Where the data lies."""
        return place_of(self.root, self.word)

    def signature(self) -> Signature | None:
        """Of the folders of classes, or of files that hold all pictures."""
        root = self.folder()
        return signature_of(sorted([*root.glob("*"), *root.glob("*/*"), *root.glob("*/raw/*")]))

    def _demand(self, **more: tuple[bool, str]) -> None:
        """The rules of all, and of one kind, checked together."""
        rules = {
            "name": self.name_rule(),
            "pixels": (self.pixels > 0, "a number of pixels above 0"),
            "augmentation": (self.augmentation in AUGMENTATIONS, either(AUGMENTATIONS)),
            "valid": (self.valid > 0, "a number of pictures above 0"),
        }
        demand(self, **(rules | more))


@dataclass(kw_only=True, slots=True)
class ImageNet(OnDisk):
    """ILSVRC 2012: train/ and val/, a folder a class. 1,281,167 and 50,000 pictures."""

    word: ClassVar[str] = "imagenet"
    classes: int = 1000  # folders in train/
    pixels: int = 224
    augmentation: str = "inception"
    valid: int = 10_000
    unreadable: str = "stop"  # or skip: the next readable picture takes the place
    download: bool = here(False)  # not with ImageNet

    def __post_init__(self) -> None:
        self._demand(
            classes=(self.classes > 1, "a number of classes above 1"),
            unreadable=(self.unreadable in ("stop", "skip"), "stop or skip"),
            download=(
                not self.download,
                "false with ImageNet, whose terms must be agreed to at image-net.org (put train/ "
                "and val/ under task.root, a folder a class)",
            ),
        )

    def shape(self) -> ImageShape:
        return ImageShape(channels=3, pixels=self.pixels, classes=self.classes)

    def load(self, cache: Path) -> "Classification":
        from pruneexp.tasks.decoded import load

        root = place_of(self.root, self.word)
        return load(root, self.shape(), self.augmentation, self.valid, self.seed, self.unreadable)


@dataclass(kw_only=True, slots=True)
class PictureFolder(OnDisk):
    """Any folder of pictures with a folder a class: train/ and val/ or test/, or all three.

    With train/, val/ and test/, val/ validates and test/ tests. With two of them, `valid` pictures
    are held out of train/ and the other one tests.

    Arguments:
        classes: how many; counted in train/ where it is 0.
        channels: 1 where pictures are read as grey.
        pixels: of a side of what the network sees. The default and that of `augmentation` are
            those of ImageNet; for small pictures, take their own size and task.augmentation=none or
            crop_flip.
        valid: pictures held out of train/; 0 where there are all three folders.
        unreadable: stop, or skip: the next readable picture takes the place.
    """

    word: ClassVar[str] = "folder"
    classes: int = 0
    channels: int = 3  # 1: pictures are read as grey
    pixels: int = 224
    augmentation: str = "resnet"
    valid: int = 0  # held out of train, and val/ tests; 0: val/ validates, and test/ tests
    unreadable: str = "stop"  # or skip: the next readable picture takes the place

    def __post_init__(self) -> None:
        self._demand(
            classes=(
                self.classes == 0 or self.classes > 1,
                "a number of classes above 1, or 0 to count them",
            ),
            channels=(self.channels in (1, 3), "1 (grey) or 3 (colours)"),
            valid=(self.valid >= 0, "a number of pictures, 0 where there is a test/ folder"),
            unreadable=(self.unreadable in ("stop", "skip"), "stop or skip"),
        )

    def shape(self) -> ImageShape:
        return ImageShape(channels=self.channels, pixels=self.pixels, classes=self.classes)

    def settled(self) -> "PictureFolder":
        if self.classes:
            return self
        train = self.folder() / "train"
        if not train.is_dir():
            why = f"={self.root}: there is no {train}, which should hold a folder a class"
            raise Invalid([Fault("task.root", why)])
        classes = sum(path.is_dir() and path.name[0] != "." for path in train.iterdir())
        return replace(self, classes=max(classes, 2))  # what is wrong with one is said on reading

    def folder(self) -> Path:
        if not self.root:
            why = "must be given: a folder with train/ and val/ or test/, in each a folder a class"
            raise Invalid([Fault("task.root", why)])
        return Path(self.root).expanduser()

    def load(self, cache: Path) -> "Classification":
        from pruneexp.tasks.decoded import load

        root = self.folder()
        if self.valid and (root / "test").is_dir() and (root / "val").is_dir():
            why = f"takes 0 where there are {root / 'val'} and test: val/ validates and test/ tests"
            raise Invalid([Fault("task.valid", f"{why}, got {self.valid:,}")])
        return load(root, self.shape(), self.augmentation, self.valid, self.seed, self.unreadable)


@dataclass(kw_only=True, slots=True)
class InMemory(OnDisk):
    """Small pictures of one size, all in memory."""

    kind: ClassVar[str]  # the name of torchvision's class that reads them
    native: ClassVar[ImageShape]
    download: bool = here(False)  # fetch or unpack what is not there

    def __post_init__(self) -> None:
        own, word = self.native.pixels, self.augmentation
        scales = self.pixels > 0 and word in ("inception", "resnet")
        takes = f"{own} with augmentation {word} (inception and resnet scale pictures)"
        self._demand(pixels=(self.pixels == own or scales, takes))

    def shape(self) -> ImageShape:
        channels, classes = self.native.channels, self.native.classes
        return ImageShape(channels=channels, pixels=self.pixels, classes=classes)

    def load(self, cache: Path) -> "Classification":
        from pruneexp.data import archives
        from pruneexp.tasks.decoded import from_arrays

        root = place_of(self.root, self.word)
        splits, checksum, classes = archives.load(
            self.kind, root, pixels=self.native.pixels, download=self.download
        )
        shape = self.shape()
        return from_arrays(
            splits, checksum, classes, shape, self.augmentation, self.valid, self.seed
        )


@dataclass(kw_only=True, slots=True)
class CIFAR10(InMemory):
    """50,000 and 10,000 colour pictures of 32 x 32 pixels, 10 classes."""

    word: ClassVar[str] = "cifar10"
    kind: ClassVar[str] = "CIFAR10"
    native: ClassVar[ImageShape] = ImageShape(channels=3, pixels=32, classes=10)
    pixels: int = 32
    augmentation: str = "crop_flip"
    valid: int = 5_000


@dataclass(kw_only=True, slots=True)
class CIFAR100(CIFAR10):
    """Pictures as of CIFAR10, of 100 classes."""

    word: ClassVar[str] = "cifar100"
    kind: ClassVar[str] = "CIFAR100"
    native: ClassVar[ImageShape] = ImageShape(channels=3, pixels=32, classes=100)


@dataclass(kw_only=True, slots=True)
class FashionMNIST(InMemory):
    """60,000 and 10,000 grey pictures of 28 x 28 pixels, 10 classes of clothing."""

    word: ClassVar[str] = "fashion_mnist"
    kind: ClassVar[str] = "FashionMNIST"
    native: ClassVar[ImageShape] = ImageShape(channels=1, pixels=28, classes=10)
    pixels: int = 28
    augmentation: str = "none"
    valid: int = 5_000
