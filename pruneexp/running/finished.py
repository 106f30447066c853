"""A finished run's network, in memory again."""

import torch
from torch import nn

from pruneexp import files, weights
from pruneexp.config import Run, restore
from pruneexp.execute import build
from pruneexp.record import WEIGHTS
from pruneexp.store import Folder


def finished(folder: Folder) -> tuple[Run, nn.Module]:
    """What was asked for, and the chosen state on the CPU, ready to be called."""
    record = folder.record_or_fail()
    if not folder.weights_are_good(record):
        raise files.NotFound(
            f"{folder.path / WEIGHTS} is gone or damaged; the same run with keep=weights and "
            "another folder (results=...) makes it again, with the same bits"
        )
    run = restore(record.configuration)
    model = build(run, torch.device("cpu"))
    weights.load(model, folder.path / WEIGHTS)
    return run, model.eval()
