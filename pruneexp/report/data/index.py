"""What earlier reports read of each run, so that a second one reads only what changed.

The index is one file under results/cache. It is only a cache: whatever is wrong with it, it is
ignored and made again. An entry counts while the run's files have the size, the time of change and
the inode that they had.
"""

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pruneexp.engine import files
from pruneexp.engine.record import BYTES, LATENCY, RECORD, Record
from pruneexp.engine.store import Folder, Store
from pruneexp.engine.typed import typed
from pruneexp.report.data.facts import (
    Facts,
    facts_of,
    packed_of,
    read_json,
    timed_of,
)
from pruneexp.report.data.published_rows import FOLDER

T = TypeVar("T")
NAME = "report-index.json"
SCHEMA = 1  # raised when an entry holds something else


class Index:
    """Facts of runs by the name of their folder. Used in a `with`, at whose end it is saved.

    with Index(store) as index:
        facts = index.facts(folder, warnings)
    """

    def __init__(self, store: Store) -> None:
        self.path = store.cache / NAME
        self.made_with = _made_with()
        self.entries: dict[str, Any] = {}
        self.changed = False

    def __enter__(self) -> "Index":
        self.entries = _load(self.path, self.made_with)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.changed or error is not None:
            return
        data = {"made_with": self.made_with, "entries": self.entries}
        try:
            text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=_plain)
            files.save_checked(self.path, text.encode())
        except (files.CannotWrite, ValueError):
            return  # the next report reads all runs again

    def facts(self, folder: Folder, warnings: list[str]) -> Facts | None:
        """A finished run's facts, None where it is not finished. What lies beside the record and
        cannot be read is left out with a warning. Raises `Damaged` for the record itself."""
        name = folder.path.name
        signature = [_signature(folder.path / file) for file in (RECORD, BYTES, LATENCY)]
        if signature[0] is None:
            return None
        entry = self.entries.get(name)
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == signature:
            try:
                return typed(Facts, entry[1])
            except TypeError:
                pass  # a damaged or foreign entry: the run's own files count
        facts, problems = _read(folder)
        warnings += problems
        if problems:
            self.changed |= self.entries.pop(name, None) is not None
        else:
            self.entries[name] = [signature, facts]
            self.changed = True
        return facts


def _read(folder: Folder) -> tuple[Facts, list[str]]:
    path = folder.path / RECORD
    try:
        record = Record.from_plain(files.load_json(path))
    except (TypeError, KeyError) as error:
        raise files.Damaged(path, str(error)) from error
    problems: list[str] = []
    weights = record.checksums.get("weights")

    def measured(name: str, take: Callable[[dict[str, Any]], T | None]) -> T | None:
        try:
            data = read_json(folder.path / name)
            return None if data is None else take(data)
        except files.Damaged as error:
            problems.append(f"{error}: left out.")
        except (TypeError, KeyError, AttributeError) as error:
            problems.append(f"{files.Damaged(folder.path / name, str(error))}: left out.")
        return None

    packed = measured(BYTES, packed_of)
    timed_ = measured(LATENCY, lambda data: timed_of(data, weights))
    return facts_of(record, packed, timed_), problems


def _signature(path: Path) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass for JSON, whose own parts are asked for in turn."""
    return {name: getattr(value, name) for name in value.__slots__}


def _made_with() -> str:
    """Whatever an entry depends on beside the run's files."""
    papers = b"".join(path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.is_file())
    return f"{version('pruneexp')} {SCHEMA} {files.checksum(papers)}"


def _load(path: Path, made_with: str) -> dict[str, Any]:
    try:
        data = json.loads(files.load_checked(path))
    except (OSError, files.Damaged, ValueError, RecursionError):
        return {}
    entries = data.get("entries") if isinstance(data, dict) else None
    usable = isinstance(entries, dict) and data.get("made_with") == made_with
    return entries if usable and entries is not None else {}
