"""Any data of (input, target) with any loss and any metrics, for tasks of your own."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data import batches
from pruneexp.engine import distributed
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import Metric
from pruneexp.tasks.loaded import Carry, LoadedTask, Setting

Loss = Callable[[Any, Any], Tensor]
Measure = Callable[[Any, Any], Tensor]
LOSS = "loss"  # the name of the mean loss among the metrics


class Supervised(LoadedTask):
    """Map-style datasets of (input, target), a loss, and metrics. Batches follow from (seed,
    epoch), so that a run that was interrupted goes on with the same bits.

        pruneexp.Supervised(
            train=train, valid=valid, test=test,
            loss=torch.nn.functional.mse_loss,
            metrics={"error": lambda outputs, targets: (outputs - targets).abs().mean(1)},
            metric=pruneexp.Metric(name="error", higher_is_better=False),
        )

    Arguments:
        train, valid, test: datasets with `len` and items (input, target); each of both is a tensor,
            an array, a number, or a tuple of these. A network takes the parts of a tuple as
            arguments.
        loss: from a batch's outputs and targets to the mean loss that is differentiated.
        metrics: by name, from outputs and targets to one value for each example; reported as the
            mean over a split. The mean loss is reported beside them, as "loss".
        metric: the one that is reported first.
        chosen_by: the one by which validation chooses; `metric` without.
        checksum: of the data, where it can be had; two runs on other data are then told apart.
    """

    def __init__(
        self,
        *,
        train: Any,
        valid: Any,
        test: Any,
        loss: Loss,
        metrics: Mapping[str, Measure] | None = None,
        metric: Metric | None = None,
        chosen_by: Metric | None = None,
        checksum: str = "",
    ) -> None:
        self.splits = {"train": train, "valid": valid, "test": test}
        self.loss_of = loss
        self.measures = dict(metrics or {})
        self.metric = metric or Metric(name=LOSS, higher_is_better=False, digits=4)
        self.chosen_by = chosen_by or self.metric
        self.checksum = checksum

    def settle(self, setting: Setting) -> None:
        super().settle(setting)
        faults = [
            Fault("task", f"has no examples in its {name} split")
            for name, split in self.splits.items()
            if len(split) == 0
        ]
        available = len(self.splits["train"])
        if 0 < available < setting.batch_size:
            takes = f"takes at most the {available:,} training examples"
            faults.append(Fault("training.batch_size", f"{takes}, got {setting.batch_size:,}"))
        known = [LOSS, *self.measures]
        for key, metric in (("metric", self.metric), ("chosen_by", self.chosen_by)):
            if metric.name not in known:
                takes = f"takes one of {', '.join(known)}, got {metric.name}"
                faults.append(Fault(f"task: {key}", takes))
        if faults:
            raise Invalid(faults)

    def batches(self, first: int, last: int) -> Iterator[Any]:
        setting, split = self.setting, self.splits["train"]
        asked = setting.seed, len(split), setting.batch_size, first, last
        for places in batches.batches(*asked):
            yield self._moved(
                _stacked([self._example(split, *place) for place in distributed.mine(places)])
            )

    def parts(self, batch: Any, count: int) -> list[Any]:
        return list(zip(*(_chunks(part, count) for part in batch), strict=True))

    def loss(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Tensor, Carry]:
        inputs, targets = batch
        return self.loss_of(_called(model, inputs), targets), None

    def example_losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """Of single examples with their own targets, since what a loss of one's own is the
        logarithm of is not known."""
        for batch in self.batches(0, -(-count // self.setting.batch_size)):
            for part in self.parts(batch, self.setting.batch_size)[:count]:
                yield self.loss(model, part, None)[0]
            count -= self.setting.batch_size

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """The mean of the loss and of each metric over a whole split."""
        examples = len(self.splits[split])
        names = [LOSS, *self.measures]
        sums = torch.zeros(len(names), dtype=torch.float64)
        for outputs, targets, count in self._evaluated(model, split, distributed.mine):
            sums[0] += count * float(self.loss_of(outputs, targets))
            for number, measure in enumerate(self.measures.values(), 1):
                values = measure(outputs, targets)
                if values.numel() != count:
                    why = f"must give one value for each example, got {tuple(values.shape)}"
                    raise Invalid([Fault(f"task: metric {names[number]}", why)])
                sums[number] += values.double().sum().cpu()
        means = (distributed.total(sums) / examples).tolist()
        return dict(zip(names, means, strict=True))

    @torch.inference_mode()
    def outcomes(self, model: nn.Module) -> Outcomes | None:
        """The reported metric of each example of the test split; None of the loss, which is only
        known of batches."""
        measure = self.measures.get(self.metric.name)
        if measure is None:
            return None
        values = [
            measure(outputs, targets).double().flatten().cpu()
            for outputs, targets, _ in self._evaluated(model, "test", lambda starts: starts)
        ]
        return Outcomes(self.metric.name, "mean", torch.cat(values).numpy())

    def _evaluated(
        self, model: nn.Module, split: str, mine: Callable[[range], Sequence[int]]
    ) -> Iterator[tuple[Any, Any, int]]:
        """Outputs, targets and the number of examples of each batch of a split, of those batches
        that this process takes."""
        was_training = model.training
        model.eval()
        examples, size = self.splits[split], self.setting.batch_size
        for start in mine(range(0, len(examples), size)):
            rows = range(start, min(start + size, len(examples)))
            inputs, targets = self._moved(_stacked([examples[row] for row in rows]))
            yield _called(model, inputs), targets, len(rows)
        model.train(was_training)

    def _example(self, split: Any, index: int, position: int) -> Any:
        """Whatever a dataset draws at random follows from (seed, position)."""
        draw = seeds.draw(self.setting.seed, "example", position)
        random.seed(draw)
        np.random.seed(draw % 2**32)
        torch.manual_seed(draw)
        return split[index]

    def _moved(self, batch: Any) -> Any:
        return _map(lambda tensor: tensor.to(self.setting.device), batch)


def _called(model: nn.Module, inputs: Any) -> Any:
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _stacked(examples: list[Any]) -> Any:
    """Examples as one batch, part by part."""
    first = examples[0]
    if isinstance(first, tuple | list):
        return tuple(
            _stacked([example[part] for example in examples]) for part in range(len(first))
        )
    tensors = [torch.as_tensor(example) for example in examples]
    stacked = torch.stack(tensors)
    return stacked.float() if stacked.dtype == torch.float64 else stacked


def _chunks(part: Any, count: int) -> list[Any]:
    if isinstance(part, tuple):
        return list(zip(*(_chunks(inner, count) for inner in part), strict=True))
    return list(part.chunk(count))


def _map(change: Callable[[Tensor], Tensor], part: Any) -> Any:
    return tuple(_map(change, inner) for inner in part) if isinstance(part, tuple) else change(part)
