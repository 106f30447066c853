"""Tiny runs for the tests: a few steps of a thin network on a few pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from pruneexp.config.run import Run
from pruneexp.engine.record import Record
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import Cubic
from pruneexp.tasks import Glyphs
from pruneexp.training import Training
from tests.results import Results

torch.set_num_threads(1)
# The same examples each time, so that what passed once passes again; `make fuzz` looks for others.
settings.register_profile("same", derandomize=True)
settings.register_profile("wide", max_examples=2_000)
settings.load_profile("same")

Make = Callable[..., Run]


def tiny_run(results: Path, pruning: Pruning | None = None, **changes: Any) -> Run:
    """Twelve steps of a MobileNet a tenth as wide; `changes` are fields of Run or of Training."""
    own = {key: changes.pop(key) for key in list(changes) if key in Run.__dataclass_fields__}
    training = Training(**{"steps": 12, "batch_size": 16, "evaluations": 4, **changes})
    run = Run(
        task=Glyphs(train=200, valid=50, test=60),
        model=MobileNetV1(width=0.1, layout="small"),
        training=training,
        pruning=pruning or Dense(),
        results=str(results),
        device="cpu",
    )
    return replace(run, **own)


def tiny_gradual(**changes: Any) -> Gradual:
    return Gradual(**{"sparsity": 0.8, "schedule": Cubic(interval=2), **changes})


def silent(line: str) -> None:
    """Say nothing."""


def outcome(record: Record) -> dict[str, Any]:
    """All of a record that equal runs share."""
    plain = record.to_plain()
    del plain["circumstances"]
    return plain


class After:
    """Asks to stop once it has been asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture
def tiny(tmp_path: Path) -> Make:
    def make(pruning: Pruning | None = None, **changes: Any) -> Run:
        return tiny_run(tmp_path / "results", pruning, **changes)

    return make


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")
