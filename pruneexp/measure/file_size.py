"""How many bytes a network's packed file takes under masks that are not final yet, and before there
are any: what a budget in bytes is met by.

    size = FileSize(model, shape, tensors, values="int8", notes=900)
    size.of_masks(masks)     # never less than the file that is written
    size.expected(kept)      # before training, as if the kept weights lay at random
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruneexp.measure.folding import folded_state, fused
from pruneexp.storage import encodings, layout, positions, values
from pruneexp.storage.bits import Flags
from pruneexp.storage.layout import Entry
from pruneexp.storage.values import ValueType
from pruneexp.tasks.shape import Shape

RANDOM = 1.01  # positions that lie at random take this much of log2 C(n, k), about
BITMASK = next(each.number for each in encodings.ENCODINGS if each.word == "bitmask")


@dataclass(frozen=True, slots=True)
class Form:
    """A tensor as a file has it, without its content.

    Arguments:
        name, shape: of the tensor.
        kind: how its values are stored.
        repeats: whether it is another tensor under a second name.
    """

    name: str
    shape: tuple[int, ...]
    kind: ValueType
    repeats: bool

    def entry(self, kept: int, encoding: int, parameter: int, first: int, second: int) -> Entry:
        """Its line in the header."""
        return Entry(
            self.name, self.shape, encoding, self.kind.number, parameter, kept, first, second
        )

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


class FileSize:
    """The size of a network's packed file, with batch-norm folded where it can be.

    Arguments:
        model: with its weights, or on the meta device, where folding is not checked.
        shape: what the network takes.
        pruned: names of the tensors that have masks.
        values: the type of values in the file.
        notes: bytes of the notes.
    """

    def __init__(
        self, model: nn.Module, shape: Shape, pruned: list[str], *, values: str, notes: int
    ) -> None:
        forms = _forms(model.state_dict(keep_vars=True), values)
        kept = _with_folded(model, shape)
        if kept is not None:  # tied tensors are never batch-norm's convolutions
            tied = {form.name for form in forms if form.repeats}
            forms = [form for form in _forms(kept, values) if form.name not in tied] + [
                form for form in forms if form.repeats
            ]
        self.folded = kept is not None
        self.pruned = {form.name: form for form in forms if form.name in pruned}
        self._others = [_dense(form) for form in forms if form.name not in pruned]
        self.notes = notes

    def of_masks(self, masks: Mapping[str, Flags]) -> int:
        """Bytes of the file under these masks (True: kept). Values can make it smaller, never
        larger: positions are taken as the writer stores them, and kept weights as its worst case.

        Arguments:
            masks: of the pruned tensors, by name.
        """
        return self._total([self._masked(self.pruned[name], mask) for name, mask in masks.items()])

    def _masked(self, form: Form, mask: Flags) -> Entry:
        if form.repeats:
            return _dense(form)
        where = np.flatnonzero(mask)
        worst = np.ones(len(where), np.bool_)
        coded = positions.encode("auto", where, form.shape, worst, form.kind.width)
        first, second = len(coded.first), len(coded.second)
        return form.entry(len(where), coded.encoding, coded.parameter, first, second)

    def expected(self, kept: Mapping[str, float]) -> int:
        """Bytes of the file where so many weights of each pruned tensor are kept, at random."""
        entries = []
        for name, form in self.pruned.items():
            number = round(kept[name])
            if form.repeats or number == form.entries:
                entries.append(_dense(form))
                continue
            least = min(form.entries / 8, RANDOM * positions.bound(form.entries, number))
            entries.append(form.entry(number, BITMASK, 0, math.ceil(least), 0))
        return self._total(entries)

    def _total(self, entries: list[Entry]) -> int:
        every = [*self._others, *entries]
        streams = sum(layout.aligned(length) for each in every for length in each.lengths)
        return len(layout.header(every, bytes(self.notes))) + streams


def _with_folded(model: nn.Module, shape: Shape) -> dict[str, Tensor] | None:
    """The state with batch-norm folded; None where nothing can be folded."""
    device = next(model.parameters()).device
    try:
        if device.type != "meta":
            return folded_state(model, *shape.example())
        example = [tensor.to(device) for tensor in shape.example()]
        state = fused(model.eval(), *example).state_dict()
    except Exception:  # anything that a user's forward may raise; `pack --fold` says it
        return None
    return None if state.keys() == model.state_dict().keys() else state


def _forms(state: Mapping[str, Tensor], word: str) -> list[Form]:
    seen: set[int] = set()
    forms = []
    for name, tensor in state.items():
        repeats = tensor.dim() > 1 and id(tensor) in seen
        seen.add(id(tensor))
        kind = values.type_for(_dtype(tensor), word if tensor.dim() > 1 else values.EXACT)
        forms.append(Form(name, tuple(tensor.shape), kind, repeats))
    return forms


def _dtype(tensor: Tensor) -> np.dtype:
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _dense(form: Form) -> Entry:
    """A tensor all of whose entries are stored, or that repeats another."""
    encoding = encodings.SAME if form.repeats else encodings.DENSE.number
    return form.entry(form.entries, encoding, 0, 0, 0)
