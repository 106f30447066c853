"""Pairs of sentences: files, vocabularies, batches and the embedded pairs."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pruneexp.config.recipe import Invalid
from pruneexp.data import grammar_pairs, parallel
from pruneexp.data.grammar import ADJECTIVES, NOUNS, PREPOSITIONS, VERBS, Clause, Modifier, Phrase
from pruneexp.data.length_batches import LengthBatches
from pruneexp.data.parallel import Sentences
from pruneexp.data.vocabulary import END, SPECIAL, UNKNOWN, BytePairs, Words
from pruneexp.tasks import GrammarPairs, Pairs
from pruneexp.tasks.translation import Translation

ENGLISH = ["the cat sees the dog.", "a dog, a cat.", "the dog sees a cat!", "the cat."]
GERMAN = ["die Katze sieht den Hund.", "ein Hund, eine Katze.", "der Hund sieht.", "die Katze."]


def write(folder: Path, **lines: list[str] | bytes) -> Path:
    """train.en and so on: train_en=[...]."""
    folder.mkdir(exist_ok=True)
    for name, content in lines.items():
        data = content if isinstance(content, bytes) else "\n".join(content).encode() + b"\n"
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write(
        tmp_path / "text",
        **{f"{name}_en": ENGLISH for name in ("train", "valid", "test")},
        **{f"{name}_de": GERMAN for name in ("train", "valid", "test")},
    )


def load(folder: Path, vocabulary: int = 50, **settings: object) -> Translation:
    task = Pairs(root=str(folder), vocabulary=vocabulary, **settings)  # type: ignore[arg-type]
    task.ready()
    loaded = task.load(folder.parent / "cache")
    assert isinstance(loaded, Translation)
    return loaded


class TestVocabulary:
    def test_words(self) -> None:
        words = Words(["a", "b"])
        assert words.words == (*SPECIAL, "a", "b")
        assert words.encode(["b a c", ""]) == [[5, 4, UNKNOWN], []]
        assert words.decode([5, END, 4, UNKNOWN]) == "b a <unk>"
        assert words.checksum != Words(["b", "a"]).checksum

    def test_byte_pairs_give_the_text_back(self) -> None:
        lines = [*ENGLISH, *GERMAN]
        learned = BytePairs.learn(lines, 50)
        assert len(learned) == 50
        assert learned.words[:4] == SPECIAL
        assert [learned.decode(pieces) for pieces in learned.encode(lines)] == lines
        again = BytePairs.from_text(learned.to_text())
        assert again.checksum == learned.checksum == BytePairs.learn(lines, 50).checksum
        assert again.encode(lines) == learned.encode(lines)

    def test_frequent_words_become_one_piece_and_signs_stand_alone(self) -> None:
        learned = BytePairs.learn(["cat. cat, cat! cat? dog"] * 3, 21)
        pieces = [learned.words[piece] for piece in learned.encode(["cat, cat!"])[0]]
        assert pieces == ["▁cat", ",", "▁cat", "!"]

    def test_more_pieces_than_the_text_yields(self) -> None:
        with pytest.raises(Invalid, match=r"task.vocabulary=500, but .* yields at most \d+ pieces"):
            BytePairs.learn(ENGLISH, 500)

    def test_fewer_than_its_letters(self) -> None:
        with pytest.raises(Invalid, match=r"task.vocabulary=6, but .* at least \d+ pieces"):
            BytePairs.learn(ENGLISH, 6)


class TestFiles:
    def test_all_pairs_in_both_directions(self, files: Path) -> None:
        there, back = load(files), load(files, direction="de_en")
        assert len(there.splits["train"]) == 4
        assert there.splits["test"].sources == ENGLISH
        assert there.splits["test"].references == GERMAN
        assert back.splits["test"].references == ENGLISH
        for row in range(4):
            split = there.splits["valid"]
            assert there.vocabulary.decode(split.source[row]) == ENGLISH[row]
            assert there.vocabulary.decode(split.target[row]) == GERMAN[row]

    def test_gzipped_files_are_the_same_text(self, files: Path, tmp_path: Path) -> None:
        first = load(files)
        for path in list(files.iterdir()):
            (files / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert load(files).checksum == first.checksum

    def test_what_was_cut_is_kept_and_the_same(self, files: Path) -> None:
        first = load(files)
        kept = list((files.parent / "cache").glob("pairs-*.bin"))
        assert len(kept) == 1
        again = load(files)
        assert again.checksum == first.checksum
        assert again.vocabulary.checksum == first.vocabulary.checksum

    def test_a_damaged_cache_is_made_again(
        self, files: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = load(files)
        (kept,) = (files.parent / "cache").glob("pairs-*.bin")
        kept.write_bytes(kept.read_bytes()[:-9])
        assert load(files).checksum == first.checksum
        assert "cutting the text again" in capsys.readouterr().err

    def test_empty_lines_are_dropped_and_counted(
        self, files: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(files, train_en=[*ENGLISH, "", "a cat"], train_de=[*GERMAN, "ein Hund", "  "])
        assert len(load(files).splits["train"]) == 4
        assert "train: 2 pairs with an empty side dropped" in capsys.readouterr().err

    @pytest.mark.parametrize(("past", "count"), [("drop", 2), ("cut", 4)])
    def test_long_sentences(
        self, files: Path, past: str, count: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = load(files)
        lengths = np.maximum(
            *(s.lengths for s in (whole.splits["train"].source, whole.splits["train"].target))
        )
        longest = int(sorted(lengths)[1])
        split = load(files, longest=longest, past=past).splits["train"]
        assert len(split) == count
        assert split.long == int((lengths > longest).sum()) == 2
        assert max(split.source.lengths.max(), split.target.lengths.max()) <= longest
        done = "dropped" if past == "drop" else "cut"
        assert f"train: 2 pairs past {longest} pieces {done}" in capsys.readouterr().err
        assert len(load(files, longest=longest, past=past).splits["test"].source) == 4

    def test_nothing_is_left(self, files: Path) -> None:
        with pytest.raises(Invalid, match=r"task.longest=1 drops every training sentence"):
            load(files, longest=1)

    def test_files_of_other_lengths(self, files: Path) -> None:
        write(files, valid_de=GERMAN[:3])
        with pytest.raises(Invalid, match=r"valid.en has 4 lines and .*valid.de 3"):
            load(files)

    def test_no_text(self, files: Path) -> None:
        write(files, train_de=["", "", "", ""])
        with pytest.raises(Invalid, match="hold no pair of sentences"):
            load(files)

    def test_what_is_not_utf8(self, files: Path) -> None:
        write(files, test_de=b"der Hund\nder B\xe4r\n")
        with pytest.raises(Invalid, match=r"test.de is not UTF-8 text .*line 2"):
            load(files)

    @pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"\x1f\x8b\x08" + b"\xff" * 40])
    def test_damaged_gzip(self, files: Path, damage: bytes) -> None:
        (files / "test.de").unlink()
        (files / "test.de.gz").write_bytes(damage)
        with pytest.raises(Invalid, match=r"test.de.gz|hold no pair|lines"):
            load(files)

    def test_missing_files_are_all_named(self, files: Path) -> None:
        (files / "valid.de").unlink()
        (files / "test.en").unlink()
        with pytest.raises(Invalid, match=r"does not hold valid.de, test.en, plain or as .gz"):
            load(files)

    def test_swapped_sides_are_told(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        load(files)
        assert "swapped" not in capsys.readouterr().err
        write(files, test_en=GERMAN, test_de=ENGLISH)
        load(files)
        told = capsys.readouterr().err
        assert "test: source and target look swapped" in told
        assert "valid: source" not in told

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"beams": 0}, "beams takes a number of beams from 1 to 100, got 0"),
            ({"direction": "en"}, "direction takes two languages, such as en_de, got en"),
            ({"direction": "en_en"}, "direction takes two languages"),
            ({"direction": "../x_de"}, "direction takes two languages"),
            ({"vocabulary": 4}, "vocabulary takes a number of pieces from 5 on, got 4"),
            ({"past": "keep"}, "past takes drop or cut, got keep"),
            ({"batches_of": "rows"}, "batches_of takes sentences or words, got rows"),
        ],
    )
    def test_settings_that_cannot_be(self, settings: dict[str, object], message: str) -> None:
        with pytest.raises(Invalid, match=message):
            Pairs(**settings)  # type: ignore[arg-type]


LENGTHS = some.lists(some.tuples(some.integers(1, 9), some.integers(1, 9)), min_size=1, max_size=60)


class TestBatches:
    @settings(max_examples=60)
    @given(LENGTHS, some.integers(1, 30), some.sampled_from(["sentences", "words"]))
    def test_every_pair_once_an_epoch(
        self, lengths: list[tuple[int, int]], size: int, by: str
    ) -> None:
        source, target = np.array(lengths).T
        cut = LengthBatches.of(source, target, size, by)
        for epoch in range(2):
            rows = [*cut.rows(7, epoch * len(cut), (epoch + 1) * len(cut))]
            assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
            for batch in rows:
                if by == "sentences":
                    assert len(batch) <= size
                else:
                    longest = max(source[batch].max(), target[batch].max())
                    assert len(batch) == 1 or longest * len(batch) <= size

    def test_they_follow_from_seed_and_step(self) -> None:
        source = np.arange(40) % 5 + 1
        cut = LengthBatches.of(source, source, 8, "sentences")
        whole = [batch.tolist() for batch in cut.rows(3, 0, 12)]
        assert [batch.tolist() for batch in cut.rows(3, 7, 12)] == whole[7:]
        assert whole[:5] != whole[5:10]  # each epoch has an order of its own
        assert [batch.tolist() for batch in cut.rows(4, 0, 12)] != whole

    def test_sentences_of_one_length_come_together(self) -> None:
        source = np.array([3, 1, 2, 3, 1, 2, 3, 1])
        cut = LengthBatches.of(source, source, 2, "sentences")
        found = sorted(tuple(sorted(source[batch].tolist())) for batch in cut.rows(0, 0, 4))
        assert found == [(1, 1), (1, 2), (2, 3), (3, 3)]

    def test_sentences_by_number(self) -> None:
        sentences = Sentences.of([[4, 5], [], [6]])
        assert [each.tolist() for each in sentences] == [[4, 5], [], [6]]
        assert sentences.lengths.tolist() == [2, 0, 1]


class TestEmbeddedPairs:
    def test_a_clause_by_hand(self) -> None:
        """The old baker that helps the dogs sees a red cat beside..., word by word."""
        baker = next(i for i, noun in enumerate(NOUNS) if noun[0] == "baker")
        dog = next(i for i, noun in enumerate(NOUNS) if noun[0] == "dog")
        help_ = next(i for i, verb in enumerate(VERBS) if verb[1] == "help")
        see = next(i for i, verb in enumerate(VERBS) if verb[1] == "see")
        inside = Phrase(number=1, determiner=0, adjective=None, noun=dog, modifier=None)
        subject = Phrase(
            number=0,
            determiner=0,
            adjective=ADJECTIVES.index("old"),
            noun=baker,
            modifier=Modifier(2, help_, inside),
        )
        near = Phrase(number=0, determiner=1, adjective=None, noun=baker, modifier=None)
        object_ = Phrase(
            number=1,
            determiner=1,
            adjective=None,
            noun=dog,
            modifier=Modifier(1, PREPOSITIONS.index("near"), near),
        )
        found = grammar_pairs.verb_final(Clause(subject, see, object_))
        assert found == (
            "eht dlo rekab taht ehtim godim plehnt esehtim godim sihtes rekabes raen eest".replace(
                "plehnt", "pleht"
            ).split()
        )

    def test_each_sentence_has_one_translation(self) -> None:
        pairs = grammar_pairs.draw(0, "train", 4_000)
        there = {tuple(a): tuple(b) for a, b in pairs}
        back = {tuple(b): tuple(a) for a, b in pairs}
        assert len(there) == len(back)
        assert all(tuple(b) == there[tuple(a)] for a, b in pairs)
        assert len(set(grammar_pairs.VERB_FINAL)) == 1_337  # no two words are spelled alike

    def test_a_longer_draw_begins_with_the_shorter(self) -> None:
        assert grammar_pairs.draw(1, "test", 30)[:10] == grammar_pairs.draw(1, "test", 10)
        assert grammar_pairs.draw(2, "test", 10) != grammar_pairs.draw(1, "test", 10)
        assert all(len(a) <= 7 for a, _ in grammar_pairs.draw(0, "test", 50, 7))

    def test_both_directions(self, tmp_path: Path) -> None:
        sizes = {"train": 20, "valid": 5, "test": 5}
        there, back = (
            GrammarPairs(direction=direction, **sizes).load(tmp_path)  # type: ignore[arg-type]
            for direction in ("svo_sov", "sov_svo")
        )
        assert isinstance(there, Translation) and isinstance(back, Translation)
        assert there.splits["test"].sources == back.splits["test"].references
        assert there.checksum != back.checksum
        assert there.vocabulary.checksum == back.vocabulary.checksum
        assert UNKNOWN not in there.splits["train"].source.pieces
        assert len(there.vocabulary) == GrammarPairs().shape().vocabulary


def test_parallel_text_is_found_plain_first(tmp_path: Path) -> None:
    assert parallel.found(tmp_path, "train", "en") == tmp_path / "train.en"
    (tmp_path / "train.en.gz").touch()
    assert parallel.found(tmp_path, "train", "en") == tmp_path / "train.en.gz"
    (tmp_path / "train.en").touch()
    assert parallel.found(tmp_path, "train", "en") == tmp_path / "train.en"
