"""Pruning in a training loop of your own, and the packed file of what comes out.

python examples/own_loop.py
"""

from pathlib import Path

import torch
from torch import nn

import pruneexp
from pruneexp.storage import archive


def main(steps: int = 400, file: Path = Path("own.pxp")) -> int:
    """Train a small network to 90 % sparsity. Returns the bytes of its file."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    teacher = nn.Linear(64, 10)
    pruner = pruneexp.Gradual(sparsity=0.9).attach(model, steps=steps)  # before the optimiser
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pruner.use(optimiser)
    for _ in range(steps):
        inputs = torch.randn(128, 64)
        labels = teacher(inputs).argmax(1)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        pruner.after_backward()  # before gradients are clipped
        optimiser.step()
        pruner.after_step()
    masks = pruner.finish()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    archive.save(file, weights, {name: mask.numpy() for name, mask in masks.items()}, kind="int8")
    kept, whole = (sum(int(f(mask)) for mask in masks.values()) for f in (torch.sum, torch.numel))
    print(f"{kept:,} of {whole:,} weights in {file.stat().st_size:,} bytes")
    return file.stat().st_size


if __name__ == "__main__":
    main()
