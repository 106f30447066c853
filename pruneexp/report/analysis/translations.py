"""Translations beside their BLEU: what other sentences and other seeds would give, and how quality
falls with length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pruneexp.engine import files
from pruneexp.engine.outcomes import Outcomes, bleu
from pruneexp.engine.record import Record, Sample
from pruneexp.report.analysis.points import Point

if TYPE_CHECKING:
    from pruneexp.report.analysis.findings import Findings

RESAMPLES = 1_000
BUCKETS = 4  # of sentences by the length of their reference, equally many in each
MOST_POINTS = 200
SHOWN = 6  # sentences that are shown in words


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Quality:
    """A point's translations.

    Arguments:
        point: all of its seeds.
        bleu: of the test split, the mean over seeds.
        low, high: where 95 % of the means lie that other sentences and other seeds would give, by
            drawing both again (bootstrap); of one seed, sentences alone.
        others: the mean over seeds of what was measured beside it: chrf, and exact where each
            sentence has one translation.
        by_length: BLEU of the sentences in each bucket, shortest first.
    """

    point: Point
    bleu: float
    low: float
    high: float
    others: dict[str, float]
    by_length: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Translations:
    """All points of a report on translation.

    Arguments:
        qualities: of the points whose outcomes are there.
        buckets: the shortest and the longest reference of each bucket, in words.
        signature: what sacrebleu says of the metric.
    """

    qualities: list[Quality]
    buckets: list[tuple[int, int]]
    signature: str


def translations(found: "Findings") -> Translations | None:
    """None of a report on anything else, or without outcomes. `findings.find` asks once."""
    if found.runs.metric is None or not found.metric.name.endswith("bleu"):
        return None
    cuts: list[np.ndarray] | None = None
    lengths: list[tuple[int, int]] = []
    qualities, signature = [], ""
    for point in found.points[:MOST_POINTS]:
        known = [found.runs.outcomes(row) for row in point.rows]
        rows = [each.rows for each in known if each is not None and _is_bleu(each)]
        if not rows or len({len(each) for each in rows}) > 1:
            continue
        if cuts is None or sum(map(len, cuts)) != len(rows[0]):
            cuts = _cuts(rows[0][:, -1])
            lengths = [_ends(rows[0][cut, -1]) for cut in cuts]
        records = _records(found, point)
        signature = signature or _signature(records, found.metric.name)
        low, high = interval(rows)
        qualities.append(
            Quality(
                point=point,
                bleu=float(np.mean([bleu(each.sum(0)) for each in rows])),
                low=low,
                high=high,
                others=_others(records, found.metric.name),
                by_length=tuple(
                    float(np.mean([bleu(each[cut].sum(0)) for each in rows])) for cut in cuts
                ),
            )
        )
    if not qualities:
        return None
    return Translations(qualities=qualities, buckets=lengths, signature=signature)


def interval(rows: Sequence[np.ndarray]) -> tuple[float, float]:
    """Where 95 % of the mean BLEU lie when sentences and seeds are drawn again.

    Arguments:
        rows: of each seed what BLEU is made of, sentence by sentence (`Outcomes.rows`).
    """
    random = np.random.Generator(np.random.PCG64(0))  # the same draws for the same runs
    sentences = len(rows[0])
    drawn = random.multinomial(sentences, np.full(sentences, 1 / sentences), RESAMPLES)
    each = np.array([[bleu(sums) for sums in drawn @ one] for one in rows])  # (seeds, resamples)
    chosen = random.integers(len(rows), size=(len(rows), RESAMPLES))
    means = np.take_along_axis(each, chosen, 0).mean(0)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def samples(found: "Findings") -> list[tuple[Point, list[Sample]]]:
    """A few sentences as the best dense model, the best sparse one and the sparsest one wrote them:
    those of their first seed."""
    if found.runs.metric is None:
        return []
    sign = 1 if found.metric.higher_is_better else -1
    chosen: dict[str, Point] = {}
    for kind in ("dense", "sparse"):
        kin = [point for point in found.points if point.kind == kind]
        if kin:
            best = max(kin, key=lambda point: sign * point.valid)
            chosen.setdefault(best.key, best)
            last = min(kin, key=lambda point: point.nonzero)
            if kind == "sparse":
                chosen.setdefault(last.key, last)
    made = []
    for point in chosen.values():
        try:
            known = found.runs.store.folder(point.rows[0].name).usage().samples
        except (files.Damaged, OSError):
            continue
        if known:
            made.append((point, known))
    if len({tuple(sample.source for sample in known) for _, known in made}) > 1:
        made = made[:1]  # in other directions, or of other data
    return [(point, known[:SHOWN]) for point, known in made]


def _is_bleu(outcomes: Outcomes) -> bool:
    return outcomes.summary == "bleu"


def _cuts(lengths: np.ndarray) -> list[np.ndarray]:
    """Sentences by length, in buckets of about as many."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, BUCKETS + 1)[1:-1]))
    places = np.searchsorted(edges, lengths, side="left")
    return [np.flatnonzero(places == place) for place in np.unique(places)]


def _ends(lengths: np.ndarray) -> tuple[int, int]:
    return int(lengths.min()), int(lengths.max())


def _records(found: "Findings", point: Point) -> list[Record]:
    records = []
    for row in point.rows:
        try:
            records.append(found.runs.store.folder(row.name).record_or_fail())
        except (files.Damaged, files.NotFound, OSError):
            continue
    return records


def _signature(records: Sequence[Record], name: str) -> str:
    return str(records[0].circumstances.get(name, "")) if records else ""


def _others(records: Sequence[Record], name: str) -> dict[str, float]:
    shown = [key for key in ("bleu", "chrf", "exact") if key != name]
    if "exact" in (records[0].test if records else {}):
        shown.remove("bleu")  # of words that are no text, its tokeniser means nothing
    return {
        key: float(np.mean([record.test[key] for record in records]))
        for key in shown
        if records and all(key in record.test for record in records)
    }
