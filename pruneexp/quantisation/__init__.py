"""Recipes of rounded weights: fewer bits a value, as the last stage of a run.

A quantised run is the child of the same run without: it begins with that run's weights and masks.
`Rounding` measures them rounded; `Aware` trains on for some steps with rounded weights in the
forward pass. What comes out is what a .pxp file of these values holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Recipe, demand, either
from pruneexp.pruning.start import WEIGHTS_OF

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.models import Model
    from pruneexp.pruning.pruner import Pruner


def _types(*, exact: bool) -> list[str]:
    """Types of values that weights can be stored in, fp32 as well where they stay `exact`."""
    from pruneexp.storage import values  # imports numpy, which help does without

    return [word for word in values.WORDS if exact or word != values.EXACT]


@dataclass(kw_only=True, slots=True)
class Quantisation(Recipe):
    """Weights as they are, and the base of all ways to make their values smaller.

    A subclass is active and defines `stage`, `parents`, `load`, `attach` and `label`.

        Rounding(values="int8").attach(model, steps=0, seed=0, ancestors=ancestors)

    To add one: a class here, an entry in `OPTIONS`, a YAML in conf/quantisation/. A new type of
    values needs none of these, only its entry in `storage.values.VALUE_TYPES`.
    """

    word: ClassVar[str] = "none"

    @property
    def active(self) -> bool:
        """Whether the run has such a stage."""
        return False

    def stage(self, steps: int) -> tuple[int, float]:
        """Steps of this stage and the factor on its learning rate."""
        raise AssertionError(type(self))

    @property
    def cycles(self) -> int:
        """How often this stage goes through the learning rate's decay."""
        return 1

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        """The run whose weights are made smaller, under the role "weights"."""
        return {}

    def kept_steps(self, steps: int) -> list[int]:
        """The steps after which the whole state is kept, whatever the run asks."""
        return []

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        """Put the weights of that run into a fresh network."""
        raise AssertionError(type(self))

    def attach(
        self, model: "nn.Module", *, steps: int, seed: int, ancestors: "Mapping[str, Ancestor]"
    ) -> "Pruner":
        """Take hold of the model's weights; call before the optimiser is made.

        Arguments:
            steps: of this stage.
            seed: of the run.
            ancestors: the finished runs that `parents` named, by role.

        Returns what the training loop calls, and raises `Invalid` for weights that the type of
        values cannot hold.
        """
        raise AssertionError(type(self))

    def label(self) -> str:
        """How the run's name says it."""
        raise AssertionError(type(self))


@dataclass(kw_only=True, slots=True)
class Rounding(Quantisation):
    """Rounded after training. Tensors of two and more dimensions are, as in a .pxp file; int8 has
    a scale for each row.

    Arguments:
        values: the type: fp16, bf16, int8.
    """

    word: ClassVar[str] = "rounding"
    values: str = "int8"

    def __post_init__(self) -> None:
        types = _types(exact=False)
        demand(self, values=(self.values in types, either(types)))

    @property
    def active(self) -> bool:
        return True

    def stage(self, steps: int) -> tuple[int, float]:
        return 0, 1.0

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        parent = replace(
            run,
            quantisation=Quantisation(),
            pruning=run.pruning.for_values(self.values),
            keep="weights",
            keep_steps=[],
        )
        return {WEIGHTS_OF: parent}

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        ancestors[WEIGHTS_OF].load(network)

    def attach(
        self, model: "nn.Module", *, steps: int, seed: int, ancestors: "Mapping[str, Ancestor]"
    ) -> "Pruner":
        from pruneexp.quantisation.rounder import Rounder

        return Rounder(model, ancestors[WEIGHTS_OF].masks(), self.values)

    def label(self) -> str:
        return self.values


@dataclass(kw_only=True, slots=True)
class Aware(Rounding):
    """Trained on under the same masks. Gradients are taken where the rounded weights stand and
    move the exact ones (the straight-through estimator). With fp32 nothing is rounded: the control
    that is given the same steps.

    Arguments:
        values: the type: fp16, bf16, int8, or fp32 for a control.
        steps: of this stage; None: as many as `training.steps`.
        rate: a factor on the learning rate.
    """

    word: ClassVar[str] = "aware"
    steps: int | None = None
    rate: float = 0.1

    def __post_init__(self) -> None:
        types = _types(exact=True)
        demand(
            self,
            values=(self.values in types, either(types)),
            steps=(self.steps is None or self.steps > 0, "a number of steps above 0, or null"),
            rate=(self.rate > 0, "a factor above 0"),
        )

    def stage(self, steps: int) -> tuple[int, float]:
        return self.steps or steps, self.rate

    def label(self) -> str:
        return f"{self.values}-aware"


OPTIONS: tuple[type[Quantisation], ...] = (Quantisation, Rounding, Aware)
