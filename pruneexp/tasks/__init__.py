"""Recipes of tasks: what data there is and what a model has to say about it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.factory import call, check
from pruneexp.config.recipe import Fault, Invalid, demand, here
from pruneexp.tasks.pictures import CIFAR10, CIFAR100, FashionMNIST, Folder, ImageNet
from pruneexp.tasks.shape import ImageShape, TextShape
from pruneexp.tasks.task import Task, place_of

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import Loaded


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
        return Classification(
            pictures["train"], pictures["valid"], pictures["test"], checksum=checksum
        )


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


@dataclass(kw_only=True, slots=True)
class Text(Task):
    """Word-level text of any corpus: three files, plain or gzipped, one sentence a line."""

    word: ClassVar[str] = "text"
    vocabulary: int  # words of the training file, <eos> among them; checked when it is read
    train: str = "train.txt"
    valid: str = "valid.txt"
    test: str = "test.txt"
    root: str = here("")  # the folder of the files

    def __post_init__(self) -> None:
        demand(self, vocabulary=(self.vocabulary > 1, "a number of words above 1"))

    def shape(self) -> TextShape:
        return TextShape(vocabulary=self.vocabulary)

    def folder(self) -> Path:
        return Path(self.root)

    def load(self, cache: Path) -> "Loaded":
        from pruneexp.data import text
        from pruneexp.tasks.language import LanguageModelling

        folder = self.folder()
        paths = {name: folder / getattr(self, name) for name in ("train", "valid", "test")}
        corpus = text.load(paths, self.vocabulary)
        return LanguageModelling(
            {name: getattr(corpus, name) for name in paths},
            first=corpus.words.index(text.END),
            checksum=corpus.checksum(),
        )


@dataclass(kw_only=True, slots=True)
class PennTreebank(Text):
    """Mikolov's split of the Penn Treebank: 929,589 / 73,760 / 82,430 words, 10,000 different."""

    word: ClassVar[str] = "ptb"
    vocabulary: int = 10_000
    train: str = "ptb.train.txt.gz"
    valid: str = "ptb.valid.txt.gz"
    test: str = "ptb.test.txt.gz"

    def folder(self) -> Path:
        return place_of(self.root, self.word)


@dataclass(kw_only=True, slots=True)
class Grammar(Task):
    """An embedded language whose exact entropy is known."""

    word: ClassVar[str] = "grammar"
    train: int = 400_000
    valid: int = 20_000
    test: int = 50_000
    seed: int = 0  # governs the text; stays fixed while a run's seed varies

    def __post_init__(self) -> None:
        takes = "a number of words of 100 or more"
        demand(
            self,
            **{name: (getattr(self, name) >= 100, takes) for name in ("train", "valid", "test")},
        )

    def shape(self) -> TextShape:
        from pruneexp.data import grammar

        return TextShape(vocabulary=len(grammar.VOCABULARY))

    def load(self, cache: Path) -> "Loaded":
        import hashlib
        import math

        from pruneexp.data import grammar
        from pruneexp.tasks.language import LanguageModelling

        counts = {"train": self.train, "valid": self.valid, "test": self.test}
        texts = {name: grammar.draw(self.seed, name, count) for name, count in counts.items()}
        content = hashlib.sha256(b"".join(text.tokens.tobytes() for text in texts.values()))
        test = texts["test"]
        return LanguageModelling(
            {name: text.tokens for name, text in texts.items()},
            first=grammar.TOKENS[grammar.EOS],
            checksum=content.hexdigest(),
            references={
                "exact entropy": math.exp(grammar.entropy()),
                "the generator on this text": math.exp(test.nats / len(test.tokens)),
            },
        )


OPTIONS: tuple[type[Task], ...] = (
    *(Glyphs, ImageNet, CIFAR10, CIFAR100, FashionMNIST, Folder),
    *(Text, PennTreebank, Grammar, Custom),
)
