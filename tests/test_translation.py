"""Networks that translate, beam search, BLEU, and runs from pairs to a record."""

import io
import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pruneexp.cli.main import main
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.data.vocabulary import BEGIN, END, PAD
from pruneexp.decoding import quality
from pruneexp.decoding.beam_search import BeamSearch
from pruneexp.engine.execute import execute
from pruneexp.engine.outcomes import Outcomes, bleu
from pruneexp.measure.planned import size
from pruneexp.models import GNMT, Transformer
from pruneexp.models.gnmt import BahdanauAttention, GNMTNetwork
from pruneexp.models.translators import Translator
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.allocation import LayerwiseConstant
from pruneexp.pruning.start import FromDense, FromRun
from pruneexp.report.analysis.translations import interval
from pruneexp.running.translate import TrainedTranslator, writing_speed
from pruneexp.tasks import WMT16, GrammarPairs, Pairs, Tatoeba
from pruneexp.tasks.shape import PairShape, check_model
from pruneexp.tasks.translation import Translation, _batch
from pruneexp.training import Training
from pruneexp.training.average import LastStates
from pruneexp.training.decay import InverseRoot, Tail
from pruneexp.training.fit import Stopped
from pruneexp.training.optimiser import Adam
from tests.conftest import silent
from tests.test_data import setting
from tests.test_execute import After, content
from tests.test_pairs import ENGLISH, GERMAN, write

WORDS = 30
SHAPE = PairShape(vocabulary=WORDS)
CPU = torch.device("cpu")
SMALL: list[Translator] = [
    GNMT(units=8, layers=2),
    GNMT(units=8, layers=4, dropout=0.0),
    Transformer(units=8, heads=2, layers=2),
]


