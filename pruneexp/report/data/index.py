"""What earlier reports read of each run, so that a second one reads only what changed.

The index is one file under results/cache. It is only a cache: whatever is wrong with it, it is
ignored and made again. An entry counts while the run's files have the size, the time of change and
the inode that they had.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pruneexp.engine import files
from pruneexp.engine.record import BYTES, LATENCY, RECORD, Curve, Record
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
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
SCHEMA = 3  # raised when an entry holds something else


class Index:
    """Facts of runs by the name of their folder.

    index = Index(store)
    facts = index.facts(folder, warnings)
    index.save()
    """

    def __init__(self, store: Store) -> None:
        self.path = store.cache / NAME
        self.made_with = _made_with()
        self.entries = _load(self.path, self.made_with)
        self.changed = False

    def save(self) -> None:
        """Keep what was read anew. Where that cannot be, the next report reads all runs again."""
        if self.changed:
            with suppress(files.CannotWrite, ValueError):
                files.save_checked(self.path, _written(self.made_with, self.entries))

    def facts(self, folder: RunFolder, warnings: list[str]) -> Facts | None:
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


def _read(folder: RunFolder) -> tuple[Facts, list[str]]:
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


def _written(made_with: str, entries: dict[str, Any]) -> bytes:
    """The index as it is kept. Settings that many runs share are written once, and a run's curve
    has their number."""
    numbers: dict[int, int] = {}
    settings: list[Any] = []

    def number(traits: Any) -> int:
        if id(traits) not in numbers:
            numbers[id(traits)] = len(settings)
            settings.append(traits)
        return numbers[id(traits)]

    def plain(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return fields | {"traits": number(value.traits)} if type(value) is Curve else fields

    def compact(entry: Any) -> Any:
        signature, facts = entry
        if type(facts) is dict:  # as an earlier index had it
            curve = facts["curve"]
            facts = facts | {"curve": curve | {"traits": number(curve["traits"])}}
        return signature, facts

    shown = {name: compact(entry) for name, entry in entries.items()}
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=plain)
    text = encoder.encode({"made_with": made_with, "entries": shown})
    return f'{text[:-1]},"settings":{encoder.encode(settings)}}}'.encode()


def _made_with() -> str:
    """Whatever an entry depends on beside the run's files."""
    papers = b"".join(path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.is_file())
    return f"{version('pruneexp')} {SCHEMA} {files.checksum(papers)}"


def _load(path: Path, made_with: str) -> dict[str, Any]:
    """The entries of an index that can be used, with their settings; what does not fit is left
    out, so that those runs are read again."""
    try:
        data = json.loads(files.load_checked(path))
        if data["made_with"] != made_with:
            return {}
        settings, entries = data["settings"], data["entries"]
        usable: dict[str, Any] = {}
        for name, (signature, facts) in entries.items():
            number = facts["curve"]["traits"]
            if type(number) is int and 0 <= number < len(settings):
                facts["curve"]["traits"] = settings[number]
                usable[name] = [signature, facts]
        return usable
    except (OSError, files.Damaged, ValueError, LookupError, TypeError, AttributeError):
        return {}
    except RecursionError:
        return {}
