"""Whether the data at hand is what a finished run was trained on.

A record holds the checksum of its data, and a run's name says nothing of where its data lies: the
same command with another `task.root` would find the first folder's result. What a data set's files
were when its checksum was last taken is kept in the cache, so that asking again reads no data.
"""

from contextlib import suppress
from typing import Any

from pruneexp.config.recipe import Fault, Invalid, digest
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.record import Record
from pruneexp.engine.store import Store
from pruneexp.engine.typed import reader
from pruneexp.tasks.task import Task

KNOWN = "data.json"  # in the cache: checksums by what the files were


class DataIdentity:
    """The checksums of data sets, each taken once as long as its files stay as they are.

    DataIdentity(store).demand_same(run, record)
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._path = store.cache / KNOWN
        self._known: dict[str, str] | None = None  # read when it is asked for

    def demand_same(self, run: Run, record: Record) -> None:
        """Raise `Invalid` where the data at hand is not what the run was trained on. Data that is
        not there any more is no objection to a result that is."""
        trained_on = record.checksums.get("data")
        try:
            checksum = self.checksum(run.task) if trained_on else None
        except Invalid:
            return
        if checksum is None or checksum == trained_on:
            return
        why = (
            f"holds other data ({checksum[:8]}) than {record.name} was trained on "
            f"({str(trained_on)[:8]}); give this data a name of its own with task.name=..., or "
            f"remove {self.store.folder(record.name).path}"
        )
        raise Invalid([Fault("task.root", why)])

    def checksum(self, task: Task) -> str | None:
        """Of the data at hand; None where the task's settings alone say what it is. Raises
        `Invalid` where the data is not there."""
        key = self._key(task)
        if key is None:
            return None
        known = self._read()
        if key not in known:
            task.ready()
            self.remember(task, task.load(self.store.cache).checksum)
        return known.get(key)

    def remember(self, task: Task, checksum: str) -> None:
        """Keep the checksum of data that was just read."""
        key = self._key(task)
        known = self._read()
        if key is None or known.get(key) == checksum:
            return
        known[key] = checksum
        with suppress(files.CannotWrite):  # then it is read again the next time
            files.save_json(self._path, {"data": known})

    def _key(self, task: Task) -> str | None:
        try:
            signature = task.signature()
        except Invalid:
            return None
        return None if signature is None else digest([task.data_key(), signature])

    def _read(self) -> dict[str, str]:
        if self._known is None:
            try:
                plain: Any = files.load_json(self._path).get("data")
                self._known = reader(dict[str, str])(plain, "data")
            except (OSError, files.Damaged, TypeError):
                self._known = {}
        assert self._known is not None
        return self._known
