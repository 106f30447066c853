"""Methods that train a distribution over each weight and remove what it makes superfluous:
variational dropout and L0 regularisation.

How sparse a network becomes is an outcome of the penalty. With `sparsity` a run is the child of the
same run without: nothing is trained, and the threshold is moved so that as many weights go as were
asked for. So a whole curve comes from one training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Dial, Fault, Invalid, added, demand, either
from pruneexp.pruning.allocation import count
from pruneexp.pruning.group import Group, MaskPlan
from pruneexp.pruning.method import NO_ANCESTORS, Groups, Pruning
from pruneexp.pruning.scope import ModelScope, Scope
from pruneexp.pruning.start import WEIGHTS_OF

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.models import Model
    from pruneexp.pruning.pruner import Pruner
    from pruneexp.pruning.stochastic_pruner import StochasticPruner

RAMPS = {"none": 0, "linear": 1, "cubic": 3}  # how the penalty grows, as a power


@dataclass(kw_only=True, slots=True)
class Stochastic(Pruning):
    """Base of methods with a parameter of its own beside each weight and a penalty on it. A
    subclass defines `_pruner`.

    Arguments:
        penalty: what its sum over weights is multiplied with, over the number of training examples,
            beside the mean loss of an example (c / N in Gale et al. 2019).
        ramp: how the penalty grows from nothing between `begin` and `end`: none, linear, cubic.
        begin: the fraction of the run until which there is no penalty.
        end: the fraction from which it is there in full.
        sparsity: which share of the weights in scope is removed, by moving the threshold of the run
            without it; null trains.
        scope: which tensors are pruned.
    """

    penalty: float = 1.0
    ramp: str = "linear"
    begin: float = 0.0
    end: float = 0.5
    sparsity: float | None = added(default=None, before=None)
    scope: Scope = field(default_factory=ModelScope)

    gone_for_good: ClassVar[bool] = False  # whether what training removed has no value any more

    def __post_init__(self) -> None:
        share = self.sparsity is None or 0 <= self.sparsity < 1
        demand(
            self,
            penalty=(0 <= self.penalty < 1e9, "a number of 0 or more, below 1,000,000,000"),
            ramp=(self.ramp in RAMPS, either([*RAMPS])),
            begin=(0 <= self.begin <= 1, "a fraction of the run in [0, 1]"),
            end=(self.begin <= self.end <= 1, f"a fraction in [begin={self.begin:g}, 1]"),
            sparsity=(share, "a number in [0, 1), or null for what training makes of it"),
        )

    def share_at(self, step: int, steps: int) -> float:
        """The share of the penalty that counts at a step."""
        if self.ramp == "none":
            return 1.0
        first, last = self.begin * steps, self.end * steps
        progress = 1.0 if step >= last else max(0.0, (step - first) / (last - first))
        rest = 1 - progress
        return float(1 - rest ** RAMPS[self.ramp])

    @property
    def trains(self) -> bool:
        """Whether the run's own stage trains, instead of moving a threshold."""
        return self.sparsity is None

    def _trained(self) -> "Stochastic":
        """The method of the run that is trained."""
        return replace(self, sparsity=None)

    def stage(self, steps: int) -> tuple[int, float]:
        return (steps if self.trains else 0), 1.0

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        if self.trains:
            return {}
        steps = run.training.steps
        trained = replace(run, pruning=self._trained(), keep="weights", keep_steps=[steps])
        return {WEIGHTS_OF: trained}

    def kept_steps(self, steps: int) -> list[int]:
        return [steps] if self.trains else []

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        if not self.trains:
            ancestor = ancestors[WEIGHTS_OF]
            ancestor.load(network, ancestor.run.training.steps)

    def at(self, sparsity: float) -> "Pruning":
        return replace(self, sparsity=sparsity)

    def dial(self) -> Dial:
        if self.sparsity is not None:
            return Dial("sparsity", self.sparsity, f"{100 * self.sparsity:g} %")
        return Dial("penalty", self.penalty, f"penalty {self.penalty:g}")

    def groups(self, model: "nn.Module") -> Groups:
        return self.scope.groups(model)

    def plan(self, groups: Sequence[Group], steps: int) -> MaskPlan:
        if self.sparsity is None:
            return Pruning.plan(self, groups, steps)
        total = count(self.sparsity, sum(group.weights for group in groups))
        known = total if len(groups) == 1 else None
        return MaskPlan(total, {group.name: known for group in groups})

    def rule(self, group: str | None, groups: Groups) -> str:
        if group is None:
            return f"kept: not in scope {self.scope.word}"
        return f"pruned: {self.word.replace('_', ' ')}"

    def attach(
        self,
        model: "nn.Module",
        *,
        steps: int,
        seed: int = 0,
        ancestors: "Mapping[str, Ancestor]" = NO_ANCESTORS,
    ) -> "Pruner":
        pruner = self._pruner(model, steps, seed)
        if not self.trains:
            if WEIGHTS_OF not in ancestors:
                why = "takes null in a loop of your own; Pruner.move_threshold(sparsity) removes a "
                why += f"share after training, got {self.sparsity:g}"
                raise Invalid([Fault("pruning.sparsity", why)])
            ancestor = ancestors[WEIGHTS_OF]
            pruner.take(ancestor.state(ancestor.run.training.steps)["pruner"])
            pruner.move_threshold(self.sparsity or 0.0)
        return pruner

    def _pruner(self, model: "nn.Module", steps: int, seed: int) -> "StochasticPruner":
        raise NotImplementedError(f"{type(self).__name__} has no pruner")

    def label(self) -> str:
        words = [f"penalty{self.penalty:g}", self.word]
        if self.sparsity is not None:
            words = [f"s{self.sparsity:g}", *words]
        if self.scope.word != "model":
            words.append(self.scope.word)
        return "-".join(words)


