"""What positions cost in bytes and in time, beside what else is at hand.

The masks are random, the hardest there is; 4,163,584 weights, those of MobileNet at width 1.0.
Megabytes a second are dense-equivalent: four bytes an entry, whatever the mask.
"""

import gzip
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from turns import turns

from pruneexp.place import keep_freed_memory
from pruneexp.storage import positions

ENTRIES, ROWS = 4_163_584, 2_048
SPARSITIES = (0.75, 0.8, 0.85, 0.875, 0.9, 0.95, 0.975)
Way = tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], int]]  # there, back, bytes


def storage() -> None:
    keep_freed_memory()
    print(f"\nPositions of {ENTRIES:,} weights at random: bytes against log2 C(n, k)")
    print("  MB/s there and back, median of seven turns (and the fastest)")
    zstd = _zstd()
    for sparsity in SPARSITIES:
        random = np.random.default_rng(0)
        mask = np.zeros(ENTRIES, np.bool_)
        mask[random.permutation(ENTRIES)[: round(ENTRIES * (1 - sparsity))]] = True
        mask = mask.reshape(ROWS, -1)
        print(f"  {sparsity:.1%}")
        ways = _ours(mask) | _others(mask, zstd)
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
    _gzip()


def _speed(seconds: list[float]) -> str:
    middle, best = (4 * ENTRIES / each / 1e6 for each in (median(seconds), min(seconds)))
    return f"{middle:8,.0f} ({best:7,.0f})"


def _bound_to(back: Callable[[Any], Any], made: Any) -> Callable[[], Any]:
    return lambda: back(made)


def _ours(mask: np.ndarray) -> dict[str, Way]:
    """Each encoding from a mask to bytes and from bytes to a mask."""
    zero = np.zeros(int(mask.sum()), np.bool_)

    def way(word: str) -> Way:
        def back(coded: positions.Positions) -> np.ndarray:
            stored = zero
            if coded.slots is not None:
                stored = np.ones(len(coded.slots), np.bool_)
                stored[coded.slots] = False
            where, slots = positions.decode(coded, len(zero), mask.shape, stored)
            found = np.zeros(mask.size, np.bool_)
            found[where if slots is None else where[slots]] = True
            return found.reshape(mask.shape)

        return (
            lambda: positions.encode(word, np.flatnonzero(mask), mask.shape, zero, 4),
            back,
            lambda coded: len(coded.first) + len(coded.second),
        )

    words = ("auto", "bitmask", "escape4", "escape5", "csr", "rows")
    return {word: way(word) for word in words}


def _others(mask: np.ndarray, zstd: Any) -> dict[str, Way]:
    found: dict[str, Way] = {
        "numpy.packbits": (
            lambda: np.packbits(mask),
            lambda packed: np.unpackbits(packed).astype(np.bool_).reshape(mask.shape),
            len,
        )
    }
    try:
        from scipy import sparse
    except ImportError:
        pass
    else:
        found["scipy CSR"] = (
            lambda: sparse.csr_matrix(mask),
            lambda matrix: matrix.toarray(),
            lambda matrix: matrix.indptr.nbytes + matrix.indices.nbytes,
        )
    if zstd is not None:
        found["zstd of packbits"] = (
            lambda: zstd.compress(np.packbits(mask).tobytes()),
            lambda packed: (
                np.unpackbits(np.frombuffer(zstd.decompress(packed), np.uint8))
                .astype(np.bool_)
                .reshape(mask.shape)
            ),
            len,
        )
    return found


def _zstd() -> Any:
    """Python 3.14's own, or the package; None where neither is here."""
    try:
        from compression import zstd
    except ImportError:
        try:
            import zstandard as zstd
        except ImportError:
            zstd = None
    try:
        import scipy  # noqa: F401
    except ImportError:
        print("  (no scipy here)")
    if zstd is None:
        print("  (no zstd here)")
    return zstd


def _gzip() -> None:
    """A whole dense file through gzip, beside the same as .pxp, at 90 %."""
    from pathlib import Path
    from tempfile import TemporaryDirectory
    from time import perf_counter

    from pruneexp.storage.archive import Archive, save

    random = np.random.default_rng(0)
    mask = random.random((ROWS, ENTRIES // ROWS)) < 0.1
    weights = np.where(mask, random.standard_normal(mask.shape), 0).astype(np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pxp"
        print("  a whole fp32 tensor at 90 %, one turn: MB/s there and back, checksums included")
        began = perf_counter()
        save(path, {"weight": weights}, {"weight": mask})
        there = perf_counter()
        assert (Archive(path).read("weight") == weights).all()
        back = perf_counter()
        _line("pxp", path.stat().st_size, there - began, back - there)
        began = perf_counter()
        packed = gzip.compress(weights.tobytes(), 6)
        there = perf_counter()
        gzip.decompress(packed)
        back = perf_counter()
        _line("gzip -6 of the dense", len(packed), there - began, back - there)


def _line(name: str, size: int, there: float, back: float) -> None:
    dense = 4 * ENTRIES / 1e6
    print(
        f"    {name:<22} {size / 1e6:.3f} MB {dense / there:8,.0f} there {dense / back:8,.0f} back"
    )
