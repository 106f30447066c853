"""Word-level text: files with one sentence a line, as token numbers.

The conventions are those of the Penn Treebank's language-modelling split: words between blanks, an
`<eos>` after every line, the vocabulary that of the training file, `<unk>` for any other word.
"""

import gzip
import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pruneexp.config.recipe import Fault, Invalid

END, UNKNOWN = "<eos>", "<unk>"
MOSTLY = 0.5  # of a split's words: from here on it is another language than the training file's


@dataclass(frozen=True, slots=True)
class Corpus:
    """Three splits as token numbers, and the words they number."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    words: list[str]

    def checksum(self) -> str:
        content = hashlib.sha256("\n".join(self.words).encode())
        for split in (self.train, self.valid, self.test):
            content.update(split.astype(np.int32).tobytes())
        return content.hexdigest()


def count_words(path: Path) -> int:
    """How many different words a training file has, `<eos>` among them."""
    return len(set(read(path)))


def load(paths: dict[str, Path], vocabulary: int) -> Corpus:
    """Read the three files. Raises `Invalid` naming the file and what should be there."""
    words = {name: read(path) for name, path in paths.items()}
    counted = Counter(words["train"])
    known = sorted(counted, key=lambda word: (-counted[word], word))
    if len(known) != vocabulary:
        where = paths["train"]
        why = f"={vocabulary:,}, but {where} has {len(known):,} words ({END} among them)"
        raise Invalid([Fault("task.vocabulary", why)])
    numbers = {word: number for number, word in enumerate(known)}
    unknown = numbers.get(UNKNOWN)
    splits = {}
    for name, text in words.items():
        splits[name] = np.array([numbers.get(word, -1) for word in text], np.int32)
        strange = int((splits[name] < 0).sum())
        if strange and (unknown is None or strange > MOSTLY * len(text)):
            raise Invalid([Fault("task", _strange(paths[name], strange, len(text), unknown))])
        if unknown is not None:
            splits[name][splits[name] < 0] = unknown
    return Corpus(**splits, words=known)


def _strange(path: Path, strange: int, total: int, unknown: int | None) -> str:
    share = f"{path}: {strange:,} of {total:,} words are not in the training file"
    if unknown is None:
        remedy = f"write {UNKNOWN} for rare words in all three files, or leave such words out"
        return f"{share}, which has no {UNKNOWN} to stand for them; {remedy}"
    return f"{share}; is it another language?"


def read(path: Path) -> list[str]:
    """A file's words, `<eos>` after every line; plain or gzipped."""
    found = lines(
        path,
        "task.root should be a folder of train.txt, valid.txt and test.txt (or as task.train and "
        "others say), text with one sentence a line",
    )
    words = [word for line in found for word in [*line.split(), END]]
    if len(words) == len(found):
        raise Invalid([Fault("task", f"{path} is empty")])
    return words


def lines(path: Path, missing: str) -> list[str]:
    """A file's lines, plain or gzipped. Raises `Invalid` naming the file.

    Arguments:
        missing: what is said where it is not there.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise Invalid([Fault("task.root", f"{path} is not there; {missing}")]) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        why = f"{path} is not UTF-8 text ({error.reason}, line {line:,})"
        raise Invalid([Fault("task", why)]) from error
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid([Fault("task", f"{path} cannot be read ({error})")]) from error
    # Lines end where `wc` and editors say, not at form feeds and the like.
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
