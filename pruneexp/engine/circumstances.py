"""What may differ between equal runs: where they were made, and what that cost."""

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pruneexp.engine import distributed
from pruneexp.engine.record import COSTS
from pruneexp.pruning.start import WEIGHTS_OF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pruneexp.engine.lineage import Ancestor
    from pruneexp.pruning.pruner import Pruner
    from pruneexp.training.fit import Fit

Circumstances = dict[str, str | int | float | None]
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


def forget_peak(device: torch.device) -> None:
    """Measure the most memory that is used from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            FORGET.write_text("5")  # the peak of the resident memory
        except OSError:
            return  # where that is not allowed, the peak is that of the process


def peak_bytes(device: torch.device) -> int | None:
    """The most memory since `forget_peak`: allocated on a GPU, resident on a CPU; None where that
    cannot be told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return 1024 * int(line.split()[1])


def circumstances(
    fit: "Fit",
    pruner: "Pruner",
    *,
    resumed_at: int,
    threads: int,
    ancestors: "Mapping[str, Ancestor]",
) -> Circumstances:
    """Of a run whose stage has ended."""
    device = fit.task.setting.device
    return {
        "seconds": round(fit.seconds(), 2),
        "resumed_at": resumed_at,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": threads,
        "ranks": distributed.count(),
        **_costs(fit, pruner, ancestors),
        **fit.task.circumstances(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a text of its own kind
        "pruneexp": version("pruneexp"),
    }


def _costs(fit: "Fit", pruner: "Pruner", ancestors: "Mapping[str, Ancestor]") -> Circumstances:
    """What training cost; of a stage that trains nothing, what that of its weights did."""
    if fit.steps == 0 and WEIGHTS_OF in ancestors:
        before = ancestors[WEIGHTS_OF].record.circumstances
        return {key: before[key] for key in COSTS if key in before}
    return {
        "seconds_a_step": round(fit.seconds() / max(1, fit.steps), 6),
        "own_parameters": sum(own.numel() for own in pruner.parameters()),
        "peak_bytes": peak_bytes(fit.task.setting.device),
    }
