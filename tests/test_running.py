"""Sparse kernels give what dense layers give; what runs sparse is measured, and said."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as some
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from pruneexp.cli import main, tables
from pruneexp.cli.messages import BAD_INPUT
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import name
from pruneexp.engine.execute import execute
from pruneexp.engine.record import WEIGHTS
from pruneexp.measure.folding import folded
from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.running import kernels, memory
from pruneexp.running.latency import Latency, latency, summary
from pruneexp.running.timing import Timing, chosen, measure
from pruneexp.tasks.shape import ImageShape, TextShape
from tests.conftest import Make, silent, tiny_gradual


def masked(layer: nn.Module, sparsity: float = 0.8) -> nn.Module:
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in layer.parameters():
            if weight.dim() >= 2:
                weight.mul_(torch.rand(weight.shape, generator=random) >= sparsity)
    return layer


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-5)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "linear": (lambda: nn.Linear(30, 20), lambda: torch.randn(5, 30)),
    "linear, one row": (lambda: nn.Linear(30, 20), lambda: torch.randn(1, 30)),
    "linear, a vector": (lambda: nn.Linear(30, 20), lambda: torch.randn(30)),
    "linear, times and texts": (lambda: nn.Linear(8, 9, bias=False), lambda: torch.randn(3, 4, 8)),
    "1x1": (lambda: nn.Conv2d(16, 24, 1), lambda: torch.randn(3, 16, 9, 9)),
    "1x1, larger pictures": (
        lambda: nn.Conv2d(4, 6, 1, bias=False),
        lambda: torch.randn(2, 4, 12, 13),
    ),
    "1x1, one pixel": (lambda: nn.Conv2d(16, 24, 1), lambda: torch.randn(1, 16, 1, 1)),
    "1x1, channels last": (
        lambda: nn.Conv2d(4, 6, 1),
        lambda: torch.randn(2, 4, 12, 13).to(memory_format=torch.channels_last),
    ),
    "1x1, strided": (lambda: nn.Conv2d(16, 24, 1, stride=2), lambda: torch.randn(3, 16, 9, 7)),
}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("sparsity", [0.0, 0.8, 1.0])
@torch.inference_mode()
def test_a_kernel_gives_what_its_dense_layer_gives(case: str, sparsity: float) -> None:
    torch.manual_seed(1)
    make, inputs = LAYERS[case]
    layer, example = masked(make(), sparsity), inputs()
    sparse = kernels.sparse(layer)
    assert sparse is not None
    assert close(sparse(example), layer(example))


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_an_lstm_goes_on_from_its_state(bias: bool) -> None:
    torch.manual_seed(1)
    layer = masked(nn.LSTM(16, 24, bias=bias))
    sparse = kernels.sparse(layer)
    assert sparse is not None
    state = None
    for times in (5, 1, 1, 4):
        example = torch.randn(times, 3, 16)
        expected, state_of_layer = layer(example, state)
        found, found_state = sparse(example, state)
        assert close(found, expected)
        assert all(map(close, found_state, state_of_layer))
        state = state_of_layer


def test_what_has_no_kernel_stays() -> None:
    for layer in (
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.LSTM(4, 4, num_layers=2),
        nn.LSTM(4, 4, bidirectional=True),
        nn.BatchNorm2d(4),
        nn.Embedding(50, 8),  # a table is many times faster
    ):
        assert kernels.sparse(layer) is None


def test_bytes_touched_by_hand() -> None:
    weight = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    assert kernels.touched(weight) == 24
    assert kernels.touched(kernels.rows(weight)) == 3 * (4 + 4) + 3 * 4  # values, columns, rows


@torch.inference_mode()
def test_batch_norm_is_folded_and_zeros_stay() -> None:
    torch.manual_seed(1)
    model = masked(MobileNetV1(width=0.25, layout="small").build(ImageShape(1, 24, 7)))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    model.eval()
    pictures = torch.randn(2, 1, 24, 24)
    plain = folded(model, pictures)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    assert close(plain(pictures), model(pictures))
    before = model.get_submodule("blocks.3.pointwise.0").weight
    after = plain.get_submodule("blocks.3.pointwise.0").weight
    assert torch.equal(before == 0, after == 0)


def test_every_layer_sparse_gives_the_same_scores() -> None:
    torch.manual_seed(1)
    model = masked(LSTMLanguageModel(hidden_size=16).build(TextShape(40))).eval()
    words = torch.randint(40, (6, 2))
    layers = {timing.layer for timing in measure(model, words)}
    assert layers == {"layers.0", "layers.1", "softmax"}
    with torch.inference_mode():
        assert close(chosen(model, layers)(words)[0], model(words)[0])


def timing(dense: float, sparse: float) -> Timing:
    return Timing(
        layer="a",
        kind="Linear",
        nonzero=1,
        weights=10,
        dense=dense,
        sparse=sparse,
        dense_bytes=40,
        sparse_bytes=12,
    )


def measured(
    *, layers: list[Timing], dense: float = 10e-3, sparse: float = 8e-3, batch: int = 1
) -> Latency:
    return Latency(
        batch=batch,
        threads=1,
        example="word",
        channels_last=False,
        layers=layers,
        dense=dense,
        sparse=sparse,
        difference=0.0,
    )


def test_amdahls_limit_by_hand() -> None:
    """Of 10 ms, 6 become 2 and 2 would become 3 and stay: at best 10 / 6."""
    found = measured(layers=[timing(6e-3, 2e-3), timing(2e-3, 3e-3)])
    assert found.faster == pytest.approx(1.25)
    assert found.limit == pytest.approx(10 / 6)
    assert found.pays


SECONDS = some.floats(1e-6, 1.0)


@given(some.lists(some.tuples(SECONDS, SECONDS), max_size=4), SECONDS, SECONDS)
def test_no_model_is_faster_than_its_limit(
    layers: list[tuple[float, float]], dense: float, sparse: float
) -> None:
    """However the layers' times and the whole model's, measured apart, contradict each other: also
    where the layers take longer than the model, as those of a large LSTM did."""
    found = measured(layers=[timing(*each) for each in layers], dense=dense, sparse=sparse)
    assert found.faster <= found.limit * (1 + 1e-9)
    rest = dense - sum(layer.dense for layer in found.layers if layer.pays)
    taken = sum(layer.sparse for layer in found.layers if layer.pays) + max(0.0, rest)
    assert found.limit == pytest.approx(dense / min(taken, sparse))


def test_the_summary_names_the_most() -> None:
    slow = measured(layers=[timing(6e-3, 2e-3)], dense=10e-3, sparse=11e-3)
    assert summary([("a", slow)]) == "sparse is faster in 0 of 1 measurements"
    fast = measured(layers=[timing(6e-3, 2e-3)], dense=10e-3, sparse=8e-3)
    faster = measured(layers=[timing(6e-3, 2e-3)], dense=10e-3, sparse=5e-3, batch=16)
    told = summary([("a", slow), ("b", fast), ("c", faster)])
    assert "2 of 3" in told and "x1.25 to x2.00" in told and "c at batch 16" in told


def linear(pixels: int = 5) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels**2, 4))


@pytest.mark.parametrize("batch", [0, -1, 99_999_999, 10**30, 2.5, "1"])
def test_a_batch_beyond_memory_is_refused_before_it_is_made(batch: Any) -> None:
    with pytest.raises(Invalid) as raised:
        latency(linear(50), ImageShape(1, 50, 4), batch=batch)
    assert raised.value.faults[0].key == "batch"
    assert str(batch) in str(raised.value)


def test_memory_that_runs_out_all_the_same_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruneexp.running.memory.free_bytes", lambda: None)
    with pytest.raises(Invalid, match="batch takes a smaller number"):
        latency(linear(), ImageShape(1, 5, 4), batch=10**14)


def test_free_memory_is_what_the_system_and_the_container_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8 kB\n")
    assert memory.free_bytes() == 8192
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.free_bytes() == 4000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 8192


def test_bytes_of_an_example_by_hand() -> None:
    """25 inputs, kept twice; the largest layer reads 25 and writes 25 (flattening)."""
    assert memory.bytes_of_an_example(linear(), ImageShape(1, 5, 4)) == 4 * (2 * 25 + 25 + 25)


def test_outputs_of_zeros_and_of_no_numbers() -> None:
    model = linear()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        assert latency(model, ImageShape(1, 5, 4), batch=1).difference == 0
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(Invalid, match="no finite numbers"):
        latency(model, ImageShape(1, 5, 4), batch=1)


def test_a_model_that_is_one_layer() -> None:
    layer = masked(nn.Linear(6, 5))
    made = chosen(layer, {""})
    example = torch.randn(2, 6)
    assert isinstance(made, kernels.SparseLinear) and close(made(example), layer(example))


@pytest.mark.parametrize(
    ("layers", "sparse", "batch", "said"),
    [
        ([timing(6e-3, 2e-3)], 8e-3, 1, "x1.25, at most x1.67 by Amdahl"),
        ([timing(6e-3, 2e-3)], 8e-3, 4, "a word: 2.500 ms dense, 2.000 ms sparse"),
        ([timing(6e-3, 2e-3), timing(1e-3, 2e-3)], 11e-3, 1, "does not pay here: 1 of 2 layers"),
        ([timing(1e-3, 2e-3)], 10e-3, 1, "does not pay here: every layer is faster dense"),
        ([], 10e-3, 1, "does not pay here: no layer has a sparse kernel"),
    ],
)
def test_where_sparse_does_not_pay_is_said(
    layers: list[Timing], sparse: float, batch: int, said: str
) -> None:
    found = measured(layers=layers, sparse=sparse, batch=batch)
    shown = tables.latency("a run", found)
    assert said in str(shown.caption)
    assert found.running_sparse == ({"a"} if "Amdahl" in said or "word" in said else set())
    assert found.touched == (40 * len(layers), (12 if found.pays else 40) * len(layers))


def test_a_model_without_masks_is_not_forced() -> None:
    found = latency(
        LSTMLanguageModel(hidden_size=64).build(TextShape(500)).eval(),
        TextShape(500),
        batch=1,
        threads=1,
    )
    assert found.difference < 1e-5
    assert [each.layer for each in found.layers][-1] == "softmax"


def test_the_command(tiny: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny(tiny_gradual(sparsity=0.9))
    record = execute(run, say=silent)
    arguments = ["latency", record.fingerprint, "--results", run.results]
    with pytest.raises(SystemExit) as ended:
        main.main([*arguments, "--batch", "1", "2", "--format", "json"])
    assert ended.value.code == 0
    one, two = json.loads(capsys.readouterr().out)
    assert (one["batch"], two["batch"]) == (1, 2)
    assert one["difference"] < 1e-4
    assert {each["layer"] for each in one["layers"]} >= {"classifier", "blocks.0.pointwise.0"}
    with pytest.raises(SystemExit):
        main.main([*arguments, "--batch", "1"])
    shown = capsys.readouterr().out
    assert "classifier" in shown
    assert "whole model" in shown or "does not pay" in shown
    assert "measurements" not in shown  # of one there is nothing to sum up
    with pytest.raises(SystemExit) as ended:
        main.main([*arguments, "--batch", "1", "99999999999"])
    captured = capsys.readouterr()
    assert ended.value.code == BAD_INPUT
    assert "batch takes a smaller number, got 99999999999" in captured.err
    assert len(captured.err.splitlines()) == 1
    (run.store.folder(name(run)).path / WEIGHTS).unlink()
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == BAD_INPUT
    assert "is gone or damaged" in capsys.readouterr().err


def test_a_batch_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["latency", "x", "--batch", "0"])
    assert "takes a whole number above 0, got 0" in capsys.readouterr().err


class Twice(nn.Module):
    """Folding must not go by what follows what alone: something else reads the convolution too."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.convolution, self.norm = nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, affine=False)
        self.other = nn.BatchNorm2d(4, track_running_stats=case != "no statistics")
        self.top = nn.Linear(4, 3)
        with torch.no_grad():
            for norm in (self.norm, self.other):
                if norm.running_mean is not None and norm.running_var is not None:
                    norm.running_mean.uniform_(1, 2)
                    norm.running_var.uniform_(2, 3)

    def forward(self, pictures: Tensor) -> Tensor:
        made = self.convolution(pictures)
        features = {
            "read again": lambda: self.norm(made) + made,
            "two norms": lambda: self.norm(made) + self.other(made),
            "called twice": lambda: self.norm(made) + self.norm(self.convolution(pictures + 1)),
            "no statistics": lambda: self.other(made),
        }[self.case]()
        return self.top(features.mean((2, 3))) @ self.top.weight


@pytest.mark.parametrize("case", ["read again", "two norms", "called twice", "no statistics"])
def test_a_network_that_cannot_be_folded_runs_as_it_is(case: str) -> None:
    """And one that reads a layer's weight itself finds it in the sparse layer too."""
    torch.manual_seed(0)
    model = masked(Twice(case)).eval()
    shape = ImageShape(1, 5, 4)
    pictures = torch.randn(3, 1, 5, 5)
    assert close(folded(model, pictures)(pictures), model(pictures))
    assert latency(model, shape, batch=1, threads=1).difference < 1e-5
    every = chosen(folded(model, pictures), {"top"})
    assert close(every(pictures), model(pictures))