def built(model: Translator, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    network = model.build(SHAPE)
    with torch.no_grad():  # sharp enough that words differ
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return network.eval()


class TestCounts:
    @pytest.mark.parametrize(
        ("units", "sparsity", "printed"),
        [
            *((256, 0.0, "34"), (512, 0.0, "81"), (768, 0.0, "140"), (1024, 0.0, "211")),
            *((1024, 0.8, "44"), (1024, 0.85, "33"), (1024, 0.9, "23")),
        ],
    )
    def test_table_4(self, units: int, sparsity: float, printed: str) -> None:
        pruning = Gradual(sparsity=sparsity, allocation=LayerwiseConstant())
        run = Run(task=WMT16(), model=GNMT(units=units), training=Training(), pruning=pruning)
        found = size(run)
        assert found.nonzero is not None
        assert f"{found.nonzero / 1e6:.0f}" == printed

    def test_parts_of_the_largest(self) -> None:
        """exact_counts: 37.4M in each embedding and the softmax, 98.6M in LSTMs and attention."""
        run = Run(task=WMT16(), model=GNMT(units=1024), training=Training(), pruning=Dense())
        layers = {layer.name: layer.weights for layer in size(run).layers}
        tables = [name for name in layers if "embedding" in name or "softmax" in name]
        assert [layers[name] for name in tables] == [36_548 * 1024] * 3
        rest = sum(weights for name, weights in layers.items() if name not in tables)
        assert rest == 94 * 1024**2  # 92 k^2 of LSTMs, 2 k^2 of attention
        kept = [layer for layer in size(run).layers if "attention" in layer.name]
        assert sum(layer.weights for layer in kept) == 2 * 1024**2

    def test_the_base_transformer(self) -> None:
        """6 encoder layers of 4 d^2 + 8 d^2, 6 decoder layers of 8 d^2 + 8 d^2, one embedding."""
        run = Run(
            task=WMT16(vocabulary=33_708),
            model=Transformer(),
            training=Training(),
            pruning=Gradual(sparsity=0.5),
        )
        found = size(run)
        assert found.counts.prunable == 33_708 * 512 + (6 * 12 + 6 * 16) * 512**2


class TestNetworks:
    @pytest.mark.parametrize("model", SMALL, ids=str)
    def test_padding_changes_nothing(self, model: Translator) -> None:
        network = built(model)
        source = torch.randint(4, WORDS, (4, 7))
        source[0, 3:] = source[2, 5:] = PAD
        target = torch.randint(4, WORDS, (4, 6))
        together = network(source, target)
        for row, length in enumerate((3, 7, 5, 7)):
            alone = network(source[row : row + 1, :length], target[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("model", SMALL, ids=str)
    def test_word_by_word_is_all_at_once(self, model: Translator) -> None:
        network = built(model)
        source = torch.randint(4, WORDS, (3, 5))
        source[1, 4:] = PAD
        target = torch.randint(4, WORDS, (3, 6))
        memory, state = network.encode(source)
        scores = []
        for place in range(6):
            found, state = network.step(target[:, place : place + 1], memory, state)
            scores.append(found)
        torch.testing.assert_close(
            torch.cat(scores, 1), network(source, target), atol=1e-4, rtol=1e-4
        )

    @pytest.mark.parametrize("model", SMALL, ids=str)
    def test_a_word_sees_none_after_it(self, model: Translator) -> None:
        network = built(model)
        source, target = torch.randint(4, WORDS, (2, 2, 6))
        before = network(source, target)
        target[:, 4:] = 4
        torch.testing.assert_close(network(source, target)[:, :4], before[:, :4])

    @pytest.mark.parametrize("model", SMALL, ids=str)
    def test_the_shape_of_the_task(self, model: Translator) -> None:
        check_model(built(model), SHAPE)
        with pytest.raises(Invalid, match=r"gives 30 scores .* task.vocabulary=31"):
            SHAPE_31 = PairShape(vocabulary=31)
            SHAPE_31.check_outputs(built(model)(*SHAPE.example()))

    def test_attention_by_hand(self) -> None:
        """Two places, one unit: what each is worth is tanh(query + key + bias) times the gain."""
        attention = BahdanauAttention(1)
        with torch.no_grad():
            attention.of_query.weight.fill_(2.0)
            attention.of_memory.weight.fill_(1.0)
            attention.vector.fill_(-5.0)  # of unit length: -1
            attention.gain.fill_(3.0)
            attention.bias.fill_(0.5)
        values = torch.tensor([[[1.0], [-1.0], [9.0]]])
        padded = torch.tensor([[False, False, True]])
        found = attention(torch.tensor([[[0.25]]]), values, attention.of_memory(values), padded)
        scores = [-3 * math.tanh(0.5 + 1 + 0.5), -3 * math.tanh(0.5 - 1 + 0.5)]
        weights = [math.exp(score) for score in scores]
        expected = (weights[0] - weights[1]) / sum(weights)
        assert found.item() == pytest.approx(expected, rel=1e-5)

    def test_gnmt_begins_and_adds_as_published(self) -> None:
        network = built(GNMT(units=8, layers=4, dropout=0.0))
        assert isinstance(network, GNMTNetwork)
        features = torch.randn(5, 2, 8)
        read, states = network.encoder(features)
        _, backward = network.encoder.backwards(features.flip(0))
        torch.testing.assert_close(states[0], backward)
        both = torch.cat(
            [
                network.encoder.forwards(features)[0],
                network.encoder.backwards(features.flip(0))[0].flip(0),
            ],
            2,
        )
        second, _ = network.encoder.above[0](both)
        third = network.encoder.above[1](second)[0] + second
        fourth, last = network.encoder.above[2](third)
        torch.testing.assert_close(read, fourth + third)
        torch.testing.assert_close(states[3], last)

    def test_forget_gates_start_open(self) -> None:
        network = GNMT(units=4, forget=1.0).build(SHAPE)
        for layer in network.modules():
            if isinstance(layer, nn.LSTM):
                total = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()
                assert total.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8

    def test_what_is_pruned(self) -> None:
        network = GNMT(units=4, layers=2).build(SHAPE)
        assert [*network.prunable()] == [
            "source_embedding.weight",
            *(f"encoder.{name}.weights_l0" for name in ("forwards", "backwards", "above.0")),
            "target_embedding.weight",
            *(f"decoder.{name}.weights_l0" for name in ("bottom", "above.0")),
            "softmax.weight",
        ]
        transformer = Transformer(units=4, heads=2, layers=1).build(SHAPE)
        named = dict(transformer.named_parameters())
        pruned = {name for group in transformer.prunable().values() for name in group}
        assert pruned == {name for name, weight in named.items() if weight.dim() == 2}

    def test_settings_that_cannot_be(self) -> None:
        with pytest.raises(Invalid, match=r"heads takes a divisor of model.units=10, got 4"):
            Transformer(units=10, heads=4)
        with pytest.raises(Invalid, match="layers takes a number of layers from 2 to 16, got 1"):
            GNMT(layers=1)


class Table(nn.Module):
    """The next word's chances depend on the last word and the sentence alone."""

    def __init__(self, words: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.scores = 3 * torch.randn(words, words, words, generator=generator)

    def encode(self, source: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        return (source[:, 0],), [torch.zeros(len(source), 1)]

    def step(
        self, words: Tensor, memory: tuple[Tensor, ...], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        return self.scores[memory[0][:, None], words], [state[0] + 1]


class TestBeamSearch:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_wide_beam_finds_the_best_of_all_sentences(self, seed: int) -> None:
        """Against every sentence of up to three words."""
        words = 6  # four special ones, of which two can be written, and two more
        network = Table(words, seed)
        search = BeamSearch(beams=40, penalty=1.0, most=0, more=3)
        for sentence in (4, 5):
            best = max(
                (
                    (self.score(network, search, sentence, [*pieces, END]), [*pieces])
                    for length in range(3)
                    for pieces in itertools.product((1, 4, 5), repeat=length)
                ),
            )
            (found,) = search.translate(network, [[sentence]], CPU)
            assert found.pieces == best[1]
            assert found.score == pytest.approx(best[0], rel=1e-5)

    @staticmethod
    def score(network: Table, search: BeamSearch, sentence: int, pieces: list[int]) -> float:
        total = 0.0
        for before, piece in zip([BEGIN, *pieces], pieces, strict=False):
            total += float(torch.log_softmax(network.scores[sentence, before], 0)[piece])
        return search.normed(total, len(pieces))

    @pytest.mark.parametrize("model", SMALL, ids=str)
    def test_one_beam_is_greedy(self, model: Translator) -> None:
        network = built(model)
        sources = [[5, 6, 7], [8, 9], [10, 11, 12], [13]]
        found = BeamSearch(beams=1, more=4, most=1).translate(network, sources, CPU)
        for source, hypothesis in zip(sources, found, strict=True):
            written: list[int] = []
            while len(written) < len(source) + 4:
                target = torch.tensor([[BEGIN, *written]])
                scores = network(torch.tensor([source]), target)[0, -1]
                scores[[PAD, BEGIN]] = -math.inf
                if int(scores.argmax()) == END:
                    break
                written.append(int(scores.argmax()))
            assert hypothesis.pieces == written

    @pytest.mark.parametrize("model", SMALL, ids=str)
    @pytest.mark.parametrize("beams", [1, 3])
    def test_sentences_do_not_see_each_other(self, model: Translator, beams: int) -> None:
        network = built(model, seed=3)
        sources = [[5, 6, 7], [8, 9, 4], [10, 11, 12], [13], [4, 4, 4, 4, 4], [6, 6, 6]]
        search = BeamSearch(beams=beams)
        together = search.translate(network, sources, CPU)
        alone = [search.translate(network, [source], CPU)[0] for source in sources]
        assert [each.pieces for each in together] == [each.pieces for each in alone]
        for one, other in zip(together, alone, strict=True):
            assert one.score == pytest.approx(other.score, rel=1e-4)

    def test_finished_sentences_leave_the_batch(self) -> None:
        network = Table(6, 0)
        network.scores[4, :, END] = 50.0  # ends at once
        sizes: list[int] = []
        step = network.step

        def watched(words: Tensor, *rest: Any) -> Any:
            sizes.append(len(words))
            return step(words, *rest)

        network.step = watched  # type: ignore[method-assign]
        network.scores[5, :, END] = -50.0
        search = BeamSearch(beams=1, most=0, more=5)
        found = search.translate(network, [[4], [5], [4]], CPU)
        assert sizes == [3, 1, 1, 1, 1]
        assert found[0].pieces == [] == found[2].pieces
        assert len(found[1].pieces) == 5

    def test_the_penalty_favours_longer_sentences(self) -> None:
        assert BeamSearch(penalty=0).normed(-4.0, 9) == -4.0
        assert BeamSearch(penalty=1).normed(-4.0, 7) == pytest.approx(-2.0)  # (5 + 7) / 6


class TestQuality:
    OUTPUTS = ("the cat sat on a mat .", "hello", "b c d e", "")
    REFERENCES = ("the cat sat on the mat .", "hello there", "b c d e f", "nothing")

    @pytest.mark.parametrize("name", quality.TOKENISERS)
    def test_sums_over_sentences_give_what_sacrebleu_gives(self, name: str) -> None:
        rows = quality.by_sentence(self.OUTPUTS, self.REFERENCES, name)
        whole = quality.measure(self.OUTPUTS, self.REFERENCES)
        assert bleu(rows.sum(0)) == pytest.approx(whole[name], abs=1e-9)

    @pytest.mark.parametrize(
        ("outputs", "references"),
        [
            (["x y"], ["a b"]),
            (["a x c y"], ["a b c d"]),  # no pair matches: smoothed
            (["a b c d e f"], ["a b c d e f"]),
            ([""], ["a"]),
            (["a b"], ["a b"]),  # no n-gram of four words at all
        ],
    )
    def test_at_the_ends(self, outputs: list[str], references: list[str]) -> None:
        rows = quality.by_sentence(outputs, references, "tokenised_bleu")
        expected = quality.measure(outputs, references)["tokenised_bleu"]
        assert bleu(rows.sum(0)) == pytest.approx(expected, abs=1e-9)

    def test_by_hand(self) -> None:
        """Precisions 3/4, 1/3, smoothed 1/4 and 1/4 of 2 and 1 n-grams; one word too few."""
        rows = quality.by_sentence(["a b x d"], ["a b c d e"], "tokenised_bleu")
        assert rows[0].tolist() == [3, 1, 0, 0, 4, 3, 2, 1, 4, 5]
        precision = (3 / 4 * 1 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** 0.25
        assert bleu(rows[0]) == pytest.approx(100 * math.exp(1 - 5 / 4) * precision)

    def test_the_signature_says_how(self) -> None:
        assert "tok:13a" in quality.signature("bleu")
        assert "tok:none" in quality.signature("tokenised_bleu")
        assert quality.signature("chrf").startswith("nrefs:1")

    def test_outcomes_survive_their_file(self) -> None:
        rows = quality.by_sentence(self.OUTPUTS, self.REFERENCES, "bleu")
        kept = Outcomes("bleu", "bleu", rows)
        again = Outcomes.from_plain(kept.to_plain())
        assert again.value() == kept.value()
        np.testing.assert_array_equal(again.values, rows)

    def test_forged_outcomes_are_refused(self) -> None:
        plain = Outcomes("bleu", "bleu", np.ones((2, 10))).to_plain()
        with pytest.raises(TypeError, match="columns takes 10 of bleu, got 1"):
            Outcomes.from_plain({**plain, "columns": 1})
        with pytest.raises(TypeError, match="values takes 20 numbers, got 19"):
            Outcomes.from_plain({**plain, "values": plain["values"][:-2]})


class TestTask:
    @pytest.fixture
    def task(self, tmp_path: Path) -> Translation:
        loaded = GrammarPairs(train=50, valid=8, test=8).load(tmp_path)
        assert isinstance(loaded, Translation)
        loaded.settle(setting(shape=GrammarPairs().shape(), batch_size=6))
        return loaded

    def test_the_loss_is_the_sum_over_words_by_the_batch(self, task: Translation) -> None:
        network = GNMT(units=8, layers=2).build(GrammarPairs().shape()).eval()
        batch = next(task.batches(0, 1))
        loss, _ = task.loss(network, batch, None)
        scores = torch.log_softmax(network(batch.source, batch.before), 2)
        nats = -scores.gather(2, batch.after[:, :, None])[:, :, 0][batch.after != PAD].sum()
        assert loss.item() == pytest.approx(nats.item() / len(batch.source), rel=1e-5)
        other, _ = task.scores(network, batch, None)
        assert task.loss_from_scores(network, other, batch).item() == pytest.approx(
            loss.item(), rel=1e-5
        )

    def test_parts_add_up_to_the_batch(self, task: Translation) -> None:
        network = GNMT(units=8, layers=2).build(GrammarPairs().shape()).eval()
        batch = next(task.batches(3, 4))
        whole, _ = task.loss(network, batch, None)
        parts = [task.loss(network, part, None)[0] for part in task.parts(batch, 3)]
        assert sum(parts).item() / 3 == pytest.approx(whole.item(), rel=1e-5)
        with pytest.raises(Invalid, match=r"training.accumulate takes at most the sentences"):
            task.parts(batch, 99)

    def test_words_instead_of_sentences(self, tmp_path: Path) -> None:
        loaded = GrammarPairs(train=50, valid=8, test=8, batches_of="words").load(tmp_path)
        assert isinstance(loaded, Translation)
        loaded.settle(setting(shape=GrammarPairs().shape(), batch_size=60))
        for batch in loaded.batches(0, loaded.steps_an_epoch()):
            assert batch.divisor == int((batch.after != PAD).sum())
            assert len(batch.source) * max(batch.source.shape[1], batch.after.shape[1]) <= 60

    def test_perplexity_counts_every_word_once(self, task: Translation) -> None:
        network = Transformer(units=8, heads=2, layers=1).build(GrammarPairs().shape())
        found = task.evaluate(network, "test")
        assert network.training
        network.eval()
        split = task.splits["test"]
        nats = words = 0.0
        for row in range(len(split)):
            batch = _batch(split, [row], 1.0)
            nats += task.loss(network, batch, None)[0].item()
            words += batch.after.numel()
        assert found["loss"] == pytest.approx(nats / words, rel=1e-5)
        assert found["perplexity"] == pytest.approx(math.exp(nats / words), rel=1e-4)

    def test_a_batch_larger_than_the_data(self, tmp_path: Path) -> None:
        loaded = GrammarPairs(train=5, valid=8, test=8).load(tmp_path)
        with pytest.raises(Invalid, match="batch_size takes at most the 5 training pairs, got 6"):
            loaded.settle(setting(shape=GrammarPairs().shape(), batch_size=6))


def status(words: list[str]) -> int | str | None:
    """How a command ends."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def made(results: Path, model: Translator | None = None, **changes: Any) -> Run:
    run = Run(
        task=GrammarPairs(train=200, valid=20, test=20, beams=2),
        model=model or GNMT(units=8, layers=2),
        training=Training(
            steps=12, batch_size=16, learning_rate=0.01, optimiser=Adam(), evaluations=3
        ),
        pruning=Gradual(sparsity=0.8),
        results=str(results),
        device="cpu",
    )
    return replace(run, **changes)


class TestRuns:
    @pytest.mark.parametrize(
        "model", [GNMT(units=8, layers=2), Transformer(units=8, heads=2, layers=1)], ids=str
    )
    def test_a_record(self, model: Translator, tmp_path: Path) -> None:
        run = made(tmp_path, model)
        record = execute(run, say=silent)
        assert record.metric.name == "tokenised_bleu"
        assert record.chosen_by.name == "loss"
        assert {"tokenised_bleu", "bleu", "chrf", "exact", "loss"} <= record.test.keys()
        assert record.counts.nonzero == size(run).nonzero
        loaded = run.task.load(tmp_path)
        assert record.checksums["vocabulary"] == loaded.checksums()["vocabulary"]
        assert "tok:none" in str(record.circumstances["tokenised_bleu"])
        folder = run.store.folder(record.name)
        outcomes = folder.outcomes()
        assert outcomes is not None
        assert outcomes.value() == pytest.approx(record.test["tokenised_bleu"], abs=1e-9)
        assert len(folder.usage().samples) == 12
        assert record.budget.unit == "word"

    @pytest.mark.parametrize("stops", [(5,), (3, 4)])
    def test_a_resumed_run_equals_one_never_stopped(
        self, tmp_path: Path, stops: tuple[int, ...]
    ) -> None:
        training = replace(made(tmp_path).training, average_states=2, evaluations=6)
        whole = made(tmp_path / "whole", training=training)
        execute(whole, say=silent)
        halted = made(tmp_path / "halted", training=training)
        for stop in stops:  # so many steps after it goes on
            with pytest.raises(Stopped):
                execute(halted, say=silent, stop=After(stop))
        execute(halted, say=silent)
        assert content(whole) == content(halted)

    def test_layer_after_layer_from_the_dense_model(self, tmp_path: Path) -> None:
        run = made(
            tmp_path,
            training=replace(made(tmp_path).training, decay=Tail(last=0.5, times=3)),
            pruning=Gradual(
                sparsity=0.5,
                allocation=LayerwiseConstant(),
                start=FromDense(rate=0.5, times=0.75),
            ),
        )
        record = execute(run, say=silent)
        assert record.budget.steps == 9
        assert record.budget.total_steps == 21
        assert all(group.masked == (group.weights + 1) // 2 for group in record.counts.groups)

    @pytest.mark.parametrize("budget", ["90kB", "70kB"])
    def test_a_budget_in_bytes_is_met(self, budget: str, tmp_path: Path) -> None:
        """The notes of its file hold BLEU and the others, which are measured after the masks."""
        pruning = Gradual(sparsity=None, budget=budget)
        record = execute(made(tmp_path, pruning=pruning), say=silent)
        assert record.file_budget is not None
        assert 0.97 * record.file_budget.budget < record.file_budget.bytes
        assert record.file_budget.bytes <= record.file_budget.budget

    def test_another_vocabulary_is_refused(self, tmp_path: Path) -> None:
        write(
            tmp_path / "text",
            **{f"{name}_en": ENGLISH * 5 for name in ("train", "valid", "test")},
            **{f"{name}_de": GERMAN * 5 for name in ("train", "valid", "test")},
        )
        other = [line.replace("cat", "tac") for line in ENGLISH * 5]
        write(
            tmp_path / "other",
            **{f"{name}_en": other for name in ("train", "valid", "test")},
            **{f"{name}_de": GERMAN * 5 for name in ("train", "valid", "test")},
        )
        first = made(
            tmp_path, task=Pairs(root=str(tmp_path / "text"), vocabulary=50), pruning=Dense()
        )
        record = execute(first, say=silent)
        again = replace(
            first,
            task=Tatoeba(root=str(tmp_path / "other"), vocabulary=50),
            pruning=Gradual(start=FromRun(fingerprint=record.fingerprint)),
        )
        with pytest.raises(Invalid, match="its numbers mean other words"):
            execute(again, say=silent)
        with pytest.raises(Invalid, match="its numbers mean other words"):
            TrainedTranslator.of(
                first.store.folder(record.name), first.store, root=tmp_path / "other"
            )
        there = TrainedTranslator.of(
            first.store.folder(record.name), first.store, root=tmp_path / "text"
        )
        assert len(there.translate(["the cat", "", "a dog sees"])) == 3

    def test_the_command_reads_standard_input(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = execute(made(tmp_path), say=silent)

        def typed(text: bytes) -> None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

        typed(b"the old baker sees the dog\n\nthe cat\x1b[31m\n")
        assert status(["translate", record.fingerprint, "--results", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.split("\n")
        assert len(lines) == 4
        assert lines[1] == lines[3] == ""
        typed(b"the b\xe4r\n")
        assert status(["translate", record.fingerprint, "--results", str(tmp_path)]) == 2
        assert "standard input is not UTF-8 text (line 1" in capsys.readouterr().err

    def test_what_does_not_translate(self, tmp_path: Path, tiny: Any) -> None:
        run = tiny()
        record = execute(run, say=silent)
        with pytest.raises(Invalid, match="does not translate; it is glyphs"):
            TrainedTranslator.of(run.store.folder(record.name), run.store)

    def test_words_a_second_dense_and_sparse(self, tmp_path: Path) -> None:
        from pruneexp.running.source import of_run

        run = made(tmp_path)
        record = execute(run, say=silent)
        speed = writing_speed(of_run(run.store.folder(record.name)), sentences=2, beams=2)
        assert speed.dense > 0 and speed.sparse > 0
        assert "2 beams, 2 sentences together" in speed.words()

    def test_onnx_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        record = execute(made(tmp_path), say=silent)
        out = tmp_path / "model.onnx"
        words = ["export", record.fingerprint, "--results", str(tmp_path), "-o", str(out)]
        assert status(words) == 2
        assert "called word by word" in capsys.readouterr().err.replace("\n", " ")
        assert not out.exists()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two directions, two seeds, dense and sparse."""
    root = tmp_path_factory.mktemp("report")
    words = [
        *("run", "-m", "task=grammar_pairs", "model=gnmt_small", "training=grammar_pairs"),
        *("task.train=60", "task.valid=8", "task.test=40", "task.beams=1", "model.units=8"),
        *("training.steps=3", "training.batch_size=8", "training.evaluations=1"),
        *("task.direction=svo_sov,sov_svo", "pruning.sparsity=0,0.8", "seed=0,1"),
        *("workers=1", "device=cpu", f"results={root}", "title=Pairs"),
    ]
    assert status(words) == 0
    out = root / "out"
    (plan,) = (path.stem for path in (root / "plans").glob("*.json"))
    assert status(["report", plan, "--results", str(root), "--out", str(out)]) == 0
    return out


class TestReport:
    def test_curves_are_named_by_their_direction(self, report: Path) -> None:
        text = (report / "report.md").read_text()
        assert "direction svo\\_sov" in text or "direction svo_sov" in text
        assert "test tokenised BLEU" in text

    def test_intervals_lengths_and_signature(self, report: Path) -> None:
        table = pd.read_csv(report / "translations.csv")
        assert len(table) == 4
        assert (table.low_95 <= table.bleu).all() and (table.bleu <= table.high_95).all()
        assert {"chrf", "exact"} <= {*table.columns}
        assert len([name for name in table.columns if name.endswith("_words")]) >= 2
        assert "tok:none" in (report / "translations.md").read_text()
        assert (report / "lengths.png").exists()

    def test_sentences_stand_in_words(self, report: Path) -> None:
        assert "What they write" in (report / "report.md").read_text()
        page = (report / "report.html").read_text()
        assert "What they write" in page

    def test_the_interval_is_that_of_draws(self) -> None:
        """Of seeds that agree and sentences that are alike, no draw differs; others do."""
        alike = np.tile([4.0, 3, 2, 1, 5, 4, 3, 2, 5, 5], (50, 1))
        low, high = interval([alike, alike])
        assert low == pytest.approx(high) == pytest.approx(bleu(alike[0]))
        random = np.random.default_rng(0)
        mixed = np.where(random.random((50, 1)) < 0.5, alike, [0, 0, 0, 0, 5, 4, 3, 2, 5, 5])
        low, high = interval([mixed])
        assert low < bleu(mixed.sum(0)) < high
        wider = interval([mixed, alike])
        assert wider[1] - wider[0] > high - low  # the seeds differ too


class TestTraining:
    def test_the_papers_rates(self) -> None:
        """170,000 steps at 1.0 and 170,000 halved every 17,000; pruned: 70,000 at 0.5, then the
        same."""
        training = Training(steps=340_000, decay=Tail())
        at = [(0, 1), (169_999, 1), (170_000, 0.5), (186_999, 0.5), (187_000, 0.25)]
        assert [training.factor(step, 340_000) for step, _ in at] == [factor for _, factor in at]
        assert training.factor(339_999, 340_000) == 0.5**10
        steps, rate = FromDense(rate=0.5, times=240 / 340).stage(340_000)
        assert (steps, rate) == (240_000, 0.5)
        pruned = [(69_999, 1), (70_000, 0.5), (239_999, 0.5**10)]
        assert [training.factor(step, steps) for step, _ in pruned] == [f for _, f in pruned]

    def test_one_over_the_root_of_the_steps(self) -> None:
        training = Training(steps=100, warm_up=0.04, decay=InverseRoot(full=0.04))
        assert [training.factor(step, 100) for step in (0, 1, 3, 4, 16, 64)] == pytest.approx(
            [0.25, 0.5, 1, 1, 0.5, 0.25]
        )

    def test_the_mean_of_the_last_states(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        states = LastStates(layer, most=2)

        def at(value: float, settled: bool) -> None:
            with torch.no_grad():
                layer.weight.fill_(value)
            states.take()
            states.note(settled=settled)

        at(100.0, settled=False)  # under masks that are not final
        with states.in_place():
            assert layer.weight.item() == 100.0
        for value in (1.0, 2.0, 4.0):
            at(value, settled=True)
        with states.in_place():
            assert layer.weight.item() == 3.0
        assert layer.weight.item() == 4.0
        other = LastStates(layer, most=2)
        other.load_state_dict(states.state_dict())
        with other.in_place():
            assert layer.weight.item() == 3.0
