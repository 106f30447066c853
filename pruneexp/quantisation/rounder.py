"""Rounded weights on live tensors, under masks that stay.

The model always holds rounded weights, so that whatever looks at it sees what will be stored. The
exact ones stand in for them only while the optimiser takes its step.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.pruner import Pruner, demand_alike
from pruneexp.storage.values import BY_WORD, Refused
from pruneexp.storage.values.int8 import HIGHEST

KEY = "quantisation.values"


class Rounder(Pruner):
    """Holds the exact weights of a model, and rounded ones in it.

    Arguments:
        model: its tensors of two and more dimensions are rounded.
        masks: of some of them, True where a weight is kept; they stay.
        values: the type, one of `storage.values.WORDS`.

    Raises `Invalid` for weights that the type cannot hold.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor], values: str) -> None:
        self.values = values
        matrices = {name: w for name, w in model.named_parameters() if w.dim() > 1}
        if unknown := masks.keys() - matrices.keys():
            raise NotPrunable(f"there are masks for {', '.join(sorted(unknown))}: no such tensors")
        self.names = list(matrices)
        self.weights: list[Tensor] = list(matrices.values())
        self._masks = dict(masks)
        # 1 kept, 0 masked, for the weights that have a mask.
        self.kept = [(w, masks[n].to(w)) for n, w in matrices.items() if n in masks]
        self.exact = [weight.detach().clone() for weight in self.weights]
        try:
            self._round()
        except Refused as error:
            raise Invalid([Fault(KEY, f"={values}: {error}")]) from error
        for name, weight, exact in zip(self.names, self.weights, self.exact, strict=True):
            if torch.isfinite(exact).all() and not torch.isfinite(weight).all():
                why = f"={values}: {name} holds a weight too large for it; bf16 or int8 hold it"
                raise Invalid([Fault(KEY, why)])

    @property
    def sparsity(self) -> float:
        masked = sum(int((~mask).sum()) for mask in self._masks.values())
        return masked / max(sum(mask.numel() for mask in self._masks.values()), 1)

    @torch.no_grad()
    def after_backward(self) -> None:
        super().after_backward()
        for weight, kept in self.kept:
            if weight.grad is not None:
                weight.grad.mul_(kept)
        torch._foreach_copy_(self.weights, self.exact)

    @torch.no_grad()
    def after_step(self, *, zeros_moved: bool = True) -> None:
        self.gradients_ready = False
        for weight, kept in self.kept:
            weight.mul_(kept)
        torch._foreach_copy_(self.exact, self.weights)
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        for weight, exact in zip(self.weights, self.exact, strict=True):
            weight.copy_(rounded(exact, self.values))

    def finish(self) -> dict[str, Tensor]:
        with torch.no_grad():
            for weight, kept in self.kept:
                if weight[kept == 0].any():
                    raise NotPrunable("masked weights are not zero: something else changed them")
                weight.masked_fill_(kept == 0, 0)  # where a step left -0.0
        super().finish()
        return self.masks()

    def masks(self) -> dict[str, Tensor]:
        return {name: mask.clone() for name, mask in self._masks.items()}

    def state_dict(self) -> dict[str, Any]:
        exact = zip(self.names, self.exact, strict=True)
        return {"exact": {name: weight.clone() for name, weight in exact}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        demand_alike("exact", state.get("exact"), self.state_dict()["exact"])
        for name, exact in zip(self.names, self.exact, strict=True):
            exact.copy_(state["exact"][name])


def rounded(weight: Tensor, values: str) -> Tensor:
    """What a file with values of this type gives back, bit for bit (`storage.values`)."""
    if values in ROUNDINGS:
        return ROUNDINGS[values](weight)
    return through_a_file(weight, values)


def through_a_file(weight: Tensor, values: str) -> Tensor:
    """The same by writing and reading, for types of values that have no rounding on tensors. Raises
    `Refused` for weights that the type cannot hold."""
    kind = BY_WORD[values]
    array = weight.detach().cpu().numpy()
    row_lengths = np.full(len(array), math.prod(array.shape[1:]))
    stored, scales = kind.encode(array.reshape(-1), row_lengths)
    read = kind.decode(stored, scales, row_lengths)
    return torch.from_numpy(read.reshape(array.shape)).to(weight)


def _exact(weight: Tensor) -> Tensor:
    return weight


def _as_dtype(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return lambda weight: weight.to(dtype).to(weight.dtype)


def _in_steps(weight: Tensor) -> Tensor:
    """int8: a row's largest magnitude becomes 127 steps."""
    rows = weight.flatten(1)
    scales = rows.abs().amax(1, keepdim=True) / HIGHEST
    infinite = torch.isinf(scales * HIGHEST)
    scales = torch.where(infinite, torch.nextafter(scales, torch.zeros_like(scales)), scales)
    steps = torch.where(scales > 0, rows / scales, 0).round().clamp(-HIGHEST, HIGHEST)
    return (steps * scales).view_as(weight)


# What is fast on any device; a type without an entry is written and read.
ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "fp32": _exact,
    "fp16": _as_dtype(torch.float16),
    "bf16": _as_dtype(torch.bfloat16),
    "int8": _in_steps,
}
