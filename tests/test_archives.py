"""CIFAR and Fashion-MNIST, read from small files in the official formats.

`PRUNEEXP_DATA=... pytest tests/test_archives.py` reads the real Fashion-MNIST too.
"""

import gzip
import hashlib
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import datasets

from pruneexp.config.recipe import Invalid
from pruneexp.tasks import CIFAR10, CIFAR100, FashionMNIST
from pruneexp.tasks.images import Pictures
from pruneexp.tasks.pictures import AUGMENTATIONS
from tests.test_folders import drop
from tests.test_pictures import Mean, loaded


def as_pickle(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 of 50 + 4 and CIFAR-100 of 12 + 4 pictures as the official pickles. torchvision's
    checks stay on; they are told the MD5s of these files."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 3072), np.uint8)

    def batch(rows: slice, labels: str, count: int) -> dict[str, Any]:
        pixels = noise[rows]
        return {"data": pixels, labels: [row % count for row in range(len(pixels))]}

    ten = tmp_path / "cifar-10-batches-py"
    trained = [
        [name, as_pickle(ten / name, batch(slice(10 * part, 10 * part + 10), "labels", 10))]
        for part, (name, _) in enumerate(datasets.CIFAR10.train_list)
    ]
    tested = [["test_batch", as_pickle(ten / "test_batch", batch(slice(0, 4), "labels", 10))]]
    words = as_pickle(ten / "batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", trained)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", tested)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": words})
    hundred = tmp_path / "cifar-100-python"
    for listed, rows in (("train", slice(0, 12)), ("test", slice(0, 4))):
        md5 = as_pickle(hundred / listed, batch(rows, "fine_labels", 100))
        monkeypatch.setattr(datasets.CIFAR100, f"{listed}_list", [[listed, md5]])
    words = as_pickle(hundred / "meta", {"fine_label_names": [str(n) for n in range(100)]})
    monkeypatch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": words})
    return tmp_path


