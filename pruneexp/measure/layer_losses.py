"""What was measured of each layer of a run, pruned alone: the file beside the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pruneexp.engine import files
from pruneexp.engine.record import LARGEST_VALUE, Line, Seconds
from pruneexp.engine.typed import Within, typed

SENSITIVITY_OF = "sensitivity"  # the role of the dense run whose layers are measured
FILE = "sensitivity.json"
VERSION = 1
Loss = Annotated[float, Within(-LARGEST_VALUE, LARGEST_VALUE)]
Level = Annotated[float, Within(0.0, 1.0)]


@dataclass(kw_only=True, slots=True)
class LayerLosses:
    """The losses of one run on validation.

    Arguments:
        weights: the checksum of the weights that were measured.
        levels: to which each layer was pruned alone.
        dense: the loss without pruning.
        losses: by name of group, one for each level.
        seconds: of a call by name of group, without pruning and at each level; none where no run
            asked for times.
    """

    version: int
    weights: Line
    levels: list[Level]
    dense: Loss
    losses: dict[Line, list[Loss]] = field(default_factory=dict)
    seconds: dict[Line, list[Seconds]] = field(default_factory=dict)

    def increases(self) -> dict[str, list[float]]:
        """What each level adds to the loss; less than nothing counts as nothing."""
        return {
            name: [max(0.0, loss - self.dense) for loss in losses]
            for name, losses in self.losses.items()
        }

    def check(self) -> None:
        """Raise TypeError where a layer has not a loss for each level."""
        if any(len(losses) != len(self.levels) for losses in self.losses.values()):
            raise TypeError("a layer has more or fewer losses than there are levels")
        if any(len(seconds) != len(self.levels) + 1 for seconds in self.seconds.values()):
            raise TypeError("a layer has more or fewer times than there are levels, and one")


def load(folder: Path) -> LayerLosses | None:
    """What lies beside a run; None where nothing does, or nothing that can be read."""
    try:
        found = typed(LayerLosses, files.load_json(folder / FILE))
    except (OSError, files.Damaged, TypeError):
        return None
    return found if found.version == VERSION else None
