"""From scores to boolean masks: the lowest n are masked. True means kept."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def keep_highest(scores: Sequence[Tensor], masked: int) -> list[Tensor]:
    """Masks over tensors ranked together that drop exactly the `masked` lowest scores.

    Ties go by order of tensors and then lowest index first, so that the masks depend on the
    scores alone. Raises FloatingPointError for a score that is not a number.
    """
    sizes = [score.numel() for score in scores]
    assert 0 <= masked <= sum(sizes), (masked, sizes)
    if masked == 0:
        return [torch.ones_like(score, dtype=torch.bool) for score in scores]
    parts = [_flat(score) for score in scores]
    flat = torch.cat(parts) if len(parts) > 1 else parts[0]
    kept = _keep_on_cpu(flat, masked) if flat.device.type == "cpu" else _keep(flat, masked)
    return [
        torch.empty_like(score, dtype=torch.bool).copy_(part.view(score.shape))
        for score, part in zip(scores, kept.split(sizes), strict=True)
    ]


# --- weights bound to each other ---------------------------------------------------------------


def lowest_of_each(scores: Tensor, among: int, lowest: int) -> Tensor:
    """Infinite but for the `lowest` of each `among` neighbours along the inputs."""
    inputs_last = scores.movedim(1, -1)
    sets = inputs_last.reshape(-1, among)
    rank = sets.argsort(dim=1, stable=True).argsort(dim=1)
    kept_out = (rank >= lowest) & ~sets.isnan()
    return sets.masked_fill(kept_out, torch.inf).view(inputs_last.shape).movedim(-1, 1)


def block_sums(scores: Tensor, rows: int, columns: int) -> Tensor:
    """The sum of each block of outputs x inputs."""
    inputs_last = scores.movedim(1, -1)
    outputs, inputs = inputs_last.shape[0], inputs_last.shape[-1]
    cut = inputs_last.reshape(outputs // rows, rows, -1, inputs // columns, columns)
    return cut.sum((1, 4))


def over_blocks(kept: Tensor, shape: tuple[int, ...], rows: int, columns: int) -> Tensor:
    """A mask over blocks as one over weights."""
    outputs, inputs, *rest = shape
    wide = kept.repeat_interleave(rows, 0).repeat_interleave(columns, -1)
    return wide.reshape(outputs, *rest, inputs).movedim(-1, 1)


# --- ranking -----------------------------------------------------------------------------------


def _flat(score: Tensor) -> Tensor:
    """In its own type, since a shorter one makes ties; numpy knows no shorter ones than float32."""
    flat = score.detach().reshape(-1)
    return flat if flat.dtype in (torch.float32, torch.float64) else flat.float()


def _keep_on_cpu(flat: Tensor, masked: int) -> Tensor:
    # numpy's introselect is several times faster than torch.kthvalue and torch.sort (make bench).
    values = flat.numpy()
    threshold = np.partition(values, masked - 1)[masked - 1]
    if np.isnan(threshold) or np.isnan(values.max()):
        raise FloatingPointError("weights to rank are not numbers")
    return _above(flat, float(threshold), masked)


def _keep(flat: Tensor, masked: int) -> Tensor:
    if bool(flat.isnan().any()):
        raise FloatingPointError("weights to rank are not numbers")
    return _above(flat, float(flat.kthvalue(masked).values), masked)


def _above(flat: Tensor, threshold: float, masked: int) -> Tensor:
    """Keep what lies above the threshold, and of its ties the last few."""
    kept = flat > threshold
    surplus = flat.numel() - int(torch.count_nonzero(kept)) - masked  # ties that may stay
    if surplus:
        kept[torch.nonzero(flat == threshold)[-surplus:, 0]] = True
    return kept
