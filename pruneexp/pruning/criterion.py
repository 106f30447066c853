"""Which weights are the least worth keeping: a score for each, the lowest go first.

To add a criterion: a class here (or in a file beside this one) that defines `scores`, an entry in
`OPTIONS`, a YAML in conf/pruning/criterion/. docs/extending.md has a worked example.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Recipe, demand

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(kw_only=True, slots=True)
class Criterion(Recipe):
    """Scores weights; those with the lowest scores are masked first.

    A subclass defines `scores`. One that needs gradients sets `uses_gradients`; the pruner then
    keeps the dense gradients of the step before each mask update. One that sums something up over
    all steps sets `sums_up` too and defines `added`. One that measures weights on training examples
    says how many in `measured_examples`; `scores` then gets the mean squares of their gradients.

        class Largest(Criterion):
            word: ClassVar[str] = "largest"

            def scores(self, weights, gradients, generators):
                return [-weight.abs() for weight in weights]
    """

    uses_gradients: ClassVar[bool] = False
    sums_up: ClassVar[bool] = False

    @property
    def measured_examples(self) -> int:
        """How many training examples weights are measured on at each update; 0 for none."""
        return 0

    def added(self, weight: "Tensor", gradient: "Tensor") -> "Tensor":
        """What a step adds to the sum of a tensor, for a criterion that `sums_up`.

        Arguments:
            weight: values as they rank, also where they are masked.
            gradient: of this step, before masking.
        """
        raise NotImplementedError(f"{type(self).__name__} adds nothing up")

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        """A tensor of scores for each tensor of a ranked group, each of its tensor's shape.

        Arguments:
            weights: values as they rank: masked weights have the value they had when masked.
            gradients: of the last step, before masking; all None without `uses_gradients`, and
                where a weight had none. Of a criterion that `sums_up`, its sums; of one with
                `measured_examples`, the mean squares of single examples' gradients.
            generators: one for each tensor, for whatever is drawn; the same draws at each update.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no scores")


@dataclass(kw_only=True, slots=True)
class Magnitude(Criterion):
    """The smallest absolute values go first (Zhu and Gupta 2017, section 3)."""

    word: ClassVar[str] = "magnitude"

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        return [weight.abs() for weight in weights]


@dataclass(kw_only=True, slots=True)
class RootMeanSquare(Criterion):
    """Absolute values over the root mean square of their group, so that one threshold over all
    groups (`pruning/allocation=global`) does not empty those whose weights are small throughout.
    Masked weights count with the value they had. Within one group it ranks as `magnitude` does."""

    word: ClassVar[str] = "rms"

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        count = sum(weight.numel() for weight in weights)
        squares = sum(float(weight.double().square().sum()) for weight in weights)
        scale = math.sqrt(squares / count) if count else 0.0
        return [weight.abs() / (scale or 1.0) for weight in weights]


@dataclass(kw_only=True, slots=True)
class Movement(Criterion):
    """Weights that move towards zero go first (Sanh et al. 2020): the score is the sum over all
    steps of minus weight times gradient, for masked weights too, taken straight through the mask.
    A factor on it, such as a rate of its own, would change no rank. Meant for fine-tuning trained
    models; its paper leaves embeddings alone (`pruning/scope=named`)."""

    word: ClassVar[str] = "movement"
    uses_gradients: ClassVar[bool] = True
    sums_up: ClassVar[bool] = True

    def added(self, weight: "Tensor", gradient: "Tensor") -> "Tensor":
        return -weight * gradient

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        return [
            weight * 0 if summed is None else summed
            for weight, summed in zip(weights, gradients, strict=True)
        ]


@dataclass(kw_only=True, slots=True)
class SecondOrder(Criterion):
    """Optimal brain damage (LeCun et al. 1990): half of h w^2, what removing a weight costs to
    second order, with the diagonal of the Fisher information for h: the mean over examples of the
    squared gradient of a single example's loss, whose target is drawn from the model. An example is
    a picture, or a stretch of `training.unroll` words.

    Arguments:
        examples: training examples that are measured at each update of the masks.
    """

    word: ClassVar[str] = "second_order"
    examples: int = 256

    def __post_init__(self) -> None:
        demand(self, examples=(self.examples >= 1, "a number of examples of 1 or more"))

    @property
    def measured_examples(self) -> int:
        return self.examples

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        return [
            weight * 0 if squares is None else squares * weight.square() / 2
            for weight, squares in zip(weights, gradients, strict=True)
        ]


@dataclass(kw_only=True, slots=True)
class Random(Criterion):
    """Scores that are drawn once, so that a pruned weight stays pruned: the control of Gale et al.
    2019."""

    word: ClassVar[str] = "random"

    def scores(
        self,
        weights: "Sequence[Tensor]",
        gradients: "Sequence[Tensor | None]",
        generators: "Sequence[np.random.Generator]",
    ) -> "list[Tensor]":
        import torch

        return [
            torch.from_numpy(generator.random(weight.shape, dtype="float32")).to(weight.device)
            for weight, generator in zip(weights, generators, strict=True)
        ]


OPTIONS: tuple[type[Criterion], ...] = (
    *(Magnitude, RootMeanSquare, Movement, SecondOrder, Random),
)
