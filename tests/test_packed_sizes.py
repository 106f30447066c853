"""How large a run is when packed: the numbers are the sizes of the files that `pack` writes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import hypothesis.extra.numpy as some_arrays
import hypothesis.strategies as some
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import load_file
from torch import Tensor, nn

from pruneexp.cli.messages import BAD_INPUT
from pruneexp.config.run import name
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.network import build
from pruneexp.engine.record import BYTES, MASKS, WEIGHTS, Record
from pruneexp.measure import folding, packed
from pruneexp.measure.packed_sizes import PackedSizes, PackedState, summary
from pruneexp.models import CustomModel
from pruneexp.storage import encodings, values
from pruneexp.storage.archive import Archive, save
from pruneexp.storage.pack import contents, unpack
from pruneexp.tasks.shape import ImageShape
from tests.conftest import Make, silent, tiny_gradual
from tests.results import Results, weights
from tests.test_storage_commands import pruneexp

FIXTURE = [HealthCheck.function_scoped_fixture]


class TestSizes:
    @settings(deadline=None, suppress_health_check=FIXTURE, max_examples=60)
    @given(
        mask=some_arrays.arrays(
            np.bool_, some_arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=40)
        ),
        zeros=some.booleans(),
        tied=some.booleans(),
        masked=some.booleans(),
        file=some.sampled_from(
            [("fp32", word) for word in encodings.WORDS] + [(word, "auto") for word in values.WORDS]
        ),
    )
    def test_every_number_is_the_size_of_a_file(
        self,
        tmp_path: Path,
        mask: np.ndarray,
        zeros: bool,
        tied: bool,
        masked: bool,
        file: tuple[str, str],
    ) -> None:
        # Kept zeros cost bytes where fillers look like them, so the folded state gets others.
        weight = np.arange(mask.size, dtype=np.float32).reshape(mask.shape) % 3
        model = {"weight": weight, "bias": np.ones(3, np.float32), "seen": np.array(7)}
        model |= {"tied": np.where(mask, weight, 0)} if tied else {}
        folded = {"weight": np.zeros_like(weight) if zeros else weight + 1}
        masks = {"weight": mask} if masked else {}
        sizes = packed.sizes_of_arrays(model, masks, folded)
        kind, encoding = file
        for state, part in ((model, sizes.batch_norm_kept), (folded, sizes.batch_norm_folded)):
            assert part is not None
            row = part.values[kind] if encoding == "auto" else part.encodings[encoding]
            save(tmp_path / "model.pxp", state, masks, kind=kind, encoding=encoding)
            facts = contents(Archive(tmp_path / "model.pxp"))
            sums = ("bytes", "position_bytes", "value_bytes", "overhead_bytes")
            assert [getattr(row, key) for key in sums] == [facts[key] for key in sums]
            assert part.dense_bytes == facts["dense_bytes"]
            assert part.encodings["auto"] == part.values["fp32"]
        assert sizes.prunable == mask.size * masked
        assert sizes.kept == int(mask.sum()) * masked
        assert PackedSizes.from_plain(json.loads(json.dumps(sizes.to_plain()))) == sizes

    def test_by_hand(self) -> None:
        """Position 20 alone of 32: one filler of four bytes, as in docs/format.md."""
        mask = np.zeros((4, 8), np.bool_)
        mask[2, 4] = True
        sizes = packed.sizes_of_arrays({"weight": np.ones((4, 8), np.float32)}, {"weight": mask})
        assert (sizes.prunable, sizes.kept) == (32, 1)
        assert sizes.bound_bytes == pytest.approx(5 / 8)  # log2 32 bits
        assert sizes.batch_norm_folded is None and sizes.refused == {}
        part = sizes.batch_norm_kept
        assert part.dense_bytes == 128
        runs4, bitmask, int8 = (
            *(part.encodings["runs4"], part.encodings["bitmask"]),
            part.values["int8"],
        )
        assert runs4 is not None and bitmask is not None and int8 is not None
        assert (runs4.position_bytes, runs4.value_bytes, runs4.filler_bytes) == (4, 8, 4)
        assert (bitmask.position_bytes, bitmask.value_bytes) == (4, 4)
        assert (int8.value_bytes, bitmask.filler_bytes) == (1 + 4 * 4, 0)

    def test_small_values_may_have_an_encoding_of_their_own(self, tmp_path: Path) -> None:
        """Gaps of 15 suit runs of four bits; a few long ones need fillers, cheap as int8 alone."""
        gaps = np.full(1000, 15)
        gaps[::80] = 63
        where = np.cumsum(gaps + 1) - 1
        mask = np.zeros((1, int(where[-1]) + 1), np.bool_)
        mask[0, where] = True
        model, masks = {"weight": np.ones(mask.shape, np.float32)}, {"weight": mask}
        found = packed.sizes_of_arrays(model, masks).batch_norm_kept.values
        for kind, encoding in [("int8", "runs4"), ("fp32", "golomb")]:
            save(tmp_path / "model.pxp", model, masks, kind=kind)
            facts = contents(Archive(tmp_path / "model.pxp"))
            assert facts["tensors"][0]["encoding"] == encoding
            file = found[kind]
            assert file is not None and file.bytes == facts["bytes"]

    def test_what_a_type_cannot_hold_is_left_out_with_the_reason(self) -> None:
        large = {"weight": np.full((2, 2), 1e6, np.float32)}
        sizes = packed.sizes_of_arrays(large, {"weight": np.eye(2, dtype=np.bool_)})
        assert sizes.batch_norm_kept.values["fp16"] is None
        assert sizes.batch_norm_kept.values["bf16"] is not None
        assert sizes.refused == {
            "fp16 auto": "tensor weight: a weight is too large for fp16; bf16 or fp32 hold it"
        }


class Plain(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(576, 47))


class Beside(nn.Module):
    """Reads a convolution before its batch-norm as well as after it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 47, 3), nn.BatchNorm2d(47)

    def forward(self, pictures: Tensor) -> Tensor:
        found = self.convolution(pictures)
        return (found + self.norm(found)).mean((2, 3))


