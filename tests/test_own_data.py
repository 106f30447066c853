"""Data of one's own: named, counted, compared with what a finished run was trained on."""

import random as plain_random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pruneexp.cli import main
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run, name
from pruneexp.data import text
from pruneexp.engine.data_identity import DataIdentity
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import demand_ready, settle
from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.pruning import Dense
from pruneexp.tasks import PictureFolder, Text
from pruneexp.tasks.images import _seed_torch
from pruneexp.training import Training
from tests.conftest import silent


def pictures(
    root: Path, names: list[str], classes: list[str], each: int = 6, seed: int = 0
) -> Path:
    draws = np.random.default_rng(seed)
    for split in names:
        for word in classes:
            folder = root / split / word
            folder.mkdir(parents=True)
            for number in range(each):
                noise = draws.integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{number}.png")
    return root


def of_pictures(root: Path, results: Path, **changes: object) -> Run:
    task = PictureFolder(root=str(root), channels=1, pixels=16, augmentation="none", valid=2)
    return Run(
        task=replace(task, **changes),
        model=MobileNetV1(width=0.05, layout="small"),
        training=Training(steps=1, batch_size=2, evaluations=1),
        pruning=Dense(),
        results=str(results),
        device="cpu",
    )


def texts(root: Path, words: str = "a b c d", lines: int = 40, seed: int = 0) -> Path:
    draws = plain_random.Random(seed)
    root.mkdir(parents=True)
    for file in ("train.txt", "valid.txt", "test.txt"):
        rows = [" ".join(draws.choices(words.split(), k=5)) for _ in range(lines)]
        (root / file).write_text("\n".join(rows) + "\n")
    return root


def of_text(root: Path, results: Path) -> Run:
    return Run(
        task=Text(root=str(root)),
        model=LSTMLanguageModel(hidden_size=2, layers=1),
        training=Training(steps=1, batch_size=2, unroll=3, evaluations=1),
        pruning=Dense(),
        results=str(results),
        device="cpu",
    )


