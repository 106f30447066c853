"""From records to rows: the index of what was read, names over distinct settings, claims as data,
and files that an earlier report left."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from pruneexp.config.curve import describe
from pruneexp.engine import files
from pruneexp.engine.record import BYTES, RECORD, Trial
from pruneexp.models import InceptionV3, LSTMLanguageModel, MobileNetV1, Model, ResNet50
from pruneexp.pruning import Random
from pruneexp.pruning.start import FromDense
from pruneexp.quantisation import Aware, Rounding
from pruneexp.report import figures, report
from pruneexp.report.data import index, load, naming
from pruneexp.tasks import Grammar
from tests.results import Results, paper, weights


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestIndex:
    def cache(self, results: Results) -> Path:
        return results.store.cache / index.NAME

    def count_reads(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        read: list[Path] = []
        original = files.load_json

        def counted(path: Path) -> dict[str, Any]:
            if path.name in (RECORD, BYTES):
                read.append(path)
            return original(path)

        monkeypatch.setattr(files, "load_json", counted)
        return read

    def test_a_second_report_reads_only_what_changed(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for seed in range(3):
            results.finish(1000, 70.0 + seed, seed=seed, weighed=weights(900, file=4000))
        read = self.count_reads(monkeypatch)
        first = content(report(results.store, results.plan).folder)
        assert len(read) == 6 + 1  # the page shows the pick's file by layer
        read.clear()
        assert content(report(results.store, results.plan).folder) == first
        assert [path.name for path in read] == [BYTES]
        record = results.finish(1000, 99.0, seed=1)
        read.clear()
        load.load(results.store, results.plan)
        assert {path.parent.name for path in read} == {record.name}

    def test_the_report_is_the_same_with_it_and_without(self, results: Results) -> None:
        paper(results)
        first = content(report(results.store, results.plan).folder)
        assert self.cache(results).exists()
        assert content(report(results.store, results.plan).folder) == first
        self.cache(results).unlink()
        assert content(report(results.store, results.plan).folder) == first

    @pytest.mark.parametrize(
        "payload", [b"", b"[]", b"{}", b'{"entries": 3}', b"\xff", b"[" * 10**5]
    )
    def test_a_damaged_index_is_made_again(self, results: Results, payload: bytes) -> None:
        results.finish(1000, 70.0)
        load.load(results.store, results.plan).index.save()
        for spoil in (files.save_checked, lambda path, data: path.write_bytes(data)):
            spoil(self.cache(results), payload)
            (row,) = load.load(results.store, results.plan).rows
            assert row.test == 70.0

    def test_a_forged_entry_does_not_reach_the_report(self, results: Results) -> None:
        record = results.finish(1000, 70.0)
        load.load(results.store, results.plan).index.save()
        data = json.loads(files.load_checked(self.cache(results)))
        data["entries"][record.name][1]["test"] = "<script>"
        files.save_checked(self.cache(results), json.dumps(data).encode())
        (row,) = load.load(results.store, results.plan).rows
        assert row.test == 70.0

    def test_one_that_cannot_be_written_stops_nothing(self, results: Results) -> None:
        results.finish(1000, 70.0)
        results.store.cache.mkdir(parents=True)
        self.cache(results).mkdir()  # a folder where the file should be
        runs = load.load(results.store, results.plan)
        runs.index.save()
        assert len(runs.rows) == 1

    def test_bytes_that_cannot_be_read_are_told_each_time(self, results: Results) -> None:
        record = results.finish(1000, 70.0, weighed=weights(900, file=4000))
        (results.store.folder(record.name).path / BYTES).write_text("{}")
        for _ in range(2):
            runs = load.load(results.store, results.plan)
            assert any(BYTES in warning for warning in runs.warnings)
            assert runs.rows[0].packed is None

    def test_many_points_are_drawn_elsewhere_to_the_same_bytes(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paper(results)
        first = content(report(results.store, results.plan).folder)
        monkeypatch.setattr(figures, "MANY_POINTS", 1)
        monkeypatch.setattr(figures, "_spare_cores", lambda: 2)  # the tests may have threads
        assert content(report(results.store, results.plan).folder) == first

    def test_a_drawing_process_that_is_killed_does_not_stop_a_report(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paper(results)
        first = content(report(results.store, results.plan).folder)
        monkeypatch.setattr(figures, "MANY_POINTS", 1)
        monkeypatch.setattr(figures, "_spare_cores", lambda: 2)
        original, here = figures.draw, os.getpid()

        def killed(name: str, *what: Any) -> dict[str, bytes]:
            if name == "megabytes" and os.getpid() != here:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(name, *what)

        monkeypatch.setattr(figures, "draw", killed)
        assert content(report(results.store, results.plan).folder) == first

    @pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="forks on Linux alone")
    def test_nothing_is_forked_beside_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
        for threads, cores in ((1, 3), (2, 1)):
            monkeypatch.setattr(threading, "active_count", lambda count=threads: count)
            assert figures._spare_cores() == cores


class TestNames:
    def test_they_cost_as_much_for_many_seeds_and_levels(
        self, results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only distinct settings are compared with each other."""
        calls: list[int] = []
        original = naming._telling
        monkeypatch.setattr(
            naming, "_telling", lambda many: (calls.append(len(many)), original(many))[1]
        )

        def compared(seeds: int, levels: int) -> int:
            runs = [
                results.ask(1.0, 0.5 + level / 100, seed=s)
                for s in range(seeds)
                for level in range(levels)
            ]
            curves = [describe(results.runs[planned.name]) for planned in runs]
            calls.clear()
            naming.names(curves, ["d"] * len(curves))
            return sum(calls)

        assert compared(1, 2) == compared(5, 20)

    def test_every_kind_of_recipe_says_what_it_is(self, results: Results) -> None:
        def described(*what: Any, **more: Any) -> Any:
            return describe(results.runs[results.ask(*what, **more).name])

        dense = described(0.5)
        assert (dense.kind, dense.family, dense.dial) == ("dense", "mobilenet_v1 small", None)
        assert [(s.name, s.value, s.words) for s in dense.sizes] == [("width", 0.5, "×0.5")]
        sparse = described(1.0, 0.9, criterion=Random())
        assert (sparse.kind, sparse.dial.name, sparse.dial.value) == ("sparse", "sparsity", 0.9)
        words = {trait.key: trait.words for trait in sparse.traits}
        assert words["pruning.criterion"] == "random"
        assert words["pruning.scope"] == "scope model"
        assert words["training.learning_rate"] == "learning rate 0.1"
        assert "pruning.sparsity" not in words
        lstm = described(model=LSTMLanguageModel(hidden_size=30, tied=True), task=Grammar())
        assert lstm.family == "lstm_lm tied" and lstm.sizes[0].words == "30 units"
        rounded = described(1.0, 0.9, quantisation=Rounding(values="int8"))
        assert (rounded.values, rounded.quantised) == ("int8", "int8 after training")
        control = described(1.0, 0.9, quantisation=Aware(values="fp32"))
        assert control.quantised == "fp32 trained on"