class TestCIFAR:
    def test_splits_and_pictures(self, cifar: Path) -> None:
        data = loaded(CIFAR10(root=str(cifar), valid=5))
        assert [len(data.splits[name]) for name in ("train", "valid", "test")] == [45, 5, 4]
        noise = np.random.default_rng(0).integers(0, 256, (50, 3072), np.uint8)
        inputs, label = data.splits["test"][2]
        expected = (noise[2] - noise[2].mean()) / noise[2].std()  # red, green and blue planes
        assert np.allclose(inputs.numpy().ravel(), expected, atol=1e-5) and label == 2
        hundred = loaded(CIFAR100(root=str(cifar), valid=5))
        assert len(hundred.splits["train"]) == 7
        assert hundred.evaluate(Mean(100), "test").keys() == {"accuracy", "top5", "loss"}

    def test_pictures_shift_and_flip_by_position(self, cifar: Path) -> None:
        def taken(workers: int, batch_size: int, last: int) -> Tensor:
            task = CIFAR10(root=str(cifar), valid=5)
            data = loaded(task, workers=workers, batch_size=batch_size)
            return torch.cat([pictures for pictures, _ in data.batches(0, last)])

        whole = taken(0, 15, 6)
        assert torch.equal(whole, taken(2, 15, 6))
        assert torch.equal(whole[:45], taken(0, 5, 9))  # whatever the batch
        data = loaded(CIFAR10(root=str(cifar), valid=5, augmentation="none"), batch_size=15)
        still = torch.cat([pictures for pictures, _ in data.batches(0, 6)])
        moved = [not torch.equal(a, b) for a, b in zip(whole, still, strict=True)]
        assert sum(moved) > 85  # one of 162 stays as it is

    @pytest.mark.parametrize("augmentation", ["inception", "resnet"])
    def test_scaled_up(self, cifar: Path, augmentation: str) -> None:
        task = CIFAR10(root=str(cifar), valid=5, augmentation=augmentation, pixels=48)
        data = loaded(task, batch_size=3)
        ((pictures, _),) = data.batches(0, 1)
        assert pictures.shape == (3, 3, 48, 48)
        assert data.splits["valid"][0][0].shape == (3, 48, 48)

    def test_the_checksum_is_over_the_content(
        self, cifar: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = CIFAR100(root=str(cifar), valid=5).load(Path()).checksum
        assert CIFAR100(root=str(cifar), valid=4).load(Path()).checksum == first
        data = {"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 1, 2, 3]}
        md5 = as_pickle(cifar / "cifar-100-python" / "test", data)
        monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", md5]])
        assert CIFAR100(root=str(cifar), valid=5).load(Path()).checksum != first

    def test_what_is_missing_or_damaged_is_named(self, cifar: Path) -> None:
        path = cifar / "cifar-10-batches-py" / "data_batch_4"
        path.write_bytes(path.read_bytes() + b"!")
        with pytest.raises(
            Invalid, match=rf"^task\.root {path} is not the published file.*task=folder"
        ):
            CIFAR10(root=str(cifar)).load(Path())
        path.unlink()
        with pytest.raises(Invalid, match=rf"{path} is not there; there should be data_batch_1, "):
            CIFAR10(root=str(cifar)).load(Path())
        with pytest.raises(Invalid, match=r"^task\.valid takes fewer than the 12 training"):
            CIFAR100(root=str(cifar), valid=12).load(Path())

    def test_a_pickle_that_is_not_the_official_one_is_never_opened(self, cifar: Path) -> None:
        class Harm:
            def __reduce__(self) -> Any:
                return (Path.touch, (cifar / "harm",))

        (cifar / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Harm()))
        with pytest.raises(Invalid, match="is not the published file"):
            CIFAR10(root=str(cifar)).load(Path())
        assert not (cifar / "harm").exists()

    def test_an_archive_is_unpacked(self, cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        packed, unpacked = cifar / datasets.CIFAR100.filename, cifar / "cifar-100-python"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(unpacked, unpacked.name)
        md5 = hashlib.md5(packed.read_bytes()).hexdigest()
        monkeypatch.setattr(datasets.CIFAR100, "tgz_md5", md5)
        drop(unpacked)
        with pytest.raises(Invalid, match=r"it lies there packed, and task\.download=true unpacks"):
            CIFAR100(root=str(cifar), valid=5).load(Path())
        assert len(loaded(CIFAR100(root=str(cifar), valid=5, download=True)).splits["test"]) == 4

    def test_what_cannot_be_fetched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: Any, **__: Any) -> None:
            raise OSError("no network")

        monkeypatch.setattr(datasets.cifar, "download_and_extract_archive", offline)
        with pytest.raises(
            Invalid,
            match=r"^task\.download=true, but CIFAR10 could not be fetched into \S+ \(no network\)",
        ):
            CIFAR10(root=str(tmp_path / "new"), download=True).load(Path())


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def write_fashion_mnist(root: Path) -> None:
    """12 + 6 pictures as idx files."""
    raw = root / "FashionMNIST" / "raw"
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("t10k", 6)):
        pixels = random.integers(0, 256, (count, 28, 28), np.uint8)
        idx(raw / f"{split}-images-idx3-ubyte", pixels)
        idx(raw / f"{split}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    write_fashion_mnist(tmp_path)
    return tmp_path


class TestFashion:
    def test_it_is_taken_in_whole_batches(self, fashion: Path) -> None:
        data = loaded(FashionMNIST(root=str(fashion), valid=2), batch_size=5)
        assert all(isinstance(split, Pictures) for split in data.splits.values())
        ((pictures, labels),) = data.batches(0, 1)
        assert pictures.shape == (5, 1, 28, 28) and labels.dtype == torch.long
        assert len(data.splits["train"]) == 10 and len(data.splits["test"]) == 6

    @pytest.mark.parametrize("augmentation", AUGMENTATIONS)
    def test_every_augmentation_takes_grey(self, fashion: Path, augmentation: str) -> None:
        task = FashionMNIST(root=str(fashion), valid=2, augmentation=augmentation)
        for split in loaded(task).splits.values():
            assert split[0][0].shape == (1, 28, 28)

    def test_packed_files_are_unpacked(
        self, fashion: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resources = []
        for path in sorted((fashion / "FashionMNIST" / "raw").iterdir()):
            packed = path.with_name(f"{path.name}.gz")
            packed.write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
            resources.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
        monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
        with pytest.raises(Invalid, match=r"-ubyte is not there; .* packed, and task\.download"):
            FashionMNIST(root=str(fashion), valid=2).load(Path())
        data = loaded(FashionMNIST(root=str(fashion), valid=2, download=True))
        assert len(data.splits["test"]) == 6

    def test_what_is_damaged_is_named(self, fashion: Path) -> None:
        raw = fashion / "FashionMNIST" / "raw"
        path = raw / "t10k-images-idx3-ubyte"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        why = r"t10k-images-idx3-ubyte is damaged: it has 4,719 bytes, its header promises 4,720"
        with pytest.raises(Invalid, match=why):
            FashionMNIST(root=str(fashion), valid=2).load(Path())
        path.write_bytes(b"<html>")
        with pytest.raises(Invalid, match="it does not begin like a file of bytes in the idx"):
            FashionMNIST(root=str(fashion), valid=2).load(Path())
        path.write_bytes(whole)
        idx(raw / "t10k-labels-idx1-ubyte", np.zeros(5, np.uint8))
        with pytest.raises(Invalid, match="has 6 pictures of 28 x 28 and 5 labels for test"):
            FashionMNIST(root=str(fashion), valid=2).load(Path())
        idx(raw / "t10k-labels-idx1-ubyte", np.zeros(6, np.uint8))
        idx(raw / "train-labels-idx1-ubyte", np.full(12, 10, np.uint8))
        with pytest.raises(Invalid, match=r"task\.classes=10, but there is a class 10"):
            loaded(FashionMNIST(root=str(fashion), valid=2))

    def test_it_says_where_it_looks(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("PRUNEEXP_DATA", raising=False)
        with pytest.raises(Invalid, match=r"PRUNEEXP_DATA name the folder that holds fashion_mn"):
            FashionMNIST().load(Path())
        monkeypatch.setenv("PRUNEEXP_DATA", str(tmp_path))
        with pytest.raises(Invalid, match=f"{tmp_path}/fashion_mnist/FashionMNIST/raw/train-"):
            FashionMNIST().load(Path())

    @pytest.mark.skipif(
        "PRUNEEXP_DATA" not in os.environ, reason="PRUNEEXP_DATA names no folder of data sets"
    )
    def test_the_real_one(self) -> None:
        data = loaded(FashionMNIST(), batch_size=128)
        sizes = {name: len(split) for name, split in data.splits.items()}
        assert sizes == {"train": 55_000, "valid": 5_000, "test": 10_000}
        labels = data.splits["test"].labels
        assert torch.bincount(labels).tolist() == [1000] * 10
