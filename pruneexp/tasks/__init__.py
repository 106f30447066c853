"""Recipes of tasks: what data there is and what a model has to say about it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.factory import call, check, check_form
from pruneexp.config.recipe import Fault, Invalid, demand, here, python_name
from pruneexp.tasks.pairs import WMT14, WMT16, GrammarPairs, Pairs, Tatoeba
from pruneexp.tasks.pictures import CIFAR10, CIFAR100, FashionMNIST, ImageNet, PictureFolder
from pruneexp.tasks.shape import ArrayShape, ImageShape, Shape, TextShape, sizes_of
from pruneexp.tasks.task import Signature, Task, place_of, signature_of

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import LoadedTask


UNROLL = (
    "takes a number of words above 0 for a text, got 0; training=grammar or training=zaremba_small "
    "sets it"
)


@dataclass(kw_only=True, slots=True)
class Glyphs(Task):
    """Small grey pictures of letters and digits, drawn with the fonts that matplotlib ships."""

    word: ClassVar[str] = "glyphs"
    train: int = 20_000  # pictures
    valid: int = 3_000  # pictures
    test: int = 10_000  # pictures
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

    def load(self, cache: Path) -> "LoadedTask":
        from pruneexp.data import glyphs
        from pruneexp.tasks.images import STANDARDISED, Classification, Pictures

        splits, checksum = glyphs.load(
            cache, seed=self.seed, train=self.train, valid=self.valid, test=self.test
        )
        pictures = {name: Pictures(*arrays) for name, arrays in splits.items()}
        return Classification(
            *(pictures["train"], pictures["valid"], pictures["test"]),
            checksum=checksum,
            classes=glyphs.ALPHABET,
            inputs=STANDARDISED,
        )


@dataclass(kw_only=True, slots=True)
class CustomTask(Task):
    """Data of your own: `factory` is called with `arguments` and returns a `Classification`, a
    `Supervised` or another `LoadedTask`.

    What an example is must be known without the data, since a network is weighed without it: for
    pictures `channels`, `pixels` and `classes`, for anything else `inputs` and `outputs`.

    Arguments:
        factory: package.module:function, imported and called. Weighing a model needs no data, so
            `size` does without.
        arguments: by name, as plain data.
        channels, pixels: of a picture: 1 or 3 colours, and its height and width.
        classes: of pictures.
        inputs: the shape of one example, or a list of shapes where a network takes several tensors.
        outputs: the shape of what a network gives for one example.
        unit: what an example is called.
        root: where the data lies, handed to the factory when given.
    """

    word: ClassVar[str] = "custom"
    factory: str = python_name(default="")
    arguments: dict[str, Any] = field(default_factory=dict)
    channels: int = 3
    pixels: int = 224
    classes: int = 1000
    inputs: list[Any] | None = None
    outputs: list[int] | None = None
    unit: str = "example"
    root: str = here("")

    def __post_init__(self) -> None:
        both = (self.inputs is None) == (self.outputs is None)
        pictures = CustomTask.__dataclass_fields__
        given = [
            key
            for key in ("channels", "pixels", "classes")
            if getattr(self, key) != pictures[key].default
        ]
        demand(
            self,
            channels=(self.channels > 0, "a number of channels above 0"),
            pixels=(self.pixels > 0, "a number of pixels above 0"),
            classes=(self.classes > 1, "a number of classes above 1"),
            inputs=(
                self.inputs is None or _are_shapes(self.inputs),
                "a list of sizes such as [16], or a list of such lists",
            ),
            outputs=(
                both and (self.outputs is None or _is_shape(self.outputs)),
                "a list of sizes such as [1], together with task.inputs",
            ),
        )
        if self.inputs is not None and given:
            why = f"={getattr(self, given[0])} is for pictures, task.inputs for anything else"
            raise Invalid([Fault(given[0], f"{why}; give one of both")])
        if self.factory:
            check_form(self.factory)

    def shape(self) -> Shape:
        if self.inputs is None or self.outputs is None:
            return ImageShape(channels=self.channels, pixels=self.pixels, classes=self.classes)
        several = isinstance(self.inputs[0], list)
        shapes = [sizes_of(each) for each in (self.inputs if several else [self.inputs])]
        return ArrayShape(tuple(shapes), sizes_of(self.outputs), self.unit)

    def ready(self) -> None:
        if not self.factory:
            raise Invalid([Fault("task.factory", "must be given: package.module:function")])
        check(self.factory, "task.factory")

    def load(self, cache: Path) -> "LoadedTask":
        if not self.factory:
            raise Invalid([Fault("task.factory", "must be given: package.module:function")])
        arguments = {**self.arguments, **({"root": self.root} if self.root else {})}
        return call("task.factory", self.factory, arguments)


def _is_shape(sizes: list[Any]) -> bool:
    return all(type(size) is int and size > 0 for size in sizes)


def _are_shapes(shapes: list[Any]) -> bool:
    if not shapes:
        return False
    if all(isinstance(shape, list) for shape in shapes):
        return all(map(_is_shape, shapes))
    return _is_shape(shapes)


@dataclass(kw_only=True, slots=True)
class Text(Task):
    """Word-level text of any corpus: three files, plain or gzipped, one sentence a line.

    Every line ends with the word <eos>. Where a word of the other files is not in the training
    file, <unk> stands for it, which the training file must then hold.

    Arguments:
        vocabulary: different words of the training file, <eos> among them; counted where it is 0.
        train, valid, test: the files' names.
        root: their folder; text/ in the folder PRUNEEXP_DATA without it.
    """

    word: ClassVar[str] = "text"
    vocabulary: int = 0
    train: str = "train.txt"
    valid: str = "valid.txt"
    test: str = "test.txt"
    root: str = here("")  # the folder of the files

    def __post_init__(self) -> None:
        counted = self.vocabulary == 0
        takes = "a number of words above 1, or 0 to count them"
        demand(self, vocabulary=(counted or self.vocabulary > 1, takes), name=self.name_rule())

    def shape(self) -> TextShape:
        return TextShape(vocabulary=self.vocabulary)

    def misfits(self, unroll: int) -> Iterator[Fault]:
        if unroll < 1:
            yield Fault("training.unroll", UNROLL)

    def settled(self) -> "Text":
        if self.vocabulary:
            return self
        from pruneexp.data import text

        return replace(self, vocabulary=max(2, text.count_words(self.folder() / self.train)))

    def signature(self) -> Signature | None:
        names = (self.train, self.valid, self.test)
        return signature_of([self.folder() / name for name in names])

    def ready(self) -> None:
        """All three files must be there."""
        folder = self.folder()
        names = [self.train, self.valid, self.test]
        lacking = [name for name in names if not (folder / name).is_file()]
        if lacking:
            why = f"={folder} does not hold {', '.join(lacking)}; it should be the folder of "
            raise Invalid([Fault("task.root", f"{why}{', '.join(names)}")])

    def folder(self) -> Path:
        """Where the files lie."""
        return place_of(self.root, self.word)

    def load(self, cache: Path) -> "LoadedTask":
        from pruneexp.data import text
        from pruneexp.tasks.language import LanguageModelling

        folder = self.folder()
        paths = {name: folder / getattr(self, name) for name in ("train", "valid", "test")}
        corpus = text.load(paths, self.vocabulary)
        return LanguageModelling(
            {name: getattr(corpus, name) for name in paths},
            first=corpus.words.index(text.END),
            checksum=corpus.checksum(),
            words=corpus.words,
        )


@dataclass(kw_only=True, slots=True)
class PennTreebank(Text):
    """Mikolov's split of the Penn Treebank: 929,589 / 73,760 / 82,430 words, 10,000 different."""

    word: ClassVar[str] = "ptb"
    vocabulary: int = 10_000
    train: str = "ptb.train.txt.gz"
    valid: str = "ptb.valid.txt.gz"
    test: str = "ptb.test.txt.gz"


