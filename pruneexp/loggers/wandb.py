"""Weights & Biases. Its own settings hold: WANDB_MODE=offline keeps everything in results/logs."""

from collections.abc import Mapping
from pathlib import Path

import wandb

from pruneexp.loggers.logger import Followed, Logger, Row


class WandbLogger(Logger):
    """A run whose id is this run's fingerprint, so that it goes on as the same one."""

    def begin(self, run: Followed) -> str:
        run.folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=run.project,
            id=run.fingerprint,
            name=run.name,
            config=dict(run.configuration),
            dir=str(run.folder),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True),
        )
        return str(self.run.id)

    def row(self, step: int, values: Row) -> None:
        self.run.log(dict(values), step=step)

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        self.run.summary.update(dict(metrics))
        artifact = wandb.Artifact(f"run-{self.run.id}", type="run")
        for path in files:
            artifact.add_file(str(path))
        self.run.log_artifact(artifact)

    def close(self, state: str) -> None:
        self.run.finish(exit_code=0 if state == "finished" else 1)
