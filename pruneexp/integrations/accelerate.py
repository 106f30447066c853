"""Pruning in a loop with Hugging Face accelerate, accumulation of gradients included."""

from typing import TYPE_CHECKING

from torch import nn

from pruneexp.integrations import mask_before_clipping
from pruneexp.pruning import Pruning
from pruneexp.pruning.pruner import Pruner

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer


def prune(
    accelerator: "Accelerator",
    model: nn.Module,
    optimiser: "AcceleratedOptimizer",
    recipe: Pruning,
    *,
    steps: int,
    seed: int = 0,
) -> Pruner:
    """Attach a pruner that needs no calls in the loop; call its `finish` at the end.

        model, optimiser, loader = accelerator.prepare(model, optimiser, loader)
        pruner = prune(accelerator, model, optimiser, Gradual(sparsity=0.9), steps=1000)
        ...                                 # the loop as it is
        masks = pruner.finish()

    Gradients are masked before `accelerator.clip_grad_norm_` and before each step that the
    optimiser makes; a step that the gradient scaler leaves out is not counted.

    Arguments:
        accelerator: that prepared the next two.
        model, optimiser: as `accelerator.prepare` returned them.
        recipe: what is pruned when, such as a `Gradual`.
        steps: of the optimiser, not batches, where gradients are accumulated.
        seed: governs whatever is drawn.
    """
    pruner = recipe.attach(accelerator.unwrap_model(model), steps=steps, seed=seed)
    mask_before_clipping(accelerator, pruner)
    pruner.follow(optimiser.optimizer)
    return pruner
