"""Recipes of model families. A recipe builds its network; the network says what is prunable."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.factory import call, check, check_form
from pruneexp.config.recipe import (
    Fault,
    Invalid,
    added,
    demand,
    python_name,
    write,
)
from pruneexp.engine.record import Size
from pruneexp.models.model import MOST_UNITS, Model, SizeDial
from pruneexp.models.translators import GNMT, Transformer
from pruneexp.tasks.shape import ImageShape, Shape, TextShape

if TYPE_CHECKING:
    from torch import nn

WIDEST = 16  # times the channels of the published network
WIDTH_STEP = 1 / 1000


@dataclass(kw_only=True, slots=True)
class Convolutional(Model):
    """A network for pictures, every channel number times `width`."""

    takes: ClassVar[tuple[type[Shape], ...]] = (ImageShape,)
    width: float = 1.0  # a factor on every number of channels
    layout: str = "published"  # published: for ImageNet; small: for pictures of 24 to 64 pixels

    def __post_init__(self) -> None:
        demand(
            self,
            width=(0 < self.width <= WIDEST, f"a number in (0, {WIDEST}]"),
            layout=(self.layout in ("published", "small"), "published or small"),
        )

    def label(self) -> str:
        layout = "" if self.layout == "published" else f"_{self.layout}"
        return f"{self.word}{layout}-w{self.width:g}"

    def sizes(self) -> list[Size]:
        return [
            Size(
                name="width",
                value=float(self.width),
                words=f"×{self.width:g}",
                long_words=f"width {self.width:g}",
                heading="Width",
            )
        ]

    def size_dial(self) -> SizeDial:
        return SizeDial("width", self.width, WIDTH_STEP, WIDEST)

    def unlike_torchvision(self, name: str, shape: Shape) -> str:
        assert isinstance(shape, ImageShape), shape
        facts = {
            "model.width": (f"{self.width:g}", "1"),
            "model.layout": (self.layout, "published"),
            "channels": (shape.channels, 3),
            "classes": (shape.classes, 1000),
        }
        wrong = [f"{key}={it} (here {mine})" for key, (mine, it) in facts.items() if mine != it]
        fits = f"fits {' and '.join(wrong)} only" if wrong else ""
        return Model.unlike_torchvision(self, name, shape) or fits


@dataclass(kw_only=True, slots=True)
class MobileNetV1(Convolutional):
    """Howard et al. 2017: separable convolutions."""

    word: ClassVar[str] = "mobilenet_v1"

    @property
    def revision(self) -> int:  # type: ignore[override]
        """2 of the published layout, which now has the authors' ReLU6 and batch-norm."""
        return 2 if self.layout == "published" else 1

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.mobilenet_v1 import MobileNet

        assert isinstance(shape, ImageShape), shape
        return MobileNet(shape, width=self.width, layout=self.layout)


@dataclass(kw_only=True, slots=True)
class InceptionV3(Convolutional):
    """Szegedy et al. 2016, with the auxiliary classifier. In training the network returns the
    scores and the auxiliary scores, else the scores. torchvision's weights take pictures whose
    values lie in [-1, 1], not those of mean 0 and deviation 1."""

    word: ClassVar[str] = "inception_v3"
    torchvision: ClassVar[tuple[str, ...]] = ("Inception_V3_Weights.IMAGENET1K_V1",)
    LEAST: ClassVar[dict[str, int]] = {"published": 75, "small": 19}  # pixels
    dropout: float = 0.2  # before the classifier; the authors' code keeps 0.8
    auxiliary: float = 0.4  # weight of the auxiliary classifier's loss; the authors' code has 0.4

    def __post_init__(self) -> None:
        Convolutional.__post_init__(self)
        sixteenths = (self.width * 16).is_integer()
        demand(
            self,
            width=(sixteenths, "a multiple of 1/16, as its channel numbers are of 16"),
            dropout=(0 <= self.dropout < 1, "a number in [0, 1)"),
            auxiliary=(self.auxiliary >= 0, "a weight of 0 or more"),
        )

    def size_dial(self) -> SizeDial:
        return SizeDial("width", self.width, 1 / 16, WIDEST)

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.inception_v3 import Inception

        assert isinstance(shape, ImageShape), shape
        return Inception(
            shape,
            width=self.width,
            layout=self.layout,
            dropout=self.dropout,
            auxiliary=self.auxiliary,
        )

    def misfits(self, shape: Shape) -> Iterator[Fault]:
        assert isinstance(shape, ImageShape), shape
        if shape.pixels < self.LEAST[self.layout]:
            takes = f"takes pictures of {self.LEAST[self.layout]} pixels or more"
            fitting = [name for name, least in self.LEAST.items() if shape.pixels >= least]
            other = f"model.layout={fitting[0]}" if fitting else "another model"
            why = f"={self.layout} {takes}, this task's have {shape.pixels}; choose {other}"
            yield Fault("layout", why)


