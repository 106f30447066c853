"""What each method costs in training, as multiples of gradual magnitude pruning."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from pruneexp.report.analysis.points import Point

if TYPE_CHECKING:
    from pruneexp.report.analysis.findings import Findings


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one curve. What is not known of it or of magnitude pruning is None.

    Arguments:
        series: the curve.
        seconds: a step of training, in the mean over its points.
        times: as a multiple of magnitude pruning's.
        memory: at most in use, likewise as a multiple.
        own: parameters of the method itself that are trained, for each of the model's.
    """

    series: str
    seconds: float | None
    times: float | None
    memory: float | None
    own: float | None


def costs(found: "Findings") -> list[Cost]:
    """Of all sparse curves of the model that gradual magnitude pruning has a curve of; nothing
    where there is none, or no other method."""
    sparse = [curve for curve in found.curves.values() if curve[0].kind == "sparse"]
    base = next(filter(is_magnitude, sparse), None)
    if base is None or len({curve[0].method for curve in sparse}) < 2:
        return []
    alike = [curve for curve in sparse if _model(curve) == _model(base)]
    own = {key: _mean(base, key) for key in ("seconds_a_step", "peak_bytes")}
    return [
        Cost(
            series=curve[0].series,
            seconds=_mean(curve, "seconds_a_step"),
            times=_ratio(_mean(curve, "seconds_a_step"), own["seconds_a_step"]),
            memory=_ratio(_mean(curve, "peak_bytes"), own["peak_bytes"]),
            own=_ratio(_mean(curve, "own_parameters"), float(curve[0].parameters)),
        )
        for curve in alike
    ]


def is_magnitude(curve: Sequence[Point]) -> bool:
    """Gradual magnitude pruning as in the paper, inside one training."""
    point = curve[0]
    schedule = point.setting("pruning.schedule") in (None, "cubic")
    return point.method == "magnitude" and schedule and point.start == "scratch"


def _model(curve: Sequence[Point]) -> tuple[str, int, str]:
    return curve[0].family, curve[0].parameters, curve[0].data


def _mean(curve: Sequence[Point], key: str) -> float | None:
    known = [point.costs[key] for point in curve if key in point.costs]
    return fmean(known) if known else None


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other
