"""A network and data of your own, from training to a packed file.

    cd examples
    pruneexp run experiment=budget budget=12kB model=custom model.factory=mine:network \
        'model.arguments={hidden: 16}' model.dial=hidden task=custom task.factory=mine:data \
        task.channels=1 task.pixels=12 task.classes=10 training.steps=300
    pruneexp choose --budget 12kB

`model.dial` names the argument that a budget turns. What `choose` prints last packs the file.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import pruneexp

CLASSES, PIXELS = 10, 12


def network(hidden: int = 16) -> nn.Module:
    """A perceptron with one hidden layer."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(PIXELS * PIXELS, hidden),
        nn.ReLU(),
        nn.Linear(hidden, CLASSES),
    )


def data() -> pruneexp.Classification:
    """Pictures of ten random patterns under noise; any map-style dataset of (picture, class)."""
    return pruneexp.Classification(train=_drawn(4000, 0), valid=_drawn(500, 1), test=_drawn(500, 2))


def _drawn(pictures: int, seed: int) -> TensorDataset:
    patterns = torch.randn(CLASSES, PIXELS, PIXELS, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(CLASSES, (pictures,), generator=generator)
    noise: Tensor = 3 * torch.randn(pictures, PIXELS, PIXELS, generator=generator)
    return TensorDataset((patterns[classes] + noise)[:, None], classes)
