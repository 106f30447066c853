"""What was typed, before anything reads it: spellings that mean the same become one.

Hydra takes `results=X` and the other commands take `--results X`; every command takes both.
"""

import re
from collections.abc import Container, Iterator

from pruneexp.config.location import CONF
from pruneexp.config.recipe import Fault, Invalid

# Keys of a run that are options of other commands.
SHARED = ("results", "format", "trust")
AMOUNTS = ("budget", "nonzero")  # likewise, of one command
# Flags of Hydra that a value follows.
WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i"),
)
KEY = re.compile(r"[+~]{0,2}[\w./@:]+")


def for_hydra(words: list[str]) -> list[str]:
    """The words behind `run` or `size` as Hydra takes them. Raises `Invalid` for words that are no
    overrides."""
    plain = list(_joined(list(_as_overrides(words))))
    _demand_overrides(plain)
    return [word.removeprefix("+") if word.startswith("+experiment=") else word for word in plain]


def without_cfg(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--cfg job`, and whether that was among them. What Hydra prints for it
    cannot be run again; `again.configuration` can."""
    if any(word.startswith(("--package", "-p")) for word in words):
        return words, False
    left = list(words)
    for index, word in enumerate(words):
        if word in ("--cfg", "-c") and words[index + 1 : index + 2] == ["job"]:
            return left[:index] + left[index + 2 :], True
        if word in ("--cfg=job", "-c=job", "-cjob"):
            return left[:index] + left[index + 1 :], True
    return words, False


def for_parser(words: list[str], options: Container[str]) -> list[str]:
    """The words behind another command as its parser takes them: `results=X` as `--results=X`.

    Arguments:
        options: the parser's, such as --results.
    """

    def spelled(word: str) -> Iterator[str]:
        key, equals, value = word.partition("=")
        if not equals or key not in (*SHARED, *AMOUNTS) or f"--{key}" not in options:
            yield word
        elif key != "trust":
            yield f"--{key}={value}"
        elif value.lower() == "true":
            yield "--trust"

    return [plain for word in words for plain in spelled(word)]


def _as_overrides(words: list[str]) -> Iterator[str]:
    """`--results X` and `--results=X` as `results=X`."""
    left = list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or key not in SHARED:
            yield word
        elif key == "trust":
            yield "trust=true"
        elif equals or left:
            yield f"{key}={value if equals else left.pop(0)}"
        else:
            raise Invalid([Fault(word, "takes a value")])


def _joined(words: list[str]) -> Iterator[str]:
    """`key = value`, `key =value` and `key= value` as the one word that was meant."""
    left = list(words)
    while left:
        word = left.pop(0)
        is_key = KEY.fullmatch(word) is not None
        if is_key and left and left[0].startswith("="):
            word += left.pop(0)
        if re.fullmatch(KEY.pattern + "=", word) and left and _is_value(left[0]):
            word += left.pop(0)
        yield word


def _is_value(word: str) -> bool:
    return "=" not in word and not word.startswith("-")


def _demand_overrides(words: list[str]) -> None:
    faults = []
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith(("-", "~")) or "=" in word or before in WITH_VALUE:
            continue
        if (CONF / "experiment" / f"{word}.yaml").is_file():
            faults.append(Fault(word, f"is an experiment: pruneexp run experiment={word}"))
        else:
            faults.append(Fault(repr(word), "is no override: they are key=value or group=option"))
    if faults:
        raise Invalid(faults)
