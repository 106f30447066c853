"""One run's folder: hold it, write into it atomically, read it back checked.

Existence is the status: record.json when a run is finished, failure.json when it failed, a
checkpoint while it is unfinished. A lease is a file lock, which the kernel frees when its holder
dies. Whatever is read is checked by its type (`record.py`), and a file that does not hold what it
should raises `Damaged`, which names it.
"""

import csv
import fcntl
import io
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    BYTES_VERSION,
    CHECKPOINT,
    FAILURE,
    HISTORY,
    LEASE,
    MASKS,
    OUTCOMES,
    PREVIOUS,
    PROGRESS,
    RECORD,
    REOPENED,
    STATE,
    USAGE,
    WEIGHTS,
    Failure,
    Progress,
    Record,
    Usage,
)
from pruneexp.engine.typed import typed
from pruneexp.measure.packed_sizes import PackedSizes

if TYPE_CHECKING:
    from pruneexp.engine.outcomes import Outcomes


class RunFolder:
    """One run's folder, which need not exist before something is written. Whatever is read from it
    is checked; `files.Damaged` names the file.

    Arguments:
        path: whose name ends in the run's fingerprint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lease: os.stat_result | None = None  # of the lease's file, while this object holds it

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
        file = self._locked()
        if file is None:
            yield False
            return
        with file:
            file.truncate(0)
            file.write(str(os.getpid()))  # so that the run is known if this process dies
            file.flush()
            for half in self.path.glob(".*.tmp"):
                half.unlink(missing_ok=True)  # its writer was killed
            if self.status() == "finished":  # it was killed while it tidied up
                self._tidy()
            self._lease = os.fstat(file.fileno())
            try:
                yield True
            finally:
                self._lease = None

    def _locked(self) -> TextIO | None:
        """The lease's file, open and locked; None if another process has the lock. A lock on a
        file that was removed meanwhile holds nothing, so it is taken anew."""
        try:
            while True:
                self.path.mkdir(parents=True, exist_ok=True)
                file = open(self.path / LEASE, "a")  # noqa: SIM115 - closed by the caller
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    return None
                if self._is_in_place(os.fstat(file.fileno())):
                    return file
                file.close()
        except OSError as error:
            raise files.CannotWrite(self.path, error.strerror or str(error)) from error

    def _is_in_place(self, lease: os.stat_result) -> bool:
        try:
            return os.path.samestat(lease, os.stat(self.path / LEASE))
        except OSError:
            return False

    def _demand_lease(self) -> None:
        """Raise `CannotWrite` where the folder was removed under the run that works in it: another
        process may be making the same run by now."""
        if self._lease is not None and not self._is_in_place(self._lease):
            raise files.CannotWrite(self.path, "it was removed or replaced while the run went on")

    def held(self) -> bool:
        """Whether a living process works in the folder."""
        try:
            file = open(self.path / LEASE)  # noqa: SIM115 - closed below
        except OSError:  # it is gone
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def last_holder(self) -> int | None:
        """The process that works in the folder, or did last."""
        try:
            text = files.load_bytes(self.path / LEASE, most_bytes=100).decode("ascii", "replace")
        except (OSError, files.Damaged):
            return None
        return int(text) if text.isdecimal() else None

    def status(self) -> str:
        """finished, running, failed, interrupted or waiting. It reads no file, and asks the system
        once about a finished run and about one that never began."""
        try:
            names = os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return "waiting"
        if RECORD in names and REOPENED not in names:
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
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

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
            and files.checksum_of(path) == record.checksums.get(name.partition(".")[0])
            for name in (WEIGHTS, MASKS)
        )

    def save_history(self, rows: list[dict[str, Any]]) -> str:
        """Write a table with a column for each key that any row has. Returns its checksum, which
        the record keeps."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue().encode()
        files.save_bytes(self.path / HISTORY, content)
        return files.checksum(content)

    def history(self) -> list[dict[str, float]]:
        """The rows of a finished run's history, without what a row does not hold; none if there is
        no file. Raises `Damaged` naming the file."""
        path = self.path / HISTORY
        if not path.exists():
            return []
        content = files.load_bytes(path)
        record = self.record()
        stated = record.checksums.get("history") if record else None  # older records have none
        if stated is not None and files.checksum(content) != stated:
            raise files.Damaged(path, "its checksum is not the one in the run's record")
        try:
            rows = list(csv.DictReader(content.decode().splitlines(), strict=True))
            table = [{key: float(value) for key, value in row.items() if value} for row in rows]
        except (csv.Error, ValueError, TypeError) as error:
            raise files.Damaged(path, f"it is no table of numbers ({error})") from error
        if not all(math.isfinite(value) for row in table for value in row.values()):
            raise files.Damaged(path, "it holds values that are no finite numbers")
        return table

    def save_outcomes(self, outcomes: "Outcomes") -> str:
        """Keep what came of each item. Returns the file's checksum, which the record keeps."""
        files.save_json(self.path / OUTCOMES, outcomes.to_plain())
        return files.checksum_of(self.path / OUTCOMES)

    def outcomes(self) -> "Outcomes | None":
        """What came of each item of the test split; None where no file says it. Raises `Damaged`
        naming the file."""
        from pruneexp.engine.outcomes import Outcomes

        path = self.path / OUTCOMES
        if not path.exists():
            return None
        record = self.record()
        stated = record.checksums.get("outcomes") if record else None
        if stated is not None and files.checksum_of(path) != stated:
            raise files.Damaged(path, "its checksum is not the one in the run's record")
        try:
            return Outcomes.from_plain(files.load_json(path))
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

    def save_usage(self, usage: Usage) -> None:
        """Keep what inputs and outputs mean, where the task says it."""
        if usage != Usage():
            files.save_json(self.path / USAGE, asdict(usage))

    def usage(self) -> Usage:
        """What inputs and outputs mean, as far as it is known. Raises `Damaged` naming the file."""
        path = self.path / USAGE
        if not path.exists():
            return Usage()
        try:
            return typed(Usage, files.load_json(path))
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

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
        self.finish_with(b"".join(files.json_parts(record.to_plain())))

    def finish_with(self, content: bytes) -> None:
        """The same with the record of a run that was finished elsewhere, as its file has it."""
        self._demand_lease()
        files.save_bytes(self.path / RECORD, content)
        self._tidy()

    def _tidy(self) -> None:
        for name in (REOPENED, CHECKPOINT, PREVIOUS, PROGRESS, FAILURE):
            (self.path / name).unlink(missing_ok=True)

    def reopen(self) -> None:
        """Let a finished run be made again. Its record stays until the new one takes its place, so
        that nothing is lost if that does not come to an end."""
        files.save_bytes(self.path / REOPENED, b"")

    def forget_unless_begun(self) -> None:
        """Remove the folder of a run that came to nothing before its first checkpoint."""
        with self.lease() as is_free:
            left = set(os.listdir(self.path)) - {LEASE, FAILURE, PROGRESS}
            if is_free and not left:
                shutil.rmtree(self.path, ignore_errors=True)

    def fail(self, failure: Failure) -> None:
        """Mark the run as failed, with the reason."""
        files.save_json(self.path / FAILURE, asdict(failure))
        (self.path / PROGRESS).unlink(missing_ok=True)

    def failure(self) -> Failure | None:
        """What `fail` wrote; None where the run did not fail. Raises `Damaged` naming the file."""
        path = self.path / FAILURE
        if not path.exists():
            return None
        try:
            return typed(Failure, files.load_json(path))
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

    def forget_failure(self) -> None:
        """Let the run be tried again."""
        (self.path / FAILURE).unlink(missing_ok=True)

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep the one before, so that damage to the newest costs little."""
        self._demand_lease()
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
        return sum(map(files.size_of, chosen))

    def remove(self) -> None:
        """The folder with all that is in it."""
        shutil.rmtree(self.path)
