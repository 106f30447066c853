"""Loggers: what they are told, and that none can cost a run. Those of other packages are tried
where the package is installed (`make test-loggers` installs all)."""

import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruneexp import loggers
from pruneexp.cli.compose import compose
from pruneexp.config.read import read
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import name
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import demand_ready
from pruneexp.loggers import Known
from pruneexp.loggers.follower import LOGGED, Follower
from pruneexp.loggers.logger import Followed, Logger, Row
from pruneexp.training.fit import Stopped
from tests.conftest import After, Make, outcome, silent

WORDS = "that logger has failed\x1b[31m"


class Told(Logger):
    """Remembers what it is told."""

    calls: list[tuple[str, Any]]

    def begin(self, run: Followed) -> str:
        self.calls.append(("begin", run))
        return f"id of {run.fingerprint}"

    def row(self, step: int, values: Row) -> None:
        self.calls.append(("row", (step, dict(values))))

    def finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        self.calls.append(("finish", (dict(metrics), files)))

    def close(self, state: str) -> None:
        self.calls.append(("close", state))


class Failing(Told):
    """Fails at the third row."""

    def row(self, step: int, values: Row) -> None:
        Told.row(self, step, values)
        if sum(kind == "row" for kind, _ in self.calls) == 3:
            raise SystemExit(WORDS)


class Hanging(Told):
    """Never answers."""

    free = threading.Event()

    def begin(self, run: Followed) -> str:
        self.free.wait(60)
        return ""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """Three more loggers: told, failing, hanging. Gives what the first was told."""
    Hanging.free.clear()
    made = types.ModuleType("pruneexp.loggers.made_up")
    for kind in (Told, Failing, Hanging):
        fresh = type(kind.__name__, (kind,), {"calls": []})
        setattr(made, kind.__name__, fresh)
        known = Known("made_up", kind.__name__, "pytest")
        monkeypatch.setitem(loggers.LOGGERS, kind.__name__.lower(), known)
    monkeypatch.setitem(sys.modules, "pruneexp.loggers.made_up", made)
    yield made.Told.calls  # type: ignore[attr-defined]
    Hanging.free.set()


def test_each_row_is_told_once_with_its_validation(told: list, tiny: Make) -> None:
    run = tiny(logger=["told"])
    record = execute(run, say=silent)
    kinds = [kind for kind, _ in told]
    assert kinds == ["begin", *["row"] * 12, "finish", "close"]
    begun = told[0][1]
    assert (begun.fingerprint, begun.name, begun.resumed) == (record.fingerprint, record.name, "")
    assert begun.configuration["model.width"] == 0.1
    history = run.store.folder(record.name).history()
    rows = [values for kind, values in told if kind == "row"]
    assert [step for step, _ in rows] == list(range(1, 13))
    assert [values for _, values in rows] == [
        {key: value for key, value in row.items() if key != "step"} for row in history
    ]
    metrics, files = told[-2][1]
    assert metrics["test/accuracy"] == record.test["accuracy"]
    assert files == [run.store.folder(record.name).path / "record.json"] and files[0].is_file()
    assert told[-1][1] == "finished"


def test_a_run_that_goes_on_is_the_same_logged_run(told: list, tiny: Make) -> None:
    run = tiny(logger=["told"], checkpoint_seconds=1e6)
    for stop in (5, 4):
        with pytest.raises(Stopped):
            execute(run, say=silent, stop=After(stop))
        assert told[-1] == ("close", "interrupted")
    record = execute(run, say=silent)
    begun = [run.resumed for kind, run in told if kind == "begin"]
    assert begun == ["", *[f"id of {record.fingerprint}"] * 2]
    assert [values[0] for kind, values in told if kind == "row"] == list(range(1, 13))
    execute(run, say=silent)  # finished: nothing more is told
    assert len(begun) == 3 == sum(kind == "begin" for kind, _ in told)


def test_a_logger_that_fails_costs_nothing(told: list, tiny: Make, tmp_path: Path) -> None:
    said: list[str] = []
    plain = execute(replace(tiny(), results=str(tmp_path / "plain")), say=silent)
    run = tiny(logger=["failing", "told"])
    record = execute(run, say=said.append)
    assert outcome(record) == outcome(plain)
    assert said == ["logger failing is left out: SystemExit: that logger has failed?[31m"]
    assert told[-1] == ("close", "finished")


def test_a_logger_that_hangs_is_left_behind(told: list, tmp_path: Path) -> None:
    said: list[str] = []
    run = Followed(
        name="run", fingerprint="0123456789ab", project="p", configuration={}, folder=tmp_path
    )
    follower = Follower(["hanging", "told"], run, tmp_path, say=said.append, patience=0.2)
    rows = [{"step": step, "loss": 1.0} for step in range(1, 4)]
    began = time.monotonic()
    follower.look(rows)
    follower.finish(rows, {"test/loss": 1.0}, [])
    follower.close("finished")
    assert time.monotonic() - began < 5
    assert said == ["logger hanging is left out: does not answer after 0.2 seconds"]
    assert [kind for kind, _ in told] == ["begin", *["row"] * 3, "finish", "close"]


