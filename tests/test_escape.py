"""Any text in a record or plan ends as text in every output of a report."""

import csv
import io
import json
import xml.dom.minidom
from html.parser import HTMLParser
from pathlib import Path

import hypothesis.strategies as some
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from pruneexp.cli import main
from pruneexp.cli.compose import Composed, compose
from pruneexp.config.recipe import Invalid
from pruneexp.engine.record import Metric
from pruneexp.printable import printable
from pruneexp.report import report
from pruneexp.report.escape import for_csv, for_html, for_latex, for_markdown
from pruneexp.report.format import Table
from tests.results import Results

HOSTILE = 'a $x^{ $ b \\input{x} % & _ # ~ ^ \x1b[31m\u202e <script>"|`*[ =cmd|x\n@x'
ORDERS = "\x1b\x07\x9b\u202e"


@given(some.text())
def test_latex_obeys_nothing(text: str) -> None:
    safe = for_latex(text)
    for ours in ("\\textbackslash{}", "\\textasciitilde{}", "\\textasciicircum{}", "\\textless{}"):
        safe = safe.replace(ours, "")
    for ours in ("\\textgreater{}", "\\textbar{}", "\\textquotedbl{}", "$\\pm$", "$\\times$"):
        safe = safe.replace(ours, "")
    for ours in ("$\\approx$", "$-$", *("\\" + sign for sign in "&%$#_{}")):
        safe = safe.replace(ours, "")
    assert not set(safe) & set('\\&%$#_{}~^<>|"')


@given(some.text())
def test_a_cell_begins_no_formula_and_comes_back(text: str) -> None:
    table = Table(raw=pd.DataFrame({text: [text], "n": [-1.5]}), header=["a"], cells=[], align="l")
    (header, _), (cell, number) = csv.reader(io.StringIO(table.csv(), newline=""))
    for read in (header, cell):
        assert not read.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert read in (printable(text), f"'{printable(text)}")
    assert number == "-1.5"
    assert for_csv(-1.5) == -1.5


@given(some.text())
def test_html_is_text(text: str) -> None:
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(f"{tag} {attrs}")

        def handle_data(self, data: str) -> None:
            assert not set(data) & set(ORDERS)

    Reader().feed(f'<p title="{for_html(text)}">{for_html(text)}</p>')
    assert len(seen) == 1


@given(some.text())
def test_markdown_is_one_line_of_text(text: str) -> None:
    safe = for_markdown(text)
    assert "\n" not in safe and not set(safe) & set(ORDERS)
    plain = safe.replace("\\\\", "")
    for sign in "`*<|[":
        assert sign not in plain.replace("\\" + sign, "")


@pytest.fixture
def hostile(results: Results) -> Results:
    metric = Metric(name="accuracy", unit=HOSTILE, higher_is_better=True)
    for width, test in ((1.0, 80.0), (0.5, 70.0)):
        record = results.finish(int(1e5 * width), test, width, metric=metric)
        record.circumstances["torch"] = HOSTILE
        results.store.folder(record.name).finish(record)
    results.finish(20_000, 75.0, sparsity=0.9, metric=metric)
    results.plan.title = HOSTILE
    results.plan.unreadable = [{"overrides": HOSTILE, "error": HOSTILE}]
    return results


def test_a_whole_report_of_hostile_text(hostile: Results) -> None:
    made = report(hostile.store, hostile.plan)
    assert {path.suffix for path in made.files} >= {".png", ".svg", ".pdf", ".csv", ".md", ".tex"}
    for path in made.files:
        content = path.read_bytes()
        if path.suffix == ".svg":
            xml.dom.minidom.parseString(content)
        if path.suffix in (".svg", ".csv", ".md", ".tex", ".html"):
            text = content.decode()
            assert not set(text) & set(ORDERS), path
            if path.suffix in (".html", ".svg", ".tex"):
                assert '<script>"' not in text, path  # as the hostile text has it
            if path.suffix == ".md":
                assert "<script>" not in text.replace("\\<", ""), path
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
            assert not any(cell.startswith(("=", "@", "+")) for cell in cells)
    assert not set(made.text()) & set(ORDERS)


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(title=some.text(min_size=1, max_size=80))
def test_figures_draw_under_any_title(results: Results, title: str) -> None:
    from pruneexp.report import figures

    results.plan.runs.clear()
    results.finish(1000, 70.0)
    results.finish(3000, 75.0, width=0.5)
    results.plan.title = title
    drawn = figures.draw("parameters", results.find(), ["svg"])
    xml.dom.minidom.parseString(drawn["svg"])


def test_networks_without_multiply_adds_and_without_weights(results: Results) -> None:
    results.finish(1000, 70.0, work=(0, 0))
    results.finish(3000, 75.0, width=0.5, work=(0, 0))
    results.finish(1500, 72.0, sparsity=0.5, work=(0, 0))
    assert report(results.store, results.plan).missing == []
    results.finish(0, 10.0, sparsity=0.99, work=(0, 0))
    assert report(results.store, results.plan).missing == []


def test_a_report_that_fails_is_no_fault_of_the_configuration(
    results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pruneexp.report

    def fail(*given: object, **named: object) -> None:
        raise ValueError("\nsomething inside")

    monkeypatch.setattr(pruneexp.report, "report", fail)
    small = ["task.train=50", "task.valid=20", "task.test=20", "model.width=0.05"]
    words = ["run", "-m", *small, "training.steps=1", "training.batch_size=16", "pruning=none"]
    with pytest.raises(SystemExit) as ended:
        main.main([*words, "device=cpu", "seed=0", f"results={results.store.results}"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "the report failed" in said and "something inside" in said
    assert "pruneexp report sweep" in said
    plan = json.loads(next(results.store.plans.glob("*.json")).read_bytes())
    assert results.store.folder(plan["runs"][0]["name"]).status() == "finished"


def test_a_mistake_of_the_program_is_no_fault_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*given: object) -> None:
        raise ValueError("\nsomething inside")

    monkeypatch.setattr(Composed, "__call__", fail)
    with pytest.raises(ValueError, match="something inside") as raised:
        compose(["task=glyphs"])
    assert not isinstance(raised.value, Invalid)


def test_a_yaml_that_is_no_text_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(Invalid, match="YAML file cannot be read"):
        compose(["--config-dir", str(tmp_path), "model=mine"])
