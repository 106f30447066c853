"""What a single run says at its end, and what it leaves where it came to nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pruneexp.cli import tables
from pruneexp.cli.console import Console
from pruneexp.cli.run import run as run_here
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.store import Store
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import Dense
from pruneexp.tasks import CustomTask, Grammar, PictureFolder
from pruneexp.tasks.images import _Fetch
from pruneexp.training import Training
from pruneexp.training.fit import Fit
from tests.conftest import Make, silent
from tests.test_sweep import TINY, pruneexp


def shown(record: Any, capsys: pytest.CaptureFixture[str]) -> str:
    Console(width=120).print(tables.outcome(record))
    return capsys.readouterr().out


def test_how_often_examples_were_seen_is_told(
    tiny: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    record = execute(tiny(), say=silent)  # 12 steps of 16, from 200
    assert record.budget.unit == "picture" and record.budget.epochs == 0.96
    said = shown(record, capsys)
    assert "192 pictures, each 1.0 times" in said
    assert "the weights saw each picture 1.0 times; which model is better may be another" in said
    often = replace(record, budget=replace(record.budget, training_examples=50))
    assert "note" not in shown(often, capsys)


def test_a_model_no_better_than_counting_words_is_told(
    tiny: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(
        task=Grammar(train=2_000, valid=200, test=400),
        model=LSTMLanguageModel(hidden_size=4),
        unroll=5,
        batch_size=4,
        steps=2,
        learning_rate=1e-6,
    )
    task = run.task.load(Path())
    train, test = task.splits["train"], task.splits["test"]
    counts = {word: 1 + int((train == word).sum()) for word in range(len(task.words))}
    total = sum(counts.values())
    by_hand = np.exp(-np.mean([np.log(counts[word] / total) for word in test.tolist()]))
    record = execute(run, say=silent)
    assert record.baselines == {"counting words": pytest.approx(by_hand)}
    assert record.test["perplexity"] > by_hand
    assert f"no better than counting words ({by_hand:.2f})" in shown(record, capsys)
    better = replace(record, baselines={"counting words": 1e6})
    assert "no better" not in shown(better, capsys)


def test_a_run_ends_with_its_folder_and_the_next_command(tmp_path: Path) -> None:
    done = pruneexp("run", *TINY, "results=a b", cwd=tmp_path)
    (folder,) = Store(tmp_path / "a b").folders()
    last = done.stdout.splitlines()[-2:]
    assert last[0].strip() == f"in a b/runs/{folder.path.name}"
    assert last[1].startswith(f"next: pruneexp pack {folder.fingerprint} --results 'a b' --fold -o")


def test_data_that_cannot_be_read_leaves_no_folder(tmp_path: Path) -> None:
    task = CustomTask(factory="tests.test_outcome:nothing", inputs=[3], outputs=[1])
    run = replace(tiny_custom(tmp_path), task=task)
    with pytest.raises(Invalid, match="must return a Classification"):
        run_here(run)
    assert Store(tmp_path).folders() == []


def nothing() -> None:
    """No task at all."""


def tiny_custom(results: Path) -> Any:
    from pruneexp.config.run import Run
    from pruneexp.models import CustomModel

    return Run(
        task=CustomTask(factory="tests.test_outcome:nothing", inputs=[3], outputs=[1]),
        model=CustomModel(
            factory="torch.nn:Linear", arguments={"in_features": 3, "out_features": 1}
        ),
        training=Training(steps=2, batch_size=2),
        pruning=Dense(),
        results=str(results),
        device="cpu",
    )


def test_a_results_folder_with_too_long_a_name_is_a_line(tmp_path: Path) -> None:
    for words in (["status", "--results", "r" * 300], ["run", *TINY, f"results={'r' * 300}"]):
        done = pruneexp(*words, cwd=tmp_path)
        assert done.returncode == 2 and "the name is too long" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(files.CannotWrite):
        Store(Path("x") / ("ü" * 200))


def test_small_pictures_with_the_settings_of_imagenet_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (32, 32)).save(tmp_path / split / name / f"{number}.png")
    task = PictureFolder(root=str(tmp_path), classes=2, valid=2)
    task.load(Path())
    assert "the first picture is 32 x 32, and is scaled to 224" in capsys.readouterr().err
    replace(task, pixels=32, augmentation="crop_flip").load(Path())
    assert capsys.readouterr().err == ""


def test_loaders_that_cannot_share_memory_name_the_key(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, place: Any) -> Any:
        raise RuntimeError("unable to open shared memory object </torch_1> in read-write mode: shm")

    run = tiny()
    run = replace(run, training=replace(run.training, workers=1))
    monkeypatch.setattr(
        "pruneexp.tasks.images.DataLoader", lambda fetch, **_: map(fetch.__getitem__, [[]])
    )
    monkeypatch.setattr(_Fetch, "__getitem__", broken)
    with pytest.raises(Invalid, match=r"^training\.workers takes 0 where processes cannot share"):
        execute(run, say=silent)


def test_the_time_left_counts_validations_and_the_test(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps of a second and four validations of ten."""
    clock = [0.0]
    monkeypatch.setattr("pruneexp.training.fit.time.monotonic", lambda: clock[0])
    step, validate = Fit._step, Fit._validate

    def slow_step(self: Fit, batch: Any) -> Any:
        clock[0] += 1
        return step(self, batch)

    def slow_validation(self: Fit) -> None:
        clock[0] += 10
        validate(self)

    monkeypatch.setattr(Fit, "_step", slow_step)
    monkeypatch.setattr(Fit, "_validate", slow_validation)
    left: dict[int, float] = {}
    execute(
        tiny(),
        say=silent,
        watch=lambda p: left.update({p.step: p.seconds_left}) if p.seconds_left else None,
    )
    assert left[4] == pytest.approx(8 + 3 * 10 + 10)
    assert left[11] == pytest.approx(1 + 10 + 10)
