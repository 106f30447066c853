"""The pruner of masks that another run has found."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.pruning.attached import NotPrunable, unwrapped
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.gradual_pruner import GradualPruner
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.schedule import OneShot
from pruneexp.pruning.settling import MaskSize


class FoundMaskPruner(GradualPruner):
    """Holds a mask from before the first step to the end.

    Arguments:
        finder: the recipe that says which tensors are in scope.
        masks: by name of tensor, True where a weight is kept.

    Raises `Invalid` for masks of another network.
    """

    def __init__(
        self,
        model: nn.Module,
        finder: Gradual,
        masks: Mapping[str, Tensor],
        *,
        steps: int,
        seed: int = 0,
    ) -> None:
        names = [name for group in finder.groups(unwrapped(model)).values() for name in group]
        weights = dict(unwrapped(model).named_parameters())
        for name in {*names, *masks}:
            if name not in masks or name not in names or masks[name].shape != weights[name].shape:
                shape = tuple(masks[name].shape) if name in masks else "none"
                own = tuple(weights[name].shape) if name in names else "none"
                why = f"is of another network, or of another pruning.scope: {name} has a mask of "
                raise Invalid([Fault("pruning.mask", f"{why}shape {shape} there and {own} here")])
        self._found = [masks[name] for name in names]
        at_once = Gradual(
            sparsity=finder.sparsity,
            schedule=OneShot(begin=0.0),
            scope=finder.scope,
        )
        super().__init__(model, at_once, steps=steps, seed=seed)

    def choose(self) -> dict[int, Tensor]:
        self.masked = sum(int((~mask).sum()) for mask in self._found)
        return {n: mask.to(self.kept[n].device) for n, mask in enumerate(self._found)}

    def settle_by(self, size: MaskSize, limit: int) -> None:
        Pruner.settle_by(self, size, limit)  # the mask is what it is

    def _demand_as_planned(self, masks: dict[str, Tensor]) -> None:
        for name, found in zip(self.names, self._found, strict=True):
            if not torch.equal(masks[name].cpu(), found.bool().cpu()):
                raise NotPrunable(f"{name} has another mask than the one that was found")
        self._demand_zeros(masks)
