"""Folders of pictures: splits, order, checksum, and every message for what is wrong with them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import parents
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.start import FromRun
from pruneexp.tasks import ImageNet, PictureFolder
from pruneexp.tasks.pictures import AUGMENTATIONS
from pruneexp.training import Training
from pruneexp.training.fit import Stopped
from tests.test_execute import After, outcome, silent
from tests.test_pictures import Mean, loaded


def picture(path: Path, seed: int = 0, side: tuple[int, int] = (20, 16), mode: str = "RGB") -> None:
    shape = (side[1], side[0], 3) if mode == "RGB" else (side[1], side[0])
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes: 8 pictures to train on, 4 in val, 2 in test; JPEG, PNG and what is neither."""
    root = tmp_path / "data"
    seed = 0
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for name in ("cat", "dog"):
            for row in range(count):
                seed += 1
                picture(root / split / name / f"{row}.{'png' if row % 2 else 'JPEG'}", seed)
    (root / "train" / "cat" / "notes.txt").write_text("no picture")
    return root


def folder(tree: Path, **changes: Any) -> PictureFolder:
    plain = {"classes": 2, "pixels": 8, "root": str(tree), "augmentation": "none"}
    return PictureFolder(**{**plain, **changes})


class TestFolders:
    def test_val_validates_and_test_tests(self, tree: Path) -> None:
        data = loaded(folder(tree))
        assert {name: len(split) for name, split in data.splits.items()} == {
            "train": 8,
            "valid": 4,
            "test": 2,
        }
        inputs, label = data.splits["valid"][3]
        assert inputs.shape == (3, 8, 8) and label == 1
        assert float(inputs.mean()) == pytest.approx(0, abs=1e-6)
        assert float(inputs.std(correction=0)) == pytest.approx(1, abs=1e-5)

    def test_what_is_held_out_of_train_is_not_trained_on(self, tree: Path) -> None:
        for name in ("cat", "dog"):
            (tree / "test" / name / "0.JPEG").unlink()
            (tree / "test" / name).rmdir()
        (tree / "test").rmdir()
        data = loaded(folder(tree, valid=3))
        kept, held = data.splits["train"].paths, data.splits["valid"].paths
        assert len(kept) == 5 and len(held) == 3 and not {*kept} & {*held}
        assert len(data.splits["test"]) == 4
        again = loaded(folder(tree, valid=3), seed=9)  # the run's seed is another matter
        assert again.splits["valid"].paths.tolist() == held.tolist()
        other = [loaded(folder(tree, valid=3, seed=seed)).splits["valid"] for seed in (1, 2)]
        assert any(split.paths.tolist() != held.tolist() for split in other)

    def test_grey_channels(self, tree: Path) -> None:
        inputs, _ = loaded(folder(tree, channels=1)).splits["train"][0]
        assert inputs.shape == (1, 8, 8)

    @pytest.mark.parametrize("augmentation", AUGMENTATIONS)
    def test_augmentation_follows_from_seed_and_position(
        self, tree: Path, augmentation: str
    ) -> None:
        def taken(workers: int, first: int = 0, seed: int = 1) -> list[Tensor]:
            task = folder(tree, augmentation=augmentation)
            data = loaded(task, batch_size=4, workers=workers, seed=seed)
            torch.manual_seed(workers)  # nobody's generator matters
            return [pictures for pictures, _ in data.batches(first, 4)]

        whole = taken(0)
        assert all(torch.equal(a, b) for a, b in zip(whole, taken(2), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(whole[2:], taken(0, 2), strict=True))
        assert not torch.equal(whole[0], taken(0, seed=2)[0])

    def test_evaluation_has_the_same_bits_at_any_number_of_workers(self, tree: Path) -> None:
        for index in range(150):  # two batches
            picture(tree / "test" / "cat" / f"more{index}.png", index, (8, 8))
        task = folder(tree, augmentation="inception")
        first = loaded(task).evaluate(Mean(2), "test")
        assert loaded(task, workers=2).evaluate(Mean(2), "test") == first
        assert first.keys() == {"accuracy", "loss"}  # two classes have no best five

    def test_the_checksum_tells_other_paths_and_sizes(self, tree: Path) -> None:
        first = folder(tree).load(Path()).checksum
        assert folder(tree).load(Path()).checksum == first
        (tree / "train" / "dog" / "0.JPEG").rename(tree / "train" / "dog" / "4.JPEG")
        assert folder(tree).load(Path()).checksum != first
        (tree / "train" / "dog" / "4.JPEG").rename(tree / "train" / "dog" / "0.JPEG")
        assert folder(tree).load(Path()).checksum == first
        with open(tree / "val" / "cat" / "0.JPEG", "ab") as file:
            file.write(b"\0")
        assert folder(tree).load(Path()).checksum != first

    def test_a_run_trains_stops_goes_on_and_notices_other_data(
        self, tree: Path, tmp_path: Path
    ) -> None:
        run = Run(
            task=folder(tree, pixels=16, augmentation="resnet"),
            model=MobileNetV1(width=0.1, layout="small"),
            training=Training(steps=4, batch_size=4, evaluations=1),
            pruning=Dense(),
            results=str(tmp_path / "results"),
            device="cpu",
        )
        expected = outcome(execute(replace(run, results=str(tmp_path / "whole")), say=silent))
        pieces = replace(run, training=replace(run.training, workers=1))
        with pytest.raises(Stopped):
            execute(pieces, stop=After(1), say=silent)
        moved = tree / "val" / "cat" / "0.JPEG"
        moved.rename(tree / "val" / "cat" / "9.JPEG")
        with pytest.raises(ValueError, match="the data of folder is not what"):
            execute(pieces, say=silent)
        (tree / "val" / "cat" / "9.JPEG").rename(moved)
        record = execute(pieces, say=silent)
        assert outcome(record) == expected
        child = replace(pieces, pruning=Gradual(start=FromRun(fingerprint=record.fingerprint)))
        assert parents(child)["weights"] == run and parents(child)["weights"].task.root == str(tree)


def drop(path: Path) -> None:
    for inner in path.rglob("*"):
        if inner.is_file():
            inner.unlink()


class TestBadFolders:
    @pytest.mark.parametrize(
        ("harm", "changes", "message"),
        [
            (lambda root: None, {"root": ""}, r"^task\.root must be given: a folder with train/"),
            (
                lambda root: (root / "train").rename(root / "training"),
                {},
                r"^task\.root \S+/train is not there; \S+ should hold train/ and val/ and test/, ",
            ),
            (
                lambda root: (root / "val" / "dog").rename(root / "val" / "wolf"),
                {},
                r"train and \S+val have different class folders; only in train: dog; "
                "only in val: wolf",
            ),
            (
                lambda root: None,
                {"classes": 3},
                r"^task\.classes=3, but \S+train has 2 class folders \(cat, dog\)$",
            ),
            (
                lambda root: (root / "train" / "fox.tar").write_bytes(b""),
                {"classes": 3},
                r"\(cat, dog\) and archives \(fox\.tar\), each to be unpacked into a folder",
            ),
            (
                lambda root: drop(root / "val" / "dog"),
                {},
                r"\S+val has class folders without pictures \(dog\); put pictures \(\.jpg",
            ),
            (
                lambda root: (root / "test").rename(root / "elsewhere"),
                {},
                r"^task\.valid=0 means that val/ validates and test/ tests, but \S+test is not",
            ),
            (
                lambda root: None,
                {"valid": 2},
                r"^task\.valid takes 0 where there are \S+val and test: val/ validates .* got 2",
            ),
            (
                lambda root: (root / "test").rename(root / "elsewhere"),
                {"valid": 8},
                r"^task\.valid takes fewer than the 8 training examples, got 8",
            ),
        ],
    )
    def test_each_is_named(
        self, tree: Path, harm: Callable[[Path], Any], changes: dict[str, Any], message: str
    ) -> None:
        harm(tree)
        with pytest.raises(Invalid, match=message):
            folder(tree, **changes).load(Path())

    def test_validation_pictures_that_were_not_sorted(self, tmp_path: Path) -> None:
        picture(tmp_path / "train" / "n1" / "a.JPEG")
        picture(tmp_path / "val" / "ILSVRC2012_val_1.JPEG")
        with pytest.raises(Invalid, match=r"val has no class folders and loose pictures \(ILSVRC"):
            ImageNet(root=str(tmp_path), valid=1).load(Path())

    def test_all_that_is_wrong_is_said_together(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid) as raised:
            folder(tmp_path, valid=1).load(Path())
        assert len(raised.value.faults) == 2

    def test_a_batch_larger_than_the_data(self, tree: Path) -> None:
        with pytest.raises(Invalid, match=r"training\.batch_size takes at most the 8 training"):
            loaded(folder(tree), batch_size=9)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


class TestUnreadable:
    @pytest.mark.parametrize(
        ("harm", "why"),
        [
            (cut, "image file is truncated"),
            (lambda path: path.write_bytes(b""), "cannot identify image file"),
            (lambda path: path.write_bytes(b"<html>"), "cannot identify image file"),
            (lambda path: path.unlink(), "No such file"),
            (
                lambda path: Image.fromarray(np.full((9, 9), 700, np.uint16)).save(path, "PNG"),
                "its pixels have more than 8 bits",
            ),
        ],
    )
    @pytest.mark.parametrize("workers", [0, 1])
    def test_it_stops_and_names_the_file(
        self, tree: Path, harm: Callable[[Path], Any], why: str, workers: int
    ) -> None:
        data = loaded(folder(tree), batch_size=8, workers=workers)
        path = tree / "train" / "cat" / "2.JPEG"
        harm(path)
        with pytest.raises(Invalid) as raised:
            list(data.batches(0, 1))
        message = str(raised.value)
        assert message.startswith(f"task.unreadable=stop, and {path} cannot be read (")
        assert why in message and message.endswith(
            "mend or remove what cannot be read, or let task.unreadable=skip take the next "
            "readable picture in its place"
        )

    def test_a_damaged_png(self, tree: Path) -> None:
        path = tree / "val" / "dog" / "1.png"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
        with pytest.raises(Invalid, match=r"val/dog/1\.png cannot be read"):
            loaded(folder(tree)).evaluate(Mean(2), "valid")

    def test_several_are_counted(self, tree: Path) -> None:
        for row in (0, 2):
            cut(tree / "train" / "dog" / f"{row}.JPEG")
        with pytest.raises(Invalid, match=r"\(2 such pictures in one batch\)"):
            list(loaded(folder(tree), batch_size=8).batches(0, 1))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_skipping_takes_the_next_and_says_so_once(
        self, tree: Path, workers: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        cut(tree / "val" / "cat" / "0.JPEG")
        data = loaded(folder(tree, unreadable="skip"), workers=workers)
        seen: list[Tensor] = []

        class Look(Mean):
            def forward(self, pictures: Tensor) -> Tensor:
                seen.append(pictures)
                return super().forward(pictures)

        assert data.evaluate(Look(2), "valid") == data.evaluate(Mean(2), "valid")
        assert torch.equal(seen[0][0], seen[0][1])  # 1.png stands in for 0.JPEG
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith(f"{tree / 'val' / 'cat' / '0.JPEG'} cannot be read (image file")
        assert lines[0].endswith("; the next readable picture takes its place (1 so far)")

    def test_data_that_is_gone_is_not_skipped(self, tree: Path) -> None:
        data = loaded(folder(tree, unreadable="skip"), batch_size=4)
        drop(tree / "train")
        with pytest.raises(Invalid, match=r"=skip, but 100 pictures one after the other cannot"):
            list(data.batches(0, 1))