@dataclass(kw_only=True, slots=True)
class VariationalDropout(Stochastic):
    """Sparse variational dropout (Molchanov et al. 2017): Gaussian noise on each weight, whose
    size is trained; weights that are mostly noise go. Outputs are drawn by local reparametrisation,
    embeddings anew at each occurrence. On an LSTM, noise lies on the inputs' products for each
    stream and gate, and one sample of the recurrent weights serves a whole call.

    Arguments:
        threshold: weights whose log alpha is not below it go (3 in the paper; Gale et al. 2019 took
            0.5 for their ResNet-50).
        log_variance: of the noise at the start (-10 in Gale et al. for the Transformer, -15 for
            ResNet-50).
    """

    word: ClassVar[str] = "variational_dropout"
    threshold: float = 3.0
    log_variance: float = -10.0

    def __post_init__(self) -> None:
        Stochastic.__post_init__(self)
        demand(
            self,
            threshold=(-50 < self.threshold < 50, "a number between -50 and 50"),
            log_variance=(-50 < self.log_variance < 10, "a number between -50 and 10"),
        )

    def _pruner(self, model: "nn.Module", steps: int, seed: int) -> "StochasticPruner":
        from pruneexp.pruning.variational_dropout_pruner import VariationalDropoutPruner

        return VariationalDropoutPruner(model, self, steps=steps, seed=seed)


@dataclass(kw_only=True, slots=True)
class L0(Stochastic):
    """L0 regularisation (Louizos et al. 2018): each weight times a gate that is drawn from a hard
    concrete distribution, whose chance to be open is penalised. On ResNet-50 it failed in every run
    that Gale et al. 2019 released.

    Arguments:
        log_alpha: of the gates at the start, in the mean (2.197 is open at nine of ten draws).
    """

    word: ClassVar[str] = "l0"
    gone_for_good: ClassVar[bool] = True
    ramp: str = "none"
    log_alpha: float = 2.197

    def __post_init__(self) -> None:
        Stochastic.__post_init__(self)
        demand(self, log_alpha=(-10 < self.log_alpha < 10, "a number between -10 and 10"))

    def _pruner(self, model: "nn.Module", steps: int, seed: int) -> "StochasticPruner":
        from pruneexp.pruning.l0_pruner import L0Pruner

        return L0Pruner(model, self, steps=steps, seed=seed)
