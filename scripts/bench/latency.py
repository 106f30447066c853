"""Networks at 90 % on one thread of this CPU, sparse against dense, as `pruneexp latency` does it.

Uniform magnitude masks over fresh weights: how many are masked counts here, not which.
"""

import torch
from torch import nn

from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.pruning import Gradual
from pruneexp.pruning.schedule import OneShot
from pruneexp.running.latency import Latency
from pruneexp.running.latency import latency as measured
from pruneexp.tasks.shape import ImageShape, Shape, TextShape

WORDS, PICTURES = TextShape(vocabulary=10_000), ImageShape(channels=3, pixels=224, classes=1000)
LARGE = LSTMLanguageModel(hidden_size=1500, initial=0.04)


def latency() -> None:
    """The large LSTM a word, and MobileNet at 224 pixels a picture."""
    networks: dict[str, tuple[nn.Module, Shape, tuple[int, ...]]] = {
        "large LSTM (1500 units)": (LARGE.build(WORDS), WORDS, (1, 16)),
        "MobileNet, 224 pixels": (MobileNetV1().build(PICTURES), PICTURES, (1,)),
    }
    for name, (model, shape, batches) in networks.items():
        torch.manual_seed(0)
        pruner = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0)).attach(model, steps=1)
        pruner.after_step()
        pruner.finish()
        for batch in batches:
            show(name, measured(model.eval(), shape, batch=batch, threads=1))


def show(name: str, found: Latency) -> None:
    print(f"\n{name} at 90 %, batch {found.batch}, one thread")
    for each in found.layers:
        gain = f"x{each.dense / each.sparse:.2f}"
        print(f"  {each.layer:<28} {1000 * each.dense:9.3f} ms dense, sparse {gain}")
    dense, sparse = (1000 * seconds / found.batch for seconds in (found.dense, found.sparse))
    print(
        f"  a {found.example}: {dense:.3f} ms dense, {sparse:.3f} ms sparse: x{found.faster:.2f}, "
        f"{found.faster / found.limit:.2f} of Amdahl's x{found.limit:.2f}"
    )
