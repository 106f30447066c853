"""Recipes of training: how long, how fast, with which optimiser and which decay."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pruneexp.recipe import Recipe, added, demand, here

if TYPE_CHECKING:
    import torch


MOST_THREADS = 256  # far more than pay; torch falls over at thousands
MOST_WORKERS = 64  # processes of one run that load data; each holds some 400 MB


@dataclass(kw_only=True, slots=True)
class Optimiser(Recipe):
    weight_decay: float = 0.0

    @property
    def moves_zeros(self) -> bool:
        """Whether a weight of zero may move although its gradient is zero."""
        return True

    def build(
        self, parameters: "Iterable[torch.nn.Parameter]", rate: float
    ) -> "torch.optim.Optimizer":
        raise AssertionError(type(self))

    def __post_init__(self) -> None:
        demand(self, weight_decay=(self.weight_decay >= 0, "a number of 0 or more"))


@dataclass(kw_only=True, slots=True)
class SGD(Optimiser):
    word: ClassVar[str] = "sgd"
    momentum: float = 0.9
    nesterov: bool = False

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

    def build(
        self, parameters: "Iterable[torch.nn.Parameter]", rate: float
    ) -> "torch.optim.Optimizer":
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
    """With weight decay in the gradient."""

    word: ClassVar[str] = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        Optimiser.__post_init__(self)
        demand(
            self,
            beta1=(0 <= self.beta1 < 1, "a number in [0, 1)"),
            beta2=(0 <= self.beta2 < 1, "a number in [0, 1)"),
            epsilon=(self.epsilon > 0, "a number above 0"),
        )

    def build(
        self, parameters: "Iterable[torch.nn.Parameter]", rate: float
    ) -> "torch.optim.Optimizer":
        from torch import optim

        made = {"adam": optim.Adam, "adamw": optim.AdamW}[self.word]
        return made(
            parameters,
            lr=rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
        )


@dataclass(kw_only=True, slots=True)
class AdamW(Adam):
    """With weight decay beside the gradient."""

    word: ClassVar[str] = "adamw"


@dataclass(kw_only=True, slots=True)
class Decay(Recipe):
    """The learning rate over a stage, as a factor on its first value."""

    def factor(self, progress: float) -> float:
        """At `progress` in [0, 1) of the stage."""
        return 1.0


@dataclass(kw_only=True, slots=True)
class Constant(Decay):
    word: ClassVar[str] = "constant"


@dataclass(kw_only=True, slots=True)
class Cosine(Decay):
    word: ClassVar[str] = "cosine"

    def factor(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


@dataclass(kw_only=True, slots=True)
class Linear(Decay):
    word: ClassVar[str] = "linear"

    def factor(self, progress: float) -> float:
        return 1 - progress


@dataclass(kw_only=True, slots=True)
class Epochwise(Decay):
    """Full rate for `full` epochs, then times `base` with each epoch more (Zaremba et al. 2014):
    base^max(e - full, 0) in epoch e from 1, where the stage is `epochs` equal parts."""

    word: ClassVar[str] = "epochwise"
    epochs: int = 13
    full: int = 4
    base: float = 0.5

    def __post_init__(self) -> None:
        demand(
            self,
            epochs=(self.epochs > 0, "a number of epochs above 0"),
            full=(self.full >= 0, "a number of epochs, 0 or more"),
            base=(0 < self.base <= 1, "a number in (0, 1]"),
        )

    def factor(self, progress: float) -> float:
        epoch = int(progress * self.epochs + 1e-9) + 1  # step 2323 of 30199 is epoch 2
        return self.base ** max(epoch - self.full, 0)


@dataclass(kw_only=True, slots=True)
class Training(Recipe):
    word: ClassVar[str] = "standard"
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 0.1
    optimiser: Optimiser = field(default_factory=SGD)
    decay: Decay = field(default_factory=Cosine)
    clip: float | None = None  # the gradients' norm is cut to this, after masking
    unroll: int = added(default=0, before=0)  # words a step goes along each stream of a text
    label_smoothing: float = 0.0
    channels_last: bool = True  # pictures in the memory order that is faster on most devices
    evaluations: int = 8  # validations, evenly spaced, the last at the end
    # The best state on validation is chosen among those after this fraction of the run, and under
    # the final mask: the same number of chances for a dense and a sparse run.
    choose_after: float = 0.7
    threads: int = here(1)  # fixed when a run starts: more threads are other bits
    workers: int = here(0)  # processes that load data; the same bits at any number
    checkpoint_seconds: float = here(30.0)

    def __post_init__(self) -> None:
        demand(
            self,
            steps=(self.steps > 0, "a number of steps above 0"),
            batch_size=(self.batch_size > 0, "a number of examples above 0"),
            learning_rate=(self.learning_rate > 0, "a number above 0"),
            clip=(self.clip is None or self.clip > 0, "a number above 0, or null"),
            unroll=(self.unroll >= 0, "a number of words, 0 for pictures"),
            label_smoothing=(0 <= self.label_smoothing < 1, "a number in [0, 1)"),
            evaluations=(self.evaluations > 0, "a number of evaluations above 0"),
            choose_after=(0 <= self.choose_after <= 1, "a fraction of the run in [0, 1]"),
            threads=(0 < self.threads <= MOST_THREADS, f"a number from 1 to {MOST_THREADS}"),
            workers=(0 <= self.workers <= MOST_WORKERS, f"a number from 0 to {MOST_WORKERS}"),
            checkpoint_seconds=(self.checkpoint_seconds >= 0, "a number of seconds, 0 or more"),
        )


OPTIONS: tuple[type[Training], ...] = (Training,)
OPTIMISERS: tuple[type[Optimiser], ...] = (SGD, Adam, AdamW)
DECAYS: tuple[type[Decay], ...] = (Cosine, Linear, Constant, Epochwise)
