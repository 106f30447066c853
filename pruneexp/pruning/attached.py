"""The tensors of a model that a pruner has taken hold of, and whether they still are the model's.

A pruner changes weights in place. Where a layer was replaced, the model copied, or its weights cast
after that, it would change tensors that nobody uses, so each of these is an error that names the
tensor and the remedy.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

# Who prunes a tensor; entries of tensors and of pruners that are gone do not count.
_HOLDERS: Any = WeakTensorKeyDictionary()

REMEDIES = (  # where the type, the device or the shape of a tensor is another than it was
    "cast the model before a pruner is attached",
    "move the model before a pruner is attached",
    "change layers' sizes (resize_token_embeddings and the like) before a pruner is attached",
)


class NotPrunable(RuntimeError):
    """A model, or what became of it, that a pruner cannot work on. The message names the tensor
    and the remedy."""


class EmptyTensor(UserWarning):
    """A tensor lost all its weights: allowed, as in the papers, and rarely meant."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside DistributedDataParallel, DataParallel or torch.compile. Raises
    `NotPrunable` for one whose weights FullyShardedDataParallel has flattened."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            inner: Any = model._orig_mod
            model = inner
        else:
            break
    if any(type(layer).__name__ == "FullyShardedDataParallel" for layer in model.modules()):
        raise NotPrunable(
            "FullyShardedDataParallel holds each process's part of all weights in one vector; "
            "masks are chosen over whole tensors, so use DistributedDataParallel, or prune before "
            "sharding"
        )
    return model


class Attached:
    """Named weights of a model, held by one pruner at a time.

    Arguments:
        model: the network, not wrapped.
        names: of its tensors.

    Raises `NotPrunable` for tensors that are sharded, or that another pruner holds.
    """

    def __init__(self, model: nn.Module, names: Iterable[str]) -> None:
        self.model = model
        parameters = dict(model.named_parameters())
        self.weights = {name: parameters[name] for name in names}
        self._was = {
            name: (weight.dtype, weight.device, tuple(weight.shape))
            for name, weight in self.weights.items()
        }
        for name, weight in self.weights.items():
            if hasattr(weight, "placements"):  # a DTensor, whose local part alone is here
                raise NotPrunable(
                    f"{name} is sharded (FSDP2 or tensor parallel); masks are chosen over whole "
                    "tensors, so use DistributedDataParallel, or prune before sharding"
                )
            if _holder(weight) is not None:
                raise NotPrunable(
                    f"{name} is already held by a pruner; call its finish() or drop it before "
                    "another one is attached"
                )
        for weight in self.weights.values():
            _HOLDERS[weight] = weakref.ref(self)

    def release(self) -> None:
        """Let another pruner take the weights."""
        for weight in self.weights.values():
            if _holder(weight) is self:
                del _HOLDERS[weight]

    def check(self) -> None:
        """Raise `NotPrunable` where the weights are no longer the model's own."""
        current = dict(self.model.named_parameters())
        for name, weight in self.weights.items():
            if current.get(name) is not weight:
                raise NotPrunable(
                    f"{name} of the model is another tensor than the one that was attached: it was "
                    "replaced, or loaded with assign=True; attach a pruner after that"
                )
            was, now = self._was[name], (weight.dtype, weight.device, tuple(weight.shape))
            for before, after, remedy in zip(was, now, REMEDIES, strict=True):
                if before != after:
                    raise NotPrunable(
                        f"{name} was attached as {before} and is {after} now; {remedy}"
                    )


def _holder(weight: Tensor) -> Attached | None:
    reference = _HOLDERS.get(weight)
    return None if reference is None else reference()


def processes() -> int:
    """How many a torch.distributed group has; 1 for a process that stands alone."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return int(distributed.get_world_size())


def sum_over_processes(values: Iterable[Tensor]) -> None:
    """Put the sums over all processes of a torch.distributed group in the place of values."""
    from torch import distributed

    if processes() > 1:
        for value in values:
            distributed.all_reduce(value)


def demand_equal_masks(masks: Iterable[Tensor]) -> None:
    """Raise `NotPrunable` where the processes of a torch.distributed group have other masks.
    Nothing is done in a process that stands alone."""
    from torch import distributed

    if processes() == 1:
        return
    own = torch.stack([_mixed(mask) for mask in masks])
    first = own.clone()
    distributed.broadcast(first, src=0)
    differs = (first != own).any().to(torch.int32)
    distributed.all_reduce(differs, op=distributed.ReduceOp.MAX)
    if bool(differs):
        raise NotPrunable(
            "the processes have chosen different masks, since their weights differ; seed them "
            "alike, or wrap the model in DistributedDataParallel before a pruner is attached"
        )


def _mixed(mask: Tensor) -> Tensor:
    """A number that differs where masks do: kept places weighted by a fixed odd pattern."""
    flat = mask.reshape(-1).to(torch.int64)
    places = torch.arange(flat.numel(), device=flat.device, dtype=torch.int64)
    return (flat * (places * 2654435761 + 40503)).sum()
