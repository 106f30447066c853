"""Recipes of optimisers: what moves the weights, once the gradients are there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.recipe import Recipe, demand

if TYPE_CHECKING:
    import torch

Parameters = Any  # what optimisers of torch take: parameters, or groups of them


@dataclass(kw_only=True, slots=True)
class Optimiser(Recipe):
    """What all optimisers have. A subclass defines `build`, and `moves_zeros` where that differs.

        optimiser = SGD(momentum=0.9, weight_decay=1e-4).build(model.parameters(), rate=0.1)

    To add one: a class here, an entry in `OPTIONS`, a YAML in conf/training/optimiser/. An
    optimiser whose state does not begin as zeros says so by `initial_state`, as
    `rmsprop.TensorFlowRMSProp`.

    Arguments:
        weight_decay: of the parameters that it acts on (`parameter_groups`).
        decay_vectors: whether it acts on biases and on batch-norm's scale and shift.
        decay_depthwise: whether it acts on depthwise filters.
    """

    weight_decay: float = 0.0
    decay_vectors: bool = True
    decay_depthwise: bool = True

    @property
    def moves_zeros(self) -> bool:
        """Whether a weight of zero may move although its gradient is zero. Where it may, masks are
        applied after each step."""
        return True

    def build(self, parameters: Parameters, rate: float) -> "torch.optim.Optimizer":
        """The optimiser of these parameters.

        Arguments:
            parameters: tensors or groups of them, as torch's optimisers take them.
            rate: the learning rate of the first step.
        """
        raise AssertionError(type(self))

    def __post_init__(self) -> None:
        demand(self, weight_decay=(self.weight_decay >= 0, "a number of 0 or more"))


@dataclass(kw_only=True, slots=True)
class SGD(Optimiser):
    """Stochastic gradient descent, with weight decay in the gradient."""

    word: ClassVar[str] = "sgd"
    momentum: float = 0.9  # the share of the last step that each keeps
    nesterov: bool = False  # the gradient is taken where momentum leads

    def __post_init__(self) -> None:
        Optimiser.__post_init__(self)
        demand(
            self,
            momentum=(0 <= self.momentum < 1, "a number in [0, 1)"),
            nesterov=(not self.nesterov or self.momentum > 0, "true only with momentum above 0"),
        )

    @property
    def moves_zeros(self) -> bool:
        return self.momentum > 0

    def build(self, parameters: Parameters, rate: float) -> "torch.optim.Optimizer":
        from torch import optim

        return optim.SGD(
            parameters,
            lr=rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(kw_only=True, slots=True)
class Adam(Optimiser):
    """Kingma and Ba 2015, with weight decay in the gradient."""

    word: ClassVar[str] = "adam"
    beta1: float = 0.9  # smoothing of gradients
    beta2: float = 0.999  # smoothing of squared gradients
    epsilon: float = 1e-8  # added to their root

    def __post_init__(self) -> None:
        Optimiser.__post_init__(self)
        demand(
            self,
            beta1=(0 <= self.beta1 < 1, "a number in [0, 1)"),
            beta2=(0 <= self.beta2 < 1, "a number in [0, 1)"),
            epsilon=(self.epsilon > 0, "a number above 0"),
        )

    def build(self, parameters: Parameters, rate: float) -> "torch.optim.Optimizer":
        from torch import optim

        return optim.Adam(parameters, **self._settings(rate))

    def _settings(self, rate: float) -> dict[str, Any]:
        return {
            "lr": rate,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


@dataclass(kw_only=True, slots=True)
class AdamW(Adam):
    """Loshchilov and Hutter 2019: weight decay is taken from the weights, not by the gradient."""

    word: ClassVar[str] = "adamw"

    def build(self, parameters: Parameters, rate: float) -> "torch.optim.Optimizer":
        from torch import optim

        return optim.AdamW(parameters, **self._settings(rate))


@dataclass(kw_only=True, slots=True)
class RMSProp(Optimiser):
    """As TensorFlow computes it: epsilon inside the root, an accumulator that starts at one."""

    word: ClassVar[str] = "rmsprop"
    smoothing: float = 0.9  # of the squared gradients
    momentum: float = 0.9  # the share of the last step that each keeps
    epsilon: float = 1.0  # added under the root; of Szegedy et al. 2016

    def __post_init__(self) -> None:
        Optimiser.__post_init__(self)
        demand(
            self,
            smoothing=(0 <= self.smoothing < 1, "a number in [0, 1)"),
            momentum=(0 <= self.momentum < 1, "a number in [0, 1)"),
            epsilon=(self.epsilon > 0, "a number above 0"),
        )

    def build(self, parameters: Parameters, rate: float) -> "torch.optim.Optimizer":
        from pruneexp.training import rmsprop

        return rmsprop.TensorFlowRMSProp(
            parameters,
            lr=rate,
            smoothing=self.smoothing,
            momentum=self.momentum,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )


OPTIONS: tuple[type[Optimiser], ...] = (SGD, Adam, AdamW, RMSProp)
