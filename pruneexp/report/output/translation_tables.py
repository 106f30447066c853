"""The tables of translation: BLEU with what chance does to it, and sentences in words."""

import pandas as pd

from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.translations import Translations, samples
from pruneexp.report.format import Table, short

NAMES = {"chrf": "chrF", "exact": "Exact, %", "bleu": "BLEU of plain text"}


def translations(found: Findings) -> Table | None:
    """A row for each point; None of a report on anything else."""
    made = found.translations
    if made is None:
        return None
    others = list(dict.fromkeys(key for one in made.qualities for key in one.others))
    lengths = [_words(*ends) for ends in made.buckets]
    sizes = [one.point.nonzero for one in made.qualities]
    return Table(
        raw=_raw(made, others),
        header=[
            *("Series", "Model", "NNZ params", "BLEU", "95 % interval"),
            *(NAMES[key] for key in others),
            *lengths,
            "Seeds",
        ],
        cells=[
            [
                one.point.series,
                one.point.label,
                short(one.point.nonzero, sizes),
                f"{one.bleu:.2f}",
                f"{one.low:.2f} to {one.high:.2f}",
                *(f"{one.others[key]:.2f}" if key in one.others else "–" for key in others),
                *(f"{value:.1f}" for value in one.by_length),
                str(one.point.n),
            ]
            for one in made.qualities
        ],
        align="llr" + "r" * (2 + len(others) + len(lengths) + 1),
        caption=_caption(made),
    )


def _words(first: int, last: int) -> str:
    return f"{first} to {last} words" if first != last else f"{first} words"


def _caption(made: Translations) -> str:
    signed = f" Signature of sacrebleu: {made.signature}." if made.signature else ""
    return (
        "Of the test split, decoded once by beam search. The interval is that of 1,000 draws of "
        "sentences and of seeds; of one seed it speaks of sentences alone. Columns of words: BLEU "
        f"of the sentences whose reference is so long.{signed}"
    )


def _raw(made: Translations, others: list[str]) -> pd.DataFrame:
    buckets = [f"bleu_{first}_to_{last}_words" for first, last in made.buckets]
    rows = [
        [
            *(one.point.series, one.point.size, one.point.sparsity, one.point.nonzero),
            *(one.point.n, one.bleu, one.low, one.high),
            *(one.others.get(key) for key in others),
            *one.by_length,
        ]
        for one in made.qualities
    ]
    names = ["series", "size", "sparsity", "nonzero", "n", "bleu", "low_95", "high_95"]
    return pd.DataFrame(rows, columns=[*names, *others, *buckets])


def written(found: Findings) -> Table | None:
    """Sentences of the test split and what models made of them; None where they are no words."""
    made = samples(found)
    if not made:
        return None
    names = [_named(point.series, point.label) for point, _ in made]
    rows = [
        [first.source, first.reference, *(known[place].output for _, known in made)]
        for place, first in enumerate(made[0][1])
    ]
    header = ["Source", "Reference", *names]
    return Table(
        raw=pd.DataFrame(rows, columns=["source", "reference", *names]),
        header=header,
        cells=rows,
        align="l" * len(header),
        caption="Evenly spaced over the test split, not chosen; each model's first seed.",
    )


def _named(series: str, label: str) -> str:
    return f"{series}, {label}" if label and label not in series else series
