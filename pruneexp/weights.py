"""Weights that a run starts from: another run's, or a file a person already has."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pruneexp import files
from pruneexp.config import Run
from pruneexp.pruning import Gradual
from pruneexp.recipe import Fault, Invalid


def load(model: nn.Module, path: Path) -> None:
    """Weights of a run or of a person's file. What does not fit is listed, by name."""
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, weights_only=True, map_location="cpu")
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, LookupError) as error:
        why = f"={path} holds no weights that can be loaded without running code"
        raise Invalid([Fault("pruning.start", why)]) from error
    problems = _misfits(found, model.state_dict())
    if problems:
        more = [f"and {len(problems) - 12} more"] if len(problems) > 12 else []
        listed = "\n  ".join(problems[:12] + more)
        raise Invalid([Fault("pruning.start", f"={path} does not fit the model:\n  {listed}")])
    model.load_state_dict(found)


def stated_file(run: Run) -> Path:
    """The file that pruning starts from, if it still is what named the run."""
    assert isinstance(run.pruning, Gradual)
    path, stated = Path(run.pruning.start_path), run.pruning.start.partition(":")[2]
    if not run.pruning.start_path:
        why = f"={run.pruning.start} is a checksum; give the path of that file"
        raise Invalid([Fault("pruning.start", why)])
    if not path.is_file() or files.checksum_of(path)[:16] != stated:
        why = f"={path} is no longer the file that this run was named by ({stated})"
        raise Invalid([Fault("pruning.start", why)])
    return path


def _misfits(weights: Any, mine: dict[str, torch.Tensor]) -> list[str]:
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        return ["it is not a dictionary of tensors, as state_dict() gives"]
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    problems = [f"{key} is missing" for key in mine if key not in shapes]
    problems += [f"{key} is not in the model" for key in shapes if key not in mine]
    problems += [
        f"{key} is {shapes[key]}, the model has {tuple(value.shape)}"
        for key, value in mine.items()
        if key in shapes and shapes[key] != tuple(value.shape)
    ]
    return problems
