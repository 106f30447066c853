"""How much is masked when. Step t is the moment after t optimiser steps.

To add a schedule: a class that defines `sparsity`, an entry in config/options.py, a YAML in
conf/pruning/schedule/.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from pruneexp.config.recipe import Recipe, demand


@dataclass(kw_only=True, slots=True)
class Schedule(Recipe):
    """When masks are chosen, and how much is masked at each of these steps. Fractions of the run
    are used, so that a shorter run keeps its shape.

        Cubic(begin=0.2, end=0.7).at(50, 100, 0.9)    # the sparsity at step 50 of 100

    A subclass defines `sparsity`, and `span` and `updates` unless it inherits from `Ramp`.

    Arguments:
        begin: the fraction of the run at which pruning begins.
    """

    begin: float = 0.2

    @property
    def initial(self) -> float:
        """The sparsity at `begin`."""
        return 0.0

    def span(self, steps: int) -> tuple[int, int]:
        """The first and the last step at which masks are chosen."""
        first = _at(self.begin, steps)
        return first, first

    def updates(self, steps: int, parts: int = 1) -> list[int]:
        """Every step at which masks are chosen; each part's last one lands on its sparsity."""
        return sorted({self.part(steps, part, parts)[1] for part in range(parts)})

    def part(self, steps: int, part: int, parts: int) -> tuple[int, int]:
        """The span cut into equal parts, one after the other."""
        first, last = self.span(steps)
        cut = [first + (last - first) * index // parts for index in (part, part + 1)]
        return cut[0], cut[1]

    def sparsity(self, final: float, progress: float) -> float:
        """The share that is masked when `progress` in [0, 1] of the span has gone by."""
        return final

    def at(self, step: int, steps: int, final: float, part: int = 0, parts: int = 1) -> float:
        """The share that is masked at a step of the run, in one part of the span."""
        first, last = self.part(steps, part, parts)
        if step < first:
            return 0.0
        if step >= last:
            return final  # exactly, whatever the interval and the rounding
        return self.sparsity(final, (step - first) / (last - first))


@dataclass(kw_only=True, slots=True)
class Ramp(Schedule):
    """From `initial_sparsity` to the final sparsity between begin and end. The paper publishes
    neither begin nor end; the defaults are ours.

    Arguments:
        begin: the fraction of the run at which pruning begins.
        end: the fraction at which the final sparsity is reached.
        interval: steps between updates; None is 100, or a twentieth of the span where that is less.
        initial_sparsity: what is masked at once at `begin`.
    """

    power: ClassVar[int] = 1
    end: float = 0.7
    # Steps between updates. The paper saw no difference from 100 to 1000; null is 100, or a
    # twentieth of the span where that is less, so that a short run is gradual too.
    interval: int | None = None
    initial_sparsity: float = 0.0

    def __post_init__(self) -> None:
        demand(
            self,
            begin=(0 <= self.begin <= 1, "a fraction of the run in [0, 1]"),
            end=(
                self.begin <= self.end <= 1,
                f"a fraction of the run in [begin={self.begin:g}, 1]",
            ),
            interval=(
                self.interval is None or self.interval >= 1,
                "a number of steps of 1 or more, or null",
            ),
            initial_sparsity=(0 <= self.initial_sparsity < 1, "a number in [0, 1)"),
        )

    @property
    def initial(self) -> float:
        return self.initial_sparsity

    def span(self, steps: int) -> tuple[int, int]:
        return _at(self.begin, steps), _at(self.end, steps)

    def updates(self, steps: int, parts: int = 1) -> list[int]:
        first, last = self.span(steps)
        ends = Schedule.updates(self, steps, parts)
        return sorted({*range(first, last, steps_between(self.interval, last - first)), *ends})

    def sparsity(self, final: float, progress: float) -> float:
        initial = min(self.initial_sparsity, final)  # a control of sparsity 0 stays dense
        return final + (initial - final) * (1 - progress) ** self.power


@dataclass(kw_only=True, slots=True)
class Cubic(Ramp):
    """Equation 1 of the paper: fast while redundant connections abound, then ever slower."""

    word: ClassVar[str] = "cubic"
    power: ClassVar[int] = 3


@dataclass(kw_only=True, slots=True)
class Linear(Ramp):
    """As much at each update as at the one before."""

    word: ClassVar[str] = "linear"


@dataclass(kw_only=True, slots=True)
class OneShot(Schedule):
    """Everything at once, at `begin`."""

    word: ClassVar[str] = "one_shot"

    def __post_init__(self) -> None:
        demand(self, begin=(0 <= self.begin <= 1, "a fraction of the run in [0, 1]"))


@dataclass(kw_only=True, slots=True)
class Rounds(Schedule):
    """Prune and retrain, several times over (Han et al. 2015): each round removes the same share
    of what is left, and is followed by as many steps as the others.

        Rounds(rounds=2).at(0, 100, 0.75)    # 0.5, and at step 50 half of what is left

    Arguments:
        begin: the fraction of the stage at which the first round is; a stage from a trained model
            begins with one.
        rounds: how many.
    """

    word: ClassVar[str] = "rounds"
    begin: float = 0.0
    rounds: int = 5

    def __post_init__(self) -> None:
        demand(
            self,
            begin=(0 <= self.begin < 1, "a fraction of the run in [0, 1)"),
            rounds=(self.rounds >= 1, "a number of rounds of 1 or more"),
        )

    def span(self, steps: int) -> tuple[int, int]:
        first = _at(self.begin, steps)
        return first, first + math.ceil((steps - first) * (self.rounds - 1) / self.rounds)

    def updates(self, steps: int, parts: int = 1) -> list[int]:
        between = max(1, self.rounds - 1)
        cut = [self.part(steps, part, parts) for part in range(parts)]
        return sorted(
            {
                first + math.ceil((last - first) * number / between)
                for first, last in cut
                for number in range(self.rounds)
            }
        )

    def sparsity(self, final: float, progress: float) -> float:
        done = 1 + math.floor(progress * (self.rounds - 1) + 1e-9)
        return 1 - (1 - final) ** (done / self.rounds)


def steps_between(interval: int | None, span: int) -> int:
    """The steps from one update to the next: as many as asked for, else 100, or a twentieth of the
    span where that is less."""
    return interval or max(1, min(100, span // 20))


def _at(fraction: float, steps: int) -> int:
    return int(fraction * steps + 0.5)


OPTIONS: tuple[type[Schedule], ...] = (Cubic, Linear, OneShot, Rounds)
