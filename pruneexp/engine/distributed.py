"""Several processes that train one run together, as `torchrun` starts them.

Each has a rank. The first one alone reads and writes folders and talks; what it decides, the others
are told. In a process that stands alone everything here is free and does nothing.
"""

import atexit
import gc
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
PATIENCE = timedelta(hours=1)  # for a rank that is busy with something only it does


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def local() -> int:
    """Among the ranks of this machine: the number of the card a rank works on."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_first() -> bool:
    return rank() == 0


def join() -> None:
    """Meet the others, once. Small things travel by gloo, gradients on cards by NCCL."""
    if count() == 1:
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local())
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=PATIENCE)
    atexit.register(_leave)


def _leave() -> None:
    """Give the group back while Python still stands. A network that shares gradients holds on to
    it, and where that goes only as the process ends, the group's threads may end it by SIGABRT."""
    from torch import distributed

    gc.collect()
    distributed.destroy_process_group()


def agree(decide: Callable[[], T]) -> T:
    """What the first rank decides, at every rank."""
    if count() == 1:
        return decide()
    from torch import distributed

    told: list[Any] = [decide() if is_first() else None]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def mine(items: Sequence[T]) -> Sequence[T]:
    """This rank's share."""
    return items[rank() :: count()]


def total(values: "Tensor") -> "Tensor":
    """The sum over ranks, at every rank."""
    if count() > 1:
        from torch import distributed

        distributed.all_reduce(values)
    return values


def share(model: "nn.Module") -> "nn.Module":
    """The model with gradients averaged over ranks after each backward pass."""
    if count() == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    device = next(model.parameters()).device
    return DistributedDataParallel(model, [device] if device.type == "cuda" else None)


def alone(model: "nn.Module", *, last: bool) -> AbstractContextManager[None]:
    """Inside, gradients gather at each rank; the last part's pass averages them."""
    if count() == 1 or last:
        return nullcontext()
    shared = cast("DistributedDataParallel", model)  # what `share` made of it
    return shared.no_sync()


def level(tensors: "Iterable[Tensor]") -> None:
    """Give every rank the first one's values, such as batch-norm's running averages."""
    if count() > 1:
        from torch import distributed

        for tensor in tensors:
            distributed.broadcast(tensor, src=0)