def test_a_failed_run_is_closed_as_failed(told: list, tiny: Make) -> None:
    with pytest.raises(Invalid):
        execute(tiny(logger=["told"], batch_size=10_000), say=silent)
    assert [kind for kind, _ in told] == ["begin", "close"]
    assert told[-1] == ("close", "failed")


@pytest.mark.parametrize("content", ["{", '{"loggers": {"told": {"id": 3, "step": "x"}}}'])
def test_what_was_kept_may_be_forged(told: list, tmp_path: Path, content: str) -> None:
    (tmp_path / LOGGED).write_text(content)
    run = Followed(
        name="run", fingerprint="0123456789ab", project="p", configuration={}, folder=tmp_path
    )
    Follower(["told"], run, tmp_path, say=silent).close("finished")
    assert told[0][1].resumed == ""


def test_it_is_no_part_of_a_runs_name(tiny: Make) -> None:
    assert name(tiny()) == name(tiny(logger=["wandb"]))


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("logger=tensorboard", ["tensorboard"]),
        ("logger=[tensorboard,mlflow]", ["tensorboard", "mlflow"]),
        ("logger=tensorboard,mlflow", ["tensorboard", "mlflow"]),
        ("logger=none", []),
    ],
)
def test_on_the_command_line(word: str, names: list[str]) -> None:
    (composed,) = compose([word]).configurations
    assert read(composed).logger == names


def test_names_that_are_none(tiny: Make) -> None:
    with pytest.raises(Invalid, match=r"logger takes tensorboard, .* got \['tensorbord'\]"):
        tiny(logger=["tensorbord"])
    with pytest.raises(Invalid, match="logger takes"):
        tiny(logger=["mlflow", "mlflow"])


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tiny: Make) -> None:
    monkeypatch.setitem(loggers.LOGGERS, "mlflow", Known("mlflow", "MLflowLogger", "no_such"))
    with pytest.raises(Invalid, match=r"logger=mlflow needs the package mlflow: pip install"):
        demand_ready(tiny(logger=["mlflow"]))


# --- with the real packages --------------------------------------------------------------------

REAL = pytest.mark.filterwarnings("ignore")  # of what other packages do


@REAL
def test_tensorboard_files_read_back(tiny: Make) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    said: list[str] = []
    run = tiny(logger=["tensorboard"])
    with pytest.raises(Stopped):
        execute(run, say=silent, stop=After(5))
    record = execute(run, say=said.append)
    assert not [line for line in said if "left out" in line]
    events = EventAccumulator(
        str(Path(run.results) / "logs" / "tensorboard" / record.name)
    ).Reload()
    assert [each.step for each in events.Scalars("loss")] == list(range(1, 13))
    (value,) = events.Scalars("test/accuracy")
    assert value.value == pytest.approx(record.test["accuracy"], rel=1e-5)
    assert "configuration/text_summary" in events.Tags()["tensors"]


@REAL
def test_mlflow_store_reads_back(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tiny(logger=["mlflow"], title="Tiny")
    with pytest.raises(Stopped):
        execute(run, say=silent, stop=After(5))
    said: list[str] = []
    record = execute(run, say=said.append)
    assert not [line for line in said if "left out" in line]
    uri = f"sqlite:///{Path(run.results).absolute() / 'logs' / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("Tiny")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["model.width"] == "0.1"
    assert found.data.metrics["test/accuracy"] == pytest.approx(record.test["accuracy"])
    steps = [each.step for each in client.get_metric_history(found.info.run_id, "loss")]
    assert steps == list(range(1, 13))
    assert [each.path for each in client.list_artifacts(found.info.run_id)] == ["record.json"]


@REAL
def test_wandb_offline(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    said: list[str] = []
    run = tiny(logger=["wandb"])
    record = execute(run, say=said.append)
    assert not [line for line in said if "left out" in line]
    (file,) = (Path(run.results) / "logs" / "wandb").glob("offline-run-*/run-*.wandb")
    assert file.name == f"run-{record.fingerprint}.wandb"
    content = file.read_bytes()
    for part in (b"test/accuracy", b"sparsity", b"model.width"):
        assert part in content


@REAL
def test_trackio_database_reads_back(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "logs" / "trackio"))  # read at the import
    pytest.importorskip("trackio")
    said: list[str] = []
    record = execute(tiny(logger=["trackio"]), say=said.append)
    assert not [line for line in said if "left out" in line]
    (database,) = (tmp_path / "logs" / "trackio").glob("*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select step, metrics from metrics order by step").fetchall()
    text = " ".join(str(row[1]) for row in rows)
    assert {row[0] for row in rows} == set(range(1, 13))
    assert "test/accuracy" in text and f"{record.test['accuracy']:.4g}"[:3] in text