@dataclass(kw_only=True, slots=True)
class Grammar(Task):
    """An embedded language whose exact entropy is known."""

    word: ClassVar[str] = "grammar"
    train: int = 400_000  # words
    valid: int = 20_000  # words
    test: int = 50_000  # words
    seed: int = 0  # governs the text; stays fixed while a run's seed varies

    def __post_init__(self) -> None:
        takes = "a number of words of 100 or more"
        demand(
            self,
            **{name: (getattr(self, name) >= 100, takes) for name in ("train", "valid", "test")},
        )

    def misfits(self, unroll: int) -> Iterator[Fault]:
        if unroll < 1:
            yield Fault("training.unroll", UNROLL)

    def shape(self) -> TextShape:
        from pruneexp.data import grammar

        return TextShape(vocabulary=len(grammar.VOCABULARY))

    def load(self, cache: Path) -> "LoadedTask":
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
            words=grammar.VOCABULARY,
            checksum=content.hexdigest(),
            references={
                "exact entropy": math.exp(grammar.entropy()),
                "the generator on this text": math.exp(test.nats / len(test.tokens)),
            },
        )


OPTIONS: tuple[type[Task], ...] = (
    *(Glyphs, ImageNet, CIFAR10, CIFAR100, FashionMNIST, PictureFolder),
    *(Text, PennTreebank, Grammar),
    *(Pairs, WMT16, WMT14, Tatoeba, GrammarPairs),
    CustomTask,
)
