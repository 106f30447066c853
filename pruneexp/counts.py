"""Counting weights as the paper counts them, for the size table and for records alike.

Weights and biases count; batch-norm's scale and shift are counted apart; tied tensors count once;
non-zero means kept by the mask, also where a kept weight happens to be 0.
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruneexp.pruning import Groups
from pruneexp.record import Counts


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
            {"name": group, "weights": sum(sizes[name] for name in names), "masked": 0}
            for group, names in groups.items()
        ],
    )


def count_masks(model: nn.Module, groups: Groups, masks: Mapping[str, Tensor]) -> Counts:
    """Of a pruned model, from its masks."""
    masked = {name: int((~mask).sum()) for name, mask in masks.items()}
    counts = count(model, groups, sum(masked.values()))
    for row, names in zip(counts.groups, groups.values(), strict=True):
        row["masked"] = sum(masked.get(name, 0) for name in names)
    counts.empty = [name for name, mask in masks.items() if not bool(mask.any())]
    return counts
