"""Weights under two names are counted once and packed once, also where a mask holds one of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import pruneexp
from pruneexp.cli import main
from pruneexp.config.run import Run, name
from pruneexp.engine.execute import execute
from pruneexp.engine.record import WEIGHTS
from pruneexp.measure.counts import count
from pruneexp.measure.packed import sizes_of_arrays
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import Gradual
from pruneexp.pruning.schedule import Cubic
from pruneexp.storage.archive import Archive, save
from pruneexp.tasks import Grammar
from pruneexp.training import Training
from tests.conftest import silent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = Run(
        task=Grammar(train=2_000, valid=300, test=300),
        model=LSTMLanguageModel(hidden_size=8, layers=1, tied=True),
        training=Training(steps=4, batch_size=4, unroll=5, evaluations=1),
        pruning=Gradual(sparsity=0.8, schedule=Cubic(begin=0.0, end=0.5, interval=1)),
        results=str(tmp_path_factory.mktemp("results")),
        device="cpu",
    )
    execute(asked, say=silent)
    return asked


def test_a_tied_run_is_packed_once(run: Run, tmp_path: Path) -> None:
    folder = run.store.folder(name(run))
    record, sizes = folder.record_or_fail(), folder.packed_sizes()
    assert sizes is not None
    packed = tmp_path / "m.pxp"
    with pytest.raises(SystemExit):
        main.main(["pack", record.name, "-o", str(packed), "--results", run.results])
    archive = Archive(packed)
    second = [entry for entry in archive.entries.values() if entry.is_same]
    assert [entry.name for entry in second] == ["softmax.weight"]
    file = sizes.batch_norm_kept.values["fp32"]
    assert file is not None and file.bytes == packed.stat().st_size
    assert archive.dense_bytes == 4 * record.counts.parameters
    assert sizes.batch_norm_kept.dense_bytes == 4 * record.counts.parameters
    loaded = pruneexp.load(packed)
    of_run = pruneexp.load(folder.path)
    for key, value in of_run.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert sum(p.numel() for p in loaded.parameters()) == record.counts.parameters


def test_masked_weights_are_positive_zeros_under_both_names(run: Run) -> None:
    """A negative weight times a mask of 0 is -0.0, which takes room in compressed files."""
    weights = load_file(run.store.folder(name(run)).path / WEIGHTS)
    for tensor in (weights["embedding.weight"], weights["softmax.weight"]):
        zeros = tensor[tensor == 0]
        assert len(zeros) > 0 and not np.signbit(zeros).any()


def test_a_second_name_without_a_mask_repeats_the_first_whatever_its_zeros(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((20, 30)).astype(np.float32)
    mask = random.random((20, 30)) < 0.2
    tied = np.where(mask, weight, np.copysign(np.float32(0), weight))
    save(tmp_path / "m.pxp", {"b": tied, "a": tied.copy()}, {"b": mask})
    archive = Archive(tmp_path / "m.pxp")
    assert archive.entries["a"].is_same
    assert (archive.read("a") == tied).all() and (archive.mask("a") == mask).all()
    once = sizes_of_arrays({"b": tied}, {"b": mask}).batch_norm_kept
    twice = sizes_of_arrays({"b": tied, "a": tied}, {"b": mask}).batch_norm_kept
    assert twice.dense_bytes == once.dense_bytes
    one, two = once.values["fp32"], twice.values["fp32"]
    assert one is not None and two is not None
    assert 0 < two.bytes - one.bytes < 100  # a line in the header


def test_a_kept_negative_zero_is_kept(tmp_path: Path) -> None:
    """Two tensors that differ in the sign of a kept zero are two."""
    tensors = {"a": np.array([[0.0, 1.0]], np.float32), "b": np.array([[-0.0, 1.0]], np.float32)}
    save(tmp_path / "m.pxp", tensors, {})
    archive = Archive(tmp_path / "m.pxp")
    assert not any(entry.is_same for entry in archive.entries.values())
    for name_, tensor in tensors.items():
        assert archive.read(name_).tobytes() == tensor.tobytes()


def test_shared_modules_are_counted_once() -> None:
    layer = nn.Linear(10, 10, bias=False)
    assert count(nn.Sequential(layer, nn.ReLU(), layer), {}, 0).parameters == 100


def test_the_size_before_training_is_that_of_the_record(run: Run) -> None:
    record = run.store.folder(name(run)).record_or_fail()
    assert pruneexp.size(run).nonzero == record.counts.nonzero
    untied = replace(run, model=replace(run.model, tied=False))
    assert pruneexp.size(untied).nonzero > record.counts.nonzero
