"""Sentences of one's own through a finished run, and how fast it writes, dense and sparse."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruneexp.config.read import restore
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data.vocabulary import END, Vocabulary
from pruneexp.decoding.beam_search import BeamSearch
from pruneexp.engine.lineage import demand_vocabulary
from pruneexp.engine.record import RECORD
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.running.latency import assembled, latency
from pruneexp.running.source import Source, of_run
from pruneexp.running.timing import beside
from pruneexp.tasks.pairs import Pairs, Translating
from pruneexp.tasks.shape import PairShape
from pruneexp.tasks.translation import Translation

WORDS = 12  # of each sentence whose translation is timed


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedTranslator:
    """A trained network with its vocabulary.

        TrainedTranslator.of(store.find("4f2a"), store).translate(["the cat sees a dog"])

    Arguments:
        network: that writes.
        vocabulary: which it was trained with.
        search: how sentences are written.
    """

    network: nn.Module
    vocabulary: Vocabulary
    search: BeamSearch

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        store: Store,
        *,
        beams: int | None = None,
        root: Path | None = None,
        sparse: bool = False,
    ) -> "TrainedTranslator":
        """Of a finished run. Its vocabulary follows from the data that it was trained on, which
        must be there. Raises `Invalid` for a run of another task and for another vocabulary.

        Arguments:
            beams: of the search; the run's own without.
            root: the folder of the data, where PRUNEEXP_DATA does not say it.
            sparse: skip masked weights in layers where that is faster here.
        """
        record = folder.record_or_fail()
        run = restore(record.configuration, trust=False, origin=folder.path / RECORD)
        task = run.task
        if not isinstance(task, Translating):
            raise Invalid([Fault("RUN", f"={record.name} does not translate; it is {task.word}")])
        if root is not None and isinstance(task, Pairs):
            task.root = str(root)
        task.ready()
        loaded = task.load(store.cache)
        assert isinstance(loaded, Translation), loaded
        demand_vocabulary(record, loaded.checksums(), "the run that is to translate")
        source = of_run(folder)
        search = BeamSearch(beams=beams or task.beams, penalty=task.length_penalty)
        network = _sparse(source, search) if sparse else source.model
        return cls(network=network, vocabulary=loaded.vocabulary, search=search)

    def translate(self, lines: Sequence[str]) -> list[str]:
        """Each line in the other language; of an empty one, an empty one."""
        pieces = self.vocabulary.encode(lines)
        network: Any = self.network
        found = self.search.translate(
            network, [each or [END] for each in pieces], torch.device("cpu")
        )
        return [
            self.vocabulary.decode(hypothesis.pieces) if read else ""
            for read, hypothesis in zip(pieces, found, strict=True)
        ]


def _sparse(source: Source, search: BeamSearch) -> nn.Module:
    """The network with those layers sparse that are faster so at as many words as beams."""
    threads = torch.get_num_threads()
    found = latency(source.model, source.shape, batch=search.beams, threads=threads)
    return assembled(source.model, source.shape, found)


@dataclass(frozen=True, kw_only=True, slots=True)
class WritingSpeed:
    """Words that beam search writes in a second, of whole sentences from reading to the end.

    Arguments:
        sentences: translated together.
        beams: of each.
        dense, sparse: words a second.
    """

    sentences: int
    beams: int
    dense: float
    sparse: float

    def words(self) -> str:
        """In a line."""
        count = "1 sentence" if self.sentences == 1 else f"{self.sentences} sentences together"
        return (
            f"beam search, {self.beams} beams, {count}: "
            f"{self.dense:,.0f} words a second dense, {self.sparse:,.0f} with the layers chosen "
            f"here (x{self.sparse / self.dense:.2f})"
        )


@torch.inference_mode()
def writing_speed(source: Source, *, sentences: int, beams: int = 4) -> WritingSpeed:
    """Measured in turns, on sentences of twelve words drawn at random. Both sides write as many
    words, since nothing ends a sentence early."""
    shape = source.shape
    assert isinstance(shape, PairShape), shape
    threads = torch.get_num_threads()
    found = latency(source.model, shape, batch=beams * sentences, threads=threads)
    sides: list[Any] = [source.model, assembled(source.model, shape, found)]
    read = shape.example(sentences, WORDS)[0].tolist()
    search = BeamSearch(beams=beams, most=1.0, more=0, ends=False)
    cpu = torch.device("cpu")
    seconds = beside(*[lambda side=side: search.translate(side, read, cpu) for side in sides])
    dense, sparse = (sentences * WORDS / each for each in seconds)
    return WritingSpeed(sentences=sentences, beams=beams, dense=dense, sparse=sparse)
