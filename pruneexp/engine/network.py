"""A run's network with its first weights, and how it trains on its data."""

import torch
from torch import nn

from pruneexp import seeds
from pruneexp.config.run import Run
from pruneexp.tasks.loaded import Setting


def build(run: Run, device: torch.device) -> nn.Module:
    """The run's network with the fresh weights that follow from its seed."""
    torch.manual_seed(seeds.draw(run.seed, "initial weights"))
    model = run.model.build(run.task.shape())
    return model.to(device).to(memory_format=setting(run, device).memory_format)


def setting(run: Run, device: torch.device) -> Setting:
    """How the run trains on its data."""
    last = run.training.channels_last
    return Setting(
        device=device,
        shape=run.task.shape(),
        seed=run.seed,
        batch_size=run.training.batch_size,
        unroll=run.training.unroll,
        label_smoothing=run.training.label_smoothing,
        memory_format=torch.channels_last if last else torch.contiguous_format,
        workers=run.training.workers,
    )
