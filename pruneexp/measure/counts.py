"""Counting weights and work as the paper counts them, for the size table and for records alike.

Weights and biases count; batch-norm's scale and shift are counted apart; tied tensors count once;
non-zero means kept by the mask, also where a kept weight happens to be 0.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruneexp.engine.record import Counts, GroupCounts
from pruneexp.pruning import Groups
from pruneexp.tasks.shape import ImageShape, Shape


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


def multiply_adds(model: nn.Module, shape: Shape) -> dict[str, int]:
    """Multiply-adds of each weight tensor for one example (a picture, a word), from a forward pass
    on whatever device the model is: each weight is used once for each output position; embeddings
    only look up."""
    work: dict[str, int] = {}
    # Of a tied tensor, the one name under which it is counted everywhere.
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        values = output[0] if isinstance(module, nn.RNNBase) else output
        weights = dict(module.named_parameters(recurse=False))
        channels = module.hidden_size if isinstance(module, nn.RNNBase) else len(weights["weight"])
        positions = values.numel() // int(channels)
        for weight in weights.values():
            if weight.dim() >= 2:
                name = names[id(weight)]
                work[name] = work.get(name, 0) + weight.numel() * positions

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)
    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, kinds)]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(example(shape).to(next(model.parameters()).device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return work


def remaining(adds: int, weights: int, kept: int) -> int:
    """Of a tensor's multiply-adds, when masked weights are skipped."""
    return adds // weights * kept


def example(shape: Shape, batch: int = 1) -> Tensor:
    """What one call of a network takes: pictures, or one word of each text; always the same."""
    random = torch.Generator().manual_seed(0)
    if isinstance(shape, ImageShape):
        return torch.randn(batch, shape.channels, shape.pixels, shape.pixels, generator=random)
    return torch.randint(shape.vocabulary, (1, batch), generator=random)
