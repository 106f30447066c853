"""Runs from beginning to end: resume, parents, damage, divergence, a full disk."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pruneexp.config.recipe import Invalid, asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.execute import Busy, execute
from pruneexp.engine.lineage import parents
from pruneexp.engine.network import build
from pruneexp.engine.record import (
    BYTES,
    CHECKPOINT,
    HISTORY,
    MASKS,
    OUTCOMES,
    PREVIOUS,
    RECORD,
    USAGE,
    WEIGHTS,
)
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Gradual
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.start import FromDense, FromFile, FromRun, FromTorchvision
from pruneexp.tasks import CustomTask
from pruneexp.training import fit
from pruneexp.training.fit import Diverged, Stopped
from pruneexp.training.optimiser import SGD, Adam
from tests.conftest import After, Make, outcome, silent, tiny_gradual


def content(run: Run) -> dict[str, bytes]:
    folder = run.store.folder(name(run)).path
    return {file: (folder / file).read_bytes() for file in (WEIGHTS, MASKS, HISTORY)}


def test_a_sparse_run_leaves_what_was_planned(tiny: Make) -> None:
    run = tiny(tiny_gradual(sparsity=0.9))
    record = execute(run, say=silent)
    folder = run.store.folder(name(run))
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        [RECORD, WEIGHTS, MASKS, BYTES, HISTORY, OUTCOMES, USAGE, "lease"]
    )
    weights, masks = load_file(folder.path / WEIGHTS), load_file(folder.path / MASKS)
    assert sum(row.masked for row in record.counts.groups) == sum(
        int((~mask).sum()) for mask in masks.values()
    )
    assert all(not weights[key][~mask].any() for key, mask in masks.items())
    model = build(run, torch.device("cpu"))
    model.load_state_dict(weights)
    assert record.counts.nonzero == record.counts.parameters - int(
        sum((~mask).sum() for mask in masks.values())
    )
    assert record.budget.total_steps == 12 and record.budget.total_examples == 12 * 16
    assert record.step >= 0.7 * 12  # chosen under the final mask
    assert folder.record() == record
    assert fingerprint(run) == record.fingerprint and asked(run) == record.configuration


def test_a_finished_run_is_not_repeated(tiny: Make) -> None:
    run = tiny()
    first = execute(run, say=silent)
    assert execute(run, say=silent).circumstances == first.circumstances


def test_the_same_bits_in_another_process(tiny: Make, tmp_path: Path) -> None:
    run = tiny(tiny_gradual())
    record = execute(run, say=silent)
    there = tmp_path / "there"
    code = (
        "import json, sys; from pruneexp.config.read import restore; "
        "from pruneexp.engine.execute import execute; "
        "execute(restore(json.loads(sys.argv[1]), trust=True, origin='here'))"
    )
    other = replace(run, results=str(there))
    plain = json.dumps(asked(other, everything=True))
    subprocess.run([sys.executable, "-c", code, plain], check=True, env={**os.environ})
    assert outcome(other.store.folder(name(other)).record_or_fail()) == outcome(record)
    assert content(other) == content(run)


@pytest.mark.parametrize("stops", [(1,), (5,), (2, 3), (1, 1, 1)])
def test_a_resumed_run_equals_one_never_stopped(tiny: Make, tmp_path: Path, stops: Any) -> None:
    recipe = tiny_gradual(schedule=Cubic(interval=3))
    whole = tiny(recipe, clip=0.5, optimiser=Adam())
    expected = execute(whole, say=silent)
    pieces = replace(whole, results=str(tmp_path / "pieces"))
    for times in stops:
        with pytest.raises(Stopped):
            execute(pieces, stop=After(times), say=silent)
        assert (pieces.store.folder(name(pieces)).path / CHECKPOINT).exists()
    record = execute(pieces, say=silent)
    assert record.circumstances["resumed_at"] == sum(stops) + len(stops)
    assert outcome(record) == outcome(expected)
    assert content(pieces) == content(whole)


def test_the_number_of_loading_processes_changes_nothing(tiny: Make, tmp_path: Path) -> None:
    run = tiny(tiny_gradual())
    expected = execute(run, say=silent)
    other = replace(
        run,
        results=str(tmp_path / "other"),
        training=replace(run.training, workers=2),
    )
    with pytest.raises(Stopped):
        execute(other, stop=After(4), say=silent)
    assert outcome(execute(other, say=silent)) == outcome(expected)


def test_threads_are_kept_when_a_run_goes_on(tiny: Make) -> None:
    run = tiny(threads=2)
    with pytest.raises(Stopped):
        execute(run, stop=After(3), say=silent)
    again = replace(run, training=replace(run.training, threads=1))
    assert execute(again, say=silent).circumstances["threads"] == 2
    torch.set_num_threads(1)


class TestParents:
    def test_a_dense_parent_is_made_once_and_found(self, tiny: Make) -> None:
        first = tiny(tiny_gradual(start=FromDense(steps=5)))
        record = execute(first, say=silent)
        dense = parents(first)["weights"]
        made = dense.store.folder(name(dense)).record_or_fail()
        assert record.parents == {"weights": made.fingerprint}
        assert record.budget.steps == 5 and record.budget.total_steps == 17
        assert record.budget.total_examples == 17 * 16
        execute(tiny(tiny_gradual(start=FromDense(), sparsity=0.5)), say=silent)
        again = dense.store.folder(name(dense)).record_or_fail()
        assert again.circumstances == made.circumstances

    def test_the_stage_has_its_own_steps_and_a_tenth_of_the_rate(self, tiny: Make) -> None:
        run = tiny(tiny_gradual(start=FromDense(steps=5)))
        execute(run, say=silent)
        text = (run.store.folder(name(run)).path / HISTORY).read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert rows[-1]["step"] == "5"
        assert float(rows[0]["rate"]) == pytest.approx(run.training.learning_rate / 10)

    def test_sparsity_0_is_the_control_that_keeps_every_weight(self, tiny: Make) -> None:
        record = execute(tiny(tiny_gradual(start=FromDense(), sparsity=0.0)), say=silent)
        assert record.counts.nonzero == record.counts.parameters
        assert record.budget.total_steps == 24

    def test_weights_that_are_gone_are_made_again(self, tiny: Make) -> None:
        child = tiny(tiny_gradual(start=FromDense()))
        dense = parents(child)["weights"]
        before = execute(dense, say=silent)
        path = dense.store.folder(name(dense)).path / WEIGHTS
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        lines: list[str] = []
        execute(child, say=lines.append)
        assert any("gone or damaged" in line and str(path.parent) in line for line in lines)
        assert outcome(dense.store.folder(name(dense)).record_or_fail()) == outcome(before)

    def test_a_finished_run_or_a_file_can_be_the_start(self, tiny: Make, tmp_path: Path) -> None:
        dense = tiny()
        record = execute(dense, say=silent)
        child = tiny(tiny_gradual(start=FromRun(fingerprint=record.fingerprint, steps=5)))
        from_run = execute(child, say=silent)
        assert from_run.parents == {"weights": record.fingerprint}
        weights = dense.store.folder(name(dense)).path / WEIGHTS
        start = FromFile(file=str(weights), steps=5)
        from_file = execute(tiny(tiny_gradual(start=start)), say=silent)
        assert from_file.checksums["weights"] == from_run.checksums["weights"]
        assert from_file.budget.total_steps == 5  # nobody knows what the file has seen

    def test_names_and_shapes_that_do_not_fit_are_listed(self, tiny: Make, tmp_path: Path) -> None:
        weights = dict(build(tiny(), torch.device("cpu")).state_dict())
        del weights["classifier.bias"]
        weights["classifier.weight"] = torch.zeros(3, 3)
        weights["other"] = torch.zeros(1)
        path = tmp_path / "w.safetensors"
        save_file({key: value.contiguous() for key, value in weights.items()}, path)
        with pytest.raises(Invalid) as raised:
            execute(tiny(tiny_gradual(start=FromFile(file=str(path)))), say=silent)
        message = str(raised.value)
        assert "classifier.bias is missing" in message
        assert "other is not in the model" in message
        assert "classifier.weight is (3, 3), the model has (47, 51)" in message

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    def test_a_file_that_holds_no_weights(self, tiny: Make, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"w{suffix}"
        path.write_bytes(b"not weights at all")
        with pytest.raises(Invalid, match="holds no weights"):
            execute(tiny(tiny_gradual(start=FromFile(file=str(path)))), say=silent)

    def test_torchvisions_weights_are_taken_from_its_cache(
        self, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the table of weights pointed at a small network's file."""
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(MobileNetV1, "torchvision", ("Some_Weights.V1",))
        monkeypatch.setattr(MobileNetV1, "unlike_torchvision", lambda *asked: "")
        run = tiny(tiny_gradual(start=FromTorchvision(weights="V1", steps=5), sparsity=0.0))
        state = build(replace(run, seed=7), torch.device("cpu")).state_dict()
        file = io.BytesIO()  # as of old: no counts of batches
        torch.save({k: v for k, v in state.items() if "num_batches" not in k}, file)
        address = f"file:///nowhere/w-{files.checksum(file.getvalue())[:8]}.pth"
        monkeypatch.setattr(
            "torchvision.models.get_weight", lambda name: SimpleNamespace(url=address)
        )
        path = tmp_path / "hub" / "checkpoints" / address.rpartition("/")[2]
        with pytest.raises(Invalid) as raised:
            execute(run, say=silent)
        assert f"{address} cannot be fetched" in str(raised.value)
        assert str(raised.value).endswith(f"fetch it by hand and put it at {path}")
        path.write_bytes(b"half a file")
        with pytest.raises(Invalid, match=r"is not the file of .*; remove it"):
            execute(run, say=silent)
        path.write_bytes(file.getvalue())
        record = execute(run, say=silent)
        own = tmp_path / "w.safetensors"
        save_file(state, own)
        same = replace(run.pruning, start=FromFile(file=str(own), steps=5))
        from_file = execute(replace(run, pruning=same), say=silent)
        assert record.checksums["weights"] == from_file.checksums["weights"]

    def test_a_run_that_does_not_fit_is_listed(self, tiny: Make) -> None:
        record = execute(tiny(), say=silent)
        child = tiny(tiny_gradual(start=FromRun(fingerprint=record.fingerprint)))
        child = replace(child, model=replace(child.model, width=0.2))
        with pytest.raises(Invalid, match=r"does not fit the model:\n  stem\.0\.weight is"):
            execute(child, say=silent)

    def test_a_file_never_runs_code(self, tiny: Make, tmp_path: Path) -> None:
        class Harm:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "harm",))

        path = tmp_path / "w.pt"
        torch.save({"w": Harm()}, path)
        with pytest.raises(Invalid, match="holds no weights"):
            execute(tiny(tiny_gradual(start=FromFile(file=str(path)))), say=silent)
        assert not (tmp_path / "harm").exists()


