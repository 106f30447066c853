"""The pruner of L0 regularisation: gates of a hard concrete distribution."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneexp import seeds
from pruneexp.pruning.replaced_forward import Replaced, instead, plain_forward
from pruneexp.pruning.stochastic import L0
from pruneexp.pruning.stochastic_pruner import StochasticPruner

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # Louizos et al. 2018
CLOSED = math.log(-GAMMA / ZETA)  # -2.398: a gate whose log alpha is not above it never opens
SPREAD = 0.01  # of log alpha at the start


class L0Pruner(StochasticPruner):
    """Draws a gate for each weight and call, and for each occurrence of an embedding."""

    recipe: L0

    def _first(self, number: int, weight: Tensor) -> Tensor:
        noise = seeds.generator(self.seed, "gates", number).normal(0, SPREAD, tuple(weight.shape))
        start = self.recipe.log_alpha
        return start + torch.from_numpy(noise).to(weight)

    def _worth(self, name: str) -> Tensor:
        return self.own[name] - CLOSED

    def _cost(self, name: str) -> Tensor:
        """The chance that a gate is open, of all weights of a tensor."""
        return torch.sigmoid(self.own[name] - BETA * CLOSED).sum()

    def _quiet(self, name: str) -> Tensor:
        gated = self.weights[name] * _stretched(torch.sigmoid(self.own[name]))
        return gated if self._moved is None else torch.where(self._moved[name], gated, 0)

    def _cover(self, layer: nn.Module, tensors: dict[str, str]) -> Replaced:
        plain = plain_forward(layer)

        def forward(*inputs: Any, **named: Any) -> Any:
            if self.draws(layer) and isinstance(layer, nn.Embedding):
                return self._embedding(layer, tensors["weight"], *inputs)
            used = self._drawn if self.draws(layer) else self._quiet
            with instead(layer, {leaf: used(name) for leaf, name in tensors.items()}):
                return plain(*inputs, **named)

        return Replaced(layer, forward)

    def _drawn(self, name: str) -> Tensor:
        return self.weights[name] * _gates(self.own[name])

    def _embedding(self, layer: nn.Embedding, name: str, words: Tensor) -> Tensor:
        values = functional.embedding(words, self.weights[name], layer.padding_idx)
        return values * _gates(functional.embedding(words, self.own[name]))


def _gates(log_alpha: Tensor) -> Tensor:
    uniform = torch.rand_like(log_alpha).clamp(1e-6, 1 - 1e-6)
    noise = torch.log(uniform) - torch.log1p(-uniform)
    return _stretched(torch.sigmoid((noise + log_alpha) / BETA))


def _stretched(open_: Tensor) -> Tensor:
    return (open_ * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
