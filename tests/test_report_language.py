"""The report of language models: settings that go with the size, the layout of the paper's Table 3,
its figures beside ours, and lines to hold the curves against."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pruneexp.engine.record import Metric, Record
from pruneexp.models import LSTMLanguageModel, MobileNetV1
from pruneexp.pruning import Random
from pruneexp.report import report
from pruneexp.report.figures import sizes
from pruneexp.report.output.tables import table
from pruneexp.tasks import Grammar, PennTreebank, Text
from pruneexp.training import Training
from tests.results import PERPLEXITY, Results

FLOORS = {"exact entropy": 13.04, "the generator on this text": 13.10}
# What the three sizes of Zaremba et al. 2014 do not share.
DROPOUT = {200: 0.0, 650: 0.5, 1500: 0.65}
STEPS = {200: 30_199, 650: 51_753, 1500: 72_985}


class Language(Results):
    def lstm(
        self,
        hidden: int,
        nonzero: int,
        test: float,
        sparsity: float | None = None,
        *,
        dropout: float | None = None,
        references: dict[str, Any] | None = None,
        **what: Any,
    ) -> Record:
        own = DROPOUT.get(hidden, 0.0) if dropout is None else dropout
        model = LSTMLanguageModel(hidden_size=hidden, dropout=own)
        training = Training(steps=STEPS.get(hidden, 1000), unroll=20 if hidden == 200 else 35)
        given: dict[str, Any] = {"task": PennTreebank(), "model": model, "training": training}
        given |= {"metric": PERPLEXITY, "references": references}
        return self.finish(nonzero, test, 1.0, sparsity, **{**given, **what})

    def names(self) -> set[str]:
        return set(self.find().curves)


@pytest.fixture
def results(tmp_path: Path) -> Language:
    return Language(tmp_path / "results")


def table_3(results: Language) -> Language:
    """Some rows of the paper's table, in another order."""
    results.lstm(1500, 13_200_000, 77.52, 0.8)
    results.lstm(1500, 66_000_000, 78.45)
    results.lstm(650, 500_000, 113.6, 0.975)
    results.lstm(650, 4_000_000, 83.87, 0.8)
    results.lstm(650, 19_800_000, 83.37 * 1.01)
    results.lstm(200, 4_600_000, 115.30 * 0.98)
    return results


def twin(results: Language, references: dict[str, Any]) -> Language:
    """A trial on the embedded language."""
    what: dict[str, Any] = {"task": Grammar(), "references": references}
    for hidden, nonzero, test in [(16, 23_000, 47.3), (32, 53_000, 43.1), (64, 138_000, 36.0)]:
        results.lstm(hidden, nonzero, test, **what)
    results.lstm(128, 406_000, 26.4, **what)
    for sparsity, nonzero, test in [(0.8, 83_000, 33.7), (0.9, 43_000, 34.4), (0.95, 23_000, 36.6)]:
        results.lstm(128, nonzero, test, sparsity, **what)
    return results


class TestSeries:
    def test_settings_go_with_the_size(self, results: Language) -> None:
        found = table_3(results).find()
        assert list(found.curves) == ["dense", "sparse, 1500 units", "sparse, 650 units"]
        assert [point.label for point in found.curves["dense"]] == [
            "200 units",
            "650 units",
            "1500 units",
        ]
        assert found.runs.gone_with_size == ["model.dropout", "training.steps", "training.unroll"]

    def test_a_setting_that_differs_within_a_size_parts_the_curve(self, results: Language) -> None:
        table_3(results).lstm(650, 19_800_000, 99.0, dropout=0.0)
        dense = {name for name in results.names() if name.startswith("dense")}
        assert dense == {"dense, dropout 0", "dense, dropout 0.5", "dense, dropout 0.65"}

    def test_so_it_does_for_sparse_ones(self, results: Language) -> None:
        for steps in (1000, 2000):
            results.lstm(650, 4_000_000, 84.0, 0.8, training=Training(steps=steps))
        results.lstm(1500, 13_200_000, 77.0, 0.8, training=Training(steps=2000))
        assert results.names() == {
            "sparse, 650 units, steps 1000",
            "sparse, 650 units, steps 2000",
            "sparse, 1500 units, steps 2000",
        }

    def test_a_word_of_the_model_always_parts(self, results: Language) -> None:
        results.lstm(200, 4_600_000, 115.0)
        results.lstm(
            650, 13_000_000, 85.0, model=LSTMLanguageModel(hidden_size=650, tied=True, dropout=0.5)
        )
        assert results.names() == {"dense, no tied", "dense, tied"}
        assert [point.family for point in results.find().points] == ["lstm_lm", "lstm_lm tied"]

    def test_without_a_checksum_no_size_explains_another_task(self, results: Language) -> None:
        results.lstm(200, 4_600_000, 115.0, data="")
        results.lstm(650, 19_800_000, 83.0, task=Text(vocabulary=10_000), data="")
        assert results.names() == {"dense, task ptb", "dense, task text"}

    def test_budgets_that_differ_are_said(self, results: Language) -> None:
        for hidden, sparsity, steps in [
            (200, None, 30_000),
            (650, None, 50_000),
            (650, 0.8, 50_000),
        ]:
            results.lstm(hidden, hidden * 1000, 90.0, sparsity, steps=steps)
        (warning,) = results.find().warnings
        assert "sparse was given 50,000 steps" in warning
        assert "dense 30,000 to 50,000 steps" in warning


