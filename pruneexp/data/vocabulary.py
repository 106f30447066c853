"""The pieces that sentences are cut into for translation, one vocabulary for both languages.

vocabulary = BytePairs.learn(lines, 8000)
vocabulary.decode(vocabulary.encode(["a small house"])[0])  # "a small house"
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pruneexp.config.recipe import Fault, Invalid

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
PAD, UNKNOWN, BEGIN, END = range(len(SPECIAL))
MOST_CHARACTERS = 1_000  # different ones that become pieces; rarer ones are <unk>
LEAST_COUNT = 2  # of a pair of pieces that becomes one piece
EXTRA = "needs the extra: pip install 'pruneexp[translation]'"


class Vocabulary:
    """Pieces by number, the four special ones first. A subclass cuts text and joins it."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        assert self.words[: len(SPECIAL)] == SPECIAL, self.words[: len(SPECIAL)]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def checksum(self) -> str:
        """Two vocabularies with the same one cut any text alike."""
        return hashlib.sha256(self._content().encode()).hexdigest()

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """The pieces of each line, without marks of beginning and end."""
        raise NotImplementedError(f"{type(self).__name__} cuts no text")

    def decode(self, pieces: Iterable[int]) -> str:
        """The text of pieces; special ones say nothing but <unk>."""
        raise NotImplementedError(f"{type(self).__name__} joins no pieces")

    def _content(self) -> str:
        return "\n".join(self.words)


class Words(Vocabulary):
    """Whole words between blanks."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__([*SPECIAL, *words])
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        return [[self._numbers.get(word, UNKNOWN) for word in line.split()] for line in lines]

    def decode(self, pieces: Iterable[int]) -> str:
        hidden = (PAD, BEGIN, END)
        return " ".join(self.words[piece] for piece in pieces if piece not in hidden)


class BytePairs(Vocabulary):
    """Pieces of words that are learned from text by joining the most frequent pair again and again
    (Sennrich et al. 2016); punctuation stands alone."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        numbers = tokenizer.get_vocab()
        super().__init__(sorted(numbers, key=lambda word: numbers[word]))

    @classmethod
    def learn(cls, lines: Iterable[str], size: int) -> "BytePairs":
        """A vocabulary of `size` pieces. Raises `Invalid` where the text yields fewer."""
        tokenizers = _library()
        learned = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=SPECIAL[UNKNOWN]))
        learned.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [
                tokenizers.pre_tokenizers.Metaspace(),
                tokenizers.pre_tokenizers.Punctuation(behavior="isolated"),
            ]
        )
        learned.decoder = tokenizers.decoders.Metaspace()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=LEAST_COUNT,
            special_tokens=list(SPECIAL),
            limit_alphabet=MOST_CHARACTERS,
            show_progress=False,
        )
        learned.train_from_iterator(lines, trainer)
        found = learned.get_vocab_size()
        if found != size:
            kind = "at most" if found < size else "at least"
            why = f"={size:,}, but the training text yields {kind} {found:,} pieces; give that"
            raise Invalid([Fault("task.vocabulary", why)])
        return cls(learned)

    @classmethod
    def from_text(cls, text: str) -> "BytePairs":
        """What `to_text` gave."""
        return cls(_library().Tokenizer.from_str(text))

    def to_text(self) -> str:
        """The vocabulary with its rules, as JSON."""
        return str(self._tokenizer.to_str())

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        found = self._tokenizer.encode_batch(list(lines), add_special_tokens=False)
        return [each.ids for each in found]

    def decode(self, pieces: Iterable[int]) -> str:
        hidden = (PAD, BEGIN, END)
        kept = [int(piece) for piece in pieces if piece not in hidden]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False))

    def _content(self) -> str:
        return self.to_text()


def _library() -> Any:
    """tokenizers with the parts that are used."""
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise Invalid([Fault("task", EXTRA)]) from error
    return tokenizers
