"""What each layer tolerates when it is pruned alone: layers against levels, as a heat map."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pruneexp.engine import files
from pruneexp.measure.layer_losses import SENSITIVITY_OF, LayerLosses, load
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.figures.style import title
from pruneexp.report.format import percent

WIDTH, ROW, ABOVE = 7.0, 0.26, 1.7  # inches
LEAST = 1e-4  # an increase that is drawn as the least
MOST_ROWS = 80  # layers; of more, the most sensitive


def measured(found: Findings) -> LayerLosses | None:
    """The layers of the first run here whose sparsity is spread by sensitivity."""
    for point in found.points:
        if point.setting("pruning.allocation") != SENSITIVITY_OF:
            continue
        store = found.runs.store
        try:
            parent = store.folder(point.rows[0].name).record_or_fail().parents[SENSITIVITY_OF]
            layers = load(store.find(parent).path)
        except (files.Damaged, OSError, KeyError, ValueError):
            continue
        if layers is not None and layers.losses:
            return layers
    return None


def draw(found: Findings) -> Figure | None:
    """The increase of the loss by layer and level; None where no layer was measured."""
    layers = measured(found)
    if layers is None:
        return None
    increases = layers.increases()
    names = sorted(increases, key=lambda name: -max(increases[name]))[:MOST_ROWS]
    names = [name for name in increases if name in {*names}]  # in the order of the network
    values = np.maximum([increases[name] for name in names], LEAST)
    figure = Figure(figsize=(WIDTH, ABOVE + ROW * len(names)), layout="constrained")
    axes = figure.subplots()
    top = max(float(values.max()), 10 * LEAST)
    image = axes.imshow(values, aspect="auto", cmap="OrRd", norm=LogNorm(LEAST, top))
    axes.set_xticks(range(len(layers.levels)), [percent(level) for level in layers.levels])
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_xlabel("sparsity of this layer alone")
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("what it adds to the loss on validation")
    says = "a trained dense model, each layer pruned alone by magnitude, without retraining"
    title(axes, f"{found.title}: what layers tolerate", says)
    return figure


def most_sensitive(found: Findings) -> str:
    """The layer that tolerates least and the one that tolerates most, in words."""
    layers = measured(found)
    if layers is None:
        return ""
    increases = layers.increases()
    worst, best = (pick(increases, key=lambda name: increases[name][-1]) for pick in (max, min))
    level = percent(layers.levels[-1])
    return f"at {level}, {worst} costs most and {best} least"
