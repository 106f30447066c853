"""Sentences of several lengths, read without padding."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pruneexp.data.vocabulary import PAD

Part = tuple[Tensor, list[Tensor], list[Tensor]]  # rows, what is padded with length, what is not


def grouped(source: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of sentences of one length, and the sentences without padding. Batches are made of
    sentences of one length where the data allows, so this is one group most of the time."""
    rows = torch.arange(len(source), device=source.device)
    if source.is_meta:  # where only shapes are asked for
        yield rows, source
        return
    lengths = (source != PAD).sum(1)
    found = lengths.unique().tolist()
    for length in found:
        if len(found) == 1:
            yield rows, source[:, :length]
        else:
            chosen = rows[lengths == length]
            yield chosen, source[chosen, :length]


def joined(parts: Sequence[Part]) -> tuple[list[Tensor], list[Tensor]]:
    """What was made of each group, in the order of the sentences; places are padded with zeros."""
    if len(parts) == 1:
        return parts[0][1], parts[0][2]
    order = torch.cat([rows for rows, _, _ in parts]).argsort()
    longest = max(memory[0].shape[1] for _, memory, _ in parts)
    memories = [
        torch.cat(
            [
                torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1]))
                for part in same_kind
            ]
        )[order]
        for same_kind in zip(*(memory for _, memory, _ in parts), strict=True)
    ]
    states = [torch.cat(same)[order] for same in zip(*(state for *_, state in parts), strict=True)]
    return memories, states
