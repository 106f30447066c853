"""How claims are judged: a function for each kind of statement.

Each gives one verdict for every curve, pair of curves or group of points that can speak to the
claim: a random control must not speak for the magnitudes that stand beside it, whichever comes
first in a plan. With fewer seeds than the claim asks for, nothing is told.
"""

from collections.abc import Callable

from pruneexp.report.analysis.claims import Claim, Verdict
from pruneexp.report.analysis.endpoints.curves import (
    curve_not_below,
    gap_grows_with_size,
    magnitude_above,
    magnitude_not_below,
    sparse_above_dense,
)
from pruneexp.report.analysis.endpoints.points import (
    point_above_point,
    point_not_below,
    points_equal,
)
from pruneexp.report.analysis.endpoints.positions import (
    mask_and_counts_cross,
    masks_without_structure,
    positions_weigh_more_at_int8,
)
from pruneexp.report.analysis.endpoints.settings import (
    best_parent_in_range,
    collapse_grows_with_sparsity,
    last_is_worst,
    setting_does_not_matter,
)
from pruneexp.report.analysis.findings import Findings

Endpoint = Callable[[Claim, Findings], list[Verdict]]

ENDPOINTS: dict[str, Endpoint] = {
    "sparse_above_dense": sparse_above_dense,
    "gap_grows_with_size": gap_grows_with_size,
    "curve_not_below": curve_not_below,
    "magnitude_not_below": magnitude_not_below,
    "magnitude_above": magnitude_above,
    "point_above_point": point_above_point,
    "point_not_below": point_not_below,
    "points_equal": points_equal,
    "setting_does_not_matter": setting_does_not_matter,
    "last_is_worst": last_is_worst,
    "best_parent_in_range": best_parent_in_range,
    "collapse_grows_with_sparsity": collapse_grows_with_sparsity,
    "mask_and_counts_cross": mask_and_counts_cross,
    "positions_weigh_more_at_int8": positions_weigh_more_at_int8,
    "masks_without_structure": masks_without_structure,
}
