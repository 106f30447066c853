"""The two-phase ramp of Narang et al. 2017: thresholds on weights that rise slowly, then faster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Dial, demand
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.group import Group
from pruneexp.pruning.method import NO_ANCESTORS, Groups, Pruning
from pruneexp.pruning.schedule import Linear
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import dense_of

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.pruning.pruner import Pruner

LEVELS_OF = "levels"  # the role of the dense run whose weights say how high thresholds rise
FASTER = 1.5  # the slope of the second phase, in that of the first


@dataclass(kw_only=True, slots=True)
class TwoPhase(Pruning):
    """Weights below a threshold are masked for good. A group's threshold rises by `slope` at each
    update until `ramp` and by half as much again until `end`, where it is the quantile of the
    absolute weights of a dense run of the same configuration, which is made if it is missing. How
    sparse the network becomes is an outcome.

    Arguments:
        quantile: of the dense run's weights that the thresholds end at; the dial.
        begin: the fraction of the run at which thresholds begin to rise.
        ramp: the fraction from which they rise faster.
        end: the fraction from which masks stay.
        interval: steps between two updates; null is 100, or a twentieth of their span where that is
            less.
        scope: which tensors are pruned, and which share a threshold.
    """

    word: ClassVar[str] = "two_phase"
    quantile: float = 0.9
    begin: float = 0.05
    ramp: float = 0.25
    end: float = 0.5
    interval: int | None = None
    scope: Scope = field(default_factory=ModelScope)

    def __post_init__(self) -> None:
        demand(
            self,
            quantile=(0 < self.quantile < 1, "a share in (0, 1)"),
            begin=(0 <= self.begin <= 1, "a fraction of the run in [0, 1]"),
            ramp=(self.begin <= self.ramp <= 1, f"a fraction in [begin={self.begin:g}, 1]"),
            end=(self.ramp < self.end <= 1, f"a fraction in (ramp={self.ramp:g}, 1]"),
            interval=(
                self.interval is None or self.interval >= 1,
                "a number of steps of 1 or more, or null",
            ),
        )

    def masked(self) -> Gradual:
        """Which tensors, and when; how many weights is for the thresholds to say."""
        return Gradual(
            sparsity=self.quantile,
            revive=False,
            schedule=Linear(begin=self.begin, end=self.end, interval=self.interval),
            scope=self.scope,
        )

    def share_at(self, step: int, steps: int) -> float:
        """A threshold at a step, as a share of its last value."""
        now = min(max(step / steps, self.begin), self.end)
        slow, fast = self.ramp - self.begin, self.end - self.ramp
        risen = min(now, self.ramp) - self.begin + FASTER * max(0.0, now - self.ramp)
        return risen / (slow + FASTER * fast)

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        return {LEVELS_OF: dense_of(run)}

    def dial(self) -> Dial:
        return Dial("quantile", self.quantile, f"quantile {self.quantile:g}")

    def groups(self, model: "nn.Module") -> Groups:
        return self.scope.groups(model)

    def ranked_groups(self, model: "nn.Module") -> list[Group]:
        return self.masked().ranked_groups(model)

    def rule(self, group: str | None, groups: Groups) -> str:
        if group is None:
            return f"kept: not in scope {self.scope.word}"
        return "pruned: below a rising threshold"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        from pruneexp.pruning.two_phase_pruner import TwoPhasePruner

        dense = dict(self.ancestor(ancestors, LEVELS_OF).network().named_parameters())
        return TwoPhasePruner(model, self, dense, steps=steps, seed=seed)

    def label(self) -> str:
        scope = "" if self.scope.word == "model" else f"-{self.scope.word}"
        return f"q{self.quantile:g}-two_phase{scope}"
