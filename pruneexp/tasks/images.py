"""Classification of pictures: batches by position, loss, and accuracy over a whole split."""

import random
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from pruneexp import ranks, seeds
from pruneexp.data import batches
from pruneexp.recipe import Fault, ImageShape, Invalid
from pruneexp.tasks.loaded import Carry, Loaded, Setting

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


class Classification(Loaded):
    """Pictures and their classes. The loss is the mean cross-entropy of a batch."""

    metric: ClassVar[dict[str, Any]] = {"name": "accuracy", "unit": "%", "higher_is_better": True}

    def __init__(
        self, train: Examples, valid: Examples, test: Examples, *, checksum: str = ""
    ) -> None:
        self.splits = {"train": train, "valid": valid, "test": test}
        self.checksum = checksum

    def settle(self, setting: Setting) -> None:
        super().settle(setting)
        available = len(self.splits["train"])
        faults = [
            Fault("task", f"has no examples in its {name} split")
            for name, split in self.splits.items()
            if len(split) == 0
        ]
        if 0 < available < setting.batch_size:
            takes = f"takes at most the {available:,} training examples"
            faults.append(Fault("training.batch_size", f"{takes}, got {setting.batch_size:,}"))
        if not faults:
            assert isinstance(setting.shape, ImageShape), setting.shape
            _, label = self.splits["train"][0]
            if not 0 <= int(label) < setting.shape.classes:
                classes = setting.shape.classes
                faults.append(Fault("task.classes", f"={classes}, but there is a class {label}"))
        if faults:
            raise Invalid(faults)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        split, setting = self.splits["train"], self.setting
        places = _Places((setting.seed, len(split), setting.batch_size, first, last))
        fetch = _Fetch(split, setting.seed)
        if setting.workers == 0:
            return map(fetch.__getitem__, places)
        return iter(DataLoader(fetch, batch_size=None, sampler=places, num_workers=setting.workers))

    def parts(self, batch: Batch, count: int) -> list[Batch]:
        pictures, labels = batch
        return list(zip(pictures.chunk(count), labels.chunk(count), strict=True))

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        pictures, labels = self._moved(batch)
        smoothing = self.setting.label_smoothing
        scores = model(pictures)
        return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing), None

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Accuracy and mean loss over a whole split."""
        was_training = model.training
        model.eval()
        examples = self.splits[split]
        fetch = _Fetch(examples, seed=0)
        right = loss = 0.0
        for start in ranks.mine(range(0, len(examples), EVALUATION_BATCH)):
            rows = range(start, min(start + EVALUATION_BATCH, len(examples)))
            pictures, labels = self._moved(fetch[[(row, row) for row in rows]])
            scores = model(pictures)
            right += (scores.argmax(1) == labels).sum().item()
            loss += nn.functional.cross_entropy(scores, labels, reduction="sum").item()
        model.train(was_training)
        right, loss = ranks.total(torch.tensor([right, loss], dtype=torch.float64)).tolist()
        return {"accuracy": 100 * right / len(examples), "loss": loss / len(examples)}

    def _moved(self, batch: Batch) -> Batch:
        pictures, labels = batch
        device = self.setting.device
        if pictures.dim() != 4:  # memory formats are for pictures
            return pictures.to(device), labels.to(device)
        memory_format = self.setting.memory_format
        return pictures.to(device, memory_format=memory_format), labels.to(device)


class _Places(Sampler[list[batches.Place]]):
    """Which examples make up which batch, worked out as the loader asks."""

    def __init__(self, asked: tuple[int, int, int, int, int]) -> None:
        self.asked = asked

    def __iter__(self) -> Iterator[list[batches.Place]]:
        return (list(ranks.mine(places)) for places in batches.batches(*self.asked))


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
