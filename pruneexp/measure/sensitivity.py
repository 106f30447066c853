"""What each layer of a trained network tolerates: one after the other is pruned alone to some
levels, and the network is measured on validation. Kept beside the run, since it is measured once.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch

from pruneexp.engine import files
from pruneexp.engine.record import LARGEST_VALUE
from pruneexp.measure.layer_losses import FILE, SENSITIVITY_OF, VERSION, LayerLosses, load
from pruneexp.pruning.allocation import count
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.sensitivity import Sensitivity, informed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from pruneexp.engine.lineage import Ancestor
    from pruneexp.pruning.group import Group
    from pruneexp.pruning.method import Pruning
    from pruneexp.quantisation import Quantisation
    from pruneexp.tasks.loaded import LoadedTask


def prepared(
    last: "Pruning | Quantisation", ancestors: "Mapping[str, Ancestor]", task: "LoadedTask"
) -> "Pruning | Quantisation":
    """The method of a run, with what its allocation must know of its layers."""
    if not isinstance(last, Gradual) or not isinstance(last.allocation, Sensitivity):
        return last
    ancestor, allocation = ancestors[SENSITIVITY_OF], last.allocation
    network = ancestor.network().to(task.setting.device)
    groups = last.ranked_groups(network)
    measured = known(ancestor, allocation.tried, groups)
    if measured is None:
        measured = measure(network, task, groups, allocation.tried, _weights(ancestor))
        files.save_json(ancestor.folder.path / FILE, asdict(measured))
    return replace(last, allocation=informed(allocation, measured.increases()))


def known(
    ancestor: "Ancestor", levels: Sequence[float], groups: "Sequence[Group]"
) -> LayerLosses | None:
    """What was measured before of these weights, layers and levels; None where it was not."""
    found = load(ancestor.folder.path)
    if found is None:
        return None
    same = (found.weights, found.levels) == (_weights(ancestor), [*levels])
    return found if same and {group.name for group in groups} == {*found.losses} else None


def _weights(ancestor: "Ancestor") -> str:
    return ancestor.record.checksums.get("weights", "")


@torch.no_grad()
def measure(
    network: "nn.Module",
    task: "LoadedTask",
    groups: "Sequence[Group]",
    levels: Sequence[float],
    weights: str = "",
) -> LayerLosses:
    """Prune each group alone to each level by magnitude, and evaluate. The network is as it was
    afterwards."""
    tensors = dict(network.named_parameters())
    losses: dict[str, list[float]] = {}
    dense = _loss(network, task)
    for group in groups:
        own = [tensors[name] for name in group.shapes]
        before = [weight.clone() for weight in own]
        losses[group.name] = []
        for level in levels:
            masks = keep_highest([w.abs() for w in before], count(level, group.weights))
            for weight, value, mask in zip(own, before, masks, strict=True):
                weight.copy_(torch.where(mask, value, 0))
            losses[group.name].append(_loss(network, task))
        for weight, value in zip(own, before, strict=True):
            weight.copy_(value)
    return LayerLosses(
        version=VERSION, weights=weights, levels=[*levels], dense=dense, losses=losses
    )


def _loss(network: "nn.Module", task: "LoadedTask") -> float:
    """On validation, within bounds; of a task that measures no loss, what it chooses by."""
    metrics = task.evaluate(network, "valid")
    value = metrics.get("loss")
    if value is None:
        sign = -1 if task.chosen_by.higher_is_better else 1
        value = sign * metrics[task.chosen_by.name]
    return min(max(value, -LARGEST_VALUE), LARGEST_VALUE) if value == value else LARGEST_VALUE
