"""Weights that a run starts from: another run's, torchvision's, or a file a person already has."""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.record import MASKS
from pruneexp.engine.store import Folder
from pruneexp.pruning import Gradual

COUNT = ".num_batches_tracked"


def load(model: nn.Module, path: Path) -> None:
    """Weights of a run or of a file. What does not fit is listed, by name."""
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, weights_only=True, map_location="cpu")
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, LookupError) as error:
        why = f"={path} holds no weights that can be loaded without running code"
        raise Invalid([Fault("pruning.start", why)]) from error
    mine = model.state_dict()
    if isinstance(found, dict):  # files older than torch 0.4.1 lack batch-norm's count of batches
        counts = {key: value for key, value in mine.items() if key.endswith(COUNT)}
        found = {**counts, **found}
    if problems := _misfits(found, mine):
        raise Invalid([Fault("pruning.start", f"={path} does not fit the model:\n  {problems}")])
    model.load_state_dict(found)


def masks(folder: Folder) -> dict[str, torch.Tensor]:
    """Of a finished run, True where a weight is kept; none of a dense one."""
    return load_file(folder.path / MASKS)


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


def torchvision_file(run: Run) -> Path:
    """The file of torchvision's weights, fetched once into torch's own cache. Its name ends in
    the first digits of its SHA-256, so that the name of the weights stands for their content."""
    from torchvision.models import get_weight

    name = run.pruning.starts_from.partition(":")[2]
    full = next(full for full in run.model.torchvision if full.endswith(f".{name}"))
    url = get_weight(full).url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    stated = re.findall(r"-([0-9a-f]{8,})\.", path.name)[-1]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=stated, progress=False)
        except (OSError, RuntimeError) as error:
            why = f"={run.pruning.starts_from}: {url} cannot be fetched ({error})"
            raise Invalid(
                [Fault("pruning.start", f"{why}; fetch it by hand and put it at {path}")]
            ) from error
    if not files.checksum_of(path).startswith(stated):
        why = f"={run.pruning.starts_from}: {path} is not the file of {url}; remove it"
        raise Invalid([Fault("pruning.start", why)])
    return path


def _misfits(weights: Any, mine: dict[str, torch.Tensor]) -> str:
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        return "it is not a dictionary of tensors, as state_dict() gives"
    shapes = [{key: tuple(value.shape) for key, value in each.items()} for each in (weights, mine)]
    return misfits(*shapes)


def misfits(shapes: Mapping[str, tuple[int, ...]], mine: Mapping[str, tuple[int, ...]]) -> str:
    """How names and shapes of tensors differ from the model's, a line each; nothing if they fit."""
    problems = [f"{key} is missing" for key in mine if key not in shapes]
    problems += [f"{key} is not in the model" for key in shapes if key not in mine]
    problems += [
        f"{key} is {shapes[key]}, the model has {shape}"
        for key, shape in mine.items()
        if key in shapes and shapes[key] != shape
    ]
    more = [f"and {len(problems) - 12} more"] if len(problems) > 12 else []
    return "\n  ".join(problems[:12] + more)
