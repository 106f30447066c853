"""Weights that a network begins with: a run's, torchvision's, or a file that someone already has.

Nothing here runs code from a file: safetensors, and what torch loads with `weights_only`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine import distributed, files

KEY = "pruning.start"
BATCH_COUNT = ".num_batches_tracked"


def load(model: nn.Module, path: Path, key: str = KEY) -> None:
    """Put the weights of a file into the model. Raises `Invalid` under `key` with the names of
    what does not fit."""
    try:
        if path.suffix == ".safetensors":
            weights: Any = load_file(path)
        else:
            weights = torch.load(path, weights_only=True, map_location="cpu")
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, LookupError) as error:
        why = f"={path} holds no weights that can be loaded without running code"
        raise Invalid([Fault(key, why)]) from error
    load_state(model, weights, str(path), key)


def load_state(model: nn.Module, weights: Any, source: str, key: str = KEY) -> None:
    """Put weights by name into the model; `source` names where they come from in a message."""
    own = model.state_dict()
    if isinstance(weights, dict):  # files older than torch 0.4.1 lack batch-norm's count of batches
        counts = {key: value for key, value in own.items() if key.endswith(BATCH_COUNT)}
        weights = {**counts, **weights}
    if problems := _problems(weights, own):
        raise Invalid([Fault(key, f"={source} does not fit the model:\n  {problems}")])
    model.load_state_dict(weights)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes in a safetensors file, of which only the header is read."""
    with safe_open(path, framework="pt") as file:
        names = file.keys()  # of an open file, which is no dictionary
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def torchvision_file(name: str, known: Sequence[str], key: str = KEY) -> Path:
    """The file of torchvision's weights, fetched once, by the first rank, into torch's own cache.
    Its name ends in the first digits of its SHA-256, so that the weights' name stands for their
    content. `known` are the full names, such as "ResNet50_Weights.IMAGENET1K_V1"."""
    return distributed.agree(lambda: _torchvision_file(name, known, key))


def _torchvision_file(name: str, known: Sequence[str], key: str) -> Path:
    from torchvision.models import get_weight

    full = next(full for full in known if full.endswith(f".{name}"))
    url = get_weight(full).url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    stated = re.findall(r"-([0-9a-f]{8,})\.", path.name)[-1]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=stated, progress=False)
        except (OSError, RuntimeError) as error:
            why = f"={name}: {url} cannot be fetched ({error}); fetch it by hand and put it at "
            raise Invalid([Fault(key, f"{why}{path}")]) from error
    if not files.checksum_of(path).startswith(stated):
        raise Invalid([Fault(key, f"={name}: {path} is not the file of {url}; remove it")])
    return path


def _problems(weights: Any, own: dict[str, torch.Tensor]) -> str:
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        return "it is not a dictionary of tensors, as state_dict() gives"
    shapes = [{key: tuple(value.shape) for key, value in each.items()} for each in (weights, own)]
    return misfits(*shapes)


def misfits(shapes: Mapping[str, tuple[int, ...]], own: Mapping[str, tuple[int, ...]]) -> str:
    """How names and shapes of tensors differ from the model's, a line each; nothing if they fit."""
    problems = [f"{key} is missing" for key in own if key not in shapes]
    problems += [f"{key} is not in the model" for key in shapes if key not in own]
    problems += [
        f"{key} is {shapes[key]}, the model has {shape}"
        for key, shape in own.items()
        if key in shapes and shapes[key] != shape
    ]
    more = [f"and {len(problems) - 12} more"] if len(problems) > 12 else []
    return "\n  ".join(problems[:12] + more)
