"""Recipes of tasks: what data there is and what a model has to say about it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.factory import call, check
from pruneexp.recipe import Fault, ImageShape, Invalid, Recipe, demand, here

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import Loaded


@dataclass(kw_only=True, slots=True)
class Task(Recipe):
    def shape(self) -> ImageShape:
        """What goes into a model and what comes out, known without any data."""
        raise AssertionError(type(self))

    def load(self, cache: Path) -> "Loaded":
        """Read or make the data; what is made is kept under `cache`."""
        raise AssertionError(type(self))


@dataclass(kw_only=True, slots=True)
class Glyphs(Task):
    """Small grey pictures of letters and digits, drawn with the fonts that matplotlib ships."""

    word: ClassVar[str] = "glyphs"
    train: int = 20_000
    valid: int = 3_000
    test: int = 10_000
    seed: int = 0  # governs the pictures and the splits; stays fixed while a run's seed varies

    def __post_init__(self) -> None:
        demand(
            self,
            train=(self.train > 0, "a number of images above 0"),
            valid=(self.valid > 0, "a number of images above 0"),
            test=(self.test > 0, "a number of images above 0"),
        )

    def shape(self) -> ImageShape:
        from pruneexp.data.glyphs import ALPHABET, PIXELS

        return ImageShape(channels=1, pixels=PIXELS, classes=len(ALPHABET))

    def load(self, cache: Path) -> "Loaded":
        from pruneexp.data import glyphs
        from pruneexp.tasks.images import Classification, Pictures

        splits, checksum = glyphs.load(
            cache, seed=self.seed, train=self.train, valid=self.valid, test=self.test
        )
        pictures = {name: Pictures(*arrays) for name, arrays in splits.items()}
        return Classification(**pictures, checksum=checksum)


@dataclass(kw_only=True, slots=True)
class Custom(Task):
    """A person's own data: `factory` is called with `arguments` and returns a Classification."""

    word: ClassVar[str] = "custom"
    factory: str = ""  # weighing a model needs no data, so `size` does without
    arguments: dict[str, Any] = field(default_factory=dict)
    channels: int = 3
    pixels: int = 224
    classes: int = 1000
    root: str = here("")  # where the data lies, handed to the factory when given

    def __post_init__(self) -> None:
        demand(
            self,
            channels=(self.channels > 0, "a number of channels above 0"),
            pixels=(self.pixels > 0, "a number of pixels above 0"),
            classes=(self.classes > 1, "a number of classes above 1"),
        )
        if self.factory:
            check(self.factory)

    def shape(self) -> ImageShape:
        return ImageShape(channels=self.channels, pixels=self.pixels, classes=self.classes)

    def load(self, cache: Path) -> "Loaded":
        if not self.factory:
            raise Invalid([Fault("task.factory", "must be given: package.module:function")])
        arguments = {**self.arguments, **({"root": self.root} if self.root else {})}
        return call("task.factory", self.factory, arguments)


OPTIONS: tuple[type[Task], ...] = (Glyphs, Custom)
