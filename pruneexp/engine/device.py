"""Where a run is computed: its device and its threads, which change bits."""

import ctypes
import os
import platform
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from pruneexp.config.factory import working_folder_on_path
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine import distributed


def settle(run: Run, saved: dict[str, Any] | None) -> tuple[torch.device, int]:
    """Device and threads, which change bits as the number of ranks does: fixed when a run starts,
    kept when it goes on."""
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
    if distributed.count() > 1 and asked_for == "cuda":
        asked_for = f"cuda:{distributed.local()}"
    device = torch.device(asked_for)
    if device.index is not None and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise Invalid([Fault("device", f"={run.device}, but this machine has {count} GPUs")])
    _check_precision(run, device)
    _check_ranks(run, saved)
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
    if kind == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its products vary
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device, threads


def _check_precision(run: Run, device: torch.device) -> None:
    word = run.training.precision
    lacking = device.type == "cuda" and word == "bf16" and not torch.cuda.is_bf16_supported()
    if lacking:
        card = torch.cuda.get_device_name(device)
        raise Invalid([Fault("training.precision", f"={word}, but {card} has fp32 and fp16")])


def _check_ranks(run: Run, saved: dict[str, Any] | None) -> None:
    """Each rank takes an equal share of every part of a batch."""
    count, parts = distributed.count(), run.training.accumulate
    batch = run.training.batch_size
    if batch % (count * parts):
        takes = f"takes a multiple of {count * parts} ({count} processes, {parts} parts)"
        raise Invalid([Fault("training.batch_size", f"{takes}, got {batch}")])
    began_with = count if saved is None else saved["facts"]["ranks"]
    if began_with != count:
        why = f"{name(run)} began with {began_with} processes and goes on with as many, not {count}"
        raise Invalid([Fault("torchrun", f"{why}; or remove that folder to begin anew")])


@contextmanager
def caller_state_kept() -> Iterator[None]:
    """At the end, the process is as the caller left it: random generators, threads, deterministic
    algorithms, environment and module path. Inside, modules of the working folder are found."""
    path, environment = list(sys.path), dict(os.environ)
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        with working_folder_on_path():
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if on_gpu is not None:
            torch.cuda.set_rng_state_all(on_gpu)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        sys.path[:] = path
        for key in os.environ.keys() - environment.keys():
            del os.environ[key]
        os.environ.update(environment)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of handing it back to the kernel after every layer: a
    step of the small MobileNet takes a quarter less time (docs/log.md). For a process of our own,
    never for one that a library's caller owns, since it cannot be undone."""
    if platform.system() == "Linux":
        with suppress(OSError, AttributeError):  # another C library
            allocator = ctypes.CDLL("libc.so.6")
            for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
                allocator.mallopt(option, 1 << 30)
