"""Records, plans and what lies beside them may come from elsewhere: what does not fit is named with
its file, in a line, and leads nowhere."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pruneexp.cli import main
from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    FAILURE,
    HISTORY,
    PROGRESS,
    RECORD,
    Failure,
    Plan,
    Planned,
    Record,
)
from pruneexp.engine.store import Store
from pruneexp.report import report
from tests.results import Results


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main.main(list(map(str, words)))
    return int(ended.value.code or 0)


def change(plain: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The same with one value in another's place."""
    made = json.loads(json.dumps(plain))
    part = made
    *above, last = key.split(".")
    for name in above:
        part = part[int(name)] if isinstance(part, list) else part[name]
    part[last] = value
    return made


RECORDS = [
    ("test.accuracy", 1e308),
    ("test.accuracy", "much"),
    ("test.accuracy", 10**400),
    ("valid", {}),
    ("counts.nonzero", -1),
    ("counts.nonzero", 10**30),
    ("counts.nonzero", "1000"),
    ("counts.nonzero", 2_000_000),  # more than there are
    ("counts.parameters", 1.5),
    ("seed", -1),
    ("step", None),
    ("name", "../../../etc/run-000000000000"),
    ("name", "x" * 300),
    ("fingerprint", "../../../x"),
    ("parents", {"weights": "/etc"}),
    ("curve.sizes", [{}]),
    ("curve.kind", 3),
    ("metric.digits", 10**9),
    ("metric.unit", "x" * 10_000),
    ("budget.steps", -5),
    ("budget.ancestors", {"x": ["y"]}),
    ("circumstances", {"seconds": {}}),
    ("checksums", {"weights": 3}),
    ("more", 1),
    ("version", 99),
]


