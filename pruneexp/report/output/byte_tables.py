"""The paper's Tables 5 and 6: bytes as the paper counts them, and as they are really written."""

import math
from collections.abc import Callable

import pandas as pd

from pruneexp.engine.record import BYTES_PER_WEIGHT, MEGABYTE
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.format import BLANK, Table, estimate, percent, short

# Of the measured positions: the header, the encoding, and what of it is shown.
POSITIONS = (
    ("Bit-mask", "bitmask", "position_bytes"),
    ("4-bit runs", "runs4", "position_bytes"),
    ("4-bit fillers", "runs4", "filler_bytes"),
    ("4-bit escapes", "escape4", "position_bytes"),
    ("5-bit runs", "runs5", "position_bytes"),
    ("5-bit fillers", "runs5", "filler_bytes"),
    ("CSR", "csr", "position_bytes"),
    ("Golomb", "golomb", "position_bytes"),
    ("Rows", "rows", "position_bytes"),
    ("Auto", "auto", "position_bytes"),
)


# --- as the paper counts -----------------------------------------------------------------------


def grain(points: list[Point]) -> int:
    """The paper prints millions of weights and megabytes with two digits. Tables of small models
    need two more."""
    return 10_000 if max(point.nonzero for point in points) >= 1_000_000 else 100


def rounded(count: float, to: int) -> int:
    return math.floor(count / to + 0.5) * to


def bitmask(prunable: float, to: int) -> int:
    """A bit for each prunable weight."""
    return rounded(prunable / 8, to)


def csr(nonzero: float, to: int) -> int:
    """Four bits for each non-zero parameter, whether it can be pruned or not."""
    return rounded(nonzero / 2, to)


def counted(nonzero: float, prunable: float, to: int) -> int:
    """Table 6 adds what is printed: the rounded count of weights times four bytes, and the rounded
    bytes of the smaller index. A dense model (without `prunable`) has none."""
    index = min(bitmask(prunable, to), csr(nonzero, to)) if prunable else 0
    return rounded(nonzero, to) * BYTES_PER_WEIGHT + index


# --- the tables --------------------------------------------------------------------------------


def storage(found: Findings) -> Table | None:
    """Table 5: the bytes of positions. Nothing where they were not measured."""
    points = _with_positions(found) if found.bytes_are_known else []
    if not points:
        return None
    to = grain(points)
    sparse = [point for point in points if point.kind == "sparse"]
    every = found.sizes
    named = len({point.series for point in sparse}) > 1
    printed = any(point.published_megabytes for point in sparse)
    columns: list[tuple[str, Callable[[Point], str]]] = [
        ("Bit-mask, as the paper counts", lambda p: _counted(bitmask(p.prunable, to), to)),
        ("CSR(C), as the paper counts", lambda p: _counted(csr(p.nonzero, to), to)),
    ]
    if printed:
        columns += [
            ("Bit-mask, published", lambda p: _published(p, "bitmask")),
            ("CSR(C), published", lambda p: _published(p, "csr")),
        ]
    columns += [(header, _shown(encoding, what, to)) for header, encoding, what in POSITIONS]
    columns.append(("log2 C(n, k)", lambda p: _measured(p.bound_bytes, to)))
    return Table(
        raw=_raw_storage(points, to),
        header=[
            *["Series"] * named,
            *("Model", "Sparsity", "NNZ params"),
            *(header for header, _ in columns),
        ],
        cells=[
            [
                *[point.series] * named,
                *(point.size, percent(point.sparsity), short(point.nonzero, every)),
                *(write(point) if point.kind == "sparse" else BLANK for _, write in columns),
            ]
            for point in points
        ],
        align="l" * named + "lrr" + "r" * len(columns),
        caption=_storage_caption(sparse, to),
    )


def _storage_caption(sparse: list[Point], to: int) -> str:
    below = [point for point in sparse if csr(point.nonzero, to) < point.bound_bytes]
    places = ", ".join(dict.fromkeys(percent(point.sparsity) for point in below))
    lies = (
        f"at {places} it lies below log2 C(n, k), less than which positions without structure "
        "cannot take"
    )
    return (
        "Positions of the kept weights in MB (10^6 bytes). The paper counts a bit for each "
        "prunable weight (bit-mask), or four bits for each non-zero parameter (CSR(C)). Measured "
        "are the bytes in a packed file. The paper's CSR(C) has no fillers, though four bits reach "
        "over 15 zeros and every longer run needs another entry, whose stored zero (fp32, in a "
        "column of its own) costs most" + (f"; {lies}." if below else ".")
    )


def _with_positions(found: Findings) -> list[Point]:
    """Under each dense model what was pruned from its size. Positions are the same whatever the
    type of values."""
    points = [point for point in found.points if not point.quantised] or found.points
    kept = [
        point
        for point in points
        if point.kind == "sparse"
        or any((p.family, p.data, p.size) == (point.family, point.data, point.size)
               for p in points if p.kind == "sparse")
    ]  # fmt: skip
    if all(point.kind == "dense" for point in kept):
        return []
    series = list(found.curves)
    return sorted(kept, key=lambda p: (p.size, p.kind, series.index(p.series), p.sparsity))