@dataclass(kw_only=True, slots=True)
class ResNet50(Convolutional):
    """He et al. 2016, with the stride of a block in its 3x3 convolution ("v1.5")."""

    word: ClassVar[str] = "resnet50"
    torchvision: ClassVar[tuple[str, ...]] = (
        "ResNet50_Weights.IMAGENET1K_V1",
        "ResNet50_Weights.IMAGENET1K_V2",
    )
    zero_last: bool = False  # each block's last batch-norm starts at 0 (Goyal et al. 2017)

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.resnet50 import ResNet

        assert isinstance(shape, ImageShape), shape
        return ResNet(shape, width=self.width, layout=self.layout, zero_last=self.zero_last)


@dataclass(kw_only=True, slots=True)
class LSTMLanguageModel(Model):
    """Zaremba et al. 2014: embedding, LSTM layers of one size, softmax."""

    word: ClassVar[str] = "lstm_lm"
    takes: ClassVar[tuple[type[Shape], ...]] = (TextShape,)
    hidden_size: int = 200  # units of a layer, and the length of a word's vector
    layers: int = 2  # of the LSTM
    dropout: float = 0.0  # on everything that is not recurrent
    initial: float = 0.1  # every weight and bias starts uniform in plus or minus this
    tied: bool = False  # embedding and softmax share their weights

    def __post_init__(self) -> None:
        demand(
            self,
            hidden_size=(self.hidden_size > 0, "a number of units above 0"),
            layers=(0 < self.layers <= 100, "a number of layers from 1 to 100"),
            dropout=(0 <= self.dropout < 1, "a number in [0, 1)"),
            initial=(self.initial > 0, "a number above 0"),
        )

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.lstm_lm import LanguageModel

        assert isinstance(shape, TextShape), shape
        return LanguageModel(
            shape,
            hidden_size=self.hidden_size,
            layers=self.layers,
            dropout=self.dropout,
            initial=self.initial,
            tied=self.tied,
        )

    def label(self) -> str:
        return f"{self.word}-h{self.hidden_size}"

    def size_dial(self) -> SizeDial:
        return SizeDial("hidden_size", self.hidden_size, 1, MOST_UNITS)

    def sizes(self) -> list[Size]:
        words = f"{self.hidden_size} units"
        return [
            Size(
                name="hidden_size",
                value=self.hidden_size,
                words=words,
                long_words=words,
                heading="Model size (hidden units)",
            )
        ]


@dataclass(kw_only=True, slots=True)
class CustomModel(Model):
    """A network of your own: `factory` is called with `arguments` and returns an nn.Module.

    Arguments:
        factory: package.module:function.
        arguments: by name, as plain data.
        dial: which of the arguments says how large the network is, such as hidden; a budget turns
            it.
    """

    word: ClassVar[str] = "custom"
    factory: str = python_name()
    arguments: dict[str, Any] = field(default_factory=dict)
    dial: str = added(default="", before="")

    def __post_init__(self) -> None:
        check_form(self.factory)
        value = self.arguments.get(self.dial)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        takes = "the name of one of model.arguments that holds a number above 0"
        demand(self, dial=(not self.dial or is_number, takes))

    def sizes(self) -> list[Size]:
        if not self.dial:
            return Model.sizes(self)
        words = write(self.dial, self.arguments[self.dial])
        return [
            Size(
                name=f"arguments.{self.dial}",
                value=self.arguments[self.dial],
                words=words,
                long_words=words,
                heading=self.dial.replace("_", " ").capitalize(),
            )
        ]

    def size_dial(self) -> SizeDial | None:
        if not self.dial:
            return None
        value = self.arguments[self.dial]
        step, most = (1, MOST_UNITS) if isinstance(value, int) else (WIDTH_STEP, WIDEST)
        return SizeDial(f"arguments.{self.dial}", value, step, most)

    def resized(self, value: float) -> "Model":
        return replace(self, arguments=self.arguments | {self.dial: value})

    def ready(self) -> None:
        check(self.factory, "model.factory")

    def build(self, shape: Shape) -> "nn.Module":
        from torch import nn

        network = call("model.factory", self.factory, self.arguments)
        if not isinstance(network, nn.Module):
            why = f"={self.factory} must return an nn.Module, got {type(network).__name__}"
            raise Invalid([Fault("model.factory", why)])
        return network

    def label(self) -> str:
        return "-".join([self.factory.partition(":")[2], *map(str, self.arguments.values())])


OPTIONS: tuple[type[Model], ...] = (
    MobileNetV1,
    InceptionV3,
    ResNet50,
    LSTMLanguageModel,
    GNMT,
    Transformer,
    CustomModel,
)
