"""The pruner of the two-phase ramp."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import asked
from pruneexp.pruning.gradual_pruner import GradualPruner
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.settling import MaskSize
from pruneexp.pruning.two_phase import TwoPhase


class TwoPhasePruner(GradualPruner):
    """Masks what lies below thresholds that rise.

    Arguments:
        dense: the weights of a trained dense network of the same layout, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        method: TwoPhase,
        dense: Mapping[str, Tensor],
        *,
        steps: int,
        seed: int = 0,
    ) -> None:
        self.method, self._dense = method, dense
        self._levels: list[float] = []
        super().__init__(model, method.masked(), steps=steps, seed=seed)
        self._asked = json.dumps(asked(method), sort_keys=True)
        self.levels()
        self._dense = {}  # no longer needed

    def levels(self) -> list[float]:
        """The last threshold of each group."""
        if not self._levels:
            self._levels = [
                _quantile([self._dense[name] for name in group.shapes], self.method.quantile)
                for group in self.groups
            ]
        return self._levels

    def choose(self) -> dict[int, Tensor]:
        share = self.method.share_at(self.step, self.steps)
        chosen: dict[int, Tensor] = {}
        for level, numbers in zip(self.levels(), self._numbers, strict=True):
            for number in numbers:
                above = self.before[number].abs() >= share * level
                chosen[number] = above & self.kept[number].bool()
        self.masked = sum(int((~mask).sum()) for mask in chosen.values())
        return chosen

    def settle_by(self, size: MaskSize, limit: int) -> None:
        Pruner.settle_by(self, size, limit)  # thresholds say what goes

    def _demand_as_planned(self, masks: dict[str, Tensor]) -> None:
        self._demand_zeros(masks)  # how many was for training to tell


def _quantile(weights: list[Tensor], share: float) -> float:
    """Of the absolute values of several tensors: the smallest that this share does not exceed."""
    flat = torch.cat([weight.detach().abs().flatten() for weight in weights])
    return float(flat.kthvalue(max(1, round(share * flat.numel()))).values)