def _shown(encoding: str, what: str, to: int) -> Callable[[Point], str]:
    return lambda point: _measured(_of(point, encoding, what), to)


def _of(point: Point, encoding: str, what: str) -> float:
    file = point.encoded(encoding)
    return math.nan if file is None else float(getattr(file, what))


def _counted(size: float, to: int) -> str:
    return f"{size / MEGABYTE:.{2 if to == 10_000 else 4}f}"


def _measured(size: float, to: int) -> str:
    return BLANK if math.isnan(size) else f"{size / MEGABYTE:.{3 if to == 10_000 else 4}f}"


def _published(point: Point, what: str) -> str:
    figure = point.published_megabytes.get(what)
    return BLANK if figure is None else f"{figure:.2f}"


def _raw_storage(points: list[Point], to: int) -> pd.DataFrame:
    measured = {
        f"{encoding}_{what}": [_of(point, encoding, what) for point in points]
        for _, encoding, what in POSITIONS
    }
    return pd.DataFrame(
        {
            "series": [point.series for point in points],
            "size": [point.size for point in points],
            "sparsity": [point.sparsity for point in points],
            "nonzero": [point.nonzero for point in points],
            "prunable": [point.prunable for point in points],
            "counted_bitmask_bytes": [bitmask(point.prunable, to) for point in points],
            "counted_csr_bytes": [csr(point.nonzero, to) for point in points],
            **measured,
            "bound_bytes": [point.bound_bytes for point in points],
        }
    )


def written(found: Findings) -> Table | None:
    """Table 6: the bytes of everything beside the quality. Nothing where they were not measured."""
    if not found.bytes_are_known:
        return None
    points = [point for curve in found.curves.values() for point in reversed(curve)]
    to = grain(points)

    def megabytes(point: Point, folded: bool) -> str:
        file = point.file(folded=folded)
        return BLANK if file is None else _measured(file.bytes, to)

    columns: list[tuple[str, Callable[[Point], str]]] = [
        ("MB as the paper counts", lambda p: _counted_or_blank(p, to))
    ]
    if any("megabytes" in point.published_megabytes for point in points):
        columns.append(("published", lambda p: _published(p, "megabytes")))
    if any(point.file(folded=True) for point in points):
        columns.append(("MB written, batch-norm kept", lambda p: megabytes(p, False)))
        columns.append(("folded", lambda p: megabytes(p, True)))
    else:
        columns.append(("MB written", lambda p: megabytes(p, False)))
    if any(point.kind == "sparse" for point in points):
        columns.append(("of it positions", lambda p: _share(p, p.values)))
    if any(point.kind == "sparse" and not point.quantised for point in points):
        columns.append(("the same with int8", lambda p: _share(p, "int8")))
    return Table(
        raw=_raw_written(points, to),
        header=[
            *("Series", "Model", "Sparsity"),
            *(header for header, _ in columns),
            f"test {found.metric.label}",
        ],
        cells=[
            [
                *(point.series, point.size, percent(point.sparsity)),
                *(write(point) for _, write in columns),
                estimate(point.test, point.test_half, found.digits),
            ]
            for point in points
        ],
        align="llr" + "r" * len(columns) + "r",
        caption=(
            "MB: 10^6 bytes. The paper counts four bytes for each non-zero parameter and the "
            "smaller of its two indices (Table 5), both rounded. Written is the whole packed file "
            "in its smallest encoding: positions with everything they need, values, biases, "
            "header, and batch-norm, which the paper leaves out; folded into the convolution "
            "before it, only its shift remains, as a bias. Positions take the larger share the "
            "fewer bits a value has."
        ),
    )


def _share(point: Point, values: str) -> str:
    """Of positions in the smallest file; a dense model has none."""
    share = None if point.kind == "dense" else point.positions_share(values)
    return BLANK if share is None else f"{100 * share:.0f} %"


def _counted_or_blank(point: Point, to: int) -> str:
    size = _as_counted(point, to)
    return BLANK if size is None else _counted(size, to)


def _as_counted(point: Point, to: int) -> int | None:
    """The paper knows fp32 alone."""
    return None if point.values != "fp32" else counted(point.nonzero, point.prunable, to)


def _bytes(point: Point, *, folded: bool) -> float | None:
    file = point.file(folded=folded)
    return None if file is None else file.bytes


def _raw_written(points: list[Point], to: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series": [point.series for point in points],
            "size": [point.size for point in points],
            "sparsity": [point.sparsity for point in points],
            "values": [point.quantised or "fp32" for point in points],
            "counted_bytes": [_as_counted(point, to) for point in points],
            "batch_norm_kept_bytes": [_bytes(point, folded=False) for point in points],
            "batch_norm_folded_bytes": [_bytes(point, folded=True) for point in points],
            "positions_share": [point.positions_share(point.values) for point in points],
            "positions_share_int8": [point.positions_share("int8") for point in points],
            "test": [point.test for point in points],
            "test_half_width_95": [point.test_half for point in points],
        }
    )
