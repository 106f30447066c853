"""Parallel text: two files line by line, as numbers of pieces of one vocabulary.

What was cut and numbered is kept in the cache, under a name that follows from the files' content.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data import text
from pruneexp.data.vocabulary import BytePairs, Vocabulary
from pruneexp.engine import files

VERSION = 1  # of how text is cut; another one is another cache file
AT_ONCE = 100_000  # lines that are cut in one call


@dataclass(frozen=True, slots=True)
class Sentences:
    """Many sentences of one language as one row of numbers.

    Arguments:
        pieces: of all, one after the other.
        ends: where each sentence ends in it.
    """

    pieces: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int] | np.ndarray]) -> "Sentences":
        """Sentences of lists of numbers."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        flat = (piece for sentence in sentences for piece in sentence)
        return cls(np.fromiter(flat, np.int32, int(lengths.sum())), lengths.cumsum())

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self.ends[index - 1] if index else 0
        return self.pieces[start : self.ends[index]]

    @property
    def lengths(self) -> np.ndarray:
        """Of each sentence, in pieces."""
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True, slots=True)
class Split:
    """Sentences in two languages, and what was not taken of the files.

    Arguments:
        sources, references: both languages as they were written, where they are decoded.
        empty: pairs that were dropped, since a side said nothing.
        long: pairs that were dropped or cut, since a side was past the limit.
    """

    source: Sentences
    target: Sentences
    sources: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    empty: int = 0
    long: int = 0

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelText:
    """Three splits in one vocabulary."""

    splits: dict[str, Split]
    vocabulary: Vocabulary

    def checksum(self) -> str:
        """Over all sentences and the vocabulary."""
        content = hashlib.sha256(self.vocabulary.checksum.encode())
        for split in self.splits.values():
            for side in (split.source, split.target):
                content.update(side.ends.tobytes())
                content.update(side.pieces.tobytes())
        return content.hexdigest()


def found(folder: Path, stem: str, language: str) -> Path:
    """The file of one language, plain or gzipped; the plain name where neither is there."""
    plain = folder / f"{stem}.{language}"
    zipped = folder / f"{stem}.{language}.gz"
    return zipped if zipped.is_file() and not plain.is_file() else plain


def load(
    paths: dict[str, tuple[Path, Path]], vocabulary: int, longest: int, past: str, cache: Path
) -> ParallelText:
    """Read the files of train, valid and test, and learn the vocabulary from the first.

    Arguments:
        paths: of each split the files of both languages.
        vocabulary: how many pieces.
        longest: pieces of a training sentence.
        past: what becomes of a longer one: "drop" or "cut".
        cache: folder in which the numbers of the training text are kept.

    Raises `Invalid` naming the file and what should be there.
    """
    lines = {name: _read_both(*both) for name, both in paths.items()}
    content = hashlib.sha256(f"{VERSION} {vocabulary}".encode())
    for both in lines.values():
        for side in (both.source, both.target):
            content.update("\n".join(side).encode())
            content.update(b"\0")
    path = cache / f"pairs-{content.hexdigest()[:24]}.bin"
    made = _cached(path) or _made(path, lines, vocabulary)
    splits = {}
    for name, split in made.splits.items():
        split = replace(split, empty=lines[name].empty)
        if name == "train":
            splits[name] = _limited(split, longest, past)
        else:
            splits[name] = replace(split, sources=lines[name].source, references=lines[name].target)
    corpus = ParallelText(splits=splits, vocabulary=made.vocabulary)
    _say(corpus, longest, past)
    return corpus


@dataclass(frozen=True, slots=True)
class _Lines:
    """Pairs of which both sides say something, and how many there were that do not."""

    source: list[str]
    target: list[str]
    empty: int


def _read_both(source: Path, target: Path) -> _Lines:
    first, second = _read(source), _read(target)
    if len(first) != len(second):
        why = f"{source} has {len(first):,} lines and {target} {len(second):,}; line by line they "
        raise Invalid([Fault("task", why + "must be translations of each other")])
    kept = [(a, b) for a, b in zip(first, second, strict=True) if a and b]
    if not kept:
        raise Invalid([Fault("task", f"{source} and {target} hold no pair of sentences")])
    return _Lines([a for a, _ in kept], [b for _, b in kept], len(first) - len(kept))


