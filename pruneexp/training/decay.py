"""The learning rate over a stage, as a factor on its first value."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from pruneexp.config.recipe import Recipe, demand


@dataclass(kw_only=True, slots=True)
class Decay(Recipe):
    """How the learning rate falls over a stage. A subclass defines `factor`.

        Cosine().factor(0.5)  # 0.5: half of the first rate at half of the stage

    To add one: a class here, an entry in `OPTIONS`, a YAML in conf/training/decay/.
    """

    def factor(self, progress: float) -> float:
        """What the first rate is multiplied with at `progress` in [0, 1) of the stage. It is asked
        at any step and in any order, as when a run goes on."""
        raise AssertionError(type(self))

    def factor_in(self, progress: float, stage: float) -> float:
        """The same in a stage that is `stage` times as long as `training.steps`. For most decays
        only the progress counts."""
        return self.factor(progress)


@dataclass(kw_only=True, slots=True)
class Constant(Decay):
    """The first rate throughout."""

    word: ClassVar[str] = "constant"

    def factor(self, progress: float) -> float:
        return 1.0


@dataclass(kw_only=True, slots=True)
class Cosine(Decay):
    """Half a cosine from one to zero (Loshchilov and Hutter 2017)."""

    word: ClassVar[str] = "cosine"

    def factor(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


@dataclass(kw_only=True, slots=True)
class LinearDecay(Decay):
    """A straight line from one to zero."""

    word: ClassVar[str] = "linear"

    def factor(self, progress: float) -> float:
        return 1 - progress


@dataclass(kw_only=True, slots=True)
class Stepwise(Decay):
    """Times `base` at each of some fractions of the stage.

    Arguments:
        at: the fractions, rising.
        base: the factor at each.
    """

    word: ClassVar[str] = "stepwise"
    at: list[float] = field(default_factory=lambda: [0.3, 0.6, 0.8])
    base: float = 0.1

    def __post_init__(self) -> None:
        fractions = isinstance(self.at, list) and all(0 < part < 1 for part in self.at)
        demand(
            self,
            at=(fractions and self.at == sorted(self.at), "rising fractions in (0, 1)"),
            base=(0 < self.base <= 1, "a number in (0, 1]"),
        )

    def factor(self, progress: float) -> float:
        return self.base ** sum(progress >= part - 1e-9 for part in self.at)


@dataclass(kw_only=True, slots=True)
class Exponential(Decay):
    """Times `base` at the end of each of `times` equal parts of the stage.

    Arguments:
        base: the factor at each end.
        times: how many parts; the last may be cut short.
    """

    word: ClassVar[str] = "exponential"
    base: float = 0.94
    times: float = 50.0

    def __post_init__(self) -> None:
        demand(
            self,
            base=(0 < self.base <= 1, "a number in (0, 1]"),
            times=(self.times > 0, "a number of times above 0"),
        )

    def factor(self, progress: float) -> float:
        return self.base ** math.floor(progress * self.times + 1e-9)


@dataclass(kw_only=True, slots=True)
class Epochwise(Decay):
    """Full rate for `full` epochs, then times `base` with each epoch more (Zaremba et al. 2014):
    base^max(e - full, 0) in epoch e from 1.

    Arguments:
        epochs: equal parts of the stage.
        full: epochs at the full rate.
        base: the factor at the beginning of each further one.
    """

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
class InverseRoot(Decay):
    """The first rate up to a fraction of the stage, then in proportion to one over the root of the
    steps (Vaswani et al. 2017, with training.warm_up of the same fraction).

    Arguments:
        full: the fraction at the full rate.
    """

    word: ClassVar[str] = "inverse_root"
    full: float = 0.04

    def __post_init__(self) -> None:
        demand(self, full=(0 < self.full <= 1, "a fraction of the stage in (0, 1]"))

    def factor(self, progress: float) -> float:
        return math.sqrt(self.full / max(progress, self.full))


@dataclass(kw_only=True, slots=True)
class Tail(Decay):
    """The first rate until a part of `training.steps` is left, then times `base` at the beginning
    of each of `times` equal parts of that. A pruning stage that is shorter than `training.steps`
    thus ends as the training of the dense model did (Zhu and Gupta 2017 on GNMT: 170,000 steps,
    halved every 17,000, after 170,000 dense ones or 70,000 of pruning).

    Arguments:
        last: the part that is left, as a multiple of training.steps.
        times: how often the rate falls.
        base: the factor at each fall.
    """

    word: ClassVar[str] = "tail"
    last: float = 0.5
    times: int = 10
    base: float = 0.5

    def __post_init__(self) -> None:
        demand(
            self,
            last=(0 < self.last <= 1, "a part of training.steps in (0, 1]"),
            times=(self.times > 0, "a number of falls above 0"),
            base=(0 < self.base <= 1, "a number in (0, 1]"),
        )

    def factor(self, progress: float) -> float:
        return self.factor_in(progress, 1.0)

    def factor_in(self, progress: float, stage: float) -> float:
        gone = self.last - (1 - progress) * stage  # of the tail
        falls = math.floor(gone / self.last * self.times + 1e-9) + 1
        return self.base ** max(falls, 0)


OPTIONS: tuple[type[Decay], ...] = (
    *(Cosine, LinearDecay, Constant, Stepwise, Exponential, Epochwise),
    *(InverseRoot, Tail),
)
