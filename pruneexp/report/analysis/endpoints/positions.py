"""Claims about what the positions of weights take in a file."""

import math
from collections.abc import Callable

from pruneexp.report.analysis.claims import FAILS, HOLDS, Claim, Verdict
from pruneexp.report.analysis.endpoints.verdicts import conclude
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.format import percent


def mask_and_counts_cross(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether a bit-mask takes less than counts of 4 bits at the lowest sparsity, which must be low
    enough for the claim, and more at the highest, as files hold them."""

    def judge(low: Point, high: Point) -> tuple[str, str]:
        taken = [_positions(point, word) for point in (low, high) for word in ("bitmask", "runs4")]
        told = [f"{taken[at]:,.0f} against {taken[at + 1]:,.0f} bytes" for at in (0, 2)]
        figures = f"{told[0]} at {percent(low.sparsity)}, {told[1]} at {percent(high.sparsity)}"
        return HOLDS if taken[0] < taken[1] and taken[2] > taken[3] else FAILS, figures

    return _of_positions(claim, found, judge)


def positions_weigh_more_at_int8(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether positions are a larger share of the file with values of 8 bits than of 32."""

    def judge(low: Point, high: Point) -> tuple[str, str]:
        shares = [[p.positions_share(v) or 0.0 for v in ("fp32", "int8")] for p in (low, high)]
        told = [
            f"{percent(round(plain, 3))} and {percent(round(small, 3))} at {percent(p.sparsity)}"
            for p, (plain, small) in zip((low, high), shares, strict=True)
        ]
        verdict = HOLDS if all(small > plain for plain, small in shares) else FAILS
        return verdict, f"of the file at fp32 and int8 {', '.join(told)}"

    return _of_positions(claim, found, judge)


def masks_without_structure(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether no encoding takes less than positions without any structure need, log2 C(n, k), by
    more than the margin."""

    def judge(low: Point, high: Point) -> tuple[str, str]:
        shares = [_positions(p, "auto") / p.bound_bytes for p in (low, high)]
        told = [
            f"{share:.3f} at {percent(p.sparsity)}"
            for share, p in zip(shares, (low, high), strict=True)
        ]
        verdict = HOLDS if min(shares) > 1 - claim.share else FAILS
        return verdict, f"bytes of positions over that bound: {', '.join(told)}"

    return _of_positions(claim, found, judge)


def _of_positions(
    claim: Claim, found: Findings, judge: Callable[[Point, Point], tuple[str, str]]
) -> list[Verdict]:
    """Judge the least and the most sparse point of each curve whose files were measured."""
    verdicts = []
    for curve in found.curves.values():
        ours = [p for p in curve if p.kind == "sparse" and claim.speaks_of(p) and p.bound_bytes]
        ours.sort(key=lambda point: point.sparsity)
        if len(ours) < 2 or (claim.high and ours[0].sparsity > claim.high):
            continue
        verdict, figures = judge(ours[0], ours[-1])
        verdicts.append(conclude(claim, verdict, figures, min(p.n for p in ours), None, curve))
    return verdicts


def _positions(point: Point, encoding: str) -> float:
    file = point.encoded(encoding)
    return float(file.position_bytes) if file is not None else math.inf
