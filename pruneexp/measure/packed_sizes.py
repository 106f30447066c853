"""How large a run is when packed, as typed data: what `bytes.json` holds.

    sizes = folder.packed_sizes()
    sizes.batch_norm_kept.values["int8"].bytes

`measure.packed` measures them; a report reads the part that it shows (`report.data.facts`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pruneexp.engine.record import BYTES_VERSION, Count, Line
from pruneexp.engine.typed import Within, typed


@dataclass(kw_only=True, slots=True)
class PackedFile:
    """Bytes of one packed file and of its parts."""

    bytes: Count
    position_bytes: Count
    value_bytes: Count
    filler_bytes: Count  # of the values, those that no weight has
    overhead_bytes: Count  # header, notes and alignment


@dataclass(kw_only=True, slots=True)
class PackedState:
    """A model's packed files. None where such a file cannot be written.

    Arguments:
        dense_bytes: of all its tensors, without positions and as they were trained.
        encodings: by encoding of positions, with fp32 values.
        values: by type of values, in the smallest encoding.
    """

    dense_bytes: Count
    encodings: dict[str, PackedFile | None]
    values: dict[str, PackedFile | None]


@dataclass(kw_only=True, slots=True)
class PackedLayer:
    """A tensor of two or more dimensions, as it lies in the smallest file.

    Arguments:
        name: of the tensor.
        weights, kept: how many it has, and how many of them are kept.
        position_bytes: of the positions of those that are kept.
    """

    name: Line
    weights: Count
    kept: Count
    position_bytes: Count


@dataclass(kw_only=True, slots=True)
class PackedSizes:
    """What a run takes when packed.

    Arguments:
        prunable: weights of the tensors that have a mask.
        kept: those of them that are kept.
        bound_bytes: log2 C(n, k) of their positions, in bytes.
        batch_norm_kept: the model as it was trained.
        batch_norm_folded: with batch-norm folded into the convolutions before it; None where
            there is nothing to fold.
        layers: of the model as it was trained; none in files of earlier versions.
        refused: why a file cannot be written, by its type of values and encoding.
    """

    version: int = BYTES_VERSION
    prunable: Count
    kept: Count
    bound_bytes: Annotated[float, Within(0, 1e15)]
    batch_norm_kept: PackedState
    batch_norm_folded: PackedState | None = None
    layers: list[PackedLayer] = field(default_factory=list)
    refused: dict[str, Line] = field(default_factory=dict)

    @property
    def folds(self) -> bool:
        """Whether batch-norm can be folded."""
        return self.batch_norm_folded is not None

    def shipped(self, values: str) -> PackedFile | None:
        """The file with values of this type, batch-norm folded where it can be."""
        return (self.batch_norm_folded or self.batch_norm_kept).values.get(values)

    def state(self, folded: bool) -> PackedState | None:
        """One of both states."""
        return self.batch_norm_folded if folded else self.batch_norm_kept

    @property
    def smallest(self) -> int | None:
        """Bytes of the smallest file of all; None where none can be written."""
        states = [self.batch_norm_kept, self.batch_norm_folded]
        files = [file for state in states if state for file in state.values.values() if file]
        return min((file.bytes for file in files), default=None)

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "PackedSizes":
        """What `to_plain` gave. Raises TypeError for anything else."""
        if data.get("version") != BYTES_VERSION:
            raise TypeError("another version of pruneexp measured it")
        return typed(cls, data)


def summary(measured: Sequence[PackedSizes]) -> str:
    """In a line, how small the smallest files of several runs are."""
    known = [(sizes.smallest, sizes.batch_norm_kept.dense_bytes) for sizes in measured]
    files = sorted((smallest, dense) for smallest, dense in known if smallest is not None)
    if not files:
        return f"{len(measured)} runs, of which none can be packed"
    shares = sorted(smallest / dense for smallest, dense in files if dense)
    words = " to ".join(dict.fromkeys(f"{smallest:,}" for smallest, _ in (files[0], files[-1])))
    of_dense = ""
    if shares:
        ends = " to ".join(dict.fromkeys(f"{share:.1%}" for share in (shares[0], shares[-1])))
        of_dense = f", {ends} of the dense weights"
    return f"{len(measured)} runs: {words} bytes in each run's smallest file{of_dense}"
