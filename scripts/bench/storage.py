"""What positions cost in bytes and in time, beside what else is at hand.

The masks are random, the hardest there is; 4,163,584 weights, those of MobileNet at width 1.0.
Megabytes a second are dense-equivalent: four bytes an entry, whatever the mask.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import zstandard
from scipy import sparse
from turns import turns

from pruneexp.engine.device import keep_freed_memory
from pruneexp.storage import positions
from pruneexp.storage.archive import Archive, save
from pruneexp.storage.encodings.encoding import EncodedPositions

ENTRIES, ROWS = 4_163_584, 2_048
SPARSITIES = (0.75, 0.8, 0.85, 0.875, 0.9, 0.95, 0.975)
Way = tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], int]]  # there, back, bytes


def storage() -> None:
    keep_freed_memory()
    print(f"\nPositions of {ENTRIES:,} weights at random: bytes against log2 C(n, k)")
    print("  MB/s there and back, median of seven turns (and the fastest)")
    for sparsity in SPARSITIES:
        random = np.random.default_rng(0)
        mask = np.zeros(ENTRIES, np.bool_)
        mask[random.permutation(ENTRIES)[: round(ENTRIES * (1 - sparsity))]] = True
        mask = mask.reshape(ROWS, -1)
        print(f"  {sparsity:.1%}")
        ways = _ours(mask) | _others(mask)
        bound = positions.bound(ENTRIES, int(mask.sum()))
        made = {name: there() for name, (there, _, _) in ways.items()}
        for name, (_, back, _) in ways.items():
            assert (back(made[name]) == mask).all(), name
        encoding = turns({name: there for name, (there, _, _) in ways.items()}, 7)
        backs = {name: _bound_to(back, made[name]) for name, (_, back, _) in ways.items()}
        decoding = turns(backs, 7)
        for name, (_, _, size) in ways.items():
            ratio = size(made[name]) / bound
            speeds = "  ".join(_speed(each[name]) for each in (encoding, decoding))
            print(f"    {name:<18} x{ratio:<7.3f} {speeds}")
    _whole()


def _speed(seconds: list[float]) -> str:
    middle, best = (4 * ENTRIES / each / 1e6 for each in (median(seconds), min(seconds)))
    return f"{middle:8,.0f} ({best:7,.0f})"


def _bound_to(back: Callable[[Any], Any], made: Any) -> Callable[[], Any]:
    return lambda: back(made)


def _ours(mask: np.ndarray) -> dict[str, Way]:
    """Each encoding from a mask to bytes and from bytes to a mask."""
    zero = np.zeros(int(mask.sum()), np.bool_)

    def way(word: str) -> Way:
        def back(coded: EncodedPositions) -> np.ndarray:
            stored = zero
            if coded.slots is not None:
                stored = np.ones(len(coded.slots), np.bool_)
                stored[coded.slots] = False
            where, slots = positions.decode(coded, len(zero), mask.shape, stored)
            found = np.zeros(mask.size, np.bool_)
            found[where if slots is None else where[slots]] = True
            return found.reshape(mask.shape)

        return (
            lambda: positions.encode(word, np.flatnonzero(mask), mask.shape, zero, 32),
            back,
            lambda coded: coded.size,
        )

    words = ("auto", "bitmask", "escape4", "escape5", "csr", "rows")
    return {word: way(word) for word in words}


def _others(mask: np.ndarray) -> dict[str, Way]:
    return {
        "numpy.packbits": (
            lambda: np.packbits(mask),
            lambda packed: np.unpackbits(packed).astype(np.bool_).reshape(mask.shape),
            len,
        ),
        "scipy CSR": (
            lambda: sparse.csr_matrix(mask),
            lambda matrix: matrix.toarray(),
            lambda matrix: matrix.indptr.nbytes + matrix.indices.nbytes,
        ),
        "zstd of packbits": (
            lambda: zstandard.compress(np.packbits(mask).tobytes()),
            lambda packed: (
                np.unpackbits(np.frombuffer(zstandard.decompress(packed), np.uint8))
                .astype(np.bool_)
                .reshape(mask.shape)
            ),
            len,
        ),
    }


def _whole() -> None:
    """A dense file through gzip and zstd, beside the same as .pxp, at 90 %."""
    random = np.random.default_rng(0)
    mask = random.random((ROWS, ENTRIES // ROWS)) < 0.1
    weights = np.where(mask, random.standard_normal(mask.shape), 0).astype(np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pxp"

        def write() -> bytes:
            save(path, {"weight": weights}, {"weight": mask})
            return path.read_bytes()

        ways: dict[str, Way] = {
            "pxp": (write, lambda _: Archive(path).read("weight"), len),
            "gzip -6 of the dense": (
                lambda: gzip.compress(weights.tobytes(), 6),
                gzip.decompress,
                len,
            ),
            "zstd -3 of the dense": (
                lambda: zstandard.compress(weights.tobytes()),
                zstandard.decompress,
                len,
            ),
        }
        print("  a whole fp32 tensor at 90 %, three turns, checksums included")
        made = {name: there() for name, (there, _, _) in ways.items()}
        assert (Archive(path).read("weight") == weights).all()
        encoding = turns({name: there for name, (there, _, _) in ways.items()}, 3)
        decoding = turns({name: _bound_to(ways[name][1], made[name]) for name in ways}, 3)
        for name in ways:
            speeds = "  ".join(_speed(each[name]) for each in (encoding, decoding))
            print(f"    {name:<22} {len(made[name]) / 1e6:.3f} MB {speeds}")
