"""What a configuration would weigh: built on the meta device, without data and without training."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from pruneexp.config.run import Run
from pruneexp.engine.record import Counts
from pruneexp.measure.counts import count, multiply_adds, remaining
from pruneexp.pruning import Gradual, Groups
from pruneexp.pruning.allocation import Global, Sizes


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
class Size:
    counts: Counts
    layers: list[Layer]

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds or 0 for layer in self.layers)

    @property
    def sparse_multiply_adds(self) -> int | None:
        each = [layer.sparse_multiply_adds for layer in self.layers]
        if any(
            sparse is None and layer.multiply_adds
            for sparse, layer in zip(each, self.layers, strict=True)
        ):
            return None
        return sum(sparse or 0 for sparse in each)

    def to_plain(self) -> dict[str, Any]:
        return {
            "parameters": self.counts.parameters,
            "prunable": self.counts.prunable,
            "nonzero": self.counts.nonzero,
            "batch_norm": self.counts.batch_norm,
            "megabytes": self.counts.megabytes,
            "multiply_adds": self.multiply_adds,
            "sparse_multiply_adds": self.sparse_multiply_adds,
            "layers": [asdict(layer) for layer in self.layers],
        }


def network(run: Run) -> nn.Module:
    """The run's network, without memory for its weights."""
    with torch.device("meta"):
        return run.model.build(run.task.shape())


def planned_counts(run: Run, model: nn.Module) -> Counts:
    """What a run will count, without its multiply-adds; `model` is its `network`, which runs of one
    model and one shape of task share."""
    return _plan(run, model)[-1]


def _plan(run: Run, model: nn.Module) -> tuple[Groups, Sizes, list[int], Counts]:
    """The groups that are ranked, their sizes, how many weights are masked at the end, and what
    that leaves."""
    groups = run.pruning.groups(model)
    parameters = dict(model.named_parameters())
    sizes = {
        group: sum(parameters[name].numel() for name in names) for group, names in groups.items()
    }
    steps, _ = run.pruning.stage(run.training.steps)
    masked = run.pruning.masked(sizes, steps)
    return groups, sizes, masked, count(model, groups, sum(masked))


def size(run: Run) -> Size:
    model = network(run)
    groups, sizes, masked, counts = _plan(run, model)
    parameters = dict(model.named_parameters())
    shares = _shares(run, groups, sizes, masked)
    group_of = {name: group for group, names in groups.items() for name in names}
    work = multiply_adds(model, run.task.shape())
    layers = []
    for name, parameter in parameters.items():
        if parameter.dim() < 2:
            continue
        group = group_of.get(name)
        share = shares[group] if group else 0.0
        kept = None if share is None else parameter.numel() - round(share * parameter.numel())
        if group and len(groups[group]) > 1 and share:
            kept = None  # ranked together: how many of which tensor go, training will tell
        adds = work.get(name)
        layers.append(
            Layer(
                name=name,
                shape=tuple(parameter.shape),
                weights=parameter.numel(),
                rule=_rule(run, group, groups),
                sparsity=share if group else None,
                nonzero=kept,
                multiply_adds=adds,
                sparse_multiply_adds=None
                if adds is None or kept is None
                else remaining(adds, parameter.numel(), kept),
            )
        )
    return Size(counts=counts, layers=layers)


def _shares(run: Run, groups: Groups, sizes: Sizes, masked: list[int]) -> dict[str, float | None]:
    """The share of each group that will be masked; None where one threshold runs over several."""
    if not isinstance(run.pruning, Gradual):
        return dict.fromkeys(groups, 0.0)
    shares: dict[str, float | None] = {}
    names = list(groups)
    for pool, count_ in zip(run.pruning.allocation.pools(len(groups)), masked, strict=True):
        for group in pool:
            known = len(pool) == 1 or count_ == 0
            shares[names[group]] = count_ / sizes[names[group]] if known else None
    return shares


def _rule(run: Run, group: str | None, groups: Groups) -> str:
    if not isinstance(run.pruning, Gradual):
        return "dense run"
    if group is None:
        return f"kept: not in scope {run.pruning.scope.word}"
    together = " with its group" if len(groups[group]) > 1 else ""
    if isinstance(run.pruning.allocation, Global):
        together = " with all"
    return f"pruned: {run.pruning.criterion.word}{together}"
