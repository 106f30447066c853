"""Whether the weights that finished runs keep are still what was written.

A file's SHA-256 stands in its run's record. What was compared once is not read again while the
file's size and time of writing stay as they were.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pruneexp.engine import files
from pruneexp.engine.record import MASKS, WEIGHTS, Plan
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.engine.typed import reader

FILES = (WEIGHTS, MASKS)
CHECKED = "checked.json"  # in the cache: size, time of writing and checksum of files, by name


class Integrity:
    """Compares the weights of finished runs with their records, each file once.

    integrity = Integrity(store)
    damaged = list(integrity.damaged(plan))
    integrity.save()
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._path = store.cache / CHECKED
        self._known = self._load()
        self._is_new = False

    def damaged(self, plan: Plan) -> Iterator[RunFolder]:
        """The finished runs of a plan whose weights or masks are there and are not what the record
        says. Runs that kept none are not among them."""
        for planned in plan.runs:
            folder = self.store.folder(planned.name)
            if folder.status() != "finished" or not (folder.path / WEIGHTS).exists():
                continue
            with suppress(files.Damaged):  # a damaged record is made again anyway
                record = folder.record_or_fail()
                stated = [record.checksums.get(name.partition(".")[0]) for name in FILES]
                if [self._checksum(folder.path / name) for name in FILES] != stated:
                    yield folder

    def save(self) -> None:
        """Keep what was compared, if that can be written."""
        if self._is_new:
            with suppress(files.CannotWrite):
                files.save_json(self._path, {"files": self._known})

    def _checksum(self, path: Path) -> str | None:
        try:
            stat = os.stat(path)
            key = f"{path.parent.name}/{path.name}"
            signature = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            known = self._known.get(key, [])
            if known[:-1] == signature:
                return str(known[-1])
            checksum = files.checksum_of(path)
        except OSError:
            return None
        self._known[key] = [*signature, checksum]
        self._is_new = True
        return checksum

    def _load(self) -> dict[str, list[int | str]]:
        try:
            data = files.load_json(self._path)
            known: dict[str, list[int | str]] = reader(dict[str, list[int | str]])(
                data.get("files"), "files"
            )
        except (OSError, files.Damaged, TypeError):
            return {}  # then all files are read
        return known
