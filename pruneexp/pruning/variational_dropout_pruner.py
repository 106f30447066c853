"""The pruner of sparse variational dropout."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.replaced_forward import Replaced, instead, plain_forward
from pruneexp.pruning.stochastic import VariationalDropout
from pruneexp.pruning.stochastic_pruner import StochasticPruner

TINY = 1e-8
BOUND = 8.0  # of log alpha, either way, while it is trained
K1, K2, K3 = 0.63576, 1.8732, 1.48695  # of Molchanov et al. 2017, equation 14
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class VariationalDropoutPruner(StochasticPruner):
    """Draws outputs of layers with the mean and the deviation that noise on the weights gives."""

    recipe: VariationalDropout

    def _first(self, number: int, weight: Tensor) -> Tensor:
        return torch.full_like(weight, self.recipe.log_variance)

    def log_alpha(self, name: str) -> Tensor:
        """Of each weight the logarithm of its noise's variance over its square."""
        return self.own[name] - torch.log(self.weights[name].square() + TINY)

    def _worth(self, name: str) -> Tensor:
        return self.recipe.threshold - self.log_alpha(name)

    def _cost(self, name: str) -> Tensor:
        """The divergence from the prior, of all weights of a tensor."""
        log_alpha = self.log_alpha(name).clamp(-BOUND, BOUND)
        sigmoid = torch.sigmoid(K2 + K3 * log_alpha)
        return -(K1 * sigmoid - 0.5 * functional.softplus(-log_alpha) - K1).sum()

    def _variance(self, name: str) -> Tensor:
        squares = self.weights[name].square() + TINY
        return torch.exp(self.log_alpha(name).clamp(-BOUND, BOUND)) * squares

    def _quiet(self, name: str) -> Tensor:
        kept = self._worth(name) > 0 if self._moved is None else self._moved[name]
        return torch.where(kept, self.weights[name], 0)

    def _cover(self, layer: nn.Module, tensors: dict[str, str]) -> Replaced:
        noisy = self._noisy(layer, tensors)
        plain = plain_forward(layer)

        def forward(*inputs: Any, **named: Any) -> Any:
            if self.draws(layer):
                return noisy(*inputs, **named)
            with instead(layer, {leaf: self._quiet(name) for leaf, name in tensors.items()}):
                return plain(*inputs, **named)

        return Replaced(layer, forward)

    def _noisy(self, layer: nn.Module, tensors: dict[str, str]) -> Callable[..., Any]:
        match layer:
            case nn.Linear():
                return lambda inputs: self._linear(layer, tensors["weight"], inputs)
            case nn.Embedding():
                return lambda words: self._embedding(layer, tensors["weight"], words)
            case nn.LSTM() if (
                layer.num_layers == 1
                and not layer.bidirectional
                and (not layer.proj_size and len(tensors) == 2)
            ):
                return lambda inputs, state=None: self._lstm(layer, tensors, inputs, state)
            case _ if isinstance(layer, CONVOLUTIONS):
                return lambda inputs: self._convolution(layer, tensors["weight"], inputs)
        name = next(iter(tensors.values()))
        raise NotPrunable(
            f"{name} is of a {type(layer).__name__}, whose outputs variational dropout cannot draw "
            "by local reparametrisation (it can those of linear layers, convolutions, embeddings "
            "and LSTMs of one layer and direction); leave it out with scope=Named(exclude=[...])"
        )

    def _linear(self, layer: nn.Linear, name: str, inputs: Tensor) -> Tensor:
        mean = functional.linear(inputs, self.weights[name], layer.bias)
        variance = functional.linear(inputs.square(), self._variance(name))
        return mean + _deviation(variance) * _noise(mean, over=inputs.dim() - 2)

    def _convolution(self, layer: Any, name: str, inputs: Tensor) -> Tensor:
        mean = layer._conv_forward(inputs, self.weights[name], layer.bias)
        variance = layer._conv_forward(inputs.square(), self._variance(name), None)
        return mean + _deviation(variance) * torch.randn_like(mean)

    def _embedding(self, layer: nn.Embedding, name: str, words: Tensor) -> Tensor:
        mean = functional.embedding(words, self.weights[name], layer.padding_idx)
        variance = functional.embedding(words, self._variance(name))
        return mean + _deviation(variance) * torch.randn_like(mean)

    def _lstm(self, layer: nn.LSTM, tensors: dict[str, str], inputs: Tensor, state: Any) -> Any:
        """The inputs' products are drawn here and go through an LSTM whose own product of the
        inputs is the identity, so that torch's fast kernels are used."""
        weight, variance = (
            each(tensors["weight_ih_l0"]) for each in (self.weights.__getitem__, self._variance)
        )
        mean = functional.linear(inputs, weight)
        deviation = _deviation(functional.linear(inputs.square(), variance))
        time = 1 if layer.batch_first and inputs.dim() == 3 else 0
        shape = list(mean.shape)
        shape[time] = 1  # drawn once a call: the same at all places of a stream
        drawn = mean + deviation * torch.randn(shape, dtype=mean.dtype, device=mean.device)
        name = tensors["weight_hh_l0"]
        hidden = self.weights[name]
        sample = hidden + _deviation(self._variance(name)) * torch.randn_like(hidden)
        identity = torch.eye(drawn.shape[-1], dtype=drawn.dtype, device=drawn.device)
        plain = plain_forward(layer)
        size = layer.input_size
        layer.input_size = drawn.shape[-1]  # which torch checks
        try:
            with instead(layer, {"weight_ih_l0": identity, "weight_hh_l0": sample}):
                return plain(drawn, state)
        finally:
            layer.input_size = size


def _deviation(variance: Tensor) -> Tensor:
    return torch.sqrt(variance + TINY)


def _noise(like: Tensor, over: int) -> Tensor:
    """Normal noise for each row and output; of products over sequences, one for each (sequence,
    output), shared over positions.

    Arguments:
        over: dimensions between the first two and the last.
    """
    if over < 1:
        return torch.randn_like(like)
    shape = list(like.shape)
    shape[0] = 1  # positions, as sequences lie (time, streams, features)
    return torch.randn(shape, dtype=like.dtype, device=like.device)