def _read(path: Path) -> list[str]:
    """Lines with single blanks between words."""
    found = text.lines(path, f"nor is {path.name}.gz")
    return [" ".join(line.split()) for line in found]


def _made(path: Path, lines: dict[str, _Lines], size: int) -> ParallelText:
    train = lines["train"]
    vocabulary = BytePairs.learn(
        (line for side in (train.source, train.target) for line in side), size
    )
    splits = {
        name: Split(_cut(vocabulary, both.source), _cut(vocabulary, both.target))
        for name, both in lines.items()
    }
    corpus = ParallelText(splits=splits, vocabulary=vocabulary)
    _keep(path, corpus, vocabulary)
    return corpus


def _cut(vocabulary: Vocabulary, lines: list[str]) -> Sentences:
    pieces: list[list[int]] = []
    for start in range(0, len(lines), AT_ONCE):
        pieces += vocabulary.encode(lines[start : start + AT_ONCE])
    return Sentences.of(pieces)


def _keep(path: Path, corpus: ParallelText, vocabulary: BytePairs) -> None:
    arrays = {"vocabulary": np.frombuffer(vocabulary.to_text().encode(), np.uint8)}
    for name, split in corpus.splits.items():
        for side, sentences in (("source", split.source), ("target", split.target)):
            arrays[f"{name}_{side}_pieces"] = sentences.pieces
            arrays[f"{name}_{side}_ends"] = sentences.ends
    files.save_checked(path, safetensors.numpy.save(arrays))


def _cached(path: Path) -> ParallelText | None:
    if not path.exists():
        return None
    try:
        arrays = safetensors.numpy.load(files.load_checked(path))
    except files.Damaged as error:
        print(f"{error}; cutting the text again", file=sys.stderr)
        return None
    splits = {
        name: Split(_stored(arrays, f"{name}_source"), _stored(arrays, f"{name}_target"))
        for name in ("train", "valid", "test")
    }
    vocabulary = BytePairs.from_text(arrays["vocabulary"].tobytes().decode())
    return ParallelText(splits=splits, vocabulary=vocabulary)


def _stored(arrays: dict[str, np.ndarray], name: str) -> Sentences:
    return Sentences(arrays[f"{name}_pieces"], arrays[f"{name}_ends"])


def _limited(split: Split, longest: int, past: str) -> Split:
    """The same without what is past the limit."""
    lengths = np.maximum(split.source.lengths, split.target.lengths)
    beyond = int((lengths > longest).sum())
    if not beyond:
        return split
    rows: list[int] = np.flatnonzero(lengths <= longest).tolist()
    if past == "cut":
        rows = list(range(len(split)))
    elif not rows:
        why = f"={longest} drops every training sentence; the shortest pair has {lengths.min()}"
        raise Invalid([Fault("task.longest", f"{why} pieces")])
    source, target = (
        Sentences.of([side[row][:longest] for row in rows]) for side in (split.source, split.target)
    )
    return replace(split, source=source, target=target, long=beyond)


def _say(corpus: ParallelText, longest: int, past: str) -> None:
    """What was left out, and what looks swapped, on standard error."""
    notes = [
        f"{name}: {split.empty:,} pairs with an empty side dropped"
        for name, split in corpus.splits.items()
        if split.empty
    ]
    if corpus.splits["train"].long:
        done = "dropped" if past == "drop" else "cut"
        count = corpus.splits["train"].long
        notes.append(f"train: {count:,} pairs past {longest} pieces {done}")
    notes += swapped(corpus)
    for note in notes:
        print(note, file=sys.stderr, flush=True)


def swapped(corpus: ParallelText) -> Iterator[str]:
    """A line for each split whose sides look like each other's language, by how often the pieces
    stand in the training text."""
    size = len(corpus.vocabulary)
    sides = ("source", "target")
    nats = {}
    for side in sides:
        counts = np.bincount(getattr(corpus.splits["train"], side).pieces, minlength=size) + 1.0
        nats[side] = -np.log(counts / counts.sum())
    for name in ("valid", "test"):
        split = corpus.splits[name]
        fits = [
            float(nats[own][getattr(split, side).pieces].mean())
            < float(nats[other][getattr(split, side).pieces].mean())
            for side, own, other in (("source", *sides), ("target", *reversed(sides)))
        ]
        if not any(fits):
            yield (
                f"{name}: source and target look swapped, since each has the other's words in the "
                "training text; is task.direction what its files are named by?"
            )
