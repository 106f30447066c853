"""CIFAR and Fashion-MNIST as arrays, read and fetched by torchvision.

torchvision reads CIFAR by pickle, which can run code, but only files whose MD5 is the published
one. It looks at no checksum of Fashion-MNIST's unpacked files; theirs are held against their sizes.
"""

import fcntl
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from pruneexp.config.recipe import Fault, Invalid

Arrays = tuple[np.ndarray, np.ndarray]  # pictures (n, h, w) or (n, h, w, 3) as bytes, and labels
# What torchvision raises for files that are missing, damaged, cut or of another format.
UNREAD = (RuntimeError, ValueError, TypeError, AssertionError, OSError, EOFError, KeyError)


def load(
    name: str, root: Path, *, pixels: int, download: bool
) -> tuple[dict[str, Arrays], str, list[str]]:
    """The official training and test pictures, a checksum over them, and the names of classes.
    Raises `Invalid` naming the file and what should be there."""
    kind = getattr(datasets, name)
    try:
        sets = _read(kind, root)
    except UNREAD as error:
        if not download:
            raise Invalid([Fault("task.root", _why(kind, root, error))]) from error
        _fetch(kind, root)
        try:
            sets = _read(kind, root)
        except UNREAD as still:
            raise Invalid([Fault("task.root", _why(kind, root, still))]) from still
    splits = {
        split: (np.asarray(read.data), np.asarray(read.targets)) for split, read in sets.items()
    }
    content = hashlib.sha256()
    for split, (pictures, labels) in splits.items():
        if len(pictures) != len(labels) or pictures.shape[1:3] != (pixels, pixels):
            size = " x ".join(map(str, pictures.shape[1:]))
            why = f"{root}: {name} has {len(pictures):,} pictures of {size} and {len(labels):,} "
            why += f"labels for {split}; it should have as many of both, of {pixels} x {pixels}"
            raise Invalid([Fault("task.root", why)])
        content.update(np.ascontiguousarray(pictures).data)
        content.update(labels.astype(np.int64).tobytes())
    return splits, content.hexdigest(), list(sets["train"].classes)


def _read(kind: Any, root: Path) -> dict[str, Any]:
    return {split: kind(root, train=split == "train") for split in ("train", "test")}


def _fetch(kind: Any, root: Path) -> None:
    try:
        with _alone(root):
            kind(root, download=True)
    except (*UNREAD, HTTPException) as error:
        why = f"=true, but {kind.__name__} could not be fetched into {root} ({error}); put it there"
        raise Invalid(
            [Fault("task.download", f"{why} by hand: {_expected(kind, root)}")]
        ) from error


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Of several runs that start together, one fetches and the others wait for it."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".fetching", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _expected(kind: Any, root: Path) -> str:
    paths = list(_files(kind, root))
    return f"{', '.join(path.name for path in paths)} in {paths[0].parent}"


def _files(kind: Any, root: Path) -> dict[Path, str]:
    """What torchvision reads, and its MD5 where it is looked at."""
    if issubclass(kind, datasets.MNIST):
        folder = root / kind.__name__ / "raw"
        return {folder / Path(packed).stem: "" for packed, _ in kind.resources}
    folder = root / kind.base_folder
    listed = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return {folder / name: md5 for name, md5 in listed}


def _why(kind: Any, root: Path, error: Exception) -> str:
    """Which file is at fault, what should be there, and what to do."""
    remedy = "task.download=true fetches it"
    for path, md5 in _files(kind, root).items():
        if not path.exists():
            packed = [root / getattr(kind, "filename", ""), path.with_name(f"{path.name}.gz")]
            if any(archive.is_file() for archive in packed):
                remedy = "it lies there packed, and task.download=true unpacks it"
            return f"{path} is not there; there should be {_expected(kind, root)}; {remedy}"
        if md5 and not check_integrity(path, md5):
            why = f"{path} is not the published file (its MD5 is another); data of your own is "
            why += "task=folder or task=custom, and where it should be the published one, "
            return f"{why}{remedy} once it is moved away"
        if not md5 and (wrong := _wrong_size(path)):
            return f"{path} is damaged: {wrong}; remove it, and {remedy}"
    return f"{kind.__name__} in {root} cannot be read ({type(error).__name__}: {error})"


def _wrong_size(path: Path) -> str:
    """What an idx file's size says against its header: two zero bytes, the kind of number (8:
    bytes), the number of dimensions, then each dimension in four bytes."""
    with open(path, "rb") as file:
        header = file.read(4)
        if len(header) < 4 or header[:3] != b"\0\0\x08":
            return "it does not begin like a file of bytes in the idx format"
        dimensions = [int.from_bytes(file.read(4), "big") for _ in range(header[3])]
    expected = 4 + 4 * len(dimensions) + math.prod(dimensions)
    size = path.stat().st_size
    return f"it has {size:,} bytes, its header promises {expected:,}" if size != expected else ""
