"""Run folders: find one, hold it, write into it atomically, read it back checked.

Existence is the status: record.json when a run is finished, failure.json when it failed, a
checkpoint while it is unfinished. A lease is a file lock, which the kernel frees when its holder
dies.
"""

import csv
import fcntl
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    BYTES_VERSION,
    CHECKPOINT,
    FAILURE,
    HISTORY,
    LEASE,
    MASKS,
    PREVIOUS,
    PROGRESS,
    RECORD,
    STATE,
    WEIGHTS,
    Plan,
    Progress,
    Record,
)
from pruneexp.engine.typed import typed
from pruneexp.measure.packed_sizes import PackedSizes


class Store:
    """All runs and plans under one results folder.

        Store(Path("results")).find("0123456789ab").record()

    Arguments:
        results: the folder; it need not exist before something is written.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self.runs = results / "runs"
        self.plans = results / "plans"
        self.reports = results / "reports"
        self.cache = results / "cache"

    def folder(self, name: str) -> "RunFolder":
        """The folder of a run of this name, which need not exist."""
        return RunFolder(self.runs / name)

    def folders(self) -> "list[RunFolder]":
        """Of all runs, by name."""
        if not self.runs.is_dir():
            return []
        return [RunFolder(path) for path in sorted(self.runs.iterdir()) if path.is_dir()]

    def search(self, text: str) -> "list[RunFolder]":
        """The runs that a person means by a path, a name, a fingerprint or its beginning."""
        if text.strip(".") and text == Path(text).name and (self.runs / text).is_dir():
            return [RunFolder(self.runs / text)]
        if (Path(text) / LEASE).exists():
            return [RunFolder(Path(text))]
        if not text or not self.runs.is_dir():
            return []
        return [  # names first: a sweep asks this for every point, perhaps among thousands of runs
            RunFolder(self.runs / name)
            for name in sorted(os.listdir(self.runs))
            if (name == text or name.rpartition("-")[2].startswith(text))
            and (self.runs / name).is_dir()
        ]

    def find(self, text: str) -> "RunFolder":
        """The one run that a person means. Raises `NotFound` where there is none, or several."""
        folders = self.search(text)
        if len(folders) == 1:
            return folders[0]
        if folders:
            names = "\n  ".join(folder.path.name for folder in folders)
            raise files.NotFound(f"{text!r} could be any of\n  {names}")
        raise files.NotFound(f"no run {text!r} in {self.runs}; `pruneexp status` lists them")

    def save_plan(self, plan: Plan) -> Path:
        """Write a plan under its name, and return its file."""
        path = self.plans / f"{plan.name}.json"
        files.save_json(path, plan.to_plain())
        return path

    def find_plan(self, text: str) -> Plan:
        """A plan by its name or its file. Raises `NotFound`, or `Damaged` naming the file."""
        path = Path(text) if text.endswith(".json") else self.plans / f"{text}.json"
        if not path.exists():
            known = ", ".join(self.plan_names()) or "none yet"
            raise files.NotFound(f"no plan {text!r} in {self.plans}; there is {known}")
        try:
            return Plan.from_plain(files.load_json(path))
        except (TypeError, KeyError) as error:
            raise files.Damaged(path, f"fields are missing or unknown ({error})") from error

    def plan_names(self) -> list[str]:
        """The latest first."""
        paths = sorted(self.plans.glob("*.json"), key=lambda path: path.stat().st_mtime)
        return [path.stem for path in reversed(paths)]


class RunFolder:
    """One run's folder, which need not exist before something is written. Whatever is read from it
    is checked; `files.Damaged` names the file.

    Arguments:
        path: whose name ends in the run's fingerprint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def fingerprint(self) -> str:
        """The twelve hex digits that name the run."""
        return self.path.name.rpartition("-")[2]

    @contextmanager
    def lease(self) -> Iterator[bool]:
        """Hold the folder while working in it; yields False if another process does.

        with folder.lease() as is_mine:
            ...
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / LEASE, "a")  # noqa: SIM115 - closed below, on every path
        except OSError as error:
            raise files.CannotWrite(
                f"{self.path} cannot be written ({error.strerror}); choose another folder with "
                "results=..."
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                file.truncate(0)
                file.write(str(os.getpid()))  # for whoever finds the holder dead
                file.flush()
                for half in self.path.glob(".*.tmp"):
                    half.unlink(missing_ok=True)  # its writer was killed
                yield True

    def held(self) -> bool:
        """Whether a living process works in the folder."""
        try:
            file = open(self.path / LEASE)  # noqa: SIM115 - closed below
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def last_holder(self) -> int | None:
        """The process that works in the folder, or did last."""
        path = self.path / LEASE
        text = path.read_text() if path.exists() else ""
        return int(text) if text.isdigit() else None

    def status(self) -> str:
        """finished, running, failed, interrupted or waiting. It reads no file, and asks the system
        once about a finished run and about one that never began."""
        try:
            names = os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return "waiting"
        if RECORD in names:
            return "finished"
        if LEASE in names and self.held():
            return "running"
        if FAILURE in names:
            return "failed"
        # A kill between a checkpoint and the next leaves only the one before.
        if CHECKPOINT in names or PREVIOUS in names:
            return "interrupted"
        return "waiting"

    def record(self) -> Record | None:
        """The finished run's record, or None. Raises `Damaged` naming the file."""
        path = self.path / RECORD
        if not path.exists():
            return None
        try:
            return Record.from_plain(files.load_json(path))
        except (TypeError, KeyError) as error:
            raise files.Damaged(path, f"fields are missing or unknown ({error})") from error

    def is_damaged(self) -> bool:
        """Whether the run's record cannot be read."""
        try:
            self.record()
        except files.Damaged:
            return True
        return False

    def record_or_fail(self) -> Record:
        """The record of a run that must be finished. Raises `NotFound` where it is not."""
        record = self.record()
        if record is None:
            raise files.NotFound(f"{self.path.name} is not finished")
        return record

    def weights_are_good(self, record: Record) -> bool:
        """The chosen state as well as its masks."""
        return all(
            (path := self.path / name).exists()
            and files.checksum_of(path) == record.checksums[name.partition(".")[0]]
            for name in (WEIGHTS, MASKS)
        )

    def save_history(self, rows: list[dict[str, Any]]) -> None:
        """Write a table with a column for each key that any row has."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.save_bytes(self.path / HISTORY, text.getvalue().encode())

    def history(self) -> list[dict[str, float]]:
        """The rows of a run's history, without what a row does not hold; none if there is no
        file. Raises `Damaged` naming the file."""
        path = self.path / HISTORY
        if not path.exists():
            return []
        try:
            rows = list(csv.DictReader(path.read_text().splitlines(), strict=True))
            return [{key: float(value) for key, value in row.items() if value} for row in rows]
        except (csv.Error, ValueError, TypeError) as error:
            raise files.Damaged(path, f"it is no table of numbers ({error})") from error

    def packed_sizes(self) -> PackedSizes | None:
        """How large the run is when packed; None where that was not measured, or by another
        version. Raises `Damaged` naming the file."""
        path = self.path / BYTES
        if not path.exists():
            return None
        plain = files.load_json(path)
        if plain.get("version") != BYTES_VERSION:
            return None
        try:
            return PackedSizes.from_plain(plain)
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

    def save_packed_sizes(self, sizes: PackedSizes) -> None:
        """Keep them beside the record."""
        files.save_json(self.path / BYTES, sizes.to_plain())

    def finish(self, record: Record) -> None:
        """The marker, written last; then what only an unfinished run needs goes."""
        files.save_json(self.path / RECORD, record.to_plain())
        for name in (CHECKPOINT, PREVIOUS, PROGRESS, FAILURE):
            (self.path / name).unlink(missing_ok=True)

    def reopen(self) -> None:
        """Make a finished run unfinished again."""
        (self.path / RECORD).unlink(missing_ok=True)

    def fail(self, failure: dict[str, Any]) -> None:
        """Mark the run as failed, with the reason as plain data."""
        files.save_json(self.path / FAILURE, failure)
        (self.path / PROGRESS).unlink(missing_ok=True)

    def failure(self) -> dict[str, Any] | None:
        """What `fail` wrote; None where the run did not fail."""
        path = self.path / FAILURE
        return files.load_json(path) if path.exists() else None

    def forget_failure(self) -> None:
        """Let the run be tried again."""
        (self.path / FAILURE).unlink(missing_ok=True)

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep the one before, so that damage to the newest costs little."""
        newest = self.path / CHECKPOINT
        if newest.exists():
            newest.replace(self.path / PREVIOUS)
        files.save_checked(newest, payload)

    def state_path(self, step: int) -> Path:
        """Where the state after `step` steps is kept, if it was asked for."""
        return self.path / STATE.format(step)

    def save_state(self, step: int, payload: bytes) -> None:
        """Keep a state for runs that begin there."""
        files.save_checked(self.state_path(step), payload)

    def checkpoints(self) -> list[Path]:
        """What a run may go on from, the newest first."""
        paths = [self.path / CHECKPOINT, self.path / PREVIOUS]
        return [path for path in paths if path.exists()]

    def states(self) -> list[int]:
        """The steps after which a state is kept, rising."""
        if not self.path.is_dir():
            return []
        before, after = STATE.split("{:06}")
        steps = (
            name.removeprefix(before).removesuffix(after)
            for name in os.listdir(self.path)
            if name.startswith(before) and name.endswith(after)
        )
        return sorted(int(step) for step in steps if step.isdecimal())

    def state(self, step: int) -> bytes:
        """The state after `step` steps, as it was saved. Raises `NotFound` where none is kept, and
        `Damaged` naming the file."""
        path = self.state_path(step)
        if not path.exists():
            kept = ", ".join(map(str, self.states())) or "none"
            raise files.NotFound(f"{path} is not there; states are kept of steps: {kept}")
        return files.load_checked(path)

    def show(self, progress: Progress) -> None:
        """Write where the run stands."""
        files.save_json(self.path / PROGRESS, asdict(progress))

    def progress(self) -> Progress | None:
        """Where the run stands; None where nothing is known."""
        try:
            return typed(Progress, files.load_json(self.path / PROGRESS))
        except (OSError, files.Damaged, TypeError):
            return None  # gone, being replaced, or another version's: the next look will tell

    def size(self, *names: str) -> int:
        """Bytes in the named files, or in all."""
        chosen = [self.path / name for name in names] or list(self.path.iterdir())
        return sum(path.stat().st_size for path in chosen if path.is_file())

    def remove(self) -> None:
        """The folder with all that is in it."""
        shutil.rmtree(self.path)
