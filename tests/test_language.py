"""Text, the language model and its training, against numbers computed by hand."""

import gzip
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.data import text
from pruneexp.engine.execute import execute
from pruneexp.measure.planned import size
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.schedule import Cubic
from pruneexp.tasks import Grammar, PennTreebank, Text
from pruneexp.tasks.language import LanguageModelling
from pruneexp.tasks.shape import TextShape
from pruneexp.training import Training
from pruneexp.training.decay import Epochwise
from pruneexp.training.fit import Stopped
from pruneexp.training.optimiser import Adam
from tests.test_data import setting
from tests.test_execute import After, content, outcome, silent


def write(folder: Path, **texts: str | bytes) -> dict[str, Path]:
    paths = {}
    for name, content_ in texts.items():
        paths[name] = folder / f"{name}.txt"
        data = content_ if isinstance(content_, bytes) else content_.encode()
        paths[name].write_bytes(data)
    return paths


class TestText:
    def test_words_lines_and_vocabulary(self, tmp_path: Path) -> None:
        paths = write(tmp_path, train="a b a\n<unk> a\n", valid="b c\n", test="a\n")
        corpus = text.load(paths, vocabulary=4)
        assert corpus.words == ["a", "<eos>", "<unk>", "b"]  # by frequency, then by name
        assert corpus.train.tolist() == [0, 3, 0, 1, 2, 0, 1]
        assert corpus.valid.tolist() == [3, 2, 1]  # c is unknown
        assert corpus.test.tolist() == [0, 1]

    def test_gzipped_files_are_the_same_corpus(self, tmp_path: Path) -> None:
        paths = write(tmp_path, train="a b a\n", valid="b\n", test="a\n")
        packed = tmp_path / "train.txt.gz"
        packed.write_bytes(gzip.compress(b"a b a\n"))
        first = text.load(paths, vocabulary=3)
        second = text.load({**paths, "train": packed}, vocabulary=3)
        assert first.checksum() == second.checksum()
        other = text.load({**paths, "test": paths["valid"]}, vocabulary=3)
        assert other.checksum() != first.checksum()

    @pytest.mark.parametrize(
        ("texts", "vocabulary", "message"),
        [
            ({"train": "a\n", "valid": "a\n"}, 2, r"test\.txt is not there"),
            ({"train": " \n", "valid": "a\n", "test": "a\n"}, 2, r"train\.txt is empty"),
            ({"train": b"\xff\xfe", "valid": "a", "test": "a"}, 2, r"train\.txt is not UTF-8"),
            ({"train": "a b\n", "valid": "a", "test": "a"}, 9, r"vocabulary=9, but .* has 3 words"),
            (
                {"train": "a <unk>\n", "valid": "x y z\n", "test": "a"},
                3,
                r"valid\.txt: 3 of 4 words are not in the training file; is it another language",
            ),
            ({"train": "a b\n", "valid": "c\n", "test": "a"}, 3, "which has no <unk>"),
        ],
    )
    def test_what_is_no_corpus_is_named(
        self, tmp_path: Path, texts: dict[str, Any], vocabulary: int, message: str
    ) -> None:
        write(tmp_path, **texts)
        paths = {name: tmp_path / f"{name}.txt" for name in ("train", "valid", "test")}
        with pytest.raises(Invalid, match=message):
            text.load(paths, vocabulary)

    def test_a_damaged_gzip_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "train.txt.gz"
        path.write_bytes(gzip.compress(b"a b a\n" * 100)[:-20])
        with pytest.raises(Invalid, match=r"train\.txt\.gz cannot be read"):
            text.read(path)

    def test_ptb_says_where_it_looks(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("PRUNEEXP_DATA", raising=False)
        with pytest.raises(Invalid, match=r"^task\.root must be given, or PRUNEEXP_DATA"):
            PennTreebank().load(tmp_path)
        monkeypatch.setenv("PRUNEEXP_DATA", str(tmp_path))
        with pytest.raises(Invalid, match=f"{tmp_path}/ptb/ptb.train.txt.gz is not there"):
            PennTreebank().load(tmp_path)


def toy(tokens: int = 41) -> LanguageModelling:
    numbers = np.arange(tokens) % 7
    return LanguageModelling({"train": numbers, "valid": numbers, "test": numbers}, first=0)


def settled(task: LanguageModelling, **changes: Any) -> LanguageModelling:
    shape = TextShape(vocabulary=7)
    task.settle(setting(**{"shape": shape, "batch_size": 2, "unroll": 3, **changes}))
    return task


class TestBatches:
    def test_streams_go_on_where_the_last_step_ended(self) -> None:
        task = settled(toy())
        steps = list(task.batches(0, 7))
        assert task.steps_an_epoch() == 6  # 20 words a stream, 3 a step, one left to predict
        words, after, _ = steps[1]
        assert words.t().tolist() == [[3, 4, 5], [2, 3, 4]]  # the second stream begins at 20 % 7
        assert after.t().tolist() == [[4, 5, 6], [3, 4, 5]]
        assert [begin for _, _, begin in steps] == [True, *[False] * 5, True]
        assert torch.equal(steps[6][0], steps[0][0])

    def test_from_the_middle_they_are_the_same(self) -> None:
        task = settled(toy())
        whole, part = list(task.batches(0, 9)), list(task.batches(4, 9))
        assert all(torch.equal(a[1], b[1]) for a, b in zip(whole[4:], part, strict=True))

    @pytest.mark.parametrize(
        ("unroll", "message"),
        [(0, "takes a number of words above 0"), (20, "takes at most 19 words.*got 20")],
    )
    def test_an_unroll_that_cannot_be_is_refused(self, unroll: int, message: str) -> None:
        with pytest.raises(Invalid, match=rf"^training\.unroll {message}"):
            settled(toy(), unroll=unroll)


class Table(nn.Module):
    """Scores by the word alone, and a count of the words read as its state."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, words: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        read = torch.zeros(()) if state is None else state[0]
        return self.scores[words], [read + words.numel()]


def test_the_loss_is_summed_over_the_unrolled_words_and_averaged_over_the_batch() -> None:
    task = settled(toy())
    model = Table(torch.zeros(7, 7))
    batch = next(task.batches(0, 1))
    loss, carry = task.loss(model, batch, None)
    assert loss.item() == pytest.approx(3 * math.log(7), rel=1e-6)
    assert task.shown(loss.item()) == pytest.approx(math.log(7), rel=1e-6)
    assert carry == [torch.tensor(6.0)]
    _, carry = task.loss(model, (*batch[:2], False), carry)
    assert carry == [torch.tensor(12.0)]
    _, carry = task.loss(model, (*batch[:2], True), carry)
    assert carry == [torch.tensor(6.0)]  # zero at the start of an epoch


def test_perplexity_counts_every_word_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.zeros(7, 7)
    scores[0, 1] = math.log(6.0)  # after word 0, word 1 has probability 6 / 12
    task = settled(toy(tokens=15))
    task.splits["test"] = np.array([1, 0, 1, 2])  # read after the <eos> that is word 0
    by_hand = (math.log(2) + math.log(7) + math.log(2) + math.log(7)) / 4
    for at_once in (1, 3, 500):
        monkeypatch.setattr("pruneexp.tasks.language.EVALUATION_WORDS", at_once)
        metrics = task.evaluate(Table(scores), "test")
        assert metrics["loss"] == pytest.approx(by_hand, rel=1e-6)
        assert metrics["perplexity"] == pytest.approx(math.exp(by_hand), rel=1e-6)


class TestModel:
    def run(self, hidden_size: int, sparsity: float) -> Run:
        return Run(
            task=PennTreebank(),
            model=LSTMLanguageModel(hidden_size=hidden_size),
            training=Training(),
            pruning=Gradual(sparsity=sparsity),
        )

    @pytest.mark.parametrize(
        ("hidden_size", "sparsity", "millions"),
        [
            (200, 0.0, 4.65),
            (650, 0.0, 19.8),
            (650, 0.8, 4.0),
            (650, 0.85, 3.0),
            (650, 0.9, 2.0),
            (650, 0.95, 1.0),
            (650, 0.975, 0.5),
            (1500, 0.0, 66),
            (1500, 0.8, 13.2),
            (1500, 0.85, 9.9),
            (1500, 0.9, 6.6),
            (1500, 0.95, 3.3),
            (1500, 0.975, 1.7),
        ],
    )
    def test_it_weighs_what_table_3_says(
        self, hidden_size: int, sparsity: float, millions: float
    ) -> None:
        nonzero = size(self.run(hidden_size, sparsity)).counts.nonzero / 1e6
        digits = len(str(millions).partition(".")[2])
        assert round(nonzero, digits) == millions

    def test_a_layers_weights_are_ranked_together(self) -> None:
        groups = {row.name: row.weights for row in size(self.run(200, 0.9)).counts.groups}
        assert groups == {
            "embedding.weight": 2_000_000,
            "layers.0.weights_l0": 320_000,
            "layers.1.weights_l0": 320_000,
            "softmax.weight": 2_000_000,
        }

    def test_tied_weights_count_once(self) -> None:
        run = replace(self.run(200, 0.9), model=LSTMLanguageModel(tied=True))
        assert size(run).counts.parameters == 4_653_200 - 2_000_000
        assert [row.name for row in size(run).counts.groups][-1] == "layers.1.weights_l0"

    def test_multiply_adds_of_a_word(self) -> None:
        layers = {layer.name: layer.multiply_adds for layer in size(self.run(200, 0.9)).layers}
        assert layers["embedding.weight"] == 0  # looked up
        assert layers["layers.0.weight_ih_l0"] == 4 * 200 * 200
        assert layers["softmax.weight"] == 200 * 10_000

    def test_every_number_starts_uniform(self) -> None:
        torch.manual_seed(0)
        model = LSTMLanguageModel(hidden_size=30, initial=0.04).build(TextShape(vocabulary=50))
        for name, parameter in model.named_parameters():
            assert 0.03 < parameter.abs().max() <= 0.04, name


def test_the_rate_decays_by_epochs_as_zaremba_wrote() -> None:
    decay = Epochwise(epochs=13, full=4, base=0.5)
    steps = 30_199
    by_epoch = [decay.factor(epoch * 2323 / steps) for epoch in range(13)]
    assert by_epoch == [0.5 ** max(epoch - 4, 0) for epoch in range(1, 14)]
    assert decay.factor((5 * 2323 - 1) / steps) == 0.5


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Run]:
    def make(pruning: Dense | Gradual, **changes: Any) -> Run:
        training = Training(
            steps=12, batch_size=4, unroll=5, evaluations=4, clip=1.0, optimiser=Adam()
        )
        return Run(
            task=Grammar(train=400, valid=150, test=150),
            model=LSTMLanguageModel(hidden_size=8, dropout=0.3),
            training=replace(training, **changes),
            pruning=pruning,
            results=str(tmp_path / "results"),
            device="cpu",
        )

    return make


def test_a_sparse_language_model_from_yaml_to_record(small: Callable[..., Run]) -> None:
    record = execute(small(Gradual(sparsity=0.9, schedule=Cubic(interval=2))), say=silent)
    assert record.metric.name == "perplexity"
    assert record.budget.examples == 12 * 4 * 5
    assert set(record.references) == {"exact entropy", "the generator on this text"}
    assert 1 < record.references["exact entropy"] < record.test["perplexity"]


@pytest.mark.parametrize("stop", [3, 7])
def test_the_carried_state_survives_a_stop(
    small: Callable[..., Run], tmp_path: Path, stop: int
) -> None:
    recipe = Gradual(sparsity=0.8, schedule=Cubic(interval=2))
    whole = small(recipe, steps=30)
    expected = execute(whole, say=silent)
    pieces = replace(whole, results=str(tmp_path / "pieces"))
    with pytest.raises(Stopped):
        execute(pieces, stop=After(stop), say=silent)
    assert outcome(execute(pieces, say=silent)) == outcome(expected)
    assert content(pieces) == content(whole)


def test_a_learned_text_is_predicted(tmp_path: Path) -> None:
    """A text of one repeated line can be known by heart: a perplexity near 1."""
    line = "the cat sat on the mat\n"
    write(tmp_path, train=line * 60, valid=line * 5, test=line * 5)
    run = Run(
        task=Text(vocabulary=6, root=str(tmp_path)),
        model=LSTMLanguageModel(hidden_size=16),
        training=Training(steps=150, batch_size=4, unroll=7, learning_rate=0.02, optimiser=Adam()),
        pruning=Gradual(sparsity=0.5, schedule=Cubic(interval=10)),
        results=str(tmp_path / "results"),
        device="cpu",
    )
    assert execute(run, say=silent).test["perplexity"] < 1.2
