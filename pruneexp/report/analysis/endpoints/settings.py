"""Claims about a setting, about the size of the parent, and about what pruning costs meanwhile."""

import math
from itertools import combinations, pairwise

from pruneexp.engine.record import NEAR
from pruneexp.report.analysis.claims import FAILS, HOLDS, UNTOLD, Claim, Verdict
from pruneexp.report.analysis.collapse import collapses
from pruneexp.report.analysis.comparison import between
from pruneexp.report.analysis.endpoints.verdicts import alike, at_ends, conclude, lead
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.format import estimate, percent, short


def setting_does_not_matter(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether points that differ in a setting alone are all within the margin of each other."""
    verdicts = []
    for group in _apart_in(claim, found):
        pairs = list(combinations(group, 2))
        told = [between(ours, theirs, found.metric) for ours, theirs in pairs]
        margin = claim.margin(found.metric, group[0].test)
        each = [at_ends(difference, -margin, margin) for difference in told]
        verdict = FAILS if FAILS in each else UNTOLD if UNTOLD in each else HOLDS
        most = max(told, key=lambda difference: abs(difference.value))
        figures = (
            f"{len(group)} values of {claim.setting} ({_values(claim, group)}) differ by at most "
            f"{abs(most.value):.{found.digits}f} {found.metric.points}".rstrip()
        )
        seeds = min(point.n for point in group)
        verdicts.append(conclude(claim, verdict, figures, seeds, None, group))
    return verdicts


def last_is_worst(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether of points that differ in a setting alone the one with its largest value is behind the
    best of the others by more than the margin."""
    verdicts = []
    for group in _apart_in(claim, found):
        key = claim.first or claim.setting
        if len({point.setting(key) for point in group}) < len(group):
            continue  # they differ in another of these settings
        *others, last = sorted(group, key=lambda point: float(point.setting(key)))
        sign = 1 if found.metric.higher_is_better else -1
        best = max(others, key=lambda point: sign * point.valid)
        values = [
            f"{estimate(p.test, p.test_half, found.digits)} at {p.setting(key):g}"
            for p in (best, last)
        ]
        figures = f"{key}: {values[0]}, {values[1]}"
        verdict = at_ends(lead(best, last, found), claim.margin(found.metric, best.test), math.inf)
        verdicts.append(conclude(claim, verdict, figures, min(best.n, last.n), None, group))
    return verdicts


def _apart_in(claim: Claim, found: Findings) -> list[list[Point]]:
    """Groups of sparse points that differ in a setting, or settings of one beginning, alone."""
    if not claim.setting:
        raise claim.lacking("setting")
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in found.points:
        if point.kind != "sparse" or not claim.speaks_of(point):
            continue
        others = tuple(
            (trait.key, str(trait.value))
            for trait in point.curve.traits
            if not trait.key.startswith(claim.setting)
        )
        groups.setdefault((point.data, point.sparsity, others), []).append(point)
    return [group for group in groups.values() if len(group) > 1]


def _values(claim: Claim, group: list[Point]) -> str:
    return ", ".join(str(point.setting(claim.setting)) for point in group)


def best_parent_in_range(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether, of parents of several sizes that were pruned to one size, one within a range of
    ratios is best: no parent outside is ahead of the best one inside beyond the interval."""
    sparse = [p for p in found.points if p.kind == "sparse" and claim.speaks_of(p)]
    verdicts = []
    for group in _of_one_size(sparse):
        ratios = {point.key: point.parameters / point.nonzero for point in group}
        inside = [p for p in group if claim.low <= ratios[p.key] <= claim.high]
        outside = [p for p in group if p not in inside]
        if not inside or not outside:
            continue
        sign = 1 if found.metric.higher_is_better else -1
        best, rival = (
            max(side, key=lambda point: sign * point.valid) for side in (inside, outside)
        )
        told = [
            f"{estimate(p.test, p.test_half, found.digits)} from a parent "
            f"{ratios[p.key]:.2g} times as large"
            for p in (best, rival)
        ]
        figures = f"at {short(best.nonzero, found.sizes)} weights {told[0]}, {told[1]}"
        seeds = min(best.n, rival.n)
        verdict = at_ends(lead(best, rival, found), 0.0, math.inf)
        verdicts.append(conclude(claim, verdict, figures, seeds, None, [best], [rival]))
    return verdicts


def _of_one_size(points: list[Point]) -> list[list[Point]]:
    """Points within one per cent of each other, from parents of several sizes."""
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda point: point.nonzero):
        first = groups[-1][0] if groups else None
        near = first is not None and math.isclose(first.nonzero, point.nonzero, rel_tol=NEAR)
        if near and first is not None and alike(first, point):
            groups[-1].append(point)
        else:
            groups.append([point])
    return [group for group in groups if len({point.parameters for point in group}) > 1]


def collapse_grows_with_sparsity(claim: Claim, found: Findings) -> list[Verdict]:
    """Whether what pruning costs for a moment, and what training wins back, rise with sparsity."""
    verdicts = []
    for curve in found.curves.values():
        if curve[0].kind != "sparse" or not claim.speaks_of(curve[0]):
            continue
        seen = [(point, told) for point in curve if (told := collapses(found.runs, point))]
        seen.sort(key=lambda each: each[0].sparsity)
        if len(seen) < 2:
            continue
        lost = [told.lost for _, told in seen]
        healed = [told.healed for _, told in seen]
        rises = all(
            later > earlier for series in (lost, healed) for earlier, later in pairwise(series)
        )
        each = [
            f"at {percent(point.sparsity)} {told.lost:.{found.digits}f} lost and "
            f"{told.healed:.{found.digits}f} won back"
            for point, told in seen
        ]
        seeds = min(point.n for point, _ in seen)
        verdict = HOLDS if rises else FAILS
        verdicts.append(conclude(claim, verdict, ", ".join(each), seeds, None, curve))
    return verdicts
