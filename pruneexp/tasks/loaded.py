"""What the training loop and `execute` see of a task once its data is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import Metric, Sample, Usage
from pruneexp.tasks.shape import Shape

Carry = Any  # what one step hands to the next: a recurrent state without gradient, or None


@dataclass(frozen=True, slots=True)
class Setting:
    """How a run trains on the data: fixed before its first step."""

    device: torch.device
    shape: Shape
    seed: int
    batch_size: int
    unroll: int
    label_smoothing: float
    memory_format: torch.memory_format
    workers: int


class LoadedTask:
    """A task whose data is there: three splits, how a batch becomes a loss, and what is reported.
    The number of chances, the order of steps and the choice of the best state are the loop's.

    A subclass sets `metric` and defines `batches`, `loss` and `evaluate`. Batches must follow from
    their step, so that a resumed run sees what the uninterrupted one would have seen.

        class Sorting(LoadedTask):
            metric = Metric(name="sorted", unit="%", higher_is_better=True)

            def batches(self, first, last):
                for step in range(first, last):
                    yield make_batch(self.setting.seed, step)

            def loss(self, model, batch, carry):
                return my_loss(model(batch.inputs), batch.targets), None

            def evaluate(self, model, split):
                return {"sorted": share_that_is_sorted(model, split)}
    """

    metric: Metric  # what is reported first
    checksum: str = ""  # of the data's content, where it can be had
    measured_once: tuple[str, ...] = ()  # names of what `measure_once` gives
    setting: Setting

    @property
    def chosen_by(self) -> Metric:
        """What validation chooses the best state by; a key of what `evaluate` returns."""
        return self.__dict__.get("_chosen_by", self.metric)

    @chosen_by.setter
    def chosen_by(self, metric: Metric) -> None:
        self.__dict__["_chosen_by"] = metric

    def settle(self, setting: Setting) -> None:
        """Take up a run's setting. Raises `Invalid` for what cannot be trained on."""
        self.setting = setting

    def checksums(self) -> dict[str, str]:
        """What the record says of the data: a checksum by the name of what it is of."""
        return {"data": self.checksum}

    def circumstances(self) -> dict[str, str]:
        """What the metrics were computed with that may differ between equal runs, such as the
        version of a library."""
        return {}

    def measure_once(self, model: nn.Module, split: str) -> dict[str, float]:
        """Metrics that are too dear for each validation, such as BLEU by beam search: measured of
        the chosen state alone, on validation and on test, and reported beside the others."""
        return {}

    def examples_a_step(self) -> int:
        """How many examples (pictures, words) the weights see in a step."""
        return self.setting.batch_size

    def training_examples(self) -> int | None:
        """How many different ones there are; None where that cannot be said."""
        return None

    def batches(self, first: int, last: int) -> Iterator[Any]:
        """The training batches of the steps from `first` up to `last`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def parts(self, batch: Any, count: int) -> list[Any]:
        """A batch cut into equal parts, whose gradients are added up one after the other."""
        if count == 1:
            return [batch]
        raise Invalid([Fault("training.accumulate", f"takes 1 with this task, got {count}")])

    def loss(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Tensor, Carry]:
        """What is differentiated, and what the next step starts from."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def placed(self, batch: Any) -> Any:
        """A batch, or a part of one, on the run's device, where `batches` leaves that to `loss`."""
        return batch

    def scores(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Any, Carry]:
        """The scores of classes that `loss` is worked out from, in the last dimension, and what the
        next step starts from; a network may give auxiliary scores in a tuple after them. Asked
        only where a teacher's scores count beside the labels (`distillation`), of a placed
        batch."""
        why = "needs the scores of classes, which this task does not give"
        raise Invalid([Fault("distillation", why)])

    def loss_from_scores(self, model: nn.Module, scores: Any, batch: Any) -> Tensor:
        """What `loss` makes of these scores."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def example_losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """The loss of each of the first training examples, one after the other and with a graph of
        its own, where targets can be drawn with the chances that the model gives them: of a
        trained model, the squares of their gradients say how much each weight matters. The model is
        in eval mode."""
        why = "needs losses of single examples, which this task does not give"
        raise Invalid([Fault("pruning.criterion", why)])

    def shown(self, loss: float) -> float:
        """The loss as people compare it: a mean over examples."""
        return loss

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Metrics over a whole split; the model comes back as it was."""
        raise NotImplementedError(f"{type(self).__name__} does not say how")

    def outcomes(self, model: nn.Module) -> Outcomes | None:
        """What came of each item of the test split, by which runs are compared item by item; None
        where that cannot be said. One process asks, whatever the ranks."""
        return None

    def samples(self, model: nn.Module) -> list[Sample]:
        """A few examples of the test split in words, for people to read; none where they are no
        words. One process asks, whatever the ranks."""
        return []

    def usage(self) -> Usage:
        """What the network's inputs and outputs mean; exported files say it."""
        return Usage()

    def baselines(self) -> dict[str, float]:
        """What the metric is on test without a network, where that is known: a model that is no
        better has learned nothing."""
        return {}

    def references(self) -> dict[str, float]:
        """What the metric could be at best on this very test split, where that is known."""
        return {}


def sampled_loss(scores: Tensor, seed: int, number: int) -> Tensor:
    """The cross-entropy of scores with classes that are drawn with the chances that they give.

    Arguments:
        scores: of one example, (places, classes).
        seed: of the run.
        number: of the example; each has draws of its own.
    """
    generator = torch.Generator().manual_seed(seeds.draw(seed, "sampled classes", number))
    chances = torch.softmax(scores.detach().float().cpu(), 1)
    drawn = torch.multinomial(chances, 1, generator=generator)[:, 0].to(scores.device)
    return nn.functional.cross_entropy(scores, drawn, reduction="sum")