class TestTable:
    def test_it_is_the_papers(self, results: Language) -> None:
        made = table(table_3(results).find())
        assert made.header == [
            *("Model size (hidden units)", "Sparsity", "NNZ params", "MB", "test perplexity"),
            *("valid perplexity", "published", "difference (%)"),
        ]
        assert [[*row[:3], row[4], *row[6:]] for row in made.cells] == [
            ["200", "0 %", "4.60M", "112.99 (1)", "115.30", "−2.0"],
            ["650", "0 %", "19.8M", "84.20 (1)", "83.37", "+1.0"],
            ["", "80 %", "4.00M", "83.87 (1)", "83.87", "+0.0"],
            ["", "97.5 %", "0.50M", "113.60 (1)", "113.60", "+0.0"],
            ["1500", "0 %", "66.0M", "78.45 (1)", "78.45", "+0.0"],
            ["", "80 %", "13.2M", "77.52 (1)", "77.52", "+0.0"],
        ]
        assert made.caption.endswith(
            "Published: Zhu and Gupta 2017, Table 3; difference: ours / published − 1."
        )
        assert list(made.raw["hidden_size"]) == [200, 650, 650, 650, 1500, 1500]
        assert list(made.raw["difference_percent"])[:2] == [pytest.approx(-2), pytest.approx(1)]

    def test_two_sparse_curves_of_one_size_are_named(self, results: Language) -> None:
        results.lstm(650, 4_000_000, 84.0, 0.8)
        results.lstm(650, 4_000_000, 99.0, 0.8, criterion=Random())
        made = table(results.find())
        assert [row[:2] for row in made.cells] == [
            ["sparse, magnitude", "650"],
            ["sparse, random", "650"],
        ]

    def test_sizes_stand_together_whatever_the_curve(self, results: Language) -> None:
        for hidden in (650, 200):
            results.lstm(hidden, hidden * 200, 90.0, 0.8)
            results.lstm(hidden, hidden * 1000, 90.0, task=Grammar())
        made = table(results.find())
        assert made.header[0] == "Model size (hidden units)"
        assert [row[:2] for row in made.cells] == [
            *(["200", "0 %"], ["", "80 %"], ["650", "0 %"], ["", "80 %"]),
        ]


class TestPublished:
    def test_a_size_that_the_paper_has_not(self, results: Language) -> None:
        results.lstm(200, 4_600_000, 115.30)
        results.lstm(100, 2_000_000, 120.0)
        assert [row[6:] for row in table(results.find()).cells] == [
            ["–", "–"],
            ["115.30", "+0.0"],
        ]

    @pytest.mark.parametrize(
        "what",
        [
            {"task": Grammar()},
            {"model": LSTMLanguageModel(hidden_size=650, layers=1)},
            {"criterion": Random()},
            {"metric": Metric(name="loss", higher_is_better=False)},
        ],
    )
    def test_nothing_stands_beside_what_the_paper_did_not_do(
        self, results: Language, what: dict[str, Any]
    ) -> None:
        results.lstm(650, 4_000_000, 84.0, 0.8, **what)
        made = table(results.find())
        assert made.header[-1].startswith("valid") and "Published" not in made.caption
        assert not {"published", "difference_percent"} & set(made.raw.columns)

    def test_the_other_family_has_no_words_of_this_one(self, results: Language) -> None:
        results.finish(1000, 70.0, model=MobileNetV1(width=0.5))
        assert table(results.find()).header[0] == "Width"


