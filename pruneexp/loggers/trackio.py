"""Trackio: where TRACKIO_DIR says, else its own cache; `trackio show` draws it."""

import os
from collections.abc import Mapping
from pathlib import Path

from pruneexp.loggers.logger import Followed, Logger, Row


class TrackioLogger(Logger):
    """A run of a project, in a database on this machine."""

    def begin(self, run: Followed) -> str:
        os.environ.setdefault("TRACKIO_DIR", str((run.folder / "trackio").absolute()))
        import trackio  # reads the folder when it is imported
        import trackio.run
        import trackio.utils

        for module in (
            trackio,
            trackio.run,
            trackio.utils,
        ):  # which print where the run's own lines stand
            module.__dict__["print"] = lambda *words, **how: None
        self.run = trackio.init(
            project=run.project,
            name=run.name,
            config=dict(run.configuration),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self.step = 0
        return run.name

    def row(self, step: int, values: Row) -> None:
        self.step = step
        self.run.log(dict(values), step=step)

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        self.run.log(dict(metrics), step=self.step)

    def close(self, state: str) -> None:
        self.run.finish()
