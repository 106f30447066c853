"""What allocations and structures see of a network: groups of tensors that are ranked together."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

Shapes = dict[str, tuple[int, ...]]  # a tensor's name -> its shape


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors that are ranked together.

        Group("fc", {"fc.weight": (10, 784)}).weights == 7840

    Arguments:
        name: of the group; usually that of its one tensor.
        shapes: of its tensors, by name, in the order in which they are ranked.
        unit: how many weights stay or go together, as the structure says.
    """

    name: str
    shapes: Shapes
    unit: int = 1

    @property
    def weights(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def units(self) -> int:
        """How many things are ranked."""
        return self.weights // self.unit


def groups_of(model: "nn.Module", names: dict[str, list[str]], unit: int = 1) -> list[Group]:
    """The groups of a network, from the names of each group's tensors."""
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return [
        Group(group, {name: shapes[name] for name in tensors}, unit)
        for group, tensors in names.items()
    ]


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """How many weights a method will have masked at the end, where that is known beforehand.

    Arguments:
        total: of all groups; None where only training can tell.
        by_group: of each group; None where one threshold runs over several, or training tells.
    """

    total: int | None
    by_group: dict[str, int | None]
