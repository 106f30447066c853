"""Recipes of model families. A recipe builds its network; the network says what is prunable."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.factory import call, check
from pruneexp.recipe import Fault, ImageShape, Invalid, Recipe, Shape, TextShape, demand

if TYPE_CHECKING:
    from torch import nn


@dataclass(kw_only=True, slots=True)
class Model(Recipe):
    takes: ClassVar[tuple[type, ...]] = (ImageShape, TextShape)  # what kinds of task

    def build(self, shape: Shape) -> "nn.Module":
        """A plain network with fresh weights from torch's current seed."""
        raise AssertionError(type(self))

    def label(self) -> str:
        """A few letters for a run's name."""
        return self.word


@dataclass(kw_only=True, slots=True)
class MobileNetV1(Model):
    """Howard et al. 2017: separable convolutions, every channel number times `width`."""

    word: ClassVar[str] = "mobilenet_v1"
    takes: ClassVar[tuple[type, ...]] = (ImageShape,)
    width: float = 1.0
    layout: str = "published"  # published: for 224 pixels; small: for pictures of 24 to 64

    def __post_init__(self) -> None:
        demand(
            self,
            width=(0 < self.width <= 1, "a number in (0, 1]"),
            layout=(self.layout in ("published", "small"), "published or small"),
        )

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.mobilenet_v1 import MobileNet

        assert isinstance(shape, ImageShape), shape
        return MobileNet(shape, width=self.width, layout=self.layout)

    def label(self) -> str:
        layout = "" if self.layout == "published" else f"_{self.layout}"
        return f"{self.word}{layout}-w{self.width:g}"


@dataclass(kw_only=True, slots=True)
class LSTMLanguageModel(Model):
    """Zaremba et al. 2014: embedding, LSTM layers of one size, softmax."""

    word: ClassVar[str] = "lstm_lm"
    takes: ClassVar[tuple[type, ...]] = (TextShape,)
    hidden_size: int = 200
    layers: int = 2
    dropout: float = 0.0  # on everything that is not recurrent
    initial: float = 0.1  # every weight and bias starts uniform in plus or minus this
    tied: bool = False  # embedding and softmax share their weights

    def __post_init__(self) -> None:
        demand(
            self,
            hidden_size=(self.hidden_size > 0, "a number of units above 0"),
            layers=(self.layers > 0, "a number of layers above 0"),
            dropout=(0 <= self.dropout < 1, "a number in [0, 1)"),
            initial=(self.initial > 0, "a number above 0"),
        )

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.lstm_lm import LSTMLanguageModel

        assert isinstance(shape, TextShape), shape
        return LSTMLanguageModel(
            shape,
            hidden_size=self.hidden_size,
            layers=self.layers,
            dropout=self.dropout,
            initial=self.initial,
            tied=self.tied,
        )

    def label(self) -> str:
        return f"{self.word}-h{self.hidden_size}"


@dataclass(kw_only=True, slots=True)
class Custom(Model):
    """A person's own network: `factory` is called with `arguments` and returns an nn.Module."""

    word: ClassVar[str] = "custom"
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self.factory)

    def build(self, shape: Shape) -> "nn.Module":
        from torch import nn

        network = call("model.factory", self.factory, self.arguments)
        if not isinstance(network, nn.Module):
            why = f"={self.factory} must return an nn.Module, got {type(network).__name__}"
            raise Invalid([Fault("model.factory", why)])
        return network

    def label(self) -> str:
        return "-".join([self.factory.partition(":")[2], *map(str, self.arguments.values())])


OPTIONS: tuple[type[Model], ...] = (MobileNetV1, LSTMLanguageModel, Custom)