class TestReferences:
    def test_they_are_drawn_and_named(self, results: Language) -> None:
        found = twin(results, FLOORS).find()
        assert found.runs.references == FLOORS and found.warnings == []
        for figure in (sizes.against("parameters", found), sizes.against("megabytes", found)):
            assert figure is not None
            axes = figure.axes[0]
            flat = [
                line.get_ydata()[0]
                for line in axes.lines
                if list(np.asarray(line.get_xdata())) == [0, 1]
            ]
            assert flat == [13.04, 13.10]
            assert "exact entropy 13.04, the generator on this text 13.10" in [
                text.get_text() for text in axes.texts
            ]

    @pytest.mark.parametrize(
        "references",
        [
            FLOORS,
            {"exact entropy": 13.04, "the generator on this text": 13.9, "unigrams": 45.2},
            {"a model twice as large that somebody else trained": 34.4, "unigrams": 34.9},
        ],
    )
    def test_their_names_lie_on_nothing(
        self, results: Language, references: dict[str, float]
    ) -> None:
        figure = sizes.against("parameters", twin(results, references).find())
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        axes = figure.axes[0]
        labels = axes.texts[1:]  # the first is the subtitle
        assert len(labels) == 7 + len(sizes.reference_labels(references, 2))
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert [a for a, b in combinations(boxes, 2) if a.overlaps(b)] == []
        frame = axes.get_window_extent()
        for box in boxes:
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1, "outside"
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1, "outside"
            for line in axes.lines:
                if len(line.get_xdata()) == 2:
                    continue
                points = axes.transData.transform(np.column_stack(line.get_data()))
                assert not any(box.contains(x, y) for x, y in points)

    def test_what_lies_within_one_percent_has_one_label(self) -> None:
        labels = sizes.reference_labels({"b": 10.1, "c": 10.21, "a": 10.0}, 1)
        # 10.0 is 0.99 % below 10.1, and 10.1 is 1.08 % below 10.21.
        assert [(label.text, label.low, label.high) for label in labels] == [
            ("a 10.0, b 10.1", 10.0, 10.1),
            ("c 10.2", 10.21, 10.21),
        ]

    def test_the_page_lists_them(self, results: Language) -> None:
        made = report(results.store, twin(results, FLOORS).plan)
        text = made.text(100)
        assert "- exact entropy: perplexity 13.04\n" in text
        assert "- the generator on this text: perplexity 13.10\n" in text
        assert "exact entropy: perplexity 13.04" in (made.folder / "report.md").read_text()

    def test_what_runs_do_not_agree_on_is_left_out(self, results: Language) -> None:
        results.lstm(16, 1000, 40.0, references=FLOORS)
        results.lstm(32, 2000, 30.0, references={**FLOORS, "the generator on this text": 13.2})
        runs = results.find().runs
        assert runs.references == {"exact entropy": 13.04}
        assert runs.warnings == ["The runs do not agree on “the generator on this text”: left out."]

    def test_a_run_that_has_none_does_not_agree(self, results: Language) -> None:
        results.lstm(16, 1000, 40.0, references={"exact entropy": 13.04})
        results.lstm(32, 2000, 30.0, references={})
        runs = results.find().runs
        assert runs.references == {}
        assert runs.warnings == ["The runs do not agree on “exact entropy”: left out."]

    def test_another_machine_may_round_the_last_digit(self, results: Language) -> None:
        results.lstm(16, 1000, 40.0, references=FLOORS)
        rounded = {**FLOORS, "exact entropy": 13.04 * (1 + 1e-15)}
        results.lstm(32, 2000, 30.0, references=rounded)
        runs = results.find().runs
        assert runs.references == FLOORS and runs.warnings == []

    @pytest.mark.parametrize("value", ["much", None])
    def test_a_reference_that_is_no_number_is_damage(self, results: Language, value: Any) -> None:
        results.lstm(16, 1000, 40.0, references={"exact entropy": value})
        (missing,) = results.find().runs.missing
        assert missing.state == "damaged"


class TestUnits:
    def test_perplexity_has_none(self, results: Language) -> None:
        made = report(results.store, twin(results, FLOORS).plan)
        for words in (made.text(100), (made.folder / "report.md").read_text()):
            assert "test perplexity" in words and "()" not in words and " points;" not in words
        # On logarithms dense at 83k lies log(83/53) / log(138/53) = 0.4687 of the way from 43.1 to
        # 36.0, at 39.61, where sparse has 33.7.
        assert made.verdicts == [
            "At the 4 sizes that sparse and dense both reach (23.0k to 83.0k non-zero parameters), "
            "sparse has the better test perplexity at all 4, by 5.91 to 10.70; with one seed a "
            "point, how much of that is chance is not known."
        ]
        assert made.tables["comparison"].header[-2] == "Sparse −\N{NO-BREAK SPACE}dense"

    def test_no_batch_norm_is_not_counted_apart(self, results: Language) -> None:
        record = results.lstm(16, 1000, 40.0)
        record.counts.batch_norm = 0
        results.store.folder(record.name).finish(record)
        text = (report(results.store, results.plan).folder / "report.md").read_text()
        assert "Non-zero parameters are" in text and "Batch norm" not in text
