"""What masks cost: a mask update, and a training step of the demo with masks on."""

from collections.abc import Callable

import torch
from torch import nn
from turns import table, turns

from pruneexp.engine.device import keep_freed_memory
from pruneexp.models.mobilenet_v1 import MobileNet
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.schedule import OneShot
from pruneexp.tasks.shape import ImageShape

LARGE = 66_000_000  # weights of the paper's largest language model


def step() -> None:
    """A training step with masks on against the same step dense; the network is the demo's."""
    torch.set_num_threads(1)
    keep_freed_memory()
    images = torch.randn(128, 1, 24, 24).to(memory_format=torch.channels_last)
    labels = torch.randint(47, (128,))

    def candidate(pruning: Pruning) -> Callable[[], None]:
        torch.manual_seed(0)
        model = MobileNet(ImageShape(1, 24, 47), width=1.0, layout="small")
        model = model.to(memory_format=torch.channels_last)
        pruner = pruning.attach(model, steps=1000)
        optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

        def act() -> None:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            pruner.after_backward()
            optimiser.step()
            pruner.after_step()

        return act

    masked = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0))
    candidates = {"dense": candidate(Dense()), "masked, 90 %": candidate(masked)}
    table("A training step, small MobileNet, batch 128", turns(candidates, 60), "dense")


def update() -> None:
    """A mask update over 66 million weights. The others choose the same threshold."""
    torch.set_num_threads(1)
    keep_freed_memory()
    weights = torch.randn(LARGE)
    masked = int(0.9 * LARGE)

    def by_sort() -> object:
        return weights.abs() > weights.abs().sort().values[masked - 1]

    def by_kthvalue() -> object:
        return weights.abs() > weights.abs().kthvalue(masked).values

    def by_torch_prune() -> object:
        from torch.nn.utils import prune

        return prune.L1Unstructured(amount=masked).compute_mask(weights, torch.ones(LARGE))

    candidates: dict[str, Callable[[], object]] = {
        "ranking.keep_highest": lambda: keep_highest([weights.abs()], masked),
        "one pass of abs": weights.abs,
        "torch.kthvalue": by_kthvalue,
        "torch.sort": by_sort,
        "torch.nn.utils.prune.L1Unstructured": by_torch_prune,
    }
    sparsifier = _ao_sparsifier(weights)
    if sparsifier is not None:
        candidates["torch.ao.pruning.WeightNormSparsifier"] = sparsifier
    seconds = turns(candidates, 3)
    table(
        "A mask update over 66 million weights, 90 %",
        seconds,
        "ranking.keep_highest",
    )


def _ao_sparsifier(weights: torch.Tensor) -> Callable[[], object] | None:
    """Gone from torch in some versions; then it is left out."""
    try:
        from torch.ao.pruning import WeightNormSparsifier
    except ImportError:
        print("  (this torch has no torch.ao.pruning)")
        return None
    layer = nn.Linear(11_000, 6_000, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights.view(6_000, 11_000))
    sparsifier = WeightNormSparsifier(
        sparsity_level=0.9, sparse_block_shape=(1, 1), zeros_per_block=1
    )
    model = nn.Sequential(layer)
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
    return sparsifier.step
