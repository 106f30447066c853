"""MLflow: where MLFLOW_TRACKING_URI says, else a database in results/logs/mlflow."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from pruneexp.loggers.logger import Followed, Logger, Row

MOST_PARAMETERS = 100  # that MLflow takes at once
LONGEST = 6_000  # characters of a parameter's value
STATES = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflowLogger(Logger):
    """A run of an experiment that is named after the project."""

    def begin(self, run: Followed) -> str:
        for library in ("mlflow", "alembic"):  # which tell of every table that they make
            logging.getLogger(library).setLevel(logging.WARNING)
        place = run.folder / "mlflow"
        place.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        own = given or f"sqlite:///{place.absolute()}/mlflow.db"
        self.client = MlflowClient(own, registry_uri=own)
        if run.resumed:
            self.id = run.resumed
            self.client.update_run(self.id, status="RUNNING")
            return self.id
        found = self.client.get_experiment_by_name(run.project)
        files = None if given else (place / "files").absolute().as_uri()
        experiment = (
            found.experiment_id
            if found
            else self.client.create_experiment(run.project, artifact_location=files)
        )
        tags = {"fingerprint": run.fingerprint}
        self.id = str(self.client.create_run(experiment, run_name=run.name, tags=tags).info.run_id)
        values = [Param(k, str(v)[:LONGEST]) for k, v in run.configuration.items()]
        for start in range(0, len(values), MOST_PARAMETERS):
            self.client.log_batch(self.id, params=values[start : start + MOST_PARAMETERS])
        return self.id

    def row(self, step: int, values: Row) -> None:
        self._log(values, step)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        self.step = step
        metrics = [Metric(name, value, 0, step) for name, value in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        self._log(metrics, self.step)
        for path in files:
            self.client.log_artifact(self.id, str(path))

    def close(self, state: str) -> None:
        self.client.set_terminated(self.id, STATES[state])
