"""What every family of networks is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Recipe, either, numbers, write
from pruneexp.engine.record import Size
from pruneexp.tasks.shape import Shape

if TYPE_CHECKING:
    from torch import nn

MOST_UNITS = 2**14


@dataclass(frozen=True, slots=True)
class SizeDial:
    """The number that says how large a network is.

    Arguments:
        name: of the setting under the model's, such as "width" or "arguments.units".
        value: that it has now.
        step: between two values that make different networks.
        most: the largest that makes sense.
    """

    name: str
    value: float
    step: float
    most: float

    def at(self, number: int) -> float:
        """The value so many steps above 0."""
        return number * self.step if self.is_whole else round(number * self.step, 6)

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole numbers alone, such as units."""
        return isinstance(self.step, int)

    @property
    def steps(self) -> int:
        """How many values there are."""
        return int(self.most / self.step)


@dataclass(kw_only=True, slots=True)
class Model(Recipe):
    """A family of networks.

    A subclass defines `build`; the network says with a method `prunable()` which of its tensors are
    pruned, and which are ranked together. `takes` are the shapes of tasks that it fits.
    """

    takes: ClassVar[tuple[type[Shape], ...]] = (Shape,)  # what kinds of task
    torchvision: ClassVar[tuple[str, ...]] = ()  # its full names of weights for this network

    def build(self, shape: Shape) -> "nn.Module":
        """A plain network with fresh weights from torch's current seed."""
        raise NotImplementedError(f"{type(self).__name__} builds no network")

    def ready(self) -> None:
        """Raise `Invalid` where what the model needs is not there, such as a user's module."""

    def label(self) -> str:
        """A few letters for a run's name."""
        return self.word

    @classmethod
    def fits(cls, shape: Shape) -> bool:
        """Whether networks of this family take tasks of this kind."""
        return isinstance(shape, cls.takes)

    def sizes(self) -> list[Size]:
        """How large the network is, in the numbers that a report puts on axes and in names. A
        family that has one such number says it; otherwise every number of the recipe is one."""
        return [
            Size(name=name, value=value, words=words, long_words=words, heading="")
            for name, value in numbers(self)
            if (words := write(name.rpartition(".")[2], value))
        ]

    def size_dial(self) -> SizeDial | None:
        """The one number that is turned where a network of a wanted size is looked for; None where
        there is none."""
        return None

    def resized(self, value: float) -> "Model":
        """The same family with another value of its dial."""
        dial = self.size_dial()
        assert dial is not None, self
        return replace(self, **{dial.name: value})

    def misfits(self, shape: Shape) -> Iterator[Fault]:
        """What keeps the network from a task of this shape, where it takes the kind."""
        yield from ()

    def unlike_torchvision(self, name: str, shape: Shape) -> str:
        """Why torchvision's weights of this name do not fit; nothing where they do."""
        known = [full.partition(".")[2] for full in self.torchvision]
        if name in known:
            return ""
        other = "" if known else "; start from dense, a finished run or a file of weights"
        return f"torchvision has {either(known)} for {self.word}{other}"