class TestDamage:
    def test_a_damaged_record_is_named_and_the_run_made_again(self, tiny: Make) -> None:
        run = tiny()
        expected = outcome(execute(run, say=silent))
        path = run.store.folder(name(run)).path / RECORD
        path.write_text(path.read_text().replace('"steps": 12', '"steps": 13', 1))
        lines: list[str] = []
        assert outcome(execute(run, say=lines.append)) == expected
        assert any(f"{path} is damaged" in line for line in lines)

    def test_a_damaged_checkpoint_gives_way_to_the_one_before(
        self, tiny: Make, tmp_path: Path
    ) -> None:
        run = tiny(tiny_gradual(), checkpoint_seconds=0)
        with pytest.raises(Stopped):
            execute(run, stop=After(6), say=silent)
        folder = run.store.folder(name(run)).path
        assert (folder / PREVIOUS).exists()
        data = bytearray((folder / CHECKPOINT).read_bytes())
        data[len(data) // 2] ^= 4
        (folder / CHECKPOINT).write_bytes(data)
        lines: list[str] = []
        record = execute(run, say=lines.append)
        assert f"{folder / CHECKPOINT} is damaged" in lines[0]
        assert record.circumstances["resumed_at"] == 6
        whole = replace(run, results=str(tmp_path / "whole"))
        assert outcome(execute(whole, say=silent)) == outcome(record)

    def test_another_versions_checkpoint_is_named_and_the_run_begins_anew(
        self, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tiny()
        with monkeypatch.context() as other:
            other.setattr(fit, "VERSION", 0)
            with pytest.raises(Stopped):
                execute(run, stop=After(6), say=silent)
        lines: list[str] = []
        record = execute(run, say=lines.append)
        assert "another version of pruneexp wrote it" in lines[0]
        assert record.circumstances["resumed_at"] == 0
        whole = replace(run, results=str(tmp_path / "whole"))
        assert outcome(execute(whole, say=silent)) == outcome(record)

    def test_a_full_disk_stops_with_the_remedy_and_loses_nothing(
        self, tiny: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tiny()
        with pytest.raises(Stopped):
            execute(run, stop=After(6), say=silent)
        fsync = os.fsync

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(files.CannotWrite, match="No space left"):
            execute(run, say=silent)
        monkeypatch.setattr(os, "fsync", fsync)
        assert execute(run, say=silent).circumstances["resumed_at"] == 7


def test_a_loss_that_turns_nan_is_recorded_with_its_step(tiny: Make) -> None:
    run = tiny(tiny_gradual(), learning_rate=1e30, optimiser=SGD(momentum=0.0))
    with pytest.raises(Diverged) as raised:
        execute(run, say=silent)
    folder = run.store.folder(name(run))
    failure = folder.failure()
    assert failure is not None and failure.step == raised.value.step
    assert folder.status() == "failed"
    assert 1 < raised.value.step <= 4


def test_weights_ruined_by_the_last_step_are_a_failure_too(tiny: Make) -> None:
    run = tiny(steps=1, learning_rate=1e30, optimiser=SGD(momentum=0.0))
    with pytest.raises(Diverged, match="at step 1"):
        execute(run, say=silent)
    assert run.store.folder(name(run)).status() == "failed"


def test_a_device_that_is_not_there_is_refused(tiny: Make) -> None:
    with pytest.raises(Invalid, match=r"device=cuda:7, but this machine has"):
        execute(tiny(device="cuda:7"), say=silent)


def test_a_task_of_another_kind_is_refused(tiny: Make) -> None:
    run = replace(tiny(), task=CustomTask(factory="builtins:dict", channels=1, pixels=24))
    with pytest.raises(Invalid, match=r"task\.factory must return a Classification, .* got dict"):
        execute(run, say=silent)


def test_a_custom_task_needs_its_factory_to_run(tiny: Make) -> None:
    with pytest.raises(Invalid, match=r"task\.factory must be given"):
        execute(replace(tiny(), task=CustomTask()), say=silent)


def test_weights_are_not_kept_when_nobody_wants_them(tiny: Make) -> None:
    run = tiny(keep="none")
    record = execute(run, say=silent)
    folder = run.store.folder(name(run))
    assert not (folder.path / WEIGHTS).exists()
    assert folder.packed_sizes() is not None  # what they weigh is kept all the same
    assert len(record.checksums["weights"]) == 64


def test_two_processes_that_ask_together_train_once(tiny: Make) -> None:
    run = tiny()
    code = (
        "import json, sys; from pruneexp.config.read import restore; "
        "from pruneexp.engine.execute import execute; "
        "run = restore(json.loads(sys.argv[1]), trust=True, origin='here'); "
        "print(execute(run).circumstances['finished'], execute(run).circumstances['seconds'])"
    )
    command = [sys.executable, "-c", code, json.dumps(asked(run, everything=True))]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in both)
    assert first == second != ""


def test_a_held_run_is_busy_or_waited_for(tiny: Make) -> None:
    run = tiny()
    with run.store.folder(name(run)).lease():
        with pytest.raises(Busy):
            execute(run, wait=False, say=silent)
        stages: list[str] = []
        with pytest.raises(Stopped):
            execute(run, watch=lambda p: stages.append(p.stage), stop=lambda: True, say=silent)
        assert stages == ["waiting for another process"]
        lines: list[str] = []
        with pytest.raises(Stopped):
            execute(run, stop=lambda: True, say=lines.append)
        assert lines == [f"waiting for the process that works on {name(run)}"]


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.9])
def test_a_kill_at_any_moment_loses_nothing(tiny: Make, tmp_path: Path, moment: float) -> None:
    run = tiny(tiny_gradual(), steps=60, checkpoint_seconds=0)
    expected = execute(replace(run, results=str(tmp_path / "whole")), say=silent)
    code = (
        "import json, sys; from pruneexp.config.read import restore; "
        "from pruneexp.engine.execute import execute; "
        "execute(restore(json.loads(sys.argv[1]), trust=True, origin='here'))"
    )
    command = [sys.executable, "-c", code, json.dumps(asked(run, everything=True))]
    process = subprocess.Popen(command)
    folder = run.store.folder(name(run)).path
    while not (folder / CHECKPOINT).exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert outcome(execute(run, say=silent)) == outcome(expected)


def test_a_recipe_with_a_global_threshold_names_layers_left_with_nothing(tiny: Make) -> None:
    from pruneexp.pruning.allocation import Global
    from pruneexp.pruning.scope import All

    recipe = Gradual(sparsity=0.999, schedule=Cubic(interval=2), allocation=Global(), scope=All())
    record = execute(tiny(recipe), say=silent)
    assert len(record.counts.empty) > 0
    assert set(record.counts.empty) < {row.name for row in record.counts.groups}
