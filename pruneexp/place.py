"""Where a run is computed: its device and its threads, which change bits."""

import ctypes
import os
import platform
from contextlib import suppress
from typing import Any

import torch

from pruneexp.config import Run, name
from pruneexp.recipe import Fault, Invalid


def settle(run: Run, saved: dict[str, Any] | None) -> tuple[torch.device, int]:
    """Device and threads, which change bits: fixed when a run starts, kept when it goes on."""
    asked_for = run.device
    if asked_for == "auto":
        asked_for = "cuda" if torch.cuda.is_available() else "cpu"
    kind = asked_for.partition(":")[0]
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[kind]:
        here = ", ".join(word for word, there in available.items() if there)
        raise Invalid([Fault("device", f"={run.device}, but this machine has {here}")])
    device = torch.device(asked_for)
    if device.index is not None and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise Invalid([Fault("device", f"={run.device}, but this machine has {count} GPUs")])
    threads = run.training.threads
    if saved is not None:
        began_on = saved["facts"]["device"]
        if began_on != kind:
            raise Invalid(
                [
                    Fault(
                        "device",
                        f"={run.device} here means {kind}, but {name(run)} began on {began_on}; go "
                        f"on there, or remove that folder to begin anew",
                    )
                ]
            )
        threads = saved["facts"]["threads"]
    torch.set_num_threads(threads)
    keep_freed_memory()
    if kind == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its products vary
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device, threads


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of handing it back to the kernel after every layer: a
    step of the small MobileNet takes a quarter less time (docs/log.md)."""
    if platform.system() == "Linux":
        with suppress(OSError, AttributeError):  # another C library
            allocator = ctypes.CDLL("libc.so.6")
            for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
                allocator.mallopt(option, 1 << 30)
