"""Layers that compute something else while a pruner is attached.

A layer's own `forward` is covered by a function in its instance, and uncovered when the pruner has
finished; parameters, their names and the class stay as they are. A copy of the model has the plain
forward, since a pruner belongs to one model.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Replaced:
    """What covers a layer's forward.

    Arguments:
        layer: that computes something else.
        forward: takes what the layer takes.
    """

    def __init__(self, layer: nn.Module, forward: Callable[..., Any]) -> None:
        # torch.compile traces no recurrent layer of torch's, and so none that stands in for one.
        recurrent = isinstance(layer, nn.RNNBase)
        self.layer = layer
        self._forward = torch.compiler.disable(forward) if recurrent else forward
        layer.__dict__["forward"] = self

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        return self._forward(*inputs, **named)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = memo.get(id(self.layer))
        return type(self.layer).forward.__get__(copied)

    def undo(self) -> None:
        """Let the layer compute what it did before."""
        if self.layer.__dict__.get("forward") is self:
            del self.layer.__dict__["forward"]


def plain_forward(layer: nn.Module) -> Callable[..., Any]:
    """What a layer computes by itself."""
    return type(layer).forward.__get__(layer)


@contextmanager
def instead(layer: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, a layer's own forward sees these tensors in place of its parameters: names within the
    layer, such as weight, weight_hh_l0 or out_proj.weight."""
    covered: list[tuple[nn.Module, str]] = []
    flat: list[tuple[nn.Module, list[Any]]] = []
    for name, value in values.items():
        owner, _, leaf = name.rpartition(".")
        module = layer.get_submodule(owner) if owner else layer
        module.__dict__[leaf] = value
        covered.append((module, leaf))
        if isinstance(module, nn.RNNBase):  # which keeps a list of its weights too
            before = module.__dict__["_flat_weights"]
            names = module._flat_weights_names
            module.__dict__["_flat_weights"] = [
                value if own == leaf else weight for own, weight in zip(names, before, strict=True)
            ]
            flat.append((module, before))
    try:
        yield
    finally:
        for module, leaf in covered:
            module.__dict__.pop(leaf, None)
        for module, weights in reversed(flat):
            module.__dict__["_flat_weights"] = weights
