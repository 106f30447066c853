"""Batch-norm's running averages taken anew, for weights that were trained under noise."""

import torch
from torch import nn

from pruneexp.tasks.loaded import LoadedTask

BATCHES = 50  # of training data; the average of fewer would be noise itself


@torch.no_grad()
def estimate(model: nn.Module, task: LoadedTask) -> None:
    """Let the running averages be means over the first batches of training. Nothing is done without
    batch-norm. Random numbers are as they were afterwards."""
    norms = [
        layer
        for layer in model.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    ]
    if not norms:
        return
    kept = [norm.momentum for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    model.train()
    carry = None
    with torch.random.fork_rng():
        for batch in task.batches(0, BATCHES):
            _, carry = task.loss(model, batch, carry)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    model.train(was_training)
