"""Translation: a sentence in one language becomes one in another."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data.length_batches import LengthBatches
from pruneexp.data.parallel import ParallelText, Split
from pruneexp.data.vocabulary import BEGIN, END, PAD
from pruneexp.decoding import quality
from pruneexp.decoding.beam_search import BeamSearch
from pruneexp.engine import distributed
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import Metric, Sample, Usage
from pruneexp.tasks.loaded import Carry, LoadedTask, Setting, sampled_loss

EVALUATION_WORDS = 4_000  # read at once in an evaluation; any number gives the same sum
SAMPLES = 12  # sentences of the test split that are kept in words
LOSS = Metric(name="loss", higher_is_better=False, digits=4)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs that are learned from together.

    Arguments:
        source: (sentences, words), padded with 0.
        before: the target's words after <s>, which the network is given,
        after: and the words up to </s>, which it is to give.
        divisor: what the summed loss is divided by.
    """

    source: Tensor
    before: Tensor
    after: Tensor
    divisor: float

    def on(self, device: torch.device) -> "Batch":
        """The same there."""
        parts = self.source.to(device), self.before.to(device), self.after.to(device)
        return Batch(*parts, self.divisor)


class Translation(LoadedTask):
    """Pairs of sentences, a loss over words, and BLEU of what beam search makes of the chosen
    state, decoded once.

    Arguments:
        corpus: three splits in one vocabulary.
        batches_of: what a batch is counted in, sentences or words; the summed loss is divided by
            that count.
        beams, length_penalty: of the search.
        tokenised: whether BLEU takes the text as it is.
        exact: whether each sentence has exactly one translation, so that equal ones are counted.
    """

    def __init__(
        self,
        corpus: ParallelText,
        *,
        batches_of: str = "sentences",
        beams: int = 4,
        length_penalty: float = 1.0,
        tokenised: bool = False,
        exact: bool = False,
    ) -> None:
        self.splits, self.vocabulary = corpus.splits, corpus.vocabulary
        self.checksum = corpus.checksum()
        self.search = BeamSearch(beams=beams, penalty=length_penalty)
        self.batches_of = batches_of
        self.exact = exact
        self.metric = Metric(
            name="tokenised_bleu" if tokenised or exact else "bleu", higher_is_better=True
        )
        self.chosen_by = LOSS
        self.measured_once = (*quality.TOKENISERS, "chrf", *(["exact"] if exact else []))
        self._outputs: dict[str, list[str]] = {}  # of the splits that were decoded last

    def checksums(self) -> dict[str, str]:
        return {"data": self.checksum, "vocabulary": self.vocabulary.checksum}

    def circumstances(self) -> dict[str, str]:
        return {name: quality.signature(name) for name in (*quality.TOKENISERS, "chrf")}

    def settle(self, setting: Setting) -> None:
        super().settle(setting)
        train = self.splits["train"]
        available = len(train)
        if self.batches_of == "sentences" and setting.batch_size > available:
            takes = f"takes at most the {available:,} training pairs"
            raise Invalid([Fault("training.batch_size", f"{takes}, got {setting.batch_size:,}")])
        source, target = train.source.lengths, train.target.lengths + 1
        self._batches = LengthBatches.of(source, target, setting.batch_size, self.batches_of)
        self._mean_words = float(target.mean())

    # --- training ------------------------------------------------------------------------------

    def training_examples(self) -> int:
        """Words of the target, the marks of the end among them."""
        target = self.splits["train"].target
        return len(target.pieces) + len(target)

    def steps_an_epoch(self) -> int:
        return len(self._batches)

    def examples_a_step(self) -> int:
        """Words of the target, in the mean over an epoch."""
        return round(self.training_examples() / len(self._batches))

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        split, ranks = self.splits["train"], distributed.count()
        for rows in self._batches.rows(self.setting.seed, first, last):
            words = sum(len(split.target[row]) + 1 for row in rows)
            divisor = len(rows) if self.batches_of == "sentences" else words
            # Gradients are averaged over ranks, which may have more or fewer words each. A batch of
            # fewer pairs than ranks is the same at each.
            shared = len(rows) >= ranks
            own = distributed.mine(rows.tolist()) if shared else rows.tolist()
            share = ranks if shared else 1
            yield _batch(split, own, divisor / share).on(self.setting.device)

    def parts(self, batch: Batch, count: int) -> list[Batch]:
        if count > len(batch.source):
            why = f"takes at most the sentences of a batch, {len(batch.source)} here, got {count}"
            raise Invalid([Fault("training.accumulate", why)])
        sources, before, after = (
            part.tensor_split(count) for part in (batch.source, batch.before, batch.after)
        )
        return [
            Batch(*part, batch.divisor / count) for part in zip(sources, before, after, strict=True)
        ]

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        scores = model(batch.source, batch.before)
        nats = nn.functional.cross_entropy(
            scores.flatten(0, 1),
            batch.after.flatten(),
            ignore_index=PAD,
            reduction="sum",
            label_smoothing=self.setting.label_smoothing,
        )
        return nats / batch.divisor, None

    def scores(self, model: nn.Module, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        """Of the words that there are, (words, vocabulary)."""
        return model(batch.source, batch.before)[batch.after != PAD], None

    def loss_from_scores(self, model: nn.Module, scores: Tensor, batch: Batch) -> Tensor:
        words = batch.after[batch.after != PAD]
        smoothing = self.setting.label_smoothing
        nats = nn.functional.cross_entropy(
            scores, words, reduction="sum", label_smoothing=smoothing
        )
        return nats / batch.divisor

    def example_losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """Of single pairs, with words of the target that are drawn; a pair's loss is the sum over
        its words."""
        number = 0
        for rows in self._batches.rows(self.setting.seed, 0, count):
            for row in rows.tolist():
                if number == count:
                    return
                batch = _batch(self.splits["train"], [row], 1.0).on(self.setting.device)
                scores, _ = self.scores(model, batch, None)
                yield sampled_loss(scores, self.setting.seed, number)
                number += 1

    def shown(self, loss: float) -> float:
        return loss / self._mean_words if self.batches_of == "sentences" else loss

    # --- evaluation ----------------------------------------------------------------------------

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Mean nats a word of the target, given the words before it, and their perplexity."""
        was_training = model.training
        model.eval()
        pairs = self.splits[split]
        nats = torch.zeros((), dtype=torch.float64)
        for rows in distributed.mine(_by_length(pairs)):
            batch = _batch(pairs, rows, 1.0).on(self.setting.device)
            scores = model(batch.source, batch.before).flatten(0, 1)
            after = batch.after.flatten()
            nats += float(
                nn.functional.cross_entropy(scores, after, ignore_index=PAD, reduction="sum")
            )
        model.train(was_training)
        words = len(pairs.target.pieces) + len(pairs)
        mean = float(distributed.total(nats)) / words
        return {"loss": mean, "perplexity": math.exp(min(mean, 20.0))}

    def measure_once(self, model: nn.Module, split: str) -> dict[str, float]:
        """BLEU and chrF of the whole split by beam search, and where each sentence has one
        translation, the share that is found."""
        outputs = self.translate(model, self.splits[split])
        self._outputs[split] = outputs
        references = self.splits[split].references
        found = quality.measure(outputs, references)
        if self.exact:
            pairs = zip(outputs, references, strict=True)
            found["exact"] = 100 * float(np.mean([one == other for one, other in pairs]))
        return found

    def translate(self, model: Any, pairs: Split) -> list[str]:
        """Each source of a split in the other language."""
        was_training = model.training
        model.eval()
        sources = [pairs.source[row].tolist() or [END] for row in range(len(pairs))]
        found = self.search.translate(model, sources, self.setting.device)
        model.train(was_training)
        return [self.vocabulary.decode(hypothesis.pieces) for hypothesis in found]

    def outcomes(self, model: nn.Module) -> Outcomes:
        """What BLEU is made of for each sentence of the test split."""
        name = self.metric.name
        outputs = self._test_outputs(model)
        return Outcomes(
            name, "bleu", quality.by_sentence(outputs, self.splits["test"].references, name)
        )

    def samples(self, model: nn.Module) -> list[Sample]:
        """Sentences of the test split, evenly spaced over it."""
        test, outputs = self.splits["test"], self._test_outputs(model)
        rows = np.linspace(0, len(test) - 1, min(SAMPLES, len(test))).astype(int).tolist()
        return [
            Sample.of(source=test.sources[row], reference=test.references[row], output=outputs[row])
            for row in rows
        ]

    def _test_outputs(self, model: nn.Module) -> list[str]:
        """Decoded once: the chosen state's, which `measure_once` was asked for last."""
        if "test" not in self._outputs:
            self._outputs["test"] = self.translate(model, self.splits["test"])
        return self._outputs["test"]

    def usage(self) -> Usage:
        return Usage(
            inputs="two rows of numbers of pieces, as outputs are numbered from 0: a sentence, and "
            "its translation so far from <s> on; what comes after each piece of that is scored",
            outputs=list(self.vocabulary.words),
        )


def _by_length(pairs: Split) -> list[list[int]]:
    """Rows of a split, those of like lengths together."""
    source, target = pairs.source.lengths, pairs.target.lengths + 1
    cut = LengthBatches.of(source, target, EVALUATION_WORDS, "words")
    order = np.argsort(cut.keys, kind="stable")
    return [order[start:end].tolist() for start, end in cut.cuts]


def _batch(pairs: Split, rows: Sequence[int], divisor: float) -> Batch:
    sources = [pairs.source[row] for row in rows]
    targets = [pairs.target[row] for row in rows]
    before = [np.concatenate([[BEGIN], target]) for target in targets]
    after = [np.concatenate([target, [END]]) for target in targets]
    return Batch(_padded(sources), _padded(before), _padded(after), divisor)


def _padded(sentences: Sequence[np.ndarray]) -> Tensor:
    made = np.full((len(sentences), max(1, *map(len, sentences))), PAD, np.int64)
    for row, sentence in enumerate(sentences):
        made[row, : len(sentence)] = sentence
    return torch.from_numpy(made)
