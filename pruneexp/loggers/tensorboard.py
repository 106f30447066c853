"""TensorBoard: event files in results/logs/tensorboard/<run>; `tensorboard --logdir` shows them."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from pruneexp.loggers.logger import Followed, Logger, Row


class TensorBoardLogger(Logger):
    """Scalars over steps, the configuration as a text."""

    def begin(self, run: Followed) -> str:
        folder = run.folder / "tensorboard" / run.name
        self.writer = SummaryWriter(str(folder))
        self.step = 0
        if not run.resumed:
            told = json.dumps(dict(run.configuration), indent=1)
            self.writer.add_text("configuration", f"```\n{told}\n```", 0)
        return run.name

    def row(self, step: int, values: Row) -> None:
        self.step = step
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, self.step)
        for path in files:
            self.writer.add_text(path.name, f"```\n{path.read_text()}\n```", self.step)

    def close(self, state: str) -> None:
        self.writer.close()
