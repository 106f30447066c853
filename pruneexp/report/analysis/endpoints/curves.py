"""Claims about whole curves."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pruneexp.engine.record import MEGABYTE
from pruneexp.report.analysis.claims import FAILS, HOLDS, Claim, Verdict
from pruneexp.report.analysis.comparison import Gap, Pair, compare
from pruneexp.report.analysis.costs import is_magnitude
from pruneexp.report.analysis.endpoints.verdicts import (
    alike,
    conclude,
    less,
    ratio_words,
    seeds_of,
    sizes_of,
    verdict_of,
)
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.format import short, signed


def sparse_above_dense(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether a sparse curve is ahead of the dense one of its family: in the mean over the common
    range of size, beyond the interval, and at no single size behind beyond its interval."""
    verdicts = []
    for pair in _pairs(claim, found):
        assert pair.overall is not None
        lead = pair.overall.found
        margin = claim.margin_of_curves(pair.scale)
        ahead = verdict_of(lead, margin)
        behind = sum(gap.better == "dense" for gap in pair.gaps if gap.is_known)
        verdict = FAILS if behind and ahead == HOLDS else ahead
        figures = f"{ratio_words(pair.overall, found)} at {sizes_of(pair.gaps)}"
        if behind:
            figures += f", behind at {behind} of them"
        verdicts.append(
            conclude(claim, verdict, figures, seeds_of(pair.gaps), pair.overall.needed, pair.ours)
        )
    return verdicts


def gap_grows_with_size(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether the lead of sparse over dense is larger at the largest common size than at the
    smallest."""
    verdicts = []
    for pair in _pairs(claim, found):
        first, last = pair.gaps[0], pair.gaps[-1]
        if first is last:
            continue
        lead = less(last.found, first.found)
        figures = (
            f"at {short(first.nonzero, found.sizes)} weights {_of_dense(first, found)}, at "
            f"{short(last.nonzero, found.sizes)} {_of_dense(last, found)}"
        )
        verdicts.append(
            conclude(
                claim, verdict_of(lead, 0.0), figures, seeds_of([first, last]), None, pair.ours
            )
        )
    return verdicts


def _pairs(claim: Claim, found: Findings) -> Iterator[Pair]:
    """The sparse curves that a claim speaks of, each with the dense one beside it."""
    for pair in found.pairs:
        ours, theirs = pair.ours, pair.theirs
        if not claim.speaks_of(ours[0]) or not alike(ours[0], theirs[0]):
            continue
        if claim.budget == "bytes":
            weighed, other = _by_bytes(ours), _by_bytes(theirs)
            if not weighed or not other:
                continue
            pair = compare(weighed, other, pair.words, found.metric)
        if pair.gaps:
            yield pair


def _by_bytes(curve: list[Point]) -> list[Point]:
    """A curve over the bytes of its files; empty where they were not measured."""
    if any(point.written is None for point in curve):
        return []
    placed = [replace(point, nonzero=(point.written or 0) * MEGABYTE) for point in curve]
    return sorted(placed, key=lambda point: point.nonzero)


def curve_not_below(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether the sparse curve with one value of a setting is at most a margin below the one with
    another value."""
    if not claim.setting:
        raise claim.lacking("setting", "first", "second")
    sparse = [c for c in found.curves.values() if c[0].kind == "sparse" and claim.speaks_of(c[0])]
    verdicts = []
    for ours in sparse:
        for theirs in sparse:
            values = str(ours[0].setting(claim.setting)), str(theirs[0].setting(claim.setting))
            if values != (claim.first, claim.second) or not alike(ours[0], theirs[0]):
                continue
            pair = compare(ours, theirs, ("A", "B"), found.metric)
            if pair.overall is None:
                continue
            margin = claim.margin_of_curves(pair.scale)
            verdict = verdict_of(pair.overall.found, -margin)
            figures = f"{ratio_words(pair.overall, found)} at {sizes_of(pair.gaps)}"
            verdicts.append(
                conclude(
                    claim, verdict, figures, seeds_of(pair.gaps), pair.overall.needed, ours, theirs
                )
            )
    return verdicts


def magnitude_not_below(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether gradual magnitude pruning is at most a margin below each of some methods."""
    return _magnitude_against(claim, found, -1)


def magnitude_above(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether gradual magnitude pruning is ahead of each of some methods, by more than a margin."""
    return _magnitude_against(claim, found, 1)


def _magnitude_against(claim: Claim, found: Findings, sign: int) -> list[Verdict]:
    if not claim.methods:
        raise claim.lacking("methods")
    sparse = [curve for curve in found.curves.values() if curve[0].kind == "sparse"]
    verdicts = []
    for ours, theirs in product(filter(is_magnitude, sparse), sparse):
        if theirs[0].method not in claim.methods or not alike(ours[0], theirs[0]):
            continue
        pair = compare(ours, theirs, ("A", "B"), found.metric)
        if pair.overall is None:
            continue
        verdict = verdict_of(pair.overall.found, sign * claim.margin_of_curves(pair.scale))
        figures = f"{ratio_words(pair.overall, found)} at {sizes_of(pair.gaps)}"
        needed = pair.overall.needed
        verdicts.append(
            conclude(claim, verdict, figures, seeds_of(pair.gaps), needed, ours, theirs)
        )
    return verdicts


def _of_dense(gap: Gap, found: Findings) -> str:
    if gap.ratio is not None:
        return f"{gap.ratio.value:.3f} of dense"
    return f"{signed(gap.difference.value, None, found.digits)} {found.metric.points}".rstrip()
