"""How good translations are: BLEU and chrF, as sacrebleu computes them.

`bleu` is that of detokenised text (sacrebleu's 13a). `tokenised_bleu` takes both texts as they are
(tokenize=none): over tokenised text it is what papers print, and only it stands beside their rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.data.vocabulary import EXTRA
from pruneexp.engine.outcomes import BLEU_COLUMNS

TOKENISERS = {"bleu": "13a", "tokenised_bleu": "none"}  # of sacrebleu, by our metrics


def measure(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of a whole split, in per cent."""
    found = {
        name: _bleu(tokeniser).corpus_score(outputs, [references]).score
        for name, tokeniser in TOKENISERS.items()
    }
    found["chrf"] = _metrics().CHRF().corpus_score(outputs, [references]).score
    return {name: float(value) for name, value in found.items()}


def signature(name: str) -> str:
    """What sacrebleu says of one of these metrics, so that others compute the same."""
    metric = _metrics().CHRF() if name == "chrf" else _bleu(TOKENISERS[name])
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def by_sentence(outputs: Sequence[str], references: Sequence[str], name: str) -> np.ndarray:
    """Of each sentence what BLEU is made of: matching n-grams, all n-grams, length and the
    reference's length (`engine.outcomes` makes BLEU of their sums)."""
    # With effective_order, or else sacrebleu warns of single sentences; counts are the same.
    metric = _metrics().BLEU(tokenize=TOKENISERS[name], effective_order=True)
    rows = np.zeros((len(outputs), BLEU_COLUMNS))
    for row, (output, reference) in enumerate(zip(outputs, references, strict=True)):
        one = metric.sentence_score(output, [reference])
        rows[row] = [*one.counts, *one.totals, one.sys_len, one.ref_len]
    return rows


def _bleu(tokeniser: str) -> Any:
    return _metrics().BLEU(tokenize=tokeniser, force=True)  # force: of text that looks tokenised


def _metrics() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise Invalid([Fault("task", EXTRA)]) from error
    return metrics