class Halves(Beside):
    """A buffer of a type that numpy does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("coarse", torch.ones(1, dtype=torch.bfloat16))


class TestFolding:
    def test_a_network_that_would_compute_something_else_is_refused(self) -> None:
        network = Beside().train()
        network(3 + torch.randn(8, 1, 9, 9))
        with pytest.raises(ValueError, match="computes something else"):
            folding.folded_state(network, torch.randn(1, 1, 9, 9))

    def test_what_a_network_does_not_bear_costs_no_training(
        self, tiny: Make, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = tiny(
            model=CustomModel(factory="tests.test_packed_sizes:Beside"), steps=2, evaluations=1
        )
        execute(run)
        sizes = run.store.folder(name(run)).packed_sizes()
        assert sizes is not None and sizes.batch_norm_folded is None
        assert (auto := sizes.batch_norm_kept.encodings["auto"]) is not None and auto.bytes > 0
        assert "with batch-norm folded are not known (ValueError" in capsys.readouterr().err
        run = tiny(
            model=CustomModel(factory="tests.test_packed_sizes:Halves"), steps=2, evaluations=1
        )
        record = execute(run)
        folder = run.store.folder(record.name)
        assert folder.record() == record and folder.packed_sizes() is None
        assert "bytes of the packed model are not known (TypeError" in capsys.readouterr().err

    def test_without_batch_norm_there_is_nothing_to_fold(self) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        assert packed.folded(network, ImageShape(1, 2, 2)) is None


class TestCommands:
    @pytest.fixture
    def run(self, tiny: Make) -> Record:
        self.asked = tiny(tiny_gradual())
        return execute(self.asked, say=silent)

    @pytest.mark.parametrize("fold", [False, True])
    def test_a_packed_file_is_as_large_as_was_said(
        self, run: Record, results: Results, tmp_path: Path, fold: bool
    ) -> None:
        sizes = results.store.folder(run.name).packed_sizes()
        assert sizes is not None and sizes.refused == {}
        part = sizes.state(folded=fold)
        assert part is not None
        kinds = [("fp32", "auto"), ("fp16", "auto"), ("bf16", "auto"), ("int8", "auto")]
        for kind, encoding in [*kinds, ("fp32", "runs4"), ("fp32", "dense")]:
            out = tmp_path / "model.pxp"
            asked = ("--values", kind, "--encoding", encoding, *["--fold"] * fold)
            assert pruneexp("pack", run.name, "-o", out, *asked, results=results) == 0
            row = part.values[kind] if encoding == "auto" else part.encodings[encoding]
            assert row is not None and row.bytes == out.stat().st_size
            first = out.read_bytes()
            assert pruneexp("pack", run.name, "-o", out, *asked, results=results) == 0
            assert out.read_bytes() == first  # the same bytes each time

    @torch.inference_mode()
    def test_a_folded_file_computes_the_same_under_the_same_masks(
        self, run: Record, results: Results, tmp_path: Path
    ) -> None:
        folder, out = results.store.folder(run.name), tmp_path / "model.pxp"
        assert pruneexp("pack", run.name, "-o", out, "--fold", results=results) == 0
        unpack(Archive(out), tmp_path / "w.safetensors", tmp_path / "m.safetensors")
        state, masks = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "m.safetensors")
        assert all(
            (mask == masks[key]).all() for key, mask in load_file(folder.path / MASKS).items()
        )
        model = build(self.asked, torch.device("cpu"))
        model.load_state_dict(load_file(folder.path / WEIGHTS))
        pictures = torch.randn(4, 1, 24, 24)
        plain = folding.folded(model, pictures)
        plain.load_state_dict(state)
        torch.testing.assert_close(plain(pictures), model.eval()(pictures), rtol=1e-3, atol=1e-4)

    def test_older_runs_are_weighed_when_asked(
        self, run: Record, results: Results, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = results.store.folder(run.name)
        before = (folder.path / BYTES).read_bytes()
        (folder.path / BYTES).unlink()
        assert pruneexp("bytes", folder.fingerprint, "--format", "json", results=results) == 0
        assert (folder.path / BYTES).read_bytes() == before
        sizes = folder.packed_sizes()
        assert sizes is not None
        assert json.loads(capsys.readouterr().out) == {run.name: sizes.to_plain()}
        (folder.path / WEIGHTS).unlink()
        assert pruneexp("bytes", run.name, results=results) == 0  # known, so not needed
        assert "batch-norm folded" in capsys.readouterr().out

    def test_a_plan_s_finished_runs_are_weighed_and_the_others_named(
        self, results: Results, run: Record, capsys: pytest.CaptureFixture[str]
    ) -> None:
        results.plan.name = "mine"
        unkept = results.finish(10, 70.0, 0.5)
        results.ask(0.25)  # never ran
        results.store.save_plan(results.plan)
        asked = ("bytes", "mine", run.name, "--format", "json")
        assert pruneexp(*asked, results=results) == BAD_INPUT
        told = capsys.readouterr()
        assert list(json.loads(told.out)) == [run.name]
        assert f"{unkept.name}/{WEIGHTS} is gone or damaged" in told.err

    def test_another_version_s_numbers_are_measured_again(
        self, run: Record, results: Results
    ) -> None:
        folder = results.store.folder(run.name)
        sizes = folder.packed_sizes()
        assert sizes is not None
        files.save_json(folder.path / BYTES, {**sizes.to_plain(), "version": 0})
        assert folder.packed_sizes() is None
        assert pruneexp("bytes", run.name, results=results) == 0
        assert folder.packed_sizes() == sizes

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"prunable": "many"}, "prunable takes a whole number, got 'many'"),
            ({"kept": True}, "kept takes a whole number, got True"),
            ({"batch_norm_kept": {"values": {}}}, "batch_norm_kept lacks dense_bytes, encodings"),
            ({"more": 1}, "has a field 'more' that is not known"),
        ],
    )
    def test_other_content_is_damaged_and_measured_again(
        self,
        run: Record,
        results: Results,
        capsys: pytest.CaptureFixture[str],
        changes: dict[str, object],
        message: str,
    ) -> None:
        folder = results.store.folder(run.name)
        sizes = folder.packed_sizes()
        assert sizes is not None
        files.save_json(folder.path / BYTES, {**sizes.to_plain(), **changes})
        with pytest.raises(files.Damaged, match=re.escape(message)):
            folder.packed_sizes()
        assert pruneexp("bytes", run.name, results=results) == 0
        assert "it is measured anew" in capsys.readouterr().err
        assert folder.packed_sizes() == sizes

    def test_nothing_to_fold_is_said(
        self, results: Results, tiny: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = tiny(
            model=CustomModel(factory="tests.test_packed_sizes:Plain"), steps=2, evaluations=1
        )
        record, out = execute(run, say=silent), tmp_path / "model.pxp"
        assert (
            pruneexp("pack", record.name, "-o", out, "--fold", "--trust", results=results)
            == BAD_INPUT
        )
        assert "has no batch-norm after a convolution; leave --fold out" in capsys.readouterr().err
        assert not out.exists()


def test_the_summary_of_several_runs_names_both_ends() -> None:
    """int8 files of 250 and 20 bytes, of 4 bytes a weight dense."""
    runs = [
        PackedSizes.from_plain(weights(250, file=2000, folded=1000)),
        PackedSizes.from_plain(weights(100, file=80)),
    ]
    assert [run.smallest for run in runs] == [250, 20]
    assert summary(runs).startswith("2 runs: 20 to 250 bytes")
    assert "5.0% to 25.0%" in summary(runs)
    assert "none" in summary([replace(runs[0], batch_norm_kept=NOTHING, batch_norm_folded=None)])


NOTHING = PackedState(dense_bytes=0, encodings={}, values={"fp32": None})