@pytest.mark.parametrize(("key", "value"), RECORDS, ids=lambda part: str(part)[:30])
def test_a_forged_record_is_named_by_every_command(
    results: Results, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    record = results.finish(1000, 70.0)
    results.finish(2000, 75.0, seed=1)
    store = results.store
    store.save_plan(results.plan)
    folder = store.folder(record.name)
    files.save_json(folder.path / RECORD, change(record.to_plain(), key, value))
    with pytest.raises(files.Damaged, match=RECORD):
        folder.record()
    where = ["--results", store.results]
    assert command("show", record.name, *where) == 2
    assert command("pack", record.name, "-o", "m.pxp", *where) == 2
    assert RECORD in capsys.readouterr().err
    assert command("status", "mine", *where) == 0
    assert command("report", "mine", *where) == 0
    assert RECORD in " ".join(capsys.readouterr().out.split())


PLANS = [
    ("name", "../../x"),
    ("name", "/etc/x"),
    ("name", ""),
    ("name", ".."),
    ("name", "x" * 300),
    ("name", "a\0b"),
    ("name", None),
    ("title", {}),
    ("unreadable", {"a": 1}),
    ("unreadable", [{"overrides": "x"}]),
    ("unreadable", [{"overrides": "x", "error": 3}]),
    ("runs", {}),
    ("runs.0.name", "/etc"),
    ("runs.0.name", "../../../x"),
    ("runs.0.fingerprint", "f"),
    ("runs.0.parents", {"weights": "never-planned-000000000000"}),
    ("runs.0.parents", "PARENT_OF_ITSELF"),
    ("runs.0.parents", "A_CYCLE"),
    ("runs.0.parents", "TWICE"),
    ("runs.0.wanted", "yes"),
    ("runs.0.run", []),
]


@pytest.mark.parametrize(("key", "value"), PLANS, ids=lambda part: str(part)[:30])
def test_a_forged_plan_is_named_and_leads_nowhere(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    first, second = results.ask(), results.ask(seed=1)
    plain = results.plan.to_plain()
    if value == "PARENT_OF_ITSELF":
        value = {"weights": first.name}
    if value == "A_CYCLE":
        plain["runs"][1]["parents"] = {"weights": first.name}
        value = {"weights": second.name}
    if value == "TWICE":
        plain["runs"].append(plain["runs"][1])
        value = {}
    path = results.store.plans / "forged.json"
    files.save_json(path, change(plain, key, value))
    before = sorted(tmp_path.rglob("*"))
    for words in (["status", "forged"], ["report", path], ["work", path], ["bytes", path]):
        assert command(*words, "--results", results.store.results) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert "forged.json" in said[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_s_configuration_may_be_anything(results: Results) -> None:
    """`work` writes down why such a run failed, in its own folder."""
    plans: list[Any] = [{}, {"option": "x"}, {"task": 3}, {"results": "/elsewhere"}]
    for number, run in enumerate(plans):
        name = f"run-{number:012}"
        planned = Planned(fingerprint=f"{number:012}", name=name, run=run)
        results.store.save_plan(Plan(name="forged", title="t", runs=[planned]))
        assert command("work", "forged", "--results", results.store.results) == 0
        failure = results.store.folder(name).failure()
        assert failure is not None and "forged" in failure.message


def test_a_run_that_is_not_what_its_plan_calls_it(results: Results) -> None:
    planned = results.ask()
    other = Planned(fingerprint="0" * 12, name="other-000000000000", run=planned.run)
    results.store.save_plan(Plan(name="forged", title="t", runs=[other]))
    assert command("work", "forged", "--results", results.store.results) == 0
    failure = results.store.folder(other.name).failure()
    assert failure is not None and planned.name in failure.message
    assert not results.store.folder(planned.name).path.exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (FAILURE, {"message": 3}),
        (FAILURE, {"error": "E", "message": "x", "step": -1}),
        (FAILURE, []),
        (PROGRESS, {"step": -1}),
        (PROGRESS, {"sparsity": 7}),
        (PROGRESS, {"step": 1e300}),
        (PROGRESS, {"stage": "x" * 10**5}),
    ],
)
def test_what_lies_beside_an_unfinished_run(
    results: Results, capsys: pytest.CaptureFixture[str], file: str, content: Any
) -> None:
    planned = results.ask()
    folder = results.store.folder(planned.name)
    results.store.save_plan(results.plan)
    files.save_json(folder.path / file, content)
    for words in (["status", "mine"], ["report", "mine"]):
        assert command(*words, "--results", results.store.results) == 0
    status = command("show", planned.name, "--results", results.store.results)
    assert status == (2 if file == FAILURE else 0)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("content", [{}, {"version": 1}, {"version": 1, "prunable": -3}])
def test_bytes_beside_a_run(results: Results, content: Any) -> None:
    record = results.finish(1000, 70.0)
    folder = results.store.folder(record.name)
    files.save_json(folder.path / BYTES, content)
    assert report(results.store, results.plan).missing == []
    try:
        assert folder.packed_sizes() is None
    except files.Damaged as error:
        assert BYTES in str(error)


def test_a_history_is_what_was_written(results: Results) -> None:
    record = results.finish(1000, 70.0, history=[{"step": 1, "loss": 2.5}, {"step": 2}])
    folder = results.store.folder(record.name)
    assert folder.history() == [{"step": 1.0, "loss": 2.5}, {"step": 2.0}]
    path = folder.path / HISTORY
    good = path.read_bytes()
    path.write_bytes(good.replace(b"2.5", b"3.5"))
    with pytest.raises(files.Damaged, match="checksum"):
        folder.history()
    record.checksums.pop("history")  # as in records made before there was one
    folder.finish(record)
    assert folder.history()[0]["loss"] == 3.5
    for forged in (b"step\nnan\n", b"step\n1e999\n", b"step\nx\n", b"\xff\xfe", b'step\n"1\n'):
        path.write_bytes(forged)
        with pytest.raises(files.Damaged, match=HISTORY):
            folder.history()


def test_a_file_that_is_far_too_long_is_refused_before_it_is_read(
    results: Results, tmp_path: Path
) -> None:
    record = results.finish(1000, 70.0)
    path = results.store.folder(record.name).path / RECORD
    with open(path, "wb") as file:
        file.truncate(10**12)  # sparse: it takes no space
    began = time.monotonic()
    with pytest.raises(files.Damaged, match="1,000,000,000,000 bytes"):
        results.store.folder(record.name).record()
    assert time.monotonic() - began < 1


def test_time_grows_with_the_length_of_a_record_and_no_faster(results: Results) -> None:
    """A thousand times the groups take at most some thousand times the time, not a million."""
    record = results.finish(1000, 70.0)
    plain = record.to_plain()

    def seconds(groups: int) -> float:
        plain["counts"]["groups"] = [
            {"name": f"g{i}", "weights": 2, "masked": 1} for i in range(groups)
        ]
        began = time.monotonic()
        Record.from_plain(plain)
        return time.monotonic() - began

    seconds(10)
    assert seconds(50_000) < 2


@pytest.mark.parametrize("text", ["x" * 5_000, "a\0b", "..", ".", "", "../../etc"])
def test_names_that_people_type(
    results: Results, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    results.finish(1000, 70.0)
    for name in ("show", "status", "report", "bytes"):
        assert command(name, text, "--results", results.store.results) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_no_name_leads_out_of_the_runs(tmp_path: Path) -> None:
    for name in ("../x", "/etc", "a/b", ".", "..", ""):
        with pytest.raises(ValueError, match="no name of a run"):
            Store(tmp_path).folder(name)


def test_a_failure_is_kept_short(results: Results) -> None:
    from pruneexp.engine.failure import failure

    folder = results.store.folder(results.ask().name)
    folder.fail(failure(RuntimeError("x" * 10**6)))
    kept = folder.failure()
    assert isinstance(kept, Failure) and len(kept.message) < 10**5
