"""What can be run: a finished run's chosen state, or a packed file. Neither is trusted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config.factory import demand_own_python
from pruneexp.config.read import restore
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine import files, initial_weights
from pruneexp.engine.record import LATENCY, MASKS, RECORD, WEIGHTS, Usage
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.measure.folding import fused
from pruneexp.storage.archive import BASE, Archive
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
    usage: Usage = field(default_factory=Usage)  # of inputs and outputs, where it is known


def find(text: str, store: Store, *, trust: bool = False) -> Source:
    """A .pxp file, or a finished run by folder, name or fingerprint.

    Arguments:
        trust: whether Python that the file or the run's record names may be imported. A network
            from this package needs none.
    """
    if text.endswith(SUFFIX):
        return of_file(Path(text), trust=trust)
    return of_run(store.find(text), trust=trust)


def of_run(folder: RunFolder, *, trust: bool = False) -> Source:
    """A finished run's chosen state. Its folder may come from elsewhere: unless it is trusted, its
    record may name no code, and the network's names and shapes must be those of the weights before
    it takes any memory."""
    record = folder.record_or_fail()
    if not folder.weights_are_good(record):
        raise files.NotFound(
            f"{folder.path / WEIGHTS} is gone or damaged; the same run with keep=weights and "
            "another folder (results=...) makes it again, with the same bits"
        )
    path = folder.path / RECORD
    skeleton, shape = _skeleton(record.configuration, path, trust=trust)
    weights = folder.path / WEIGHTS
    found = initial_weights.shapes(weights)
    _demand_fit(path, found, skeleton, shape, limit=BASE + weights.stat().st_size)
    model = _filled(skeleton, record.configuration, path, trust=trust)
    initial_weights.load(model, weights)
    masks = tensors(folder, MASKS, record)
    return Source(
        name=record.name,
        shape=shape,
        model=model.eval(),
        masks={name: torch.from_numpy(mask) for name, mask in masks.items()},
        identity=record.checksums["weights"],
        latency=folder.path / LATENCY,
        usage=folder.usage(),
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
    has_folded = archive.notes.get("folded") is True
    skeleton, shape = _skeleton(configuration, path, trust=trust, has_folded=has_folded)
    found = {name: entry.shape for name, entry in archive.entries.items()}
    _demand_fit(path, found, skeleton, shape, limit=archive.limit)
    state = {name: torch.from_numpy(archive.read(name)) for name in archive.entries}
    model = _filled(skeleton, configuration, path, trust=trust, has_folded=has_folded)
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


def _skeleton(
    configuration: Any, path: Path, *, trust: bool, has_folded: bool = False
) -> tuple[nn.Module, Shape]:
    """The network that a file's configuration describes, without memory unless it is trusted (the
    code of others may need real tensors), and the shape of its task."""
    run = _restored(configuration, path, trust=trust)
    demand_own_python(run.model, "model")
    shape = run.task.shape()
    device = "cpu" if trust else "meta"
    try:
        with torch.device(device):
            return _structure(_built(run), shape, has_folded), shape
    except Invalid:
        raise
    except Exception as error:  # a forged configuration may raise anything while it is built
        why = f"its configuration makes no network ({type(error).__name__}: {error})"
        raise files.Damaged(path, why) from error


def _restored(configuration: Any, path: Path, *, trust: bool) -> Run:
    try:
        return restore(configuration, trust=trust, origin=path)
    except Invalid as invalid:
        faults = "; ".join(str(fault).removeprefix(f"{path}: ") for fault in invalid.faults)
        why = f"its configuration makes no network ({faults})"
        raise files.Damaged(path, why) from invalid


def _filled(
    skeleton: nn.Module, configuration: Any, path: Path, *, trust: bool, has_folded: bool = False
) -> nn.Module:
    """The network with memory of its own. What no state dict holds, such as a table of positions,
    must be made by the network itself."""
    if trust:
        return skeleton
    saved = skeleton.state_dict().keys()
    if all(name in saved for name, _ in skeleton.named_buffers()):
        return _on_cpu(skeleton)
    run = _restored(configuration, path, trust=trust)
    return _structure(_built(run), run.task.shape(), has_folded)


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


def _demand_fit(
    path: Path, found: dict[str, tuple[int, ...]], model: nn.Module, shape: Shape, *, limit: int
) -> None:
    """Raise `Damaged` where the file's tensors are not the network's, or where an example would
    take more memory than the file's length justifies."""
    needed = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if misfits := initial_weights.misfits(found, needed):
        raise files.Damaged(path, f"it does not fit its own configuration:\n  {misfits}")
    if shape.example_bytes > limit:
        why = f"one {shape.unit} would take {shape.example_bytes:,} bytes, which its length does"
        raise files.Damaged(path, f"{why} not justify")