class TestStaleFiles:
    def test_what_a_report_no_longer_draws_is_removed(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.5)
        results.finish(4_000, 70.0, 1.0, 0.5)
        folder = report(results.store, results.plan).folder
        assert (folder / "multiply_adds.png").exists() is False
        assert (folder / "comparison.csv").exists() and (folder / "rivals.csv").exists() is False
        results.finish(2_000, 65.0, 1.0, 0.7, criterion=Random())
        report(results.store, results.plan)
        assert (folder / "rivals.csv").exists()
        own = folder / "notes.md"
        own.write_text("mine")
        results.plan.runs.pop()
        report(results.store, results.plan)
        assert not (folder / "rivals.csv").exists() and own.read_text() == "mine"

    def test_a_forged_list_removes_nothing_else(self, results: Results, tmp_path: Path) -> None:
        results.finish(1_000, 60.0)
        folder = report(results.store, results.plan).folder
        victim = tmp_path / "results" / "victim.csv"
        victim.write_text("x")
        names = ["../../victim.csv", str(victim), "a/b.csv", 3, None, "record.json"]
        files.save_json(folder / ".files.json", {"files": names})
        report(results.store, results.plan)
        assert victim.exists()


def test_a_width_is_a_column_of_the_frame(results: Results) -> None:
    results.finish(1000, 70.0, 0.5)
    frame = load.load(results.store, results.plan).frame
    assert list(frame["width"]) == [0.5] and os.fspath(results.store.results)


@pytest.mark.parametrize("family", [MobileNetV1, InceptionV3, ResNet50])
def test_the_width_is_the_one_size_of_a_convolutional_family(family: type[Model]) -> None:
    (size,) = family(width=0.5).sizes()
    assert (size.name, size.words, size.heading) == ("width", "×0.5", "Width")


