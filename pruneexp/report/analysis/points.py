"""Seeds folded into points, and points into curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from pruneexp.engine.record import MEGABYTE
from pruneexp.report.analysis.statistics import student
from pruneexp.report.data.facts import ShownFile
from pruneexp.report.data.load import Runs
from pruneexp.report.data.rows import Row, folded
from pruneexp.report.format import percent


@dataclass(kw_only=True, slots=True)
class Point(Row):
    """All seeds of one configuration: the fields of a row, folded, and these. `half` is the half
    width of a 95 % t interval, None for a single seed."""

    label: str  # "×0.5", "90 %"
    n: int
    test_half: float | None
    valid_half: float | None
    top5_half: float | None
    rows: tuple[Row, ...]  # of each seed

    @property
    def shares_parents(self) -> bool:
        """Whether its runs began with weights of others, which points beside it may share."""
        moved = self.steps == 0 and not self.quantised  # the threshold of one training
        return self.start != "scratch" or moved

    def setting(self, key: str) -> Any:
        """A setting of its runs by its full key, such as pruning.schedule.interval; None where it
        has no such setting."""
        return next((trait.value for trait in self.curve.traits if trait.key == key), None)

    @property
    def method(self) -> str:
        """What chose the weights that were removed: the criterion of gradual pruning, such as
        magnitude, or the word of another method."""
        word = str(self.setting("pruning") or "gradual")
        return str(self.setting("pruning.criterion") or "magnitude") if word == "gradual" else word

    @property
    def key(self) -> str:
        """Another for each point of a report."""
        return f"{self.series}\n{self.point}"

    @property
    def written(self) -> float | None:
        """Megabytes of the packed file: values of its own type, the best encoding, batch-norm
        folded where it can be."""
        file = self.file(folded=True) or self.file(folded=False)
        return None if file is None else file.bytes / MEGABYTE

    def file(self, *, folded: bool, values: str = "") -> ShownFile | None:
        """The packed file in one of both states, with values of its own or of another type."""
        state = self.packed.state(folded) if self.packed else None
        return state.values.get(values or self.values) if state else None

    def positions_share(self, values: str) -> float | None:
        """Of the smallest file with values of this type."""
        file = self.file(folded=self.file(folded=True) is not None, values=values)
        return file.position_bytes / file.bytes if file and file.bytes else None

    def encoded(self, encoding: str) -> ShownFile | None:
        """The file under an encoding of positions, with fp32 values and batch-norm kept."""
        return self.packed.batch_norm_kept.encodings.get(encoding) if self.packed else None

    @property
    def prunable(self) -> float:
        """Weights of the tensors that have masks, as measured with the packed file."""
        return self.packed.prunable if self.packed else 0.0

    @property
    def bound_bytes(self) -> float:
        """log2 C(n, k) of the positions."""
        return self.packed.bound_bytes if self.packed else 0.0


def half_width(values: Sequence[float]) -> float | None:
    """Of the 95 % t interval of the mean. None for a single value."""
    if len(values) < 2:
        return None
    return student(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def curves(runs: Runs) -> dict[str, list[Point]]:
    """By name, dense ones first; the points by size."""
    seeds: dict[tuple[str, str], list[Row]] = {}
    for row in runs.rows:
        seeds.setdefault((row.series, row.point), []).append(row)
    points = [_point(rows) for rows in seeds.values()]
    by_name: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.kind, point.nonzero, -point.sparsity)):
        by_name.setdefault(point.series, []).append(point)
    order = {name: place for place, name in enumerate(dict.fromkeys(r.series for r in runs.rows))}
    return dict(sorted(by_name.items(), key=lambda item: (item[1][0].kind, order[item[0]])))


def _point(rows: list[Row]) -> Point:
    values = folded(rows)
    tests = [row.test for row in rows]
    dial = values["curve"].dial
    asked = dial is not None and dial.name == "sparsity"  # else what came out, to four digits
    sparsity = values["sparsity"] if asked else round(values["sparsity"], 4)
    label = values["size"] if values["kind"] == "dense" else percent(sparsity)
    return Point(
        **values,
        label=label,
        n=len(rows),
        test_half=half_width(tests),
        valid_half=half_width([row.valid for row in rows]),
        top5_half=half_width([row.top5 for row in rows if row.top5 is not None]),
        rows=tuple(rows),
    )
