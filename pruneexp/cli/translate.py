"""The command that translates what stands on standard input."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice

from pruneexp.cli.messages import complain
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine.store import Store
from pruneexp.printable import printable

AT_ONCE = 128  # lines that are read and translated together, where nobody types


def translate_command(options: argparse.Namespace, store: Store) -> int:
    """Line by line, in the order in which they came."""
    import torch

    from pruneexp.running.translate import TrainedTranslator

    torch.set_num_threads(options.threads)
    translator = TrainedTranslator.of(
        store.find(options.run),
        store,
        beams=options.beams,
        root=options.root,
        sparse=options.sparse,
    )
    typed = sys.stdin.isatty()
    if typed:
        complain(["type a sentence and Enter; Ctrl-D ends"])
    waiting = _lines()
    while lines := list(islice(waiting, 1 if typed else AT_ONCE)):
        for line in translator.translate(lines):
            print(printable(line), flush=True)
    return 0


def _lines() -> Iterator[str]:
    """Of standard input. Raises `Invalid` where it is no text."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield " ".join(line.decode("utf-8-sig").split())
        except UnicodeDecodeError as error:
            why = f"is not UTF-8 text (line {number:,}: {error.reason})"
            raise Invalid([Fault("standard input", why)]) from error
