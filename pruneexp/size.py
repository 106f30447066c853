"""What a configuration would weigh: built on the meta device, without data and without training."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config import Run
from pruneexp.counts import count
from pruneexp.pruning import Gradual, Groups
from pruneexp.pruning.allocation import Global, Sizes
from pruneexp.recipe import ImageShape, Shape
from pruneexp.record import Counts


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


def size(run: Run) -> Size:
    with torch.device("meta"):
        model = run.model.build(run.task.shape())
    groups = run.pruning.groups(model)
    parameters = dict(model.named_parameters())
    sizes = {
        group: sum(parameters[name].numel() for name in names) for group, names in groups.items()
    }
    masked = run.pruning.masked(sizes, run.steps)
    counts = count(model, groups, sum(masked))
    shares = _shares(run, groups, sizes, masked)
    group_of = {name: group for group, names in groups.items() for name in names}
    work = multiply_adds(model, run)
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
                else adds * kept // parameter.numel(),
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


def multiply_adds(model: nn.Module, run: Run) -> dict[str, int]:
    """Multiply-adds of each weight tensor for one example (a picture, a word), from a forward pass
    on the meta device: each weight is used once for each output position; embeddings only look
    up."""
    work: dict[str, int] = {}
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        values = output[0] if isinstance(module, nn.RNNBase) else output
        weights = dict(module.named_parameters(recurse=False))
        channels = module.hidden_size if isinstance(module, nn.RNNBase) else len(weights["weight"])
        positions = values.numel() // int(channels)
        for name, weight in weights.items():
            if weight.dim() >= 2:
                key = f"{names[module]}.{name}"
                work[key] = work.get(key, 0) + weight.numel() * positions

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)
    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, kinds)]
    model.eval()
    with torch.no_grad():
        model(_example(run.task.shape()))
    for handle in handles:
        handle.remove()
    return work


def _example(shape: Shape) -> Tensor:
    if isinstance(shape, ImageShape):
        return torch.empty(1, shape.channels, shape.pixels, shape.pixels, device="meta")
    return torch.zeros(1, 1, dtype=torch.long, device="meta")
