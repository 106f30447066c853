"""What is asked of a network that writes sentences."""

from typing import Protocol

from torch import Tensor

Memory = tuple[Tensor, ...]  # what was read, (sentences, ...): the same for all beams
Decoded = tuple[Tensor, list[Tensor]]  # scores, and the state after, (sentences * beams, ...)


class Translates(Protocol):
    """A network that reads sentences at once and writes them word by word."""

    def encode(self, source: Tensor) -> tuple[Memory, list[Tensor]]:
        """What was read of each sentence, and the first state of one beam each.

        Arguments:
            source: (sentences, words), 0 where a sentence has ended.
        """
        ...

    def step(self, words: Tensor, memory: Memory, state: list[Tensor]) -> Decoded:
        """Scores (sentences, beams, vocabulary) of the next word, and the state after.

        Arguments:
            words: the last ones, (sentences, beams).
            memory: of each sentence.
            state: of each beam.
        """
        ...
