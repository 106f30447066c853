"""Recipes of tasks of translation: which pairs of sentences, in which direction."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, demand, here
from pruneexp.tasks.shape import PairShape
from pruneexp.tasks.task import Signature, Task, place_of, signature_of

if TYPE_CHECKING:
    from pruneexp.tasks.loaded import LoadedTask

COUNTED_IN = ("sentences", "words")
SPLITS = ("train", "valid", "test")
SMALLEST = 5  # pieces: the four special ones and one more
MOST_BEAMS = 100


@dataclass(kw_only=True, slots=True)
class Translating(Task):
    """What all tasks of translation have.

    Arguments:
        direction: from which language into which, such as en_de.
        batches_of: what training.batch_size counts: sentences, or words of the longer side with
            its padding. The loss is summed over words and divided by the batch in the same count.
        beams: of the search by which the chosen state is decoded; 1 is greedy.
        length_penalty: of that search, of Wu et al. 2016.
    """

    direction: str = "en_de"
    batches_of: str = "sentences"
    beams: int = 4
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        demand(self, **self._rules())

    def _rules(self) -> dict[str, tuple[bool, str]]:
        parts = re.fullmatch(r"([A-Za-z-]{1,20})_([A-Za-z-]{1,20})", self.direction)
        return {
            "direction": (
                parts is not None and parts[1] != parts[2],
                "two languages, such as en_de",
            ),
            "batches_of": (self.batches_of in COUNTED_IN, "sentences or words"),
            "beams": (1 <= self.beams <= MOST_BEAMS, f"a number of beams from 1 to {MOST_BEAMS}"),
            "length_penalty": (0 <= self.length_penalty <= 10, "a number from 0 to 10"),
            "name": self.name_rule(),
        }

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target."""
        source, _, target = self.direction.partition("_")
        return source, target

    def label(self) -> str:
        return f"{Task.label(self)}-{self.direction}"

    def ready(self) -> None:
        """The libraries of the extra must be there."""
        lacking = [name for name in self.libraries() if find_spec(name) is None]
        if lacking:
            why = f"needs {', '.join(lacking)}: pip install 'pruneexp[translation]'"
            raise Invalid([Fault("task", why)])

    @staticmethod
    def libraries() -> tuple[str, ...]:
        """What must be installed."""
        return ("tokenizers", "sacrebleu")


@dataclass(kw_only=True, slots=True)
class Pairs(Translating):
    """Parallel text: for each split two files, plain or gzipped, line by line translations of each
    other, called train.en and train.de for direction=en_de.

    Pieces of words are learned from the training text of both languages (byte pairs). Pairs with an
    empty side are dropped and counted.

    Arguments:
        vocabulary: how many pieces, the four special ones among them.
        longest: pieces of a training sentence,
        past: and what becomes of a longer one: drop (the pair) or cut. Valid and test stay whole.
        tokenised: whether the text is tokenised already, so that BLEU takes it as it is, as papers
            do; otherwise BLEU is that of plain text.
        train, valid, test: the files' names without the language.
        root: their folder; a folder of the task's name in PRUNEEXP_DATA without it.
    """

    word: ClassVar[str] = "pairs"
    vocabulary: int = 8_000
    longest: int = 50
    past: str = "drop"
    tokenised: bool = False
    train: str = "train"
    valid: str = "valid"
    test: str = "test"
    root: str = here("")

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return {
            **Translating._rules(self),
            "vocabulary": (self.vocabulary >= SMALLEST, f"a number of pieces from {SMALLEST} on"),
            "longest": (self.longest > 0, "a number of pieces above 0"),
            "past": (self.past in ("drop", "cut"), "drop or cut"),
        }

    def shape(self) -> PairShape:
        return PairShape(vocabulary=self.vocabulary)

    def paths(self) -> dict[str, tuple[Path, Path]]:
        """Of each split the files of both languages."""
        from pruneexp.data import parallel

        folder = place_of(self.root, self.word)
        source, target = self.languages
        return {
            name: (
                parallel.found(folder, getattr(self, name), source),
                parallel.found(folder, getattr(self, name), target),
            )
            for name in SPLITS
        }

    def signature(self) -> Signature | None:
        return signature_of([path for both in self.paths().values() for path in both])

    def ready(self) -> None:
        """All six files must be there."""
        Translating.ready(self)
        paths = [path for both in self.paths().values() for path in both]
        lacking = [path.name for path in paths if not path.is_file()]
        if lacking:
            why = f"={paths[0].parent} does not hold {', '.join(lacking)}, plain or as .gz"
            raise Invalid([Fault("task.root", why)])

    def load(self, cache: Path) -> "LoadedTask":
        from pruneexp.data import parallel
        from pruneexp.tasks.translation import Translation

        corpus = parallel.load(self.paths(), self.vocabulary, self.longest, self.past, cache)
        return Translation(
            corpus,
            batches_of=self.batches_of,
            beams=self.beams,
            length_penalty=self.length_penalty,
            tokenised=self.tokenised,
        )


