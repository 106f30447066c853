"""What each layer of a trained network tolerates: one after the other is pruned alone to some
levels, and the network is measured on validation. Kept beside the run, since it is measured once.
"""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import accumulate
from math import prod
from statistics import median
from typing import TYPE_CHECKING

import torch

from pruneexp.engine import files
from pruneexp.engine.record import LARGEST_VALUE
from pruneexp.measure.folding import folded
from pruneexp.measure.layer_losses import FILE, SENSITIVITY_OF, VERSION, LayerLosses, load
from pruneexp.pruning.allocation import count
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.sensitivity import Sensitivity, informed
from pruneexp.running.timing import measure as timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from pruneexp.engine.lineage import Ancestor
    from pruneexp.pruning.group import Group
    from pruneexp.pruning.method import Pruning
    from pruneexp.quantisation import Quantisation
    from pruneexp.tasks.loaded import LoadedTask
    from pruneexp.tasks.shape import Shape


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
    if allocation.takes_seconds and not measured.seconds:
        measured.seconds = layer_seconds(network, task.setting.shape, groups, allocation.tried)
        files.save_json(ancestor.folder.path / FILE, asdict(measured))
    return replace(last, allocation=informed(allocation, measured.increases(), measured.seconds))


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
            masks = _masks(before, group, level)
            for weight, value, mask in zip(own, before, masks, strict=True):
                weight.copy_(torch.where(mask, value, 0))
            losses[group.name].append(_loss(network, task))
        for weight, value in zip(own, before, strict=True):
            weight.copy_(value)
    return LayerLosses(
        version=VERSION, weights=weights, levels=[*levels], dense=dense, losses=losses
    )


@torch.no_grad()
def layer_seconds(
    network: "nn.Module", shape: "Shape", groups: "Sequence[Group]", levels: Sequence[float]
) -> dict[str, list[float]]:
    """Seconds of a call of each group's layers, by name of group: without pruning, and at each
    level with all groups pruned to it by magnitude, in whichever of dense and sparse form is
    faster. Batch-norm is folded. Where several groups are of one layer, each counts for its share
    of the weights; a layer that has no sparse form costs nothing, since pruning changes nothing.
    """
    network = deepcopy(network).cpu()
    tensors = dict(network.named_parameters())
    dense: dict[str, list[float]] = {}  # by layer, one for each level: all of the same work
    sparse: dict[str, list[float]] = {}
    for level in levels:
        for group in groups:
            own = [tensors[name] for name in group.shapes]
            for weight, mask in zip(own, _masks(own, group, level), strict=True):
                weight.mul_(mask)
        inputs = shape.call_inputs(network)
        for timing in timed(folded(network, *inputs), *inputs):
            dense.setdefault(timing.layer, []).append(timing.dense)
            sparse.setdefault(timing.layer, []).append(timing.sparse)
    by_layer = {layer: _falling(median(dense[layer]), sparse[layer]) for layer in dense}
    found = {group.name: [0.0] * (len(levels) + 1) for group in groups}
    for name, shares in _shares(groups).items():
        for layer, share in shares.items():
            for place, seconds in enumerate(by_layer.get(layer, [])):
                found[name][place] += share * seconds
    return found


def _masks(weights: "Sequence[Tensor]", group: "Group", level: float) -> "list[Tensor]":
    """Of the tensors of a group, pruned to a level by magnitude."""
    return keep_highest([weight.abs() for weight in weights], count(level, group.weights))


def _falling(dense: float, sparse: Sequence[float]) -> list[float]:
    """What a layer takes without pruning and at each level: more zeros never take longer, and what
    is slower sparse runs dense."""
    return [*accumulate([dense, *sparse], min)]


def _shares(groups: "Sequence[Group]") -> dict[str, dict[str, float]]:
    """By name of group, of each layer that it has weights of, its share of that layer's."""
    by_layer: dict[str, Counter[str]] = {}
    for group in groups:
        for name, size in group.shapes.items():
            by_layer.setdefault(name.rpartition(".")[0], Counter())[group.name] += prod(size)
    return {
        group.name: {
            layer: weights[group.name] / weights.total()
            for layer, weights in by_layer.items()
            if group.name in weights
        }
        for group in groups
    }


def _loss(network: "nn.Module", task: "LoadedTask") -> float:
    """On validation, within bounds; of a task that measures no loss, what it chooses by."""
    metrics = task.evaluate(network, "valid")
    value = metrics.get("loss")
    if value is None:
        sign = -1 if task.chosen_by.higher_is_better else 1
        value = sign * metrics[task.chosen_by.name]
    return min(max(value, -LARGEST_VALUE), LARGEST_VALUE) if value == value else LARGEST_VALUE
