"""What can be run: a finished run's chosen state, or a packed file, which nobody trusts."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config.read import restore
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run
from pruneexp.engine import files, initial_weights
from pruneexp.engine.record import LATENCY, MASKS, WEIGHTS
from pruneexp.engine.store import RunFolder, Store
from pruneexp.measure.folding import fused
from pruneexp.storage.archive import Archive
from pruneexp.storage.pack import tensors
from pruneexp.tasks.shape import Shape

SUFFIX = ".pxp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A network with its weights, in eval mode, and its masks."""

    name: str
    shape: Shape
    model: nn.Module
    masks: dict[str, Tensor]
    identity: str  # another for other weights
    latency: Path  # where measurements of it are kept


def find(text: str, store: Store, *, trust: bool = False) -> Source:
    """A .pxp file, or a finished run by folder, name or fingerprint."""
    if text.endswith(SUFFIX):
        return of_file(Path(text), trust=trust)
    return of_run(store.find(text))


def of_run(folder: RunFolder) -> Source:
    record = folder.record_or_fail()
    if not folder.weights_are_good(record):
        raise files.NotFound(
            f"{folder.path / WEIGHTS} is gone or damaged; the same run with keep=weights and "
            "another folder (results=...) makes it again, with the same bits"
        )
    run = restore(record.configuration)
    model = _built(run)
    initial_weights.load(model, folder.path / WEIGHTS)
    masks = tensors(folder, MASKS, record)
    return Source(
        name=record.name,
        shape=run.task.shape(),
        model=model.eval(),
        masks={name: torch.from_numpy(mask) for name, mask in masks.items()},
        identity=record.checksums["weights"],
        latency=folder.path / LATENCY,
    )


def of_file(path: Path, *, trust: bool = False) -> Source:
    """From the configuration in its notes. Unless it is trusted, the file may name no code, and
    the network's names and shapes must be the file's before it takes any memory."""
    archive = Archive(path)
    configuration = archive.notes.get("configuration")
    if not isinstance(configuration, dict):
        raise files.NotFound(
            f"{path} does not say which network it holds; `pruneexp unpack` writes its tensors"
        )
    if not trust:
        _refuse_code(path, configuration)
    has_folded = archive.notes.get("folded") is True
    try:
        run = restore(configuration)
        shape = run.task.shape()
        if not all(type(size) is int for size in astuple(shape)):
            raise ValueError(f"{shape} has sizes that are no whole numbers")
        with torch.device("cpu" if trust else "meta"):
            skeleton = _structure(_built(run), shape, has_folded)
    except Exception as error:  # a forged configuration may raise anything in a recipe's checks
        why = f"its configuration makes no network ({type(error).__name__}: {error})"
        raise files.Damaged(path, why) from error
    _demand_fit(archive, skeleton, shape)
    state = {name: torch.from_numpy(archive.read(name)) for name in archive.entries}
    model = skeleton if trust else _on_cpu(skeleton)
    model.load_state_dict(state)
    pruned = [name for name, entry in archive.entries.items() if entry.kept < entry.entries]
    return Source(
        name=path.name,
        shape=shape,
        model=model.eval(),
        masks={name: torch.from_numpy(archive.mask(name)) for name in pruned},
        identity=archive.identity,
        latency=path.with_name(f"{path.name}.{LATENCY}"),
    )


def _built(run: Run) -> nn.Module:
    """With weights that will be replaced, and the caller's random numbers left alone."""
    with torch.random.fork_rng(devices=[]):
        return run.model.build(run.task.shape())


def _on_cpu(skeleton: nn.Module) -> nn.Module:
    """The network with memory of its own, tied tensors still tied."""
    names: dict[int, list[str]] = {}
    for name, parameter in skeleton.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    model = skeleton.to_empty(device="cpu")
    for first, *others in names.values():
        for name in others:
            above, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(above), leaf, model.get_parameter(first))
    return model


def _structure(model: nn.Module, shape: Shape, has_folded: bool) -> nn.Module:
    if not has_folded:
        return model
    device = next(model.parameters()).device
    return fused(model.eval(), *[tensor.to(device) for tensor in shape.example()])


def _refuse_code(path: Path, configuration: dict[str, Any]) -> None:
    """Before anything is restored: to look for a module is to import its parents."""
    for key, value in _flat(configuration):
        if (key.endswith("option") and value == "custom") or (key.endswith("factory") and value):
            why = (
                f"={value}: {path} would run somebody's Python; trust=True (on the command line "
                "--trust) lets it, where you trust the file"
            )
            raise Invalid([Fault(key.removesuffix(".option"), why)])


def _flat(data: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _demand_fit(archive: Archive, model: nn.Module, shape: Shape) -> None:
    found = {name: entry.shape for name, entry in archive.entries.items()}
    mine = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if misfits := initial_weights.misfits(found, mine):
        raise files.Damaged(archive.path, f"it does not fit its own configuration:\n  {misfits}")
    if shape.example_bytes > archive.limit:
        why = f"one {shape.unit} would take {shape.example_bytes:,} bytes, which its length does"
        raise files.Damaged(archive.path, f"{why} not justify")