@dataclass(kw_only=True, slots=True)
class WMT16(Pairs):
    """WMT 2016 English-German as Zhu and Gupta 2017 had it, tokenised: validation by newstest2013,
    test by newstest2015."""

    word: ClassVar[str] = "wmt16_en_de"
    vocabulary: int = 36_548
    tokenised: bool = True
    beams: int = 10
    train: str = "train.tok.clean"
    valid: str = "newstest2013.tok"
    test: str = "newstest2015.tok"


@dataclass(kw_only=True, slots=True)
class WMT14(Pairs):
    """WMT 2014 English-German as Gale et al. 2019 had it, tokenised: validation by newstest2013,
    test by newstest2014."""

    word: ClassVar[str] = "wmt14_en_de"
    vocabulary: int = 33_708
    longest: int = 256
    tokenised: bool = True
    batches_of: str = "words"
    length_penalty: float = 0.6
    train: str = "train.tok.clean"
    valid: str = "newstest2013.tok"
    test: str = "newstest2014.tok"


@dataclass(kw_only=True, slots=True)
class Tatoeba(Pairs):
    """Short English and German sentences that people wrote as translations of each other."""

    word: ClassVar[str] = "tatoeba_en_de"


@dataclass(kw_only=True, slots=True)
class GrammarPairs(Translating):
    """Clauses of the embedded grammar in English order and verb-final with cases (svo_sov, or
    sov_svo): each sentence has exactly one translation, so that accuracy by sentence is known."""

    word: ClassVar[str] = "grammar_pairs"
    direction: str = "svo_sov"
    train: int = 40_000  # pairs
    valid: int = 1_000  # pairs
    test: int = 2_000  # pairs
    longest: int = 16  # words of a sentence; a clause has at least five
    seed: int = 0  # governs the sentences; stays fixed while a run's seed varies

    def _rules(self) -> dict[str, tuple[bool, str]]:
        takes = "svo_sov or sov_svo"
        return {
            **Translating._rules(self),
            "direction": (self.direction in ("svo_sov", "sov_svo"), takes),
            **{name: (getattr(self, name) > 0, "a number of pairs above 0") for name in SPLITS},
            "longest": (self.longest >= 5, "a number of words from 5 on"),
        }

    @staticmethod
    def libraries() -> tuple[str, ...]:
        """Nothing is cut into pieces here."""
        return ("sacrebleu",)

    def shape(self) -> PairShape:
        from pruneexp.data.grammar_pairs import WORDS
        from pruneexp.data.vocabulary import SPECIAL

        return PairShape(vocabulary=len(SPECIAL) + len(WORDS))

    def load(self, cache: Path) -> "LoadedTask":
        from pruneexp.data import grammar_pairs
        from pruneexp.data.parallel import ParallelText, Sentences, Split
        from pruneexp.data.vocabulary import Words
        from pruneexp.tasks.translation import Translation

        vocabulary = Words(grammar_pairs.WORDS)
        splits = {}
        for name in SPLITS:
            pairs = grammar_pairs.draw(self.seed, name, getattr(self, name), self.longest)
            sides = [[" ".join(pair[side]) for pair in pairs] for side in (0, 1)]
            if self.direction == "sov_svo":
                sides.reverse()
            source, target = (Sentences.of(vocabulary.encode(side)) for side in sides)
            splits[name] = Split(source, target, sources=sides[0], references=sides[1])
        return Translation(
            ParallelText(splits=splits, vocabulary=vocabulary),
            batches_of=self.batches_of,
            beams=self.beams,
            length_penalty=self.length_penalty,
            exact=True,
        )
