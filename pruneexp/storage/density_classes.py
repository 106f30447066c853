"""Rows or columns in classes of like density, for tensors of which some keep far more than others.

Rare words leave rows of an embedding all but empty; features that nothing reads leave columns of a
softmax so. Lines (rows, or columns) are put into classes of like density, and each class, its lines
one after the other, is Golomb-coded with a parameter of its own; empty lines are a class without a
code. A line's class costs two or three bits, and the codes become as short as the density of each
class allows.
"""

from dataclasses import dataclass

import numpy as np

from pruneexp.storage import bits, golomb
from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.malformed import Malformed

LABEL_BITS = (2, 3)  # of a line's class; what a writer tries
LEVELS = 64  # distinct densities that the search tells apart
FIELDS = 4  # u32 a class: kept, parameter, bytes of quotients and of remainders
LARGEST = 2**32  # entries of a tensor, so that the fields hold them


@dataclass(frozen=True, slots=True)
class Classes:
    """The class of each line (0: empty), and the bytes that the codes should take by entropy."""

    label_bits: int
    labels: Numbers
    bytes: float


def best_classes(counts: Numbers, length: int) -> Classes:
    """Lines with so many kept weights of `length`, in the classes whose codes take least."""
    candidates = [_classes(counts, length, label_bits) for label_bits in LABEL_BITS]
    return min(candidates, key=lambda classes: classes.bytes)


def _classes(counts: Numbers, length: int, label_bits: int) -> Classes:
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
    return Classes(label_bits, labels, overhead + float(best[-1]) / 8)


def _entropy(edges: Numbers, kept: Numbers, length: int) -> np.ndarray:
    """Bits of the positions from edge i to edge j, infinite where j < i."""
    entries = (edges[None, :] - edges[:, None]) * float(length)
    ones = (kept[None, :] - kept[:, None]).astype(float)
    zeros = entries - ones
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = ones * np.log2(entries / ones) + np.where(
            zeros > 0, zeros * np.log2(entries / zeros), 0
        )
    entropy[entries == 0] = 0
    entropy[entries < 0] = np.inf
    return entropy


def encode(line: Numbers, offset: Numbers, length: int, classes: Classes) -> tuple[Bytes, Bytes]:
    """First the table and the labels, then the codes of each class; `line` and `offset` say where
    each kept weight lies."""
    table: list[int] = []
    codes: list[Bytes] = []
    label_of = classes.labels[line]
    for label in range(1, 1 << classes.label_bits):
        rank = np.cumsum(classes.labels == label) - 1
        members = np.flatnonzero(label_of == label)
        positions = np.sort(rank[line[members]] * length + offset[members])
        entries = int((classes.labels == label).sum()) * length
        gaps = golomb.gaps_between(positions)
        parameter, _ = golomb.best(golomb.histogram(gaps, entries))
        streams = golomb.encode(gaps, parameter)
        table += [len(positions), parameter, len(streams[0]), len(streams[1])]
        codes += streams
    labels = bits.planes(classes.labels, classes.label_bits)
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
        members = np.flatnonzero(labels == label)
        positions = golomb.decode(
            second[at:middle], second[middle:end], parameter, kept, len(members) * length
        )
        at = end
        if len(positions):
            rank = positions // length
            line.append(members[rank])
            offset.append(positions - rank * length)
    if at != len(second):
        raise Malformed("bytes after the last class")
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *line]), np.concatenate([none, *offset])
