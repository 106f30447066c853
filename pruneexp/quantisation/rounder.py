"""Rounded weights on live tensors, under masks that stay.

The model always holds rounded weights, so that whatever looks at it sees what will be stored. The
exact ones stand in for them only while the optimiser takes its step.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.pruning.pruner import Pruner
from pruneexp.storage.values.int8 import HIGHEST

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Rounder(Pruner):
    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor], values: str) -> None:
        self.values = values
        matrices = {name: w for name, w in model.named_parameters() if w.dim() > 1}
        assert masks.keys() <= matrices.keys(), masks.keys() - matrices.keys()
        self.names = list(matrices)
        self.weights: list[Tensor] = list(matrices.values())
        self.masks = dict(masks)
        # 1 kept, 0 masked, for the weights that have a mask.
        self.kept = [(w, masks[n].to(w)) for n, w in matrices.items() if n in masks]
        self.exact = [weight.detach().clone() for weight in self.weights]
        self._round()
        for name, weight, exact in zip(self.names, self.weights, self.exact, strict=True):
            if torch.isfinite(exact).all() and not torch.isfinite(weight).all():
                why = f"={values}: {name} holds a weight too large for it; bf16 or int8 hold it"
                raise Invalid([Fault("quantisation.values", why)])

    @property
    def sparsity(self) -> float:
        masked = sum(int((~mask).sum()) for mask in self.masks.values())
        return masked / max(sum(mask.numel() for mask in self.masks.values()), 1)

    @torch.no_grad()
    def after_backward(self) -> None:
        for weight, kept in self.kept:
            if weight.grad is not None:
                weight.grad.mul_(kept)
        torch._foreach_copy_(self.weights, self.exact)

    @torch.no_grad()
    def after_step(self, *, zeros_moved: bool = True) -> None:
        for weight, kept in self.kept:
            weight.mul_(kept)
        torch._foreach_copy_(self.exact, self.weights)
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        for weight, exact in zip(self.weights, self.exact, strict=True):
            weight.copy_(rounded(exact, self.values))

    def finish(self) -> dict[str, Tensor]:
        for weight, kept in self.kept:
            assert not weight[kept == 0].any(), "masked weights are not zero"
        return self.masks

    def state_dict(self) -> dict[str, Any]:
        return {"exact": dict(zip(self.names, self.exact, strict=True))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, exact in zip(self.names, self.exact, strict=True):
            exact.copy_(state["exact"][name])


def rounded(weight: Tensor, values: str) -> Tensor:
    """What a file with values of this type gives back, bit for bit (`storage.values`)."""
    if values == "fp32":
        return weight
    if values in HALVES:
        return weight.to(HALVES[values]).to(weight.dtype)
    rows = weight.flatten(1)
    scales = rows.abs().amax(1, keepdim=True) / HIGHEST
    infinite = torch.isinf(scales * HIGHEST)
    scales = torch.where(infinite, torch.nextafter(scales, torch.zeros_like(scales)), scales)
    steps = torch.where(scales > 0, rows / scales, 0).round().clamp(-HIGHEST, HIGHEST)
    return (steps * scales).view_as(weight)
