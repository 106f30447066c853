"""What a configuration would weigh: built on the meta device, without data and without training."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from pruneexp.config.run import Run
from pruneexp.engine.record import BYTES_PER_WEIGHT, MEGABYTE, Counts
from pruneexp.measure.counts import count, multiply_adds, remaining
from pruneexp.measure.expected import expected


@dataclass(kw_only=True, slots=True)
class Layer:
    """One tensor of weights. Numbers that only training can tell are None."""

    name: str
    shape: tuple[int, ...]
    weights: int
    rule: str  # why it is pruned or not
    sparsity: float | None
    nonzero: int | None
    multiply_adds: int | None
    sparse_multiply_adds: int | None


@dataclass(kw_only=True, slots=True)
class PlannedSize:
    """A network before training: what it counts, and its layers. `nonzero` is None for a method
    whose sparsity is an outcome of training."""

    counts: Counts
    nonzero: int | None
    layers: list[Layer]

    @property
    def megabytes(self) -> float | None:
        """At four bytes a non-zero weight, as the paper counts."""
        return None if self.nonzero is None else self.nonzero * BYTES_PER_WEIGHT / MEGABYTE

    @property
    def multiply_adds(self) -> int:
        """Of one example in the dense network."""
        return sum(layer.multiply_adds or 0 for layer in self.layers)

    @property
    def sparse_multiply_adds(self) -> int | None:
        """Of one example where masked weights are skipped; None where only training tells."""
        working = [layer for layer in self.layers if layer.multiply_adds]
        if any(layer.sparse_multiply_adds is None for layer in working):
            return None
        return sum(layer.sparse_multiply_adds or 0 for layer in working)

    def to_plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "parameters": self.counts.parameters,
            "prunable": self.counts.prunable,
            "nonzero": self.nonzero,
            "batch_norm": self.counts.batch_norm,
            "megabytes": self.megabytes,
            "multiply_adds": self.multiply_adds,
            "sparse_multiply_adds": self.sparse_multiply_adds,
            "layers": [asdict(layer) for layer in self.layers],
        }


def network(run: Run) -> nn.Module:
    """The run's network, without memory for its weights."""
    with torch.device("meta"):
        return run.model.build(run.task.shape())


def nonzero(run: Run, model: nn.Module) -> int | None:
    """The weights and biases that a run will keep; None where only training tells. Where a budget
    settles it, what is expected.

    Arguments:
        model: the run's `network`, which runs of one model and one shape of task can share.
    """
    pruning = expected(run, model)
    steps, _ = pruning.stage(run.training.steps)
    total = pruning.plan(pruning.ranked_groups(model), steps).total
    if total is None:
        return None
    return count(model, pruning.groups(model), total).nonzero


def size(run: Run) -> PlannedSize:
    """What a run would weigh, and what work its network is, without data or training.

        pruneexp.size(run).nonzero

    Raises `Invalid` for a pruning that the network cannot have.
    """
    model = network(run)
    pruning = expected(run, model)
    names = pruning.groups(model)
    groups = pruning.ranked_groups(model)
    steps, _ = pruning.stage(run.training.steps)
    plan = pruning.plan(groups, steps)
    counts = count(model, names, plan.total or 0)
    group_of = {tensor: group for group in groups for tensor in group.shapes}
    work = multiply_adds(model, run.task.shape())
    layers = []
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        group = group_of.get(name)
        masked = plan.by_group[group.name] if group else 0
        # Of tensors that are ranked together, only training tells how many of which go.
        alone = group is None or len(group.shapes) == 1 or masked == 0
        kept = weight.numel() - masked if masked is not None and alone else None
        adds = work.get(name)
        layers.append(
            Layer(
                name=name,
                shape=tuple(weight.shape),
                weights=weight.numel(),
                rule=run.pruning.rule(group.name if group else None, names),
                sparsity=masked / group.weights if group and masked is not None else None,
                nonzero=kept,
                multiply_adds=adds,
                sparse_multiply_adds=None
                if adds is None or kept is None
                else remaining(adds, weight.numel(), kept),
            )
        )
    kept_in_all = None if plan.total is None else counts.nonzero
    return PlannedSize(counts=counts, nonzero=kept_in_all, layers=layers)
