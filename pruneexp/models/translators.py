"""Recipes of networks that translate: they read a sentence and write one, word by word."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, demand
from pruneexp.engine.record import Size
from pruneexp.models.model import MOST_UNITS, Model, SizeDial
from pruneexp.tasks.shape import PairShape, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(kw_only=True, slots=True)
class Translator(Model):
    """What both families have: one number of units for every layer and every word's vector."""

    takes: ClassVar[tuple[type[Shape], ...]] = (PairShape,)
    units: int = 1024  # of each layer, and the length of a word's vector

    def __post_init__(self) -> None:
        demand(self, units=(0 < self.units <= MOST_UNITS, f"a number from 1 to {MOST_UNITS:,}"))

    def label(self) -> str:
        return f"{self.word}-u{self.units}"

    def size_dial(self) -> SizeDial:
        return SizeDial("units", self.units, 1, MOST_UNITS)

    def sizes(self) -> list[Size]:
        words = f"{self.units} units"
        return [
            Size(
                name="units",
                value=self.units,
                words=words,
                long_words=words,
                heading="Units",
            )
        ]


@dataclass(kw_only=True, slots=True)
class GNMT(Translator):
    """Wu et al. 2016, as Zhu and Gupta 2017 pruned it: an encoder of one bidirectional and further
    LSTM layers, a decoder of LSTM layers of which the bottom one asks for what it needs of the
    source (normed Bahdanau attention)."""

    word: ClassVar[str] = "gnmt"
    layers: int = 4  # of the encoder, the bidirectional one among them, and of the decoder
    dropout: float = 0.2  # on the inputs of every layer
    initial: float = 0.1  # every weight starts uniform in plus or minus this
    forget: float = 1.0  # what the bias of the forget gates starts with

    def __post_init__(self) -> None:
        Translator.__post_init__(self)
        demand(
            self,
            layers=(2 <= self.layers <= 16, "a number of layers from 2 to 16"),
            dropout=(0 <= self.dropout < 1, "a number in [0, 1)"),
            initial=(self.initial > 0, "a number above 0"),
        )

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.gnmt import GNMTNetwork

        assert isinstance(shape, PairShape), shape
        return GNMTNetwork(
            shape,
            units=self.units,
            layers=self.layers,
            dropout=self.dropout,
            initial=self.initial,
            forget=self.forget,
        )


@dataclass(kw_only=True, slots=True)
class Transformer(Translator):
    """Vaswani et al. 2017, with normalisation before each part and one embedding for source, target
    and softmax, as Gale et al. 2019 pruned it (the base model: 512 units, 6 layers, 8 heads)."""

    word: ClassVar[str] = "transformer"
    units: int = 512  # of each layer, and the length of a word's vector
    layers: int = 6  # of the encoder, and of the decoder
    heads: int = 8  # of each attention; a divisor of the units
    inner: int = 4  # units of the feed-forward layers, as a multiple
    dropout: float = 0.1  # on the inputs, the outputs of each part, attention and inner units

    def __post_init__(self) -> None:
        Translator.__post_init__(self)
        demand(
            self,
            layers=(0 < self.layers <= 100, "a number of layers from 1 to 100"),
            heads=(
                0 < self.heads <= self.units and self.units % self.heads == 0,
                f"a divisor of model.units={self.units}",
            ),
            inner=(0 < self.inner <= 64, "a number from 1 to 64"),
            dropout=(0 <= self.dropout < 1, "a number in [0, 1)"),
        )

    def size_dial(self) -> SizeDial:
        return SizeDial("units", self.units, self.heads, MOST_UNITS)

    def misfits(self, shape: Shape) -> Iterator[Fault]:
        if self.units % 2:
            yield Fault("units", f"takes an even number, for sines and cosines, got {self.units}")

    def build(self, shape: Shape) -> "nn.Module":
        from pruneexp.models.transformer import TransformerNetwork

        assert isinstance(shape, PairShape), shape
        return TransformerNetwork(
            shape,
            units=self.units,
            layers=self.layers,
            heads=self.heads,
            inner=self.inner,
            dropout=self.dropout,
        )
