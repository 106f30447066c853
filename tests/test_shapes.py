"""What a task hands to a model and wants back; networks that do not fit; work by layer type."""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import pruneexp
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run, name
from pruneexp.engine.execute import execute
from pruneexp.measure.counts import multiply_adds
from pruneexp.measure.planned import size
from pruneexp.models import CustomModel
from pruneexp.pruning import Gradual
from pruneexp.pruning.schedule import Cubic
from pruneexp.tasks import CustomTask
from pruneexp.tasks.loaded import LoadedTask
from pruneexp.tasks.shape import ArrayShape, ImageShape, TextShape, check_model
from pruneexp.training import Training
from pruneexp.training.fit import Stopped
from tests.conftest import After, Make, outcome, silent

ROWS = ArrayShape(inputs=((16,),), outputs=(1,), called="row")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))


class TwoInputs(nn.Module):
    """Outputs for pairs: two tensors of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 2), nn.Linear(5, 2)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.left(left) + self.right(right)


class Rows:
    """y = the sum of the first four of sixteen numbers, and a little noise."""

    def __init__(self, count: int, seed: int) -> None:
        noise = np.random.default_rng(seed)
        self.inputs = noise.normal(size=(count, 16)).astype(np.float32)
        self.targets = self.inputs[:, :4].sum(1, keepdims=True)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index], self.targets[index]


def error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets).abs().mean(1)


def rows(**changes: Any) -> pruneexp.Supervised:
    return pruneexp.Supervised(
        **{
            "train": Rows(96, 0),
            "valid": Rows(20, 1),
            "test": Rows(30, 2),
            "loss": nn.functional.mse_loss,
            "metrics": {"error": error},
            "metric": pruneexp.Metric(name="error", higher_is_better=False),
            "checksum": "rows",
            **changes,
        }
    )


class Dear(pruneexp.Supervised):
    """Chooses by the loss, and measures something dear once."""

    calls: ClassVar[list[str]] = []

    def measure_once(self, model: nn.Module, split: str) -> dict[str, float]:
        self.calls.append(split)
        return {"dear": 3.0 if split == "test" else 2.0}


def dear() -> LoadedTask:
    metric = pruneexp.Metric(name="dear", higher_is_better=True)
    task = Dear(train=Rows(64, 0), valid=Rows(20, 1), test=Rows(30, 2), loss=nn.functional.mse_loss)
    task.metric = metric
    task.chosen_by = pruneexp.Metric(name="loss", higher_is_better=False)
    return task


class DearTask(Dear):
    def settle(self, setting: Any) -> None:
        LoadedTask.settle(self, setting)


def custom(tmp_path: Path, factory: str = "rows", **changes: Any) -> Run:
    return Run(
        **{
            "task": CustomTask(
                factory=f"tests.test_shapes:{factory}", inputs=[16], outputs=[1], unit="row"
            ),
            "model": CustomModel(factory="tests.test_shapes:network"),
            "training": Training(steps=12, batch_size=16, evaluations=4),
            "pruning": Gradual(sparsity=0.5, schedule=Cubic(interval=2)),
            "results": str(tmp_path / "results"),
            "device": "cpu",
            **changes,
        }
    )


class TestShapes:
    def test_examples_are_always_the_same(self) -> None:
        for shape in (ImageShape(1, 4, 3), TextShape(7), ROWS):
            for one, other in zip(shape.example(2), shape.example(2), strict=True):
                assert torch.equal(one, other)
        assert ImageShape(3, 8, 5).example(2)[0].shape == (2, 3, 8, 8)
        assert TextShape(7).example(3, length=4)[0].shape == (4, 3)
        two = ArrayShape(inputs=((3,), (5,)), outputs=(2,))
        assert [tensor.shape for tensor in two.example(4)] == [(4, 3), (4, 5)]

    def test_bytes_and_units(self) -> None:
        assert ImageShape(3, 8, 5).example_bytes == 4 * 3 * 64
        assert ROWS.example_bytes == 64
        assert [shape.unit for shape in (ImageShape(1, 1, 2), TextShape(2), ROWS)] == [
            *("picture", "word", "row")
        ]

    def test_several_inputs_are_counted(self) -> None:
        two = ArrayShape(inputs=((3,), (5,)), outputs=(2,))
        model = TwoInputs()
        check_model(model, two)
        assert multiply_adds(model, two) == {"left.weight": 6, "right.weight": 10}

    @pytest.mark.parametrize(
        ("model", "shape", "message"),
        [
            (nn.Flatten(), ImageShape(1, 2, 5), r"gives 4 scores an example, but task.classes=5"),
            (nn.Identity(), ImageShape(1, 2, 5), r"must give scores of shape \(2, 5\), got \(2, 1"),
            (nn.Linear(3, 3), ImageShape(1, 2, 5), r"refuses an example .*\(2, 1, 2, 2\)"),
            (nn.Embedding(7, 7), TextShape(7), r"must return scores and a state"),
            (nn.Linear(16, 2), ROWS, r"outputs of shape \(2, 1\) \(task.outputs\), got \(2, 2\)"),
        ],
    )
    def test_a_network_that_does_not_fit_is_told(
        self, model: nn.Module, shape: Any, message: str
    ) -> None:
        with pytest.raises(Invalid, match=message):
            check_model(model, shape)

    def test_looking_changes_nothing(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
        model[1].eval()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        state = torch.get_rng_state()
        check_model(model, ImageShape(1, 2, 3))
        assert torch.equal(torch.get_rng_state(), state)
        assert [module.training for module in model] == [True, False, True, True]
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class TestWork:
    """Multiply-adds of one example, by hand."""

    def test_a_bidirectional_layer_is_counted_once_a_direction(self) -> None:
        class Reader(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(7, 3)
                self.lstm = nn.LSTM(3, 5, bidirectional=True)

            def forward(self, words: torch.Tensor) -> Any:
                return self.lstm(self.embedding(words))

        work = multiply_adds(Reader(), TextShape(7))
        assert work["embedding.weight"] == 0
        for direction in ("l0", "l0_reverse"):
            assert work[f"lstm.weight_ih_{direction}"] == 4 * 5 * 3
            assert work[f"lstm.weight_hh_{direction}"] == 4 * 5 * 5

    def test_a_transposed_convolution_works_at_each_input_position(self) -> None:
        model = nn.ConvTranspose2d(3, 4, 2, stride=2)
        assert multiply_adds(model, ImageShape(3, 5, 2)) == {"weight": 3 * 4 * 4 * 25}

    def test_attention_has_four_projections(self) -> None:
        class Attends(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, rows: torch.Tensor) -> Any:
                return self.attention(rows, rows, rows)[0]

        work = multiply_adds(Attends(), ArrayShape(inputs=((6, 8),), outputs=(6, 8)))
        assert work == {
            "attention.in_proj_weight": 6 * 3 * 64,
            "attention.out_proj.weight": 6 * 64,
        }


class TestCustomTask:
    def test_any_loss_and_metrics_train_and_are_reported(self, tmp_path: Path) -> None:
        record = execute(custom(tmp_path), say=silent)
        assert record.metric.name == "error" and not record.metric.higher_is_better
        assert set(record.test) == {"loss", "error"}
        assert record.counts.multiply_adds == 16 * 8 + 8
        assert record.counts.nonzero == 8 * 16 + 8 + 8 + 1 - 64 - 4

    def test_size_needs_no_data(self, tmp_path: Path) -> None:
        run = custom(tmp_path)
        run = replace(run, task=replace(run.task, factory=""))
        assert size(run).nonzero == 77

    @pytest.mark.parametrize("changes", [{}, {"accumulate": 4}], ids=str)
    def test_a_resumed_run_equals_one_never_stopped(
        self, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        training = Training(steps=12, batch_size=16, evaluations=4, checkpoint_seconds=0, **changes)
        run = custom(tmp_path, training=training)
        whole = outcome(execute(replace(run, results=str(tmp_path / "whole")), say=silent))
        with pytest.raises(Stopped):
            execute(run, say=silent, stop=After(6))
        assert outcome(execute(run, say=silent)) == whole

    def test_means_are_over_examples(self) -> None:
        from tests.test_data import setting

        task = rows(valid=Rows(5, 3))
        task.settle(setting(batch_size=2, shape=ROWS))
        model = network()
        inputs, targets = (torch.from_numpy(getattr(Rows(5, 3), n)) for n in ("inputs", "targets"))
        with torch.no_grad():
            expected = error(model(inputs), targets).mean().item()
            loss = nn.functional.mse_loss(model(inputs), targets).item()
        found = task.evaluate(model, "valid")
        assert found["error"] == pytest.approx(expected, rel=1e-5)
        assert found["loss"] == pytest.approx(loss, rel=1e-5)

    def test_a_dear_metric_is_measured_once(self, tmp_path: Path) -> None:
        Dear.calls.clear()
        record = execute(custom(tmp_path, "dear_task"), say=silent)
        assert Dear.calls == ["valid", "test"]
        assert record.metric.name == "dear" and record.chosen_by.name == "loss"
        assert record.valid["dear"] == 2.0 and record.test["dear"] == 3.0
        assert "loss" in record.test

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"inputs": [16]}, "outputs takes a list of sizes"),
            ({"inputs": [0], "outputs": [1]}, "inputs takes a list of sizes"),
            ({"inputs": [[3], 4], "outputs": [1]}, "inputs takes a list of sizes"),
            (
                {"inputs": [16], "outputs": [1], "classes": 3},
                "classes=3 is for pictures, task.inputs for anything else",
            ),
        ],
    )
    def test_contradictions_are_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(Invalid, match=message):
            CustomTask(**values)

    def test_an_unknown_metric_is_refused(self) -> None:
        from tests.test_data import setting

        task = rows(metric=pruneexp.Metric(name="rank", higher_is_better=True))
        with pytest.raises(Invalid, match="metric takes one of loss, error, got rank"):
            task.settle(setting(batch_size=2, shape=ROWS))


def dear_task() -> LoadedTask:
    task = DearTask(
        train=Rows(64, 0), valid=Rows(20, 1), test=Rows(30, 2), loss=nn.functional.mse_loss
    )
    task.metric = pruneexp.Metric(name="dear", higher_is_better=True)
    task.chosen_by = pruneexp.Metric(name="loss", higher_is_better=False)
    return task


def state_of_the_process() -> Any:
    return (
        random.getstate(),
        repr(np.random.get_state()),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        list(sys.path),
        dict(__import__("os").environ),
    )


class TestLibraryCalls:
    """The caller's process is left as it was."""

    def after(self, act: Callable[[], Any]) -> Any:
        random.seed(5)
        np.random.seed(6)
        torch.manual_seed(7)
        torch.set_num_threads(2)
        before = state_of_the_process()
        try:
            return act()
        finally:
            try:
                assert state_of_the_process() == before
            finally:
                torch.set_num_threads(1)

    def test_execute(self, tiny: Make) -> None:
        run = tiny()
        self.after(lambda: execute(run, say=silent))
        self.after(lambda: execute(run, say=silent))  # finished

    def test_execute_that_fails(self, tiny: Make) -> None:
        run = tiny(learning_rate=1e30)
        with pytest.raises(Exception, match="loss turned NaN"):
            self.after(lambda: execute(run, say=silent))

    def test_load(self, tiny: Make) -> None:
        run = tiny()
        record = execute(run, say=silent)
        assert record.name == name(run)
        for sparse in (False, True):
            self.after(
                lambda sparse=sparse: pruneexp.load(record.name, results=run.results, sparse=sparse)
            )
