"""Counting weights and work as the paper counts them, for the size table and for records alike.

Weights and biases count; batch-norm's scale and shift are counted apart; tied tensors count once;
non-zero means kept by the mask, also where a kept weight happens to be 0.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruneexp.engine.record import Counts, GroupCounts
from pruneexp.pruning import Groups
from pruneexp.tasks.shape import Shape, call


def count(model: nn.Module, groups: Groups, masked: int) -> Counts:
    """Of a model whose groups have `masked` weights masked in all."""
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    batch_norm = sum(
        parameter.numel() for parameter in model.parameters() if id(parameter) in norms
    )
    parameters = sum(sizes.values()) - batch_norm
    return Counts(
        parameters=parameters,
        prunable=sum(sizes[name] for names in groups.values() for name in names),
        nonzero=parameters - masked,
        batch_norm=batch_norm,
        groups=[
            GroupCounts(name=group, weights=sum(sizes[name] for name in names), masked=0)
            for group, names in groups.items()
        ],
    )


def count_masks(
    model: nn.Module,
    groups: Groups,
    masks: Mapping[str, Tensor],
    work: Mapping[str, int] | None = None,
) -> Counts:
    """Of a pruned model, from its masks and the multiply-adds of each tensor."""
    masked = {name: int((~mask).sum()) for name, mask in masks.items()}
    counts = count(model, groups, sum(masked.values()))
    for row, names in zip(counts.groups, groups.values(), strict=True):
        row.masked = sum(masked.get(name, 0) for name in names)
    counts.empty = [name for name, mask in masks.items() if not bool(mask.any())]
    if work is not None:
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        counts.multiply_adds = sum(work.values())
        counts.sparse_multiply_adds = sum(
            remaining(adds, sizes[name], sizes[name] - masked.get(name, 0))
            for name, adds in work.items()
        )
    return counts


# --- work --------------------------------------------------------------------------------------


def _by_position(layer: Any, inputs: tuple[Any, ...], output: Any) -> Iterator[tuple[Tensor, int]]:
    """A weight is used once for each output position: linear layers and convolutions."""
    yield layer.weight, output.numel() // len(layer.weight)


def _by_input_position(
    layer: Any, inputs: tuple[Any, ...], output: Any
) -> Iterator[tuple[Tensor, int]]:
    """A weight of a transposed convolution is used once for each input position."""
    yield layer.weight, inputs[0].numel() // layer.in_channels


def _recurrent(layer: Any, inputs: tuple[Any, ...], output: Any) -> Iterator[tuple[Tensor, int]]:
    """Each matrix once for each step of each sequence, whatever the directions."""
    values = output[0]
    width = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    for weight in layer.parameters(recurse=False):
        if weight.dim() >= 2:
            yield weight, values.numel() // width


def _attention(layer: Any, inputs: tuple[Any, ...], output: Any) -> Iterator[tuple[Tensor, int]]:
    """The projections of queries, keys and values; that of the output is a layer of its own that
    the fused kernels pass by."""
    query, key, value = (tensor.numel() // tensor.shape[-1] for tensor in inputs[:3])
    if layer.in_proj_weight is not None:
        yield layer.in_proj_weight, (query + key + value) // 3
    else:
        yield layer.q_proj_weight, query
        yield layer.k_proj_weight, key
        yield layer.v_proj_weight, value
    yield layer.out_proj.weight, query


# How often each weight of a layer is used in a call. A new kind of layer is one entry; layers that
# only look up, such as embeddings, have none and count 0.
LAYER_WORK: dict[type[nn.Module], Any] = {
    nn.Linear: _by_position,
    nn.Conv1d: _by_position,
    nn.Conv2d: _by_position,
    nn.Conv3d: _by_position,
    nn.ConvTranspose1d: _by_input_position,
    nn.ConvTranspose2d: _by_input_position,
    nn.ConvTranspose3d: _by_input_position,
    nn.RNNBase: _recurrent,
    nn.MultiheadAttention: _attention,
}


def multiply_adds(model: nn.Module, shape: Shape) -> dict[str, int]:
    """Multiply-adds of each weight tensor for one example (a picture, a word), from a forward pass
    on whatever device the model is. A matrix that is only looked up in has 0. Raises `Invalid`
    where the network refuses the example."""
    # Of a tied tensor, the one name under which it is counted everywhere.
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    work = {
        names[id(module.weight)]: 0
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
    }

    def note(uses: Any) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            for weight, times in uses(layer, inputs, output):
                name = names.get(id(weight))
                if name is not None:  # not one that is computed from other parameters
                    work[name] = work.get(name, 0) + weight.numel() * times

        return hook

    inside = {id(m.out_proj) for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    handles = [
        module.register_forward_hook(note(uses))
        for module in model.modules()
        for kind, uses in LAYER_WORK.items()
        if isinstance(module, kind) and id(module) not in inside
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            call(model, shape, next(model.parameters()).device)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return work


def remaining(adds: int, weights: int, kept: int) -> int:
    """Of a tensor's multiply-adds, when masked weights are skipped."""
    return adds // weights * kept
