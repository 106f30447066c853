"""Language modelling: the next word of a text, with a state carried along it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine import distributed
from pruneexp.engine.outcomes import Outcomes, by_sentence
from pruneexp.engine.record import Metric, Usage
from pruneexp.tasks.loaded import Carry, LoadedTask, Setting, sampled_loss

Batch = tuple[Tensor, Tensor, bool]  # words, the words after them, and whether an epoch begins
EVALUATION_WORDS = 500  # read at once in an evaluation; any number gives the same sum


class LanguageModelling(LoadedTask):
    """Truncated back-propagation as Zaremba et al. 2014: the text is cut into as many streams as
    the batch is large, a step goes `unroll` words along each, the state is zero at the start of an
    epoch and carried without gradient. The loss is summed over the unrolled words and averaged
    over the batch: their rates and their clipping belong to this sum."""

    metric = Metric(name="perplexity", higher_is_better=False)

    def __init__(
        self,
        splits: dict[str, np.ndarray],
        *,
        first: int,
        checksum: str = "",
        references: dict[str, float] | None = None,
        words: Sequence[str] = (),
    ) -> None:
        self.splits = splits
        self.first = first  # stands before a text's first word, which is predicted too: <eos>
        self.checksum = checksum
        self._references = references or {}
        self.words = words

    def training_examples(self) -> int:
        return len(self.splits["train"])

    def usage(self) -> Usage:
        start = f" a text begins with {self.words[self.first]}," if self.words else ""
        numbers = "numbers of words, as outputs are numbered from 0;"
        return Usage(
            inputs=f"{numbers}{start} whose scores predict its first word", outputs=list(self.words)
        )

    def settle(self, setting: Setting) -> None:
        super().settle(setting)
        faults = []
        length = len(self.splits["train"]) // setting.batch_size
        if setting.unroll < 1:
            faults.append(Fault("training.unroll", "takes a number of words above 0 for a text"))
        elif setting.unroll > length - 1:
            takes = f"takes at most {length - 1:,} words: {setting.batch_size} streams of the text"
            faults.append(Fault("training.unroll", f"{takes}, got {setting.unroll}"))
        if distributed.count() > 1:
            faults.append(Fault("task", "is trained by one process; start it without torchrun"))
        if faults:
            raise Invalid(faults)
        whole = torch.from_numpy(self.splits["train"][: length * setting.batch_size]).long()
        self._streams = whole.view(setting.batch_size, length).t().contiguous()  # time first
        self._streams = self._streams.to(setting.device)

    def steps_an_epoch(self) -> int:
        return (len(self._streams) - 1) // self.setting.unroll

    def examples_a_step(self) -> int:
        return self.setting.batch_size * self.setting.unroll

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        unroll, epoch = self.setting.unroll, self.steps_an_epoch()
        for step in range(first, last):
            start = step % epoch * unroll
            words = self._streams[start : start + unroll]
            after = self._streams[start + 1 : start + unroll + 1]
            yield words, after, step % epoch == 0

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        scores, carry = self.scores(model, batch, carry)
        return self.loss_from_scores(model, scores, batch), carry

    def scores(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        words, _, epoch_begins = batch
        scores, state = model(words, None if epoch_begins else carry)
        return scores, _detached(state)

    def loss_from_scores(self, model: nn.Module, scores: Tensor, batch: Batch) -> Tensor:
        words, after, _ = batch
        loss = nn.functional.cross_entropy(
            scores.flatten(0, 1), after.flatten(), label_smoothing=self.setting.label_smoothing
        )
        return loss * len(words)

    def example_losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """Of single stretches of `training.unroll` words, each read from the beginning, with words
        that are drawn; a stretch's loss is the sum over its words."""
        stretches = (
            words[:, stream : stream + 1]
            for words, _, _ in self.batches(0, -(-count // self.setting.batch_size))
            for stream in range(words.shape[1])
        )
        for number, words in zip(range(count), stretches, strict=False):
            scores, _ = model(words, None)
            yield sampled_loss(scores.flatten(0, 1), self.setting.seed, number)

    def shown(self, loss: float) -> float:
        return loss / self.setting.unroll

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Perplexity over a whole text read as one stream, every word counted once."""
        nats = sum(
            nn.functional.cross_entropy(scores, after, reduction="sum").item()
            for scores, after in self._read(model, split)
        )
        mean = nats / len(self.splits[split])
        # A hopeless model's perplexity is infinite to people, but not to a record.
        return {"perplexity": math.exp(min(mean, 700.0)), "loss": mean}

    @torch.inference_mode()
    def outcomes(self, model: nn.Module) -> Outcomes:
        """Nats and words of each sentence of the test text."""
        nats = torch.cat(
            [
                nn.functional.cross_entropy(scores, after, reduction="none").double().cpu()
                for scores, after in self._read(model, "test")
            ]
        )
        return by_sentence(nats.numpy(), self.splits["test"] == self.first)

    def _read(self, model: nn.Module, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The scores of a text's words, piece by piece, and the words."""
        was_training = model.training
        model.eval()
        text = torch.from_numpy(self.splits[split]).long().to(self.setting.device)
        before = torch.cat([text.new_tensor([self.first]), text[:-1]])
        state: Carry = None
        for start in range(0, len(text), EVALUATION_WORDS):
            words = before[start : start + EVALUATION_WORDS].unsqueeze(1)
            scores, state = model(words, state)
            yield scores.squeeze(1), text[start : start + EVALUATION_WORDS]
        model.train(was_training)

    def references(self) -> dict[str, float]:
        return self._references

    def baselines(self) -> dict[str, float]:
        """The perplexity on test of the share that each word has in the training text, each word
        counted once more than it is there."""
        words = max(int(split.max()) for split in self.splits.values()) + 1
        counts = np.bincount(self.splits["train"], minlength=words) + 1
        nats = -np.log(counts / counts.sum())[self.splits["test"]]
        return {"counting words": float(math.exp(nats.mean()))}


def _detached(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(_detached(part) for part in state)
