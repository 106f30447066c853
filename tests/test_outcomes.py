"""What came of each test item, beside the record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.outcomes import Outcomes, by_sentence
from pruneexp.engine.record import OUTCOMES, RECORD
from pruneexp.models import LSTMLanguageModel
from pruneexp.tasks import Grammar
from pruneexp.training import Training
from tests.conftest import Make, silent, tiny_gradual


def test_the_pictures_that_were_right_give_the_records_accuracy(tiny: Make) -> None:
    run = tiny(tiny_gradual())
    record = execute(run, say=silent)
    (folder,) = run.store.folders()
    outcomes = folder.outcomes()
    assert outcomes is not None and len(outcomes.values) == 60
    assert set(outcomes.values) <= {0, 1}
    assert outcomes.value() == pytest.approx(record.test["accuracy"], abs=1e-9)
    assert record.checksums["outcomes"] == files.checksum_of(folder.path / OUTCOMES)


def test_the_nats_of_sentences_give_the_records_perplexity(tiny: Make) -> None:
    run = tiny(
        task=Grammar(train=4_000, valid=500, test=900),
        model=LSTMLanguageModel(hidden_size=8, layers=1, dropout=0.0),
        training=Training(steps=5, batch_size=4, unroll=10, learning_rate=0.1),
    )
    record = execute(run, say=silent)
    (folder,) = run.store.folders()
    outcomes = folder.outcomes()
    assert outcomes is not None and outcomes.in_sequence and outcomes.counts is not None
    words = len(run.task.load(run.store.cache).splits["test"])
    assert outcomes.counts.sum() == words
    assert outcomes.value() == pytest.approx(record.test["perplexity"], rel=1e-5)


def test_a_sentence_goes_up_to_and_with_its_end() -> None:
    nats = np.array([1.0, 2, 3, 4, 5])
    found = by_sentence(nats, np.array([False, True, False, False, True]))
    assert found.values.tolist() == [3, 12]
    assert found.weights.tolist() == [2, 3]
    assert found.value() == pytest.approx(np.exp(3))


def test_a_text_without_sentences_is_cut_into_pieces() -> None:
    found = by_sentence(np.ones(120), np.zeros(120, bool))
    assert found.weights.tolist() == [50, 50, 20]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_come_back(bits: list[bool]) -> None:
    outcomes = Outcomes("accuracy", "percent", np.array(bits, float))
    back = Outcomes.from_plain(outcomes.to_plain())
    assert back.values.tolist() == [float(bit) for bit in bits]


@given(st.lists(st.tuples(st.floats(0.001, 900), st.integers(1, 500)), min_size=1, max_size=40))
def test_values_come_back_to_six_digits(items: list[tuple[float, int]]) -> None:
    values, counts = (np.array(each, float) for each in zip(*items, strict=True))
    back = Outcomes.from_plain(Outcomes("perplexity", "exponential", values, counts).to_plain())
    assert back.values == pytest.approx(values, rel=1e-5)
    assert back.weights.tolist() == counts.tolist()


BITS = Outcomes("accuracy", "percent", np.array([1.0, 0, 1])).to_plain()
SUMS = Outcomes("perplexity", "exponential", np.array([1.5, 2]), np.array([1, 2])).to_plain()


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (BITS | {"version": 2}, "another version"),
        (BITS | {"items": 30}, "bits takes 4 bytes, got 1"),
        (BITS | {"items": 10**9}, "items"),
        (BITS | {"bits": "?"}, "bits"),
        (BITS | {"values": "1 0 1"}, "either bits or values"),
        (BITS | {"summary": "sum"}, "summary takes percent"),
        (SUMS | {"values": "1.5"}, "values takes 2 numbers, got 1"),
        (SUMS | {"values": "1.5 nan"}, "values takes numbers from"),
        (SUMS | {"values": "1.5 x"}, "values takes numbers"),
        (SUMS | {"counts": "0 1"}, "counts takes numbers from 1"),
        (SUMS | {"counts": "1e300 1"}, "counts takes numbers from 1"),
    ],
)
def test_a_forged_file_is_refused(plain: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Outcomes.from_plain(plain)


def test_outcomes_of_another_run_are_damage(tiny: Make, tmp_path: Path) -> None:
    run = tiny()
    execute(run, say=silent)
    (folder,) = run.store.folders()
    files.save_json(folder.path / OUTCOMES, BITS)
    with pytest.raises(files.Damaged, match="checksum is not the one in the run's record"):
        folder.outcomes()
    (folder.path / RECORD).unlink()
    kept = folder.outcomes()
    assert kept is not None and kept.values.tolist() == [1, 0, 1]
