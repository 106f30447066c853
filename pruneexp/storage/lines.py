"""Positions where some rows, or some columns, keep far more than others.

Rare words leave rows of an embedding all but empty, unread features leave columns of a softmax so.
Lines (rows, or columns) are put into classes of like density, and each class, its lines one after
the other, is Golomb-coded with a parameter of its own; empty lines are a class without a code. So
what is known of a line costs two or three bits, and the codes come out as short as its density
allows.
"""

from dataclasses import dataclass

import numpy as np

from pruneexp.storage import bits, golomb
from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.golomb import Malformed

LABEL_BITS = (2, 3)  # of a line's class; what a writer tries
LEVELS = 64  # distinct densities that the search tells apart
FIELDS = 4  # u32 a class: kept, parameter, bytes of quotients and of remainders
LARGEST = 2**32  # entries of a tensor, so that the fields hold them


@dataclass(frozen=True, slots=True)
class Sorted:
    """Lines in classes: the class of each line (0: empty), and what the codes should take."""

    label_bits: int
    labels: Numbers
    bytes: float


def classes(counts: Numbers, length: int) -> Sorted:
    """Lines with so many kept weights of `length`, in the classes whose codes take least."""
    found = [_classes(counts, length, label_bits) for label_bits in LABEL_BITS]
    return min(found, key=lambda each: each.bytes)


def _classes(counts: Numbers, length: int, label_bits: int) -> Sorted:
    """Lines by density cut into classes; cuts by dynamic programming over the entropy."""
    most = (1 << label_bits) - 1
    filled = np.flatnonzero(counts)
    order = filled[np.argsort(counts[filled], kind="stable")]
    edges = np.unique(np.linspace(0, len(order), LEVELS + 1).round().astype(np.int64))
    kept = np.concatenate([[0], np.cumsum(counts[order])])[edges]
    takes = _entropy(edges, kept, length)  # of edges i to j as one class
    best, cuts = takes[0], []
    for _ in range(most - 1):
        through = best[:, None] + takes
        cuts.append(through.argmin(axis=0))
        best = through.min(axis=0)
    labels = np.zeros(len(counts), np.int64)
    end = len(edges) - 1
    for label, cut in zip(range(most, 1, -1), reversed(cuts), strict=True):
        begin = int(cut[end])
        labels[order[edges[begin] : edges[end]]] = label
        end = begin
    labels[order[: edges[end]]] = 1
    overhead = 4 * FIELDS * most + label_bits * bits.size(len(counts))
    return Sorted(label_bits, labels, overhead + float(best[-1]) / 8)


def _entropy(edges: Numbers, kept: Numbers, length: int) -> np.ndarray:
    """Bits of the positions from edge i to edge j, infinite where j < i."""
    entries = (edges[None, :] - edges[:, None]) * float(length)
    ones = (kept[None, :] - kept[:, None]).astype(float)
    zeros = entries - ones
    with np.errstate(divide="ignore", invalid="ignore"):
        found = ones * np.log2(entries / ones) + np.where(
            zeros > 0, zeros * np.log2(entries / zeros), 0
        )
    found[entries == 0] = 0
    found[entries < 0] = np.inf
    return found


def encode(line: Numbers, offset: Numbers, length: int, found: Sorted) -> tuple[Bytes, Bytes]:
    """First the table and the labels, then the codes of each class; `line` and `offset` say where
    each kept weight lies."""
    table: list[int] = []
    codes: list[Bytes] = []
    label_of = found.labels[line]
    for label in range(1, 1 << found.label_bits):
        rank = np.cumsum(found.labels == label) - 1
        mine = np.flatnonzero(label_of == label)
        where = np.sort(rank[line[mine]] * length + offset[mine])
        entries = int((found.labels == label).sum()) * length
        gaps = golomb.gaps_between(where)
        parameter, _ = golomb.best(golomb.histogram(gaps, entries))
        streams = golomb.encode(gaps, parameter)
        table += [len(where), parameter, len(streams[0]), len(streams[1])]
        codes += streams
    labels = bits.planes(found.labels, found.label_bits)
    first = np.concatenate([np.array(table, "<u4").view(np.uint8), labels])
    return first, np.concatenate([NOTHING, *codes])


def decode(
    first: Bytes, second: Bytes, label_bits: int, lines: int, length: int
) -> tuple[Numbers, Numbers]:
    """Line and offset of each kept weight, class by class; raises `Malformed`."""
    if not 1 <= label_bits <= 4:
        raise Malformed(f"labels of {label_bits} bits, not 1 to 4")
    head = 4 * FIELDS * ((1 << label_bits) - 1)
    if len(first) != head + label_bits * bits.size(lines):
        raise Malformed(f"{len(first)} bytes for the labels of {lines} lines")
    table = np.frombuffer(first[:head].tobytes(), "<u4").reshape(-1, FIELDS)
    labels = bits.numbers(first[head:], lines, label_bits)
    line, offset, at = [], [], 0
    for label, row in enumerate(table, start=1):
        kept, parameter, quotients, remainders = map(int, row)
        middle, end = at + quotients, at + quotients + remainders
        if end > len(second):
            raise Malformed("the codes of a class end beyond their stream")
        mine = np.flatnonzero(labels == label)
        where = golomb.decode(
            second[at:middle], second[middle:end], parameter, kept, len(mine) * length
        )
        at = end
        if len(where):
            rank = where // length
            line.append(mine[rank])
            offset.append(where - rank * length)
    if at != len(second):
        raise Malformed("bytes after the last class")
    nowhere = np.zeros(0, np.int64)
    return np.concatenate([nowhere, *line]), np.concatenate([nowhere, *offset])
