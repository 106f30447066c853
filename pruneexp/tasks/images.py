"""Classification of pictures: batches by position, loss, and accuracy over a whole split."""

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data import batches
from pruneexp.data.batches import Place
from pruneexp.engine import distributed
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import Metric, Usage
from pruneexp.tasks.loaded import Carry, LoadedTask, Setting, sampled_loss
from pruneexp.tasks.shape import ImageShape

Batch = tuple[Tensor, Tensor]
Fetched = tuple[Batch | None, list[str]]  # and what could not be read
EVALUATION_BATCH = 125  # examples; their pictures and features stay in a core's cache
BEST = 5  # of the classes, beside the first
SHIFT = 4  # pixels, either way (He et al. 2016, CIFAR)
MOST_SKIPPED = 100  # pictures one after the other; more, and the data is gone rather than damaged
STANDARDISED = (
    "values from 0 to 255, of each picture less its own mean, over its own deviation (at least 1)"
)


class Unreadable(Exception):
    """A picture that cannot be read: which, and why."""


class Examples(Protocol):
    """A split: any map-style dataset of (picture, class)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class Pictures:
    """A split that lies in memory as bytes, grey (n, h, w) or in colours (n, h, w, 3). Whole
    batches are taken at once, each picture scaled to mean 0 and deviation 1, so that contrast and
    inversion cost no capacity. `moved`: shifted and flipped at random for training."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, *, moved: bool = False) -> None:
        planes = torch.tensor(pictures)
        grey = planes.dim() == 3
        self.pictures = planes.unsqueeze(1) if grey else planes.permute(0, 3, 1, 2).contiguous()
        self.labels = torch.tensor(labels, dtype=torch.long)
        self.moved = moved

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pictures, labels = self.take([index])
        return pictures[0], labels[0]

    def take(self, indices: list[int]) -> Batch:
        pictures = self.pictures[indices].float()
        deviation, mean = torch.std_mean(pictures, dim=(1, 2, 3), correction=0, keepdim=True)
        return (pictures - mean) / deviation.clamp_min(1), self.labels[indices]


def shifted(pictures: Tensor, draws: Sequence[int]) -> Tensor:
    """Shifted by up to `SHIFT` pixels and flipped, each picture by its own draw. What a shift
    leaves free is 0, the mean."""
    height, width = pictures.shape[2:]
    source = pictures.numpy()
    moved = np.zeros_like(source)
    sides = 2 * SHIFT + 1
    for row, draw in enumerate(draws):
        down, across = draw % sides - SHIFT, draw // sides % sides - SHIFT
        picture = source[row] if draw // sides**2 % 2 else source[row, :, :, ::-1]
        top, left = max(down, 0), max(across, 0)
        bottom, right = height + min(down, 0), width + min(across, 0)
        moved[row, :, top:bottom, left:right] = picture[
            :, top - down : bottom - down, left - across : right - across
        ]
    return torch.from_numpy(moved)


def _starts(examples: int) -> range:
    """The first row of each batch of an evaluation."""
    return range(0, examples, EVALUATION_BATCH)