class TestWhatWasSpent:
    def test_weights_are_averaged_over_training(self, results: Results) -> None:
        """Half of the steps dense, then 80 % of one million gone: 600,000 in the mean."""
        history = [{"step": step, "sparsity": s} for step, s in ((500, 0.0), (1000, 0.8))]
        results.finish(200_000, 60.0, 1.0, 0.8, history=history)
        results.finish(1_000_000, 70.0, 1.0)
        rows = {row.kind: row for row in load.load(results.store, results.plan).rows}
        assert rows["sparse"].trained_nonzero == pytest.approx(600_000)
        assert rows["dense"].trained_nonzero == 1_000_000

    def test_a_dense_parent_counts_as_it_was(self, results: Results) -> None:
        history = [{"step": 1000, "sparsity": 0.8}]
        results.finish(200_000, 60.0, 1.0, 0.8, steps=4000, history=history)
        (row,) = load.load(results.store, results.plan).rows
        assert row.trained_nonzero == pytest.approx((3 * 1_000_000 + 200_000) / 4)

    def test_without_a_history_it_is_not_known(self, results: Results) -> None:
        results.finish(200_000, 60.0, 1.0, 0.8)
        (row,) = load.load(results.store, results.plan).rows
        assert row.trained_nonzero is None

    def test_trials_are_counted_with_the_curve_that_they_were_made_for(
        self, results: Results
    ) -> None:
        record = results.finish(1_000, 60.0, 0.5)
        results.finish(1_000, 65.0, 1.0, 0.9)
        values = {"training.learning_rate": "0.1"}
        results.plan.trials = [
            Trial(point="a", values=values, name=each, valid=1.0, chosen=each == record.name)
            for each in (record.name, "other-0123456789ab", "third-0123456789ab")
        ]
        given = results.find().budgets
        assert (given["dense"].trials, given["dense"].trial_steps) == (3, 2000)
        assert given["sparse"].trials == 0
        assert "settings chosen by 3 trials, 2,000 steps beside these runs" in str(given["dense"])

    def test_of_a_search_that_has_not_ended_the_best_so_far_is_shown(
        self, results: Results
    ) -> None:
        key = "pruning.start.rate"
        for rate, test in ((0.1, 60.0), (0.3, 64.0), (1.0, 62.0)):
            results.finish(1_000, test, 1.0, 0.9, start=FromDense(rate=rate))
        for seed in (0, 1):  # which an earlier round made
            results.finish(1_000, 70.0 + seed, 1.0, 0.5, start=FromDense(rate=0.3), seed=seed)
        *trials, first, second = results.plan.runs
        for planned in (*trials, first):
            planned.trial_of = "90 %" if planned is not first else "50 %"
        for planned in results.plan.runs:
            planned.chosen = [key]
        trials[0].as_it_is = True  # also asked for as it is, by another point
        runs = load.load(results.store, results.plan)
        told = [(row.series, row.sparsity, row.name) for row in runs.rows]
        assert told == [
            ("sparse, rate 0.1", 0.9, trials[0].name),
            ("sparse, rate searched", 0.9, trials[1].name),
            ("sparse, rate searched", 0.5, first.name),
            ("sparse, rate searched", 0.5, second.name),
        ]
        assert any("of 2 points the best trial on validation so far" in w for w in runs.warnings)

    def test_a_searched_point_and_the_same_point_as_it_is_are_two_curves(
        self, results: Results
    ) -> None:
        """A published factor on the rate beside the best of several, which may be the same run."""
        for sparsity, rates in ((0.9, (0.1, 0.3)), (0.5, (0.1,))):
            for rate in rates:
                results.finish(1_000, 60.0, 1.0, sparsity, start=FromDense(rate=rate))
        fixed, better, both = results.plan.runs
        better.chosen = both.chosen = ["pruning.start.rate"]
        both.as_it_is = True
        runs = load.load(results.store, results.plan)
        told = [(row.series, row.sparsity, row.name) for row in runs.rows]
        assert told == [
            ("sparse, rate 0.1", 0.9, fixed.name),
            ("sparse, rate searched", 0.9, better.name),
            ("sparse, rate searched", 0.5, both.name),
            ("sparse, rate 0.1", 0.5, both.name),
        ]
