"""What a checkpoint is read with."""

import io
from typing import Any

import torch
from torch import Tensor

from pruneexp.tasks.loaded import Carry

VERSION = 1  # of what a checkpoint holds


def unpack(payload: bytes) -> dict[str, Any]:
    """A checkpoint's content; plain data and tensors only, never code. Raises ValueError for what
    another version wrote."""
    saved = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise ValueError("another version of pruneexp wrote it")
    return saved


def moved(state: Carry, device: torch.device) -> Carry:
    """A carried state, whole, on a device."""
    if isinstance(state, Tensor):
        return state.to(device)
    return None if state is None else type(state)(moved(part, device) for part in state)
