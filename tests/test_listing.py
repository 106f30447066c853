"""All runs of a folder, two runs side by side, and the line that makes one again."""

import json
import shlex
from pathlib import Path

import pytest

import pruneexp
from pruneexp.cli.compose import compose
from pruneexp.cli.main import main
from pruneexp.config.read import read
from pruneexp.config.run import fingerprint
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import settle
from pruneexp.engine.record import RECORD, Failure
from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.tasks import Grammar
from tests.conftest import Make, silent, tiny_gradual
from tests.results import PERPLEXITY, Results, weights


def said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *words: str,
    status: int = 0,
) -> str:
    """What the command prints, or for a failure complains of."""
    monkeypatch.setattr("sys.argv", ["pruneexp", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert (stopped.value.code or 0) == status, captured.err
    return captured.err if status else captured.out


@pytest.fixture
def mixed(results: Results) -> Results:
    """Two nets on glyphs, one on a language, and one that failed."""
    results.finish(2_000, 80.0, 0.5, weighed=weights(2_000, file=9_000, folded=8_000))
    results.finish(1_000, 82.0, 1.0, 0.9, weighed=weights(1_000, file=5_000), seconds=0.002)
    language = {"model": LSTMLanguageModel(hidden_size=8), "task": Grammar()}
    results.finish(500, 12.0, metric=PERPLEXITY, **language)
    failed = results.ask(0.25)
    results.store.folder(failed.name).fail(Failure(error="Diverged", message="the loss \x1b[31m"))
    return results


class TestFrame:
    def test_a_row_a_run_with_bytes_and_milliseconds(self, mixed: Results) -> None:
        frame = pruneexp.runs(mixed.store.results).set_index("name")
        assert len(frame) == 4
        sparse = frame[frame.kind == "sparse"].iloc[0]
        assert (sparse.test, sparse.bytes, sparse.bytes_int8) == (82.0, 5_000, 1_250)
        assert sparse.milliseconds == 2.0 and sparse.task == "glyphs" and sparse["size"] == "×1"
        dense = frame[(frame.kind == "dense") & (frame.task == "glyphs")].iloc[0]
        assert dense.bytes == 8_000  # batch-norm folded
        assert frame[frame.state == "failed"].iloc[0].why.startswith("the loss")
        assert str(frame.nonzero.dtype) == "Int64"

    def test_a_damaged_record_is_a_row_that_says_so(self, mixed: Results) -> None:
        folder = next(f for f in mixed.store.folders() if f.status() == "finished")
        (folder.path / RECORD).write_text("[]")
        frame = pruneexp.runs(mixed.store.results)
        assert list(frame[frame.state == "damaged"].name) == [folder.path.name]

    def test_without_runs_it_has_its_columns(self, tmp_path: Path) -> None:
        frame = pruneexp.runs(tmp_path)
        assert len(frame) == 0 and "bytes_int8" in frame.columns


class TestList:
    def test_the_best_of_each_task_first(
        self, mixed: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def tests(*words: str) -> list[float | None]:
            folder = f"results={mixed.store.results}"
            shown = said(monkeypatch, capsys, "list", *words, folder, "format=json")
            return [row["test"] for row in json.loads(shown)]

        assert tests() == [82.0, 80.0, 12.0, None]
        assert tests("DENSE", "mobilenet") == [80.0, None]
        assert tests("--sort", "bytes", "--state", "finished") == [82.0, 80.0, 12.0]
        assert tests("--task", "grammar") == [12.0]
        assert tests("--kind", "sparse") == [82.0]

    @pytest.mark.parametrize("width", ["45", "70", "140"])
    def test_it_fits_the_terminal_and_show_takes_what_it_prints(
        self,
        mixed: Results,
        width: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("COLUMNS", width)
        shown = said(monkeypatch, capsys, "list", f"results={mixed.store.results}")
        lines = shown.splitlines()
        assert max(map(len, lines)) <= int(width) and "\x1b" not in shown
        name = lines[1].split()[0]
        assert mixed.store.find(name).record_or_fail().test_value == 82.0

    def test_what_is_left_out_is_said(
        self, mixed: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shown = said(monkeypatch, capsys, "list", "--most", "1", f"results={mixed.store.results}")
        assert "and 3 more; --most 4 shows them" in shown

    @pytest.mark.parametrize("words", [["nosuch"], ["--state", "x"]])
    def test_nothing_is_meant(
        self,
        mixed: Results,
        words: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = f"results={mixed.store.results}"
        told = said(monkeypatch, capsys, "list", *words, folder, status=2)
        assert "none of 4 runs is meant" in told


class TestCompare:
    def test_settings_figures_bytes_and_layers(
        self, tiny: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one, other = tiny(tiny_gradual()), tiny(tiny_gradual(sparsity=0.5), seed=3)
        for run in (one, other):
            execute(run, say=silent)
        words = ["compare", fingerprint(one), fingerprint(other), f"results={one.results}"]
        plain = json.loads(said(monkeypatch, capsys, *words, "format=json"))
        assert plain["settings that differ"]["pruning.sparsity"] == [0.8, 0.5]
        assert plain["settings that differ"]["seed"] == [0, 3]
        kept = plain["weights kept, layer by layer"]["classifier.weight"]
        assert kept == ["479 of 2,397", "1,198 of 2,397"]
        small, large = plain["bytes of the packed file"]["fp32, batch-norm folded"]
        assert small < large
        shown = said(monkeypatch, capsys, *words)
        assert "A: mobilenet_v1_small" in shown and "weights kept, layer by layer" in shown

    def test_differing_data_is_said(
        self, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = results.finish(10, 80.0), results.finish(10, 81.0, 0.5, data="other")
        folder = f"results={results.store.results}"
        words = ["pruneexp", "compare", first.name, second.name, folder]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit):
            main()
        assert "different data" in capsys.readouterr().err


class TestCommand:
    @pytest.mark.parametrize("budget", ["", "22kB"])
    def test_the_line_makes_the_very_run(
        self,
        tiny: Make,
        budget: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        model = MobileNetV1(width=0.2, layout="small")
        run = settle(tiny(tiny_gradual(), model=model, budget=budget))
        execute(run, say=silent)
        words = ("show", "--command", fingerprint(run), f"results={run.results}")
        line = said(monkeypatch, capsys, *words)
        assert line.startswith("pruneexp run ") and ("budget=22kB" in line) == bool(budget)
        (node,) = compose(shlex.split(line)[2:]).configurations
        assert fingerprint(settle(read(node))) == fingerprint(run)
