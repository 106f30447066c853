"""What the choice of test items adds to the chance in a comparison.

All seeds are measured on the same items, so their spread says nothing of other items. Each item's
pull on a contrast is known from its outcomes; the variance of the mean pull is what other items
would add. Of a text, sentences that stand together are taken as one.
"""

import numpy as np

from pruneexp.engine.outcomes import SUMMARIES, Outcomes
from pruneexp.report.analysis.statistics import Contrast, Scale

BLOCK = 20  # sentences of a text that are taken as one
FEWEST = 10  # items below which nothing is said


def variance_of_items(
    contrast: Contrast, outcomes: dict[str, list[Outcomes | None]], scale: Scale
) -> tuple[float, int] | None:
    """The variance on the scale, and of how many items (or blocks) it is.

    Arguments:
        contrast: the weight of each point.
        outcomes: of the seeds of each point, all on the same items. A seed without outcomes is left
            out.

    Returns None where a point has none at all, or they are of different items.
    """
    total: np.ndarray | None = None
    in_sequence = False
    for point, weight in contrast.items():
        known = [each for each in outcomes[point] if each is not None]
        if not known or len({(each.summary, len(each.values)) for each in known}) > 1:
            return None
        pull = weight * np.mean([_pull(each, scale) for each in known], axis=0)
        if total is not None and len(total) != len(pull):
            return None
        total = pull if total is None else total + pull
        in_sequence |= known[0].in_sequence
    assert total is not None
    if in_sequence:
        total = total[: len(total) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    if len(total) < FEWEST:
        return None
    return float(np.var(total, ddof=1)) / len(total), len(total)


def _pull(outcomes: Outcomes, scale: Scale) -> np.ndarray:
    """How each item moves the metric on the scale: to the first order, the mean of these is by how
    much other items would."""
    counts, rows = outcomes.weights, outcomes.rows
    means = rows.sum(0) / counts.sum()
    summary = SUMMARIES[outcomes.summary]
    pull = np.zeros(len(rows))
    for column, mean in enumerate(means):
        step = np.zeros(len(means))
        step[column] = 1e-6 * max(1.0, abs(mean))

        def on_scale(values: np.ndarray) -> float:
            return scale.forward(summary(values, 1.0))

        try:
            slope = (on_scale(means + step) - on_scale(means - step)) / (2 * step[column])
        except ValueError:  # nothing wrong, or all wrong: the scale ends there
            slope = 0.0
        pull += slope * (rows[:, column] - mean * counts)
    return pull / counts.mean()