class TestAnotherDataSet:
    """The same command on other data never gives the first one's result."""

    @pytest.mark.parametrize("kind", ["pictures", "text"])
    def test_is_refused_until_it_has_a_name(self, tmp_path: Path, kind: str) -> None:
        if kind == "pictures":
            one = pictures(tmp_path / "one", ["train", "test"], ["a", "b"])
            two = pictures(tmp_path / "two", ["train", "test"], ["c", "d"], seed=1)
            first, second = (of_pictures(root, tmp_path / "results") for root in (one, two))
        else:
            one, two = texts(tmp_path / "one"), texts(tmp_path / "two", seed=1)
            first, second = (of_text(root, tmp_path / "results") for root in (one, two))
        record = execute(first, say=silent)
        assert execute(first, say=silent) == record
        with pytest.raises(Invalid, match=r"task\.root holds other data.*task\.name"):
            execute(second, say=silent)
        named = replace(second, task=replace(second.task, name="second"))
        other = execute(named, say=silent)
        assert other.checksums["data"] != record.checksums["data"]
        assert "_second-" in other.name

    def test_a_name_is_part_of_the_run_s_and_no_name_changes_none(self, tmp_path: Path) -> None:
        run = of_pictures(tmp_path, tmp_path, classes=2)
        named = replace(run, task=replace(run.task, name="mine"))
        assert name(run) != name(named)
        assert "-folder_mine-" in name(named)
        with pytest.raises(Invalid, match=r"name takes a short word"):
            replace(run.task, name="a/b")

    def test_the_command_says_it_before_any_training(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one, two = texts(tmp_path / "one"), texts(tmp_path / "two", seed=1)
        words = ["task=text", "model=lstm_lm", "model.hidden_size=2", "training=grammar"]
        words += ["training.steps=1", "training.batch_size=2", "training.unroll=3", "device=cpu"]
        words += ["pruning=none", f"results={tmp_path / 'results'}"]
        for root, status in ((one, 0), (one, 0), (two, 2)):
            for sweep in ([], ["-m"]):
                with pytest.raises(SystemExit) as ended:
                    main.main(["run", *sweep, *words, f"task.root={root}"])
                assert ended.value.code == status
        said = capsys.readouterr().err
        assert "task.name" in said and "task.root" in said

    def test_data_that_is_gone_is_no_objection(self, tmp_path: Path) -> None:
        root = texts(tmp_path / "one")
        run = settle(of_text(root, tmp_path / "results"))
        record = execute(run, say=silent)
        for path in root.iterdir():
            path.unlink()
        assert execute(run, say=silent) == record

    def test_it_is_read_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = settle(of_text(texts(tmp_path / "one"), tmp_path / "results"))
        record = execute(run, say=silent)

        def fail(*given: object) -> None:
            raise AssertionError("the data was read again")

        monkeypatch.setattr(Text, "load", fail)
        DataIdentity(run.store).demand_same(run, record)
        monkeypatch.undo()
        (tmp_path / "one" / "train.txt").write_text("a b c d\n" * 50)
        with pytest.raises(Invalid, match="other data"):
            DataIdentity(run.store).demand_same(run, record)


class TestFolders:
    @pytest.mark.parametrize("other", ["val", "test"])
    def test_train_and_one_other_hold_out_of_train(self, tmp_path: Path, other: str) -> None:
        root = pictures(tmp_path / "data", ["train", other], ["a", "b"])
        task = PictureFolder(root=str(root), channels=1, pixels=16, augmentation="none", valid=3)
        loaded = task.settled().load(tmp_path)
        sizes = {split: len(loaded.splits[split]) for split in ("train", "valid", "test")}
        assert sizes == {"train": 9, "valid": 3, "test": 12}

    def test_two_folders_and_nothing_held_out_names_the_remedy(self, tmp_path: Path) -> None:
        root = pictures(tmp_path / "data", ["train", "test"], ["a", "b"])
        with pytest.raises(Invalid, match=r"task\.valid=0 .*val is not there; give a number"):
            PictureFolder(root=str(root), classes=2).load(tmp_path)

    def test_classes_are_counted_and_hidden_folders_are_none(self, tmp_path: Path) -> None:
        root = pictures(tmp_path / "data", ["train", "test"], ["a", "b", "c"])
        for split in ("train", "test"):
            (root / split / ".ipynb_checkpoints").mkdir()
        run = of_pictures(root, tmp_path)
        counted = settle(run)
        assert counted.task.shape() == replace(run.task, classes=3).shape()
        assert name(counted) == name(replace(run, task=replace(run.task, classes=3)))
        counted.task.load(tmp_path)


class TestTexts:
    def test_words_are_counted(self, tmp_path: Path) -> None:
        run = settle(of_text(texts(tmp_path / "one"), tmp_path))
        assert run.task == Text(root=str(tmp_path / "one"), vocabulary=5)

    def test_a_root_is_not_needed_where_all_data_has_one_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts(tmp_path / "text")
        monkeypatch.setenv("PRUNEEXP_DATA", str(tmp_path))
        assert isinstance(settled := Text().settled(), Text) and settled.vocabulary == 5
        monkeypatch.delenv("PRUNEEXP_DATA")
        with pytest.raises(Invalid, match=r"task\.root must be given"):
            Text().settled()

    def test_all_that_is_missing_is_said_at_once(self, tmp_path: Path) -> None:
        run = of_text(tmp_path / "nowhere", tmp_path)
        lacking = replace(run, training=Training(steps=1))
        with pytest.raises(Invalid) as raised:
            demand_ready(lacking)
        said = str(raised.value)
        assert "training.unroll" in said and "training=grammar" in said
        assert "task.root" in said and "train.txt, valid.txt, test.txt" in said

    def test_lines_end_at_line_ends_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "x.txt"
        path.write_bytes("\ufeffa b\r\nc\fd\u2028e\n\nf".encode())
        end = text.END
        assert text.read(path) == ["a", "b", end, "c", "d", "e", end, end, "f", end]


def test_a_dry_run_refuses_what_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts(tmp_path / "one")
    words = ["run", "task=text", f"task.root={tmp_path / 'one'}", "model=lstm_lm", "dry_run=true"]
    with pytest.raises(SystemExit) as ended:
        main.main([*words, f"results={tmp_path / 'results'}"])
    assert ended.value.code == 2
    assert "training.unroll" in capsys.readouterr().err
    assert not (tmp_path / "results" / "runs").exists()


@pytest.mark.parametrize("draw", [0, 7, 2**63 - 1, 2**64 - 1])
def test_quick_seeding_draws_what_torch_s_own_does(draw: int) -> None:
    torch.manual_seed(draw)
    expected = torch.rand(5), torch.randint(1000, (5,)), torch.randn(5)
    _seed_torch(draw)
    found = torch.rand(5), torch.randint(1000, (5,)), torch.randn(5)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
