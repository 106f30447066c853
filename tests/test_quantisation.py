"""Rounded weights: the same values as in a file, straight-through training, a child of its run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as some_arrays
import hypothesis.strategies as some
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import load_file
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.config.run import fingerprint, name
from pruneexp.engine.execute import Stopped, execute
from pruneexp.engine.lineage import parents
from pruneexp.engine.record import MASKS, WEIGHTS
from pruneexp.pruning import Dense
from pruneexp.quantisation import Aware, Quantisation, Rounding
from pruneexp.quantisation.rounder import ROUNDINGS, Rounder, rounded, through_a_file
from pruneexp.storage.archive import Archive, save
from tests.conftest import After, Make, outcome, silent, tiny_gradual

TYPES = ("fp16", "bf16", "int8")  # of values that weights are rounded to


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensor=some_arrays.arrays(
        np.float32,
        some_arrays.array_shapes(min_dims=2, max_dims=4, max_side=7),
        elements=some.floats(-65_000, 65_000, width=32) | some.just(np.float32(1e-45)),
    ),
    word=some.sampled_from(TYPES),
)
def test_rounded_weights_are_those_of_a_file(tmp_path: Path, tensor: np.ndarray, word: str) -> None:
    save(tmp_path / "model.pxp", {"weight": tensor}, {}, kind=word)
    expected = Archive(tmp_path / "model.pxp").read("weight")
    found = rounded(torch.from_numpy(tensor), word).numpy()
    assert (found == expected).all()
    written = through_a_file(torch.from_numpy(tensor), word).numpy()  # types without a rounding
    assert written.tobytes() == expected.tobytes()


def test_the_largest_float_stays_finite() -> None:
    largest = torch.finfo(torch.float32).max
    assert torch.isfinite(rounded(torch.tensor([[largest, -largest]]), "int8")).all()


def test_rounded_by_hand() -> None:
    # scale 2.54 / 127 = 0.02 for the first row, 0.5 / 127 for the second
    weight = torch.tensor([[2.54, 0.031, 0.0], [-0.5, 0.0, 0.25]])
    expected = torch.tensor([[2.54, 0.04, 0.0], [-0.5, 0.0, 64 * 0.5 / 127]])
    assert torch.allclose(rounded(weight, "int8"), expected, atol=1e-6)


class TestStraightThrough:
    def test_equals_autograd_through_a_rounding_that_passes_gradients(self) -> None:
        """The textbook's form: w + (round(w) - w) without a gradient of its own, times the mask."""
        torch.manual_seed(0)
        inputs, targets = torch.randn(20, 6), torch.randn(20, 4)
        model = nn.Linear(6, 4)
        mask = torch.rand(4, 6) > 0.5
        exact = (model.weight.detach() * mask).requires_grad_()
        bias = model.bias.detach().clone().requires_grad_()
        with torch.no_grad():
            model.weight.mul_(mask)
        rounder = Rounder(model, {"weight": mask}, "int8")
        mine = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        theirs = torch.optim.SGD([exact, bias], lr=0.1, momentum=0.9)
        for _ in range(12):
            mine.zero_grad()
            ((model(inputs) - targets) ** 2).mean().backward()
            rounder.after_backward()
            mine.step()
            rounder.after_step()
            theirs.zero_grad()
            weight = exact + (rounded(exact, "int8") - exact).detach()
            outputs = inputs @ (weight * mask).T + bias
            ((outputs - targets) ** 2).mean().backward()
            theirs.step()
            assert torch.allclose(rounder.exact[0], exact * mask, atol=1e-6)
            assert torch.equal(model.weight, rounded(rounder.exact[0], "int8"))
            assert torch.allclose(model.bias, bias, atol=1e-6)
        assert torch.equal(rounder.finish()["weight"], mask)
        assert rounder.sparsity == pytest.approx(1 - float(mask.float().mean()))

    def test_vectors_stay_as_they_are(self) -> None:
        model = nn.Linear(3, 2)
        before = model.bias.detach().clone()
        Rounder(model, {}, "int8")
        assert torch.equal(model.bias, before)


