"""Pruning in other libraries' loops: one file for each, which imports that library and is imported
by nothing here. docs/library.md shows each in use.

    pip install 'pruneexp[integrations]'
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.pruning import Pruning
from pruneexp.pruning.pruner import Pruner


def attach(
    recipe: Pruning, model: nn.Module, *, steps: int, seed: int, state: dict[str, Any] | None
) -> Pruner:
    """A pruner at the start of training, or one that goes on from a `state_dict`, with the model's
    weights as they are."""
    if state is None:
        return recipe.attach(model, steps=steps, seed=seed)
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    pruner = recipe.attach(model, steps=steps, seed=seed)  # may mask at once
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])
    pruner.load_state_dict(state)
    return pruner


def examples(loader: Any) -> int | None:
    """How many training examples a loader has; None where it does not say."""
    try:
        return len(loader.dataset)
    except (AttributeError, TypeError, NotImplementedError):
        return None


def mask_before_clipping(accelerator: Any, pruner: Pruner) -> None:
    """Let accelerate's clipping mask gradients first, so that the norm counts none of masked
    weights. A second pruner takes the place of the first."""
    for name in ("clip_grad_norm_", "clip_grad_value_"):
        clip = getattr(type(accelerator), name).__get__(accelerator)

        def masked_first(*arguments: Any, _clip: Any = clip, **named: Any) -> Any:
            if accelerator.sync_gradients and not pruner.gradients_ready:
                pruner.after_backward()
            return _clip(*arguments, **named)

        setattr(accelerator, name, masked_first)


def finished(pruner: Pruner) -> dict[str, Tensor]:
    """The masks of a training that ended, perhaps early."""
    if pruner.settled:
        return pruner.finish()
    warnings.warn(
        f"training ended before the masks were final, at a sparsity of {pruner.sparsity:.1%}",
        stacklevel=3,
    )
    return pruner.masks()
