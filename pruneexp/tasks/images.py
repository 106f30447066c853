"""Classification of pictures: batches by position, loss, and accuracy over a whole split."""

import random
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pruneexp import seeds
from pruneexp.data import batches
from pruneexp.recipe import Fault, Invalid

Batch = tuple[Tensor, Tensor]
EVALUATION_BATCH = 125  # examples; their pictures and features stay in a core's cache


class Examples(Protocol):
    """A split: any map-style dataset of (picture, class)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class Pictures:
    """A split that lies in memory as bytes; whole batches are taken at once, each picture shifted
    and scaled to mean 0 and deviation 1, so that contrast and inversion cost no capacity."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray) -> None:
        self.pictures = torch.tensor(pictures).unsqueeze(1)
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pictures, labels = self.take([index])
        return pictures[0], labels[0]

    def take(self, indices: list[int]) -> Batch:
        pictures = self.pictures[indices].float()
        deviation, mean = torch.std_mean(pictures, dim=(1, 2, 3), correction=0, keepdim=True)
        return (pictures - mean) / deviation.clamp_min(1), self.labels[indices]


class Classification:
    """Three splits, how a batch becomes a loss, and what is reported. The number of chances, the
    order of examples and the choice of the best state are the loop's."""

    metric: ClassVar[dict[str, Any]] = {"name": "accuracy", "unit": "%", "higher_is_better": True}

    def __init__(
        self, train: Examples, valid: Examples, test: Examples, *, checksum: str = ""
    ) -> None:
        self.splits = {"train": train, "valid": valid, "test": test}
        self.checksum = checksum  # of the data's content, where it can be had

    def check(self, batch_size: int, classes: int) -> None:
        """Refuse what cannot be trained on, before any step."""
        faults = [
            Fault("task", f"has no examples in its {name} split")
            for name, split in self.splits.items()
            if len(split) == 0
        ]
        available = len(self.splits["train"])
        if available and batch_size > available:
            faults.append(
                Fault(
                    "training.batch_size",
                    f"takes at most the {available:,} training examples, got {batch_size:,}",
                )
            )
        if not faults:
            _, label = self.splits["train"][0]
            if not 0 <= int(label) < classes:
                faults.append(Fault("task.classes", f"={classes}, but there is a class {label}"))
        if faults:
            raise Invalid(faults)

    def batches(
        self, *, seed: int, batch_size: int, first: int, last: int, workers: int
    ) -> Iterator[Batch]:
        """The training batches of the steps from `first` up to `last`."""
        split = self.splits["train"]
        places = batches.batches(seed, len(split), batch_size, first, last)
        fetch = _Fetch(split, seed)
        if workers == 0:
            return map(fetch.__getitem__, places)
        return iter(DataLoader(fetch, batch_size=None, sampler=list(places), num_workers=workers))

    def loss(self, model: nn.Module, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """The mean over the batch; what is differentiated."""
        pictures, labels = batch
        return nn.functional.cross_entropy(model(pictures), labels, label_smoothing=label_smoothing)

    @torch.inference_mode()
    def evaluate(
        self, model: nn.Module, split: str, device: torch.device, memory_format: torch.memory_format
    ) -> dict[str, float]:
        """Accuracy and mean loss over a whole split; the model comes back as it was."""
        was_training = model.training
        model.eval()
        examples = self.splits[split]
        fetch = _Fetch(examples, seed=0)
        right, loss = torch.zeros((), device=device), torch.zeros((), device=device)
        for start in range(0, len(examples), EVALUATION_BATCH):
            rows = range(start, min(start + EVALUATION_BATCH, len(examples)))
            batch = to_device(fetch[[(row, row) for row in rows]], device, memory_format)
            scores = model(batch[0])
            right += (scores.argmax(1) == batch[1]).sum()
            loss += nn.functional.cross_entropy(scores, batch[1], reduction="sum")
        model.train(was_training)
        return {
            "accuracy": 100 * right.item() / len(examples),
            "loss": loss.item() / len(examples),
        }


class _Fetch(Dataset[Batch]):
    """Batches of a split; whatever a dataset draws at random follows from (seed, position)."""

    def __init__(self, split: Examples, seed: int) -> None:
        self.split = split
        self.seed = seed

    def __getitem__(self, places: list[batches.Place]) -> Batch:
        if isinstance(self.split, Pictures):
            return self.split.take([index for index, _ in places])
        pictures, labels = zip(*[self._example(*place) for place in places], strict=True)
        return (
            torch.stack([torch.as_tensor(picture) for picture in pictures]),
            torch.tensor([int(label) for label in labels]),
        )

    def _example(self, index: int, position: int) -> tuple[Any, Any]:
        draw = seeds.draw(self.seed, "example", position)
        random.seed(draw)
        np.random.seed(draw % 2**32)
        torch.manual_seed(draw)
        return self.split[index]


def to_device(batch: Batch, device: torch.device, memory_format: torch.memory_format) -> Batch:
    pictures, labels = batch
    if pictures.dim() != 4:  # memory formats are for pictures
        return pictures.to(device), labels.to(device)
    return (
        pictures.to(device, memory_format=memory_format, non_blocking=True),
        labels.to(device, non_blocking=True),
    )