class Classification(LoadedTask):
    """Pictures and their classes. The loss is the mean cross-entropy of a batch."""

    metric = Metric(name="accuracy", unit="%", higher_is_better=True, digits=1)

    def __init__(
        self,
        train: Examples,
        valid: Examples,
        test: Examples,
        *,
        checksum: str = "",
        unreadable: str = "stop",
        classes: Sequence[str] = (),
        inputs: str = "",
    ) -> None:
        self.splits = {"train": train, "valid": valid, "test": test}
        self.checksum = checksum
        self.skips = unreadable == "skip"
        self._usage = Usage(inputs=inputs, outputs=list(classes))
        self.told: set[str] = set()  # about pictures that were skipped

    def usage(self) -> Usage:
        return self._usage

    def training_examples(self) -> int:
        return len(self.splits["train"])

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
            label, classes = _highest(self.splits["train"]), setting.shape.classes
            if not 0 <= label < classes:
                faults.append(Fault("task.classes", f"={classes}, but there is a class {label}"))
        if faults:
            raise Invalid(faults)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        split, setting = self.splits["train"], self.setting
        places = _Places((setting.seed, len(split), setting.batch_size, first, last))
        return self._read(_Fetch(split, setting.seed, self.skips), places, setting.workers)

    def parts(self, batch: Batch, count: int) -> list[Batch]:
        pictures, labels = batch
        return list(zip(pictures.chunk(count), labels.chunk(count), strict=True))

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        batch = self.placed(batch)
        scores, carry = self.scores(model, batch, carry)
        return self.loss_from_scores(model, scores, batch), carry

    def scores(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Any, Carry]:
        return model(batch[0]), None

    def loss_from_scores(self, model: nn.Module, scores: Any, batch: Batch) -> Tensor:
        """A network that returns (scores, auxiliary scores) says in `auxiliary` what the loss of
        the latter weighs."""
        _, labels = batch
        smoothing = self.setting.label_smoothing
        if not isinstance(scores, tuple):
            return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing)
        losses = [
            nn.functional.cross_entropy(each, labels, label_smoothing=smoothing) for each in scores
        ]
        return losses[0] + _auxiliary(model) * losses[1]

    def example_losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """Of single pictures, with classes that are drawn."""
        pictures = (
            picture.unsqueeze(0)
            for batch in self.batches(0, -(-count // self.setting.batch_size))
            for picture in self.placed(batch)[0]
        )
        for number, picture in zip(range(count), pictures, strict=False):
            yield sampled_loss(model(picture), self.setting.seed, number)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Accuracy and mean loss over a whole split; where there are more than five classes, also
        how often the right one is among the best five."""
        count = len(self.splits[split])
        right = among = loss = 0.0
        for scores, labels in self._scored(model, split, distributed.mine(_starts(count))):
            right += (scores.argmax(1) == labels).sum().item()
            best = scores.topk(min(BEST, scores.shape[1])).indices
            among += (best == labels[:, None]).sum().item()
            loss += nn.functional.cross_entropy(scores, labels, reduction="sum").item()
        sums = distributed.total(torch.tensor([right, among, loss], dtype=torch.float64))
        right, among, loss = sums.tolist()
        metrics = {"accuracy": 100 * right / count, "top5": 100 * among / count}
        assert isinstance(self.setting.shape, ImageShape), self.setting.shape
        if self.setting.shape.classes <= BEST:
            del metrics["top5"]
        return {**metrics, "loss": loss / count}

    @torch.inference_mode()
    def outcomes(self, model: nn.Module) -> Outcomes:
        """Of each picture of the test split, whether its class was found."""
        starts = _starts(len(self.splits["test"]))
        right = [
            (scores.argmax(1) == labels).cpu().numpy()
            for scores, labels in self._scored(model, "test", starts)
        ]
        return Outcomes("accuracy", "percent", np.concatenate(right))

    def _scored(
        self, model: nn.Module, split: str, starts: Iterable[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores and classes of the batches of a split that begin at these rows."""
        was_training = model.training
        model.eval()
        examples = self.splits[split]
        places = [
            [(row, row) for row in range(start, min(start + EVALUATION_BATCH, len(examples)))]
            for start in starts
        ]
        in_memory = isinstance(examples, Pictures)  # taken faster than handed over
        workers = 0 if in_memory else self.setting.workers
        for batch in self._read(_Fetch(examples, 0, self.skips), places, workers):
            pictures, labels = self.placed(batch)
            yield model(pictures), labels
        model.train(was_training)

    def _read(
        self, fetch: "_Fetch", places: Iterable[list[Place]], workers: int
    ) -> Iterator[Batch]:
        """The batches at these places, from this process or from `workers` others."""
        fetched: Iterable[Fetched] = (
            DataLoader(fetch, batch_size=None, sampler=places, num_workers=workers)
            if workers
            else map(fetch.__getitem__, places)
        )
        try:
            for batch, unreadable in fetched:
                if batch is None:
                    raise Invalid([_refusal(unreadable, self.skips)])
                self._tell(unreadable)
                yield batch
        except (OSError, RuntimeError) as error:
            if not workers or not ("shm" in str(error) or isinstance(error, OSError)):
                raise
            why = f"takes 0 where processes cannot share memory (/dev/shm): {error}"
            raise Invalid([Fault("training.workers", why)]) from error

    def _tell(self, skipped: list[str]) -> None:
        """Each once, whichever process met it however often."""
        for message in skipped:
            if message not in self.told:
                self.told.add(message)
                place = f"the next readable picture takes its place ({len(self.told)} so far)"
                print(f"{message}; {place}", file=sys.stderr, flush=True)

    def placed(self, batch: Batch) -> Batch:
        pictures, labels = batch
        device = self.setting.device
        if pictures.dim() != 4:  # memory formats are for pictures
            return pictures.to(device), labels.to(device)
        memory_format = self.setting.memory_format
        return pictures.to(device, memory_format=memory_format), labels.to(device)


class _Places(Sampler[list[Place]]):
    """Which examples make up which batch, worked out as the loader asks."""

    def __init__(self, asked: tuple[int, int, int, int, int]) -> None:
        self.asked = asked

    def __iter__(self) -> Iterator[list[Place]]:
        return (list(distributed.mine(places)) for places in batches.batches(*self.asked))


class _Fetch(Dataset[Fetched]):
    """Batches of a split; whatever a dataset draws at random follows from (seed, position). What
    cannot be read is returned: raised in a loader's process it would arrive as a traceback."""

    def __init__(self, split: Examples, seed: int, skips: bool) -> None:
        self.split, self.seed, self.skips = split, seed, skips

    def __getitem__(self, places: list[Place]) -> Fetched:
        if isinstance(self.split, Pictures):
            pictures, labels = self.split.take([index for index, _ in places])
            if self.split.moved:
                pictures = shifted(pictures, [self._draw(position) for _, position in places])
            return (pictures, labels), []
        unreadable: dict[str, None] = {}  # in order, each once
        examples = [self._example(*place, unreadable) for place in places]
        found = [example for example in examples if example is not None]
        if len(found) < len(places):
            return None, list(unreadable)
        pictures = torch.stack([torch.as_tensor(picture) for picture, _ in found])
        return (pictures, torch.tensor([int(label) for _, label in found])), list(unreadable)

    def _example(
        self, index: int, position: int, unreadable: dict[str, None]
    ) -> tuple[Any, Any] | None:
        """The example there, or None; with `skips`, the next readable one in the split's order."""
        draw = self._draw(position)
        for further in range(MOST_SKIPPED if self.skips else 1):
            random.seed(draw)
            np.random.seed(draw % 2**32)
            _seed_torch(draw)
            try:
                return self.split[(index + further) % len(self.split)]
            except Unreadable as error:
                unreadable[str(error)] = None
        return None

    def _draw(self, position: int) -> int:
        return seeds.draw(self.seed, "example", position)


def _seed_torch(draw: int) -> None:
    """As `torch.manual_seed`, which keeps a stack for devices that are not used yet: a hundred
    times the time, for each picture."""
    if torch.cuda.is_initialized():
        torch.manual_seed(draw)
    else:
        torch.default_generator.manual_seed(draw)


def _highest(split: Examples) -> int:
    """The highest class, or the first example's where only reading all of them would tell."""
    labels = getattr(split, "labels", None)
    if isinstance(labels, Tensor | np.ndarray):
        return int(labels.max())
    return int(split[0][1])


def _refusal(unreadable: list[str], skips: bool) -> Fault:
    first, count = unreadable[0], len(unreadable)
    if skips:
        why = f"=skip, but {MOST_SKIPPED} pictures one after the other cannot be read; the first: "
        return Fault("task.unreadable", f"{why}{first}. Is the data still there?")
    more = f" ({count} such pictures in one batch)" if count > 1 else ""
    why = f"=stop, and {first}{more}; mend or remove what cannot be read, or let "
    why += "task.unreadable=skip take the next readable picture in its place"
    return Fault("task.unreadable", why)


def _auxiliary(model: nn.Module) -> float:
    """A wrapper for several devices keeps the network as `module`."""
    network = model if hasattr(model, "auxiliary") else getattr(model, "module", model)
    weight = getattr(network, "auxiliary", None)
    if not isinstance(weight, float | int):
        why = "gives scores and auxiliary scores, so it must have a number `auxiliary`: what the "
        raise Invalid([Fault("model", why + "loss of the latter weighs")])
    return float(weight)
