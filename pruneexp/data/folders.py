"""Folders of pictures, a folder a class: listed, checked, and summed up without decoding any."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from pruneexp.config.recipe import Fault, Invalid

NAMED = 3  # how many of a list a message names
ARCHIVES = (".tar", ".tgz", ".gz", ".zip")


@dataclass(frozen=True, slots=True)
class Tree:
    """The pictures below one folder. Paths are bytes in one array, relative to the folder: lists of
    a million texts would be copied into every loader process."""

    folder: Path
    classes: list[str]
    paths: np.ndarray
    labels: np.ndarray


def read(root: Path, names: list[str], classes: int) -> dict[str, Tree]:
    """The folders of these names under `root`. Raises `Invalid` with all that is wrong."""
    faults: list[Fault] = []
    trees: dict[str, Tree] = {}
    for name in names:
        try:
            trees[name] = _list(root / name, f"{root} should hold {_all(names, '/')}")
        except Invalid as invalid:
            faults += invalid.faults
    if "train" in trees:
        train = trees["train"]
        for name in names[1:]:
            if name in trees and trees[name].classes != train.classes:
                faults.append(Fault("task.root", _differ(train, trees[name])))
        if len(train.classes) != classes:
            found = f"{train.folder} has {len(train.classes):,} class folders"
            why = f"={classes:,}, but {found} ({_some(train.classes)}){_left_over(train.folder)}"
            faults.append(Fault("task.classes", why))
    if faults:
        raise Invalid(faults)
    return trees


class _Visible(ImageFolder):
    """Without folders whose name begins with a dot, which programs leave behind."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        classes = sorted(
            entry.name
            for entry in os.scandir(directory)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if not classes:
            raise FileNotFoundError(directory)
        return classes, {name: number for number, name in enumerate(classes)}


def _list(folder: Path, expected: str) -> Tree:
    if not folder.is_dir():
        why = f"{folder} is not there; {expected}, in each a folder a class"
        raise Invalid([Fault("task.root", why)])
    try:
        listed = _Visible(folder, allow_empty=True)
    except FileNotFoundError as error:
        why = f"{folder} has no class folders{_left_over(folder)}; it should hold a folder a class"
        raise Invalid([Fault("task.root", why)]) from error
    except OSError as error:
        raise Invalid([Fault("task.root", f"{folder} cannot be read ({error})")]) from error
    labels = np.array(listed.targets, np.int64)
    empty = sorted(set(listed.classes) - {listed.classes[label] for label in set(labels.tolist())})
    if empty:
        why = f"{folder} has class folders without pictures ({_some(empty)}); put pictures ("
        why += f"{' '.join(IMG_EXTENSIONS)}) into them or remove them{_left_over(folder)}"
        raise Invalid([Fault("task.root", why)])
    start = len(os.fsencode(folder)) + 1
    paths = np.array([os.fsencode(path)[start:] for path, _ in listed.samples])
    return Tree(folder, listed.classes, paths, labels)


def _left_over(folder: Path) -> str:
    """What lies in a folder of class folders and tells that it was not unpacked or sorted."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    packed = [name for name in names if name.lower().endswith(ARCHIVES)]
    loose = [name for name in names if name.lower().endswith(IMG_EXTENSIONS)]
    if packed:
        return f" and archives ({_some(packed)}), each to be unpacked into a folder of its name"
    return f" and loose pictures ({_some(loose)}), to be moved into class folders" if loose else ""


def _differ(train: Tree, other: Tree) -> str:
    only_there = sorted(set(train.classes) - set(other.classes))
    only_here = sorted(set(other.classes) - set(train.classes))
    parts = [f"{train.folder} and {other.folder} have different class folders"]
    if only_there:
        parts.append(f"only in {train.folder.name}: {_some(only_there)}")
    if only_here:
        parts.append(f"only in {other.folder.name}: {_some(only_here)}")
    return "; ".join(parts)


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _all(names: list[str], mark: str) -> str:
    return " and ".join(f"{name}{mark}" for name in names)


def checksum(trees: dict[str, Tree]) -> str:
    """Over the sorted paths and sizes. It tells data that were exchanged, added to or cut short;
    bytes that changed in place would cost reading all of it."""
    content = hashlib.sha256()
    for name, tree in sorted(trees.items()):
        folder = os.fsencode(tree.folder)
        for path in sorted(tree.paths.tolist()):
            content.update(b"%s/%s %d\n" % (name.encode(), path, _size(os.path.join(folder, path))))
    return content.hexdigest()


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1  # a link to nothing: told when the picture is read
