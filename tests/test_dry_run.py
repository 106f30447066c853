"""What would run: its size, asked once for each different question and kept for the next time."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pruneexp.cli import sizes as module
from pruneexp.cli.dry_run import dry_run
from pruneexp.cli.sizes import SIZES, Sizes
from pruneexp.config.run import Run
from pruneexp.measure import planned
from pruneexp.measure.planned import size
from pruneexp.models import CustomModel, MobileNetV1
from pruneexp.pruning.start import FromDense
from tests.conftest import tiny_gradual
from tests.test_cli import LIGHT
from tests.test_sweep import TINY, pruneexp

Make = Callable[..., Run]
ASKED = ["run", "-m", *TINY, "pruning.sparsity=0.5,0.9", "seed=0,1", "dry_run=true", "format=json"]


def rows(folder: Path) -> tuple[list[dict[str, object]], str]:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *ASKED], capture_output=True, text=True, cwd=folder
    )
    return json.loads(done.stdout), done.stderr


def test_a_second_dry_run_needs_no_torch_and_says_the_same(tmp_path: Path) -> None:
    first, said = rows(tmp_path)
    assert "heavy: ['torch'" in said
    assert not (tmp_path / "results").exists()  # a dry run makes no folder
    (tmp_path / "results").mkdir()
    assert rows(tmp_path)[0] == first
    again, said = rows(tmp_path)
    assert "heavy: []" in said and again == first
    assert [row["nonzero"] for row in first[::2]] == [first[0]["nonzero"], first[2]["nonzero"]]
    assert pruneexp("clean", "--yes", "--cache", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "results" / "cache" / SIZES).exists()


def test_each_question_is_asked_once(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    built, asked = [], []
    network, nonzero = planned.network, planned.nonzero
    monkeypatch.setattr(planned, "network", lambda run: built.append(run) or network(run))
    monkeypatch.setattr(
        planned, "nonzero", lambda run, model: asked.append(run) or nonzero(run, model)
    )
    runs = [
        tiny(tiny_gradual(sparsity=sparsity), seed=seed, learning_rate=rate, model=model)
        for sparsity in (0.5, 0.9)
        for seed in (0, 1)
        for rate in (0.1, 0.2)
        for model in (
            MobileNetV1(width=0.1, layout="small"),
            MobileNetV1(width=0.2, layout="small"),
        )
    ]
    sizes = Sizes(runs[0].store)
    assert [sizes.nonzero(run) for run in runs] == [size(run).nonzero for run in runs]
    of_size = 16  # the line above asked `size` too, which builds a network a run
    assert len(built) == 2 + of_size and len(asked) == 4


def test_kept_sizes_are_of_this_code_and_undamaged(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(tiny_gradual())
    run.store.results.mkdir()
    sizes = Sizes(run.store)
    right = sizes.nonzero(run)
    sizes.save()
    path = run.store.cache / SIZES
    assert list(Sizes(run.store)._known.values()) == [right]
    monkeypatch.setattr(module, "_code", lambda: "another version")
    assert Sizes(run.store)._known == {}
    monkeypatch.undo()
    path.write_text(path.read_text().replace(str(right), "1"))
    assert Sizes(run.store).nonzero(run) == right
    assert "is damaged" in capsys.readouterr().err


def test_a_network_of_the_users_own_is_built_each_time(tiny: Make) -> None:
    run = tiny(model=CustomModel(factory="tests.test_dry_run:network"))
    run.store.results.mkdir()
    sizes = Sizes(run.store)
    assert sizes.nonzero(run) == 576 * 47 + 47
    sizes.save()
    assert Sizes(run.store)._known == {}


def network() -> object:
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(576, 47))


def test_a_cache_that_cannot_be_written_does_not_cost_the_answer(
    tiny: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(tiny_gradual(), dry_run=True)
    run.store.results.mkdir()
    run.store.cache.write_text("in the way")
    assert dry_run([run], []) == 0
    said = capsys.readouterr()
    assert "cannot be written" in said.err and "1 of 1 would run" in said.out


def test_runs_that_others_start_from_are_listed_first(
    tiny: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(tiny_gradual(start=FromDense()), format="json")
    assert dry_run([run], []) == 0
    dense, pruned = json.loads(capsys.readouterr().out)
    assert pruned["parents"] == {"weights": dense["name"]} and dense["parents"] == {}
    assert dense["nonzero"] > pruned["nonzero"]
    assert pruned["megabytes"] == pruned["nonzero"] * 4 / 1e6
