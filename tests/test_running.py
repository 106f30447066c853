"""Sparse kernels give what dense layers give; what runs sparse is measured, and said."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruneexp.cli import main, tables
from pruneexp.cli.messages import BAD_INPUT
from pruneexp.config.run import name
from pruneexp.engine.execute import execute
from pruneexp.engine.record import WEIGHTS
from pruneexp.measure.folding import folded
from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.running import kernels
from pruneexp.running.latency import Latency, latency
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
    "embedding": (lambda: nn.Embedding(50, 8), lambda: torch.randint(50, (4, 3))),
}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("sparsity", [0.0, 0.8, 1.0])
@torch.inference_mode()
def test_a_kernel_gives_what_its_dense_layer_gives(case: str, sparsity: float) -> None:
    torch.manual_seed(1)
    make, inputs = LAYERS[case]
    layer, given = masked(make(), sparsity), inputs()
    sparse = kernels.sparse(layer)
    assert sparse is not None
    assert close(sparse(given), layer(given))


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_an_lstm_goes_on_from_its_state(bias: bool) -> None:
    torch.manual_seed(1)
    layer = masked(nn.LSTM(16, 24, bias=bias))
    sparse = kernels.sparse(layer)
    assert sparse is not None
    state = None
    for times in (5, 1, 1, 4):
        given = torch.randn(times, 3, 16)
        expected, state_of_layer = layer(given, state)
        found, found_state = sparse(given, state)
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
    assert layers == {"embedding", "layers.0", "layers.1", "softmax"}
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


def test_amdahls_limit_by_hand() -> None:
    """Of 10 ms, 6 become 2 and 2 would become 3 and stay: at best 10 / 6."""
    found = Latency(
        batch=1,
        threads=1,
        example="picture",
        channels_last=False,
        layers=[timing(6e-3, 2e-3), timing(2e-3, 3e-3)],
        dense=10e-3,
        sparse=8e-3,
        difference=0.0,
    )
    assert found.faster == pytest.approx(1.25)
    assert found.limit == pytest.approx(10 / 6)
    assert found.pays


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
    found = Latency(
        batch=batch,
        threads=1,
        example="word",
        channels_last=False,
        layers=layers,
        dense=10e-3,
        sparse=sparse,
        difference=0.0,
    )
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
