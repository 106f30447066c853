"""Beam search over many sentences at once; with one beam it is greedy.

What a network has read of a sentence is held once for all its beams, the state of each beam is
carried from word to word, and a sentence that is done leaves the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pruneexp.data.vocabulary import BEGIN, END, PAD
from pruneexp.decoding.translates import Translates

PENALTY_FROM = 5  # of Wu et al. 2016: ((5 + length) / 6) ** penalty
BEAMS_AT_ONCE = 512  # of all sentences in a batch
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A sentence that was written.

    Arguments:
        pieces: of it, without the mark of its end.
        score: its log-probability over the length penalty.
    """

    pieces: list[int]
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BeamSearch:
    """How sentences are written.

        BeamSearch(beams=4).translate(network, [[17, 5, 233]], device)[0].pieces

    Arguments:
        beams: sentences that are kept beside each other; 1 is greedy.
        penalty: for length, of Wu et al. 2016; 0 prefers short sentences.
        most: pieces of a translation, as a multiple of the source's,
        more: and so many on top.
        ends: whether a sentence may end before that; False is for measuring alone.
    """

    beams: int = 4
    penalty: float = 1.0
    most: float = 2.0
    more: int = 10
    ends: bool = True

    @torch.inference_mode()
    def translate(
        self, network: Translates, sources: Sequence[Sequence[int]], device: torch.device
    ) -> list[Hypothesis]:
        """The best translation of each sentence. Sentences of one length are read together."""
        order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
        at_once = max(1, BEAMS_AT_ONCE // self.beams)
        found: dict[int, Hypothesis] = {}
        start = 0
        while start < len(order):
            length = len(sources[order[start]])
            rows = [r for r in order[start : start + at_once] if len(sources[r]) == length]
            source = torch.tensor([list(sources[row]) for row in rows], device=device)
            found |= zip(rows, _Batch(self, network, source).run(), strict=True)
            start += len(rows)
        return [found[row] for row in range(len(sources))]

    def normed(self, score: float, length: int) -> float:
        """A log-probability over the penalty for so many pieces, the mark of the end among them."""
        return score / ((PENALTY_FROM + length) / (PENALTY_FROM + 1)) ** self.penalty

    def longest(self, source: int) -> int:
        """The most pieces of a translation of so many."""
        return int(self.most * source) + self.more


@dataclass(slots=True)
class _Open:
    """A sentence that is being written."""

    row: int
    done: list[Hypothesis] = field(default_factory=list)


class _Batch:
    """Sentences of one length that are written together."""

    def __init__(self, search: BeamSearch, network: Translates, source: Tensor) -> None:
        self.search, self.network, self.beams = search, network, search.beams
        self.best: list[Hypothesis | None] = [None] * len(source)
        self.open = [_Open(row) for row in range(len(source))]
        self.memory, state = network.encode(source)
        self.state = [part.repeat_interleave(self.beams, 0) for part in state]
        size = (len(source), self.beams)
        self.words = torch.full(size, BEGIN, device=source.device)
        self.scores = torch.full(size, NEVER, device=source.device)
        self.scores[:, 0] = 0.0  # beams are equal at first, so one of them goes on
        self.written = self.words.new_empty((*size, 0))
        self.longest = search.longest(source.shape[1])
        self.never = [PAD, BEGIN, *([] if search.ends else [END])]

    def run(self) -> list[Hypothesis]:
        """The best hypothesis of each sentence."""
        for length in range(1, self.longest + 1):
            self._write(length)
            if not self.open:
                break
        for place, each in enumerate(self.open):
            self._close(each, place)
        assert all(self.best)
        return [hypothesis for hypothesis in self.best if hypothesis is not None]

    def _write(self, length: int) -> None:
        """One more word for each beam."""
        scores, state = self.network.step(self.words, self.memory, self.state)
        chances = torch.log_softmax(scores.float(), 2)
        chances[:, :, self.never] = NEVER
        sums = self.scores[:, :, None] + chances
        # Each beam can end once, so twice as many always hold enough that go on.
        size = scores.shape[2]
        candidates = min(2 * self.beams, self.beams * size)
        values, places = sums.flatten(1).topk(candidates, 1)
        parents, words = places // size, places % size
        ends = (words == END) & (values > NEVER)
        self._note_ends(ends, values, parents, length)
        going = values.masked_fill(words == END, NEVER)
        self.scores, chosen = going.topk(self.beams, 1)
        parents, self.words = parents.gather(1, chosen), words.gather(1, chosen)
        kept = self.written.gather(1, parents[:, :, None].expand(-1, -1, length - 1))
        self.written = torch.cat([kept, self.words[:, :, None]], 2)
        first = torch.arange(len(parents), device=parents.device)[:, None] * self.beams
        flat = (first + parents).flatten()
        self.state = [part[flat] for part in state]
        self._leave()

    def _note_ends(self, ends: Tensor, values: Tensor, parents: Tensor, length: int) -> None:
        """Keep what ends among the best candidates, as long as there is room."""
        ends = ends.clone()
        ends[:, self.beams :] = False
        for place, rank in ends.nonzero().tolist():
            pieces = self.written[place, parents[place, rank]].tolist()
            score = self.search.normed(float(values[place, rank]), length)
            self.open[place].done.append(Hypothesis(pieces, score))

    def _leave(self) -> None:
        """Sentences with as many ends as beams are done."""
        stay = [place for place, each in enumerate(self.open) if len(each.done) < self.beams]
        if len(stay) == len(self.open):
            return
        for place, each in enumerate(self.open):
            if len(each.done) >= self.beams:
                self._close(each, place)
        self.open = [self.open[place] for place in stay]
        rows = torch.tensor(stay, device=self.words.device, dtype=torch.long)
        beams = (
            rows[:, None] * self.beams + torch.arange(self.beams, device=rows.device)
        ).flatten()
        self.memory = tuple(part[rows] for part in self.memory)
        self.state = [part[beams] for part in self.state]
        self.words, self.scores, self.written = (
            part[rows] for part in (self.words, self.scores, self.written)
        )

    def _close(self, each: _Open, place: int) -> None:
        """Choose the best of what ended; where nothing did, what was written so far."""
        if not each.done:
            pieces = self.written[place, 0].tolist()
            score = self.search.normed(float(self.scores[place, 0]), len(pieces))
            each.done = [Hypothesis(pieces, score)]
        self.best[each.row] = max(each.done, key=lambda hypothesis: hypothesis.score)