class TestRuns:
    @pytest.mark.parametrize("pruning", [Dense(), tiny_gradual()])
    @pytest.mark.parametrize("word", TYPES)
    def test_after_training_is_the_packed_parent(
        self, tiny: Make, tmp_path: Path, pruning: Any, word: str
    ) -> None:
        run = tiny(pruning, quantisation=Rounding(values=word))
        record = execute(run, say=silent)
        before = parents(run)["weights"]
        assert before == tiny(pruning) and record.parents == {"weights": fingerprint(before)}
        assert record.budget.steps == 0 and record.budget.total_steps == 12
        first, second = (run.store.folder(name(one)).path for one in (before, run))
        weights = {key: value.numpy() for key, value in load_file(first / WEIGHTS).items()}
        masks = {key: value.numpy() for key, value in load_file(first / MASKS).items()}
        save(tmp_path / "model.pxp", weights, masks, kind=word)
        file, found = Archive(tmp_path / "model.pxp"), load_file(second / WEIGHTS)
        assert all((found[key].numpy() == file.read(key)).all() for key in weights)
        assert (first / MASKS).read_bytes() == (second / MASKS).read_bytes()

    def test_aware_trains_on_under_the_mask(self, tiny: Make, tmp_path: Path) -> None:
        run = tiny(tiny_gradual(), quantisation=Aware(values="int8", steps=6))
        record = execute(run, say=silent)
        assert record.budget.steps == 6 and record.budget.total_steps == 18
        first, second = (run.store.folder(name(one)).path for one in (parents(run)["weights"], run))
        assert (first / MASKS).read_bytes() == (second / MASKS).read_bytes()
        before, after = load_file(first / WEIGHTS), load_file(second / WEIGHTS)
        masks = load_file(second / MASKS)
        for key, mask in masks.items():
            assert not after[key][~mask].any()
        assert any(not torch.equal(after[key], rounded(before[key], "int8")) for key in masks)
        weights = {key: value.numpy() for key, value in after.items()}
        save(tmp_path / "model.pxp", weights, {}, kind="int8")
        packed = Archive(tmp_path / "model.pxp")
        for key, value in weights.items():  # rounding what is rounded changes the last bit at most
            assert np.allclose(packed.read(key), value, rtol=3e-7, atol=0)

    def test_stopped_it_goes_on_as_if_it_had_not(self, tiny: Make, tmp_path: Path) -> None:
        given = {"quantisation": Aware(values="int8", steps=8), "checkpoint_seconds": 0}
        run = tiny(tiny_gradual(), **given)
        expected = execute(replace(run, results=str(tmp_path / "elsewhere")), say=silent)
        execute(parents(run)["weights"], say=silent)
        with pytest.raises(Stopped):
            execute(run, stop=After(3), say=silent)
        assert outcome(execute(run, say=silent)) == outcome(expected)

    def test_the_control_rounds_nothing(self, tiny: Make) -> None:
        """It is the parent's training gone on with, and masks, under plain fp32 weights."""
        run = tiny(tiny_gradual(), quantisation=Aware(values="fp32", steps=4))
        execute(run, say=silent)
        after = load_file(run.store.folder(name(run)).path / WEIGHTS)
        masks = load_file(run.store.folder(name(run)).path / MASKS)
        assert all(not after[key][~mask].any() for key, mask in masks.items())
        assert any(not torch.equal(after[key], rounded(after[key], "int8")) for key in masks)

    def test_a_parents_lost_masks_are_made_again(self, tiny: Make) -> None:
        run = tiny(tiny_gradual(), quantisation=Rounding())
        before = parents(run)["weights"]
        execute(before, say=silent)
        path = run.store.folder(name(before)).path / MASKS
        lost = path.read_bytes()
        path.unlink()
        execute(run, say=silent)
        assert path.read_bytes() == lost


class TestNames:
    def test_a_run_says_how_it_is_rounded(self, tiny: Make) -> None:
        assert "-s0.8-fp16-seed0-" in name(
            tiny(tiny_gradual(), quantisation=Rounding(values="fp16"))
        )
        assert "-dense-int8-aware-seed0-" in name(tiny(quantisation=Aware()))

    def test_an_average_of_rounded_weights_is_refused(self, tiny: Make) -> None:
        tiny(quantisation=Rounding(), average=0.9)
        with pytest.raises(Invalid, match=r"^training\.average takes null with quantisation=aware"):
            tiny(quantisation=Aware(), average=0.9)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"values": "int4"}, "values takes fp32, fp16, bf16 or int8, got int4"),
            ({"steps": 0}, "steps takes a number of steps above 0, or null, got 0"),
            ({"rate": 0.0}, "rate takes a factor above 0, got 0.0"),
        ],
    )
    def test_what_cannot_be(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(Invalid, match=message):
            Aware(**changes)

    def test_what_a_type_cannot_hold_is_said_before_a_step(self) -> None:
        model = nn.Linear(2, 2)
        with torch.no_grad():
            model.weight[0, 0] = 1e5
        with pytest.raises(Invalid, match=r"values=fp16: weight holds a weight too large"):
            Rounder(model, {}, "fp16")

    def test_what_a_type_without_a_rounding_refuses_is_said_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(ROUNDINGS, "fp16")
        model = nn.Linear(2, 2)
        before = model.weight.detach().clone()
        Rounder(model, {}, "fp16")
        assert torch.equal(model.weight, before.half().float())
        with torch.no_grad():
            model.weight[0, 0] = 1e5
        with pytest.raises(Invalid, match=r"values=fp16: a weight is too large for fp16; bf16"):
            Rounder(model, {}, "fp16")

    def test_only_a_quantisation_with_a_stage_is_active(self) -> None:
        assert not Quantisation().active
        assert Rounding().active and Aware(values="fp32").active

    def test_nothing_to_round(self) -> None:
        with pytest.raises(Invalid, match="values takes fp16, bf16 or int8, got fp32"):
            Rounding(values="fp32")
