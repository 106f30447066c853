"""The list of published results, and what is said of what is missing."""

from pathlib import Path

import pytest

from pruneexp.config.location import CONF
from pruneexp.engine import files
from pruneexp.engine.record import Plan, Planned
from pruneexp.engine.transfer import PLAN
from scripts import results


def test_every_result_is_an_experiment() -> None:
    known = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert {result.name for result in results.RESULTS} <= known


def test_what_is_committed_is_counted(tmp_path: Path) -> None:
    result = results.RESULTS[0]
    assert results.standing(result, tmp_path) == (0, 0)
    name = "a-0123456789ab"
    (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / name / "record.json").write_text("{}")
    assert results.standing(result, tmp_path) == (1, 0)
    runs = [Planned(fingerprint=each[-12:], name=each, run={}) for each in (name, "b-ba9876543210")]
    plan = Plan(name="mine", title="", runs=runs)

    files.save_json(tmp_path / PLAN, plan.to_plain())
    assert results.standing(result, tmp_path) == (1, 2)


def test_the_table_says_what_is_missing_and_how_it_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "PUBLISHED", tmp_path)
    lines = results.table()
    assert len(lines) == 2 * len(results.RESULTS)
    assert "hours from nothing" in lines[0] and "make results NAME=" in lines[1]
    assert any("needs the Penn Treebank" in line for line in lines)


def test_an_unknown_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["results", "table9"])
    assert results.main() == 2
    assert "no result table9; there are table3_small" in capsys.readouterr().err
