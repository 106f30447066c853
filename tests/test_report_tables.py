"""The tables of a report, and what each side was given, held against numbers worked out by hand."""

from dataclasses import fields, replace
from typing import Any

import pytest

from pruneexp.config.curve import describe
from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import asked
from pruneexp.config.run import Run
from pruneexp.models import InceptionV3, MobileNetV1, Model, ResNet50
from pruneexp.pruning import L0, Dense, Gradual, Random, RigL
from pruneexp.pruning.allocation import Global, PerLayer
from pruneexp.pruning.start import FromDense, FromFile, Scratch, Start
from pruneexp.report import report
from pruneexp.report.data import published_rows as published
from pruneexp.report.format import short
from pruneexp.report.output import tables
from pruneexp.report.output.tables import comparison, table
from pruneexp.tasks.pictures import ImageNet
from pruneexp.training import Training
from tests.results import Results, paper


class TestTables:
    def test_table_2_is_the_papers(self, results: Results) -> None:
        made = table(paper(results).find())
        assert made.header[:4] == ["Width", "Sparsity", "NNZ params", "MB"]
        assert [[*row[:3], row[4]] for row in made.cells] == [
            ["0.25", "0 %", "0.46M", "50.6 (1)"],
            ["0.5", "0 %", "1.32M", "63.7 (1)"],
            ["0.75", "0 %", "2.57M", "68.4 (1)"],
            ["1.0", "0 %", "4.21M", "70.6 (1)"],
            ["", "50 %", "2.13M", "69.5 (1)"],
            ["", "75 %", "1.09M", "67.7 (1)"],
            ["", "90 %", "0.46M", "61.8 (1)"],
            ["", "95 %", "0.25M", "53.6 (1)"],
        ]

    def test_markdown_and_latex(self, results: Results) -> None:
        for seed, test in enumerate([70.0, 71.0, 72.0]):
            results.finish(24_464, test, 0.25, seed=seed)
        made = table(results.find())
        row = "| 0.25 | 0 % | 24.5k | 0.098 | 71.0 ± 2.5 (3) | 72.0 |"
        assert row in made.markdown().splitlines()
        latex = made.latex().splitlines()
        assert r"    0.25 & 0 \% & 24.5k & 0.098 & 71.0 $\pm$ 2.5 (3) & 72.0 \\" in latex
        assert latex[0] == r"\begin{table}" and r"    \toprule" in latex

    def test_signs_of_latex_and_markdown_are_escaped(self, results: Results) -> None:
        results.finish(1000, 70.0)
        made = replace(table(results.find()), cells=[["50%_a&b", "|*"]], header=["#", "x"])
        assert r"\# & x \\" in made.latex()
        assert r"50\%\_a\&b & \textbar{}* \\" in made.latex()
        assert r"| 50%_a&b | \|\* |" in made.markdown()

    def test_csv_loses_no_digit(self, results: Results) -> None:
        third = 200 / 3
        results.finish(24_464, third, 0.25, 0.9)
        header, row = table(results.find()).csv().splitlines()
        values = dict(zip(header.split(","), row.split(","), strict=True))
        assert float(values["test"]) == third
        assert (values["nonzero"], values["sparsity"]) == ("24464", "0.9")
        assert values["test_half_width_95"] == ""

    def test_an_interval_is_never_printed_as_nothing(self, results: Results) -> None:
        for seed, test in enumerate([70.0, 70.002]):  # half width t * 0.001
            results.finish(1000, test, seed=seed)
        assert table(results.find()).cells[0][4] == "70.00 ± 0.01 (2)"

    def test_the_comparison(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25)
        results.finish(1_000_000, 80.0, 1.0)
        results.finish(100_000, 69.0, 1.0, 0.9)
        assert comparison(results.find()).cells == [
            ["100.0k", "sparse 90 %", "69.0", "≈71.7", "−2.7", "dense"]
        ]

    @pytest.mark.parametrize(
        ("count", "among", "text"),
        [
            (460_000, [], "0.46M"),
            (24_464, [], "24.5k"),
            (293_000, [24_464], "293.0k"),
            (66_000_000, [24_464], "66.0M"),
            (211_000_000, [], "211M"),
            (812, [], "812"),
        ],
    )
    def test_counts(self, count: int, among: list[float], text: str) -> None:
        assert short(count, among) == text


class TestBudgets:
    def test_equal_ones_give_no_warning(self, results: Results) -> None:
        assert paper(results).find().warnings == []

    def test_unequal_ones_do(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.25)
        results.finish(1_000, 70.0, 1.0, 0.9, start=FromDense(), steps=2000)
        found = results.find()
        assert found.warnings == [
            "Not the same budget: sparse was given 2,000 steps (18,000 examples), dense 1,000 "
            "steps (9,000 examples). Part of what sets them apart may be the budget."
        ]
        assert str(found.budgets["sparse"]) == (
            "sparse: 1 run given 2,000 steps and 18,000 examples (1,000 steps of its own, the rest "
            "by the model it starts from)"
        )

    def test_equal_ranges_that_are_not_one_budget(self, results: Results) -> None:
        for width, sparsity, nonzero in [(0.25, None, 100), (1.0, 0.9, 100)]:
            results.finish(nonzero, 60.0, width, sparsity, steps=1000)
        for width, sparsity, nonzero in [(0.5, None, 900), (1.0, 0.5, 900)]:
            results.finish(nonzero, 60.0, width, sparsity, steps=2000)
        given = "1,000 to 2,000 steps (9,000 to 18,000 examples)"
        assert results.find().warnings == [
            f"The models of {kind} were not given the same: {given}."
            for kind in ("dense", "sparse")
        ]

    def test_a_curve_whose_models_differ(self, results: Results) -> None:
        for width, sparsity, nonzero in [(0.25, None, 100), (1.0, None, 900), (1.0, 0.9, 100)]:
            results.finish(nonzero, 60.0, width, sparsity, steps=1000)
        results.finish(500, 60.0, 1.0, 0.5, steps=3000)
        (warning,) = results.find().warnings
        assert "sparse was given 1,000 to 3,000 steps (9,000 to 27,000 examples)" in warning


class TestCosts:
    def finish(self, results: Results, method: Any, **told: Any) -> None:
        run = results.runs[results.plan.runs[0].name]
        results.finish_run(replace(run, pruning=method), 50.0)
        self.tell(results, **told)

    def tell(self, results: Results, **told: Any) -> None:
        """Put costs into the last run's record."""
        folder = results.store.folder(results.plan.runs[-1].name)
        record = folder.record_or_fail()
        record.circumstances |= told
        record.circumstances = {k: v for k, v in record.circumstances.items() if v is not None}
        folder.finish(record)

    def test_multiples_of_gradual_magnitude_pruning(self, results: Results) -> None:
        results.finish(1_000, 60.0, 1.0, 0.9)
        self.tell(results, seconds_a_step=0.02, peak_bytes=2e8, own_parameters=0)
        self.finish(
            results, L0(sparsity=0.9), seconds_a_step=0.05, peak_bytes=3e8, own_parameters=5e5
        )
        self.finish(results, RigL(sparsity=0.9), seconds_a_step=None, seconds=None)
        made = tables.costs(results.find())
        assert made is not None
        assert [cells[1:] for cells in made.cells] == [
            ["0.0200", "1.00", "1.00", "0.00"],
            ["0.0500", "2.50", "1.50", "0.50"],
            ["–", "–", "–", "–"],
        ]
        assert "What each method costs" in report(results.store, results.plan).text()

    def test_records_from_before_tell_their_seconds(self, results: Results) -> None:
        results.finish(1_000, 60.0, 1.0, 0.9)
        self.finish(results, L0(sparsity=0.9))
        made = tables.costs(results.find())
        assert made is not None
        assert [cells[1] for cells in made.cells] == ["0.0300", "0.0300"]  # 30 over 1,000 steps

    @pytest.mark.parametrize("forged", ["1", -1.0, 1e300])
    def test_what_cannot_be_a_cost_is_none(self, results: Results, forged: Any) -> None:
        results.finish(1_000, 60.0, 1.0, 0.9)
        self.finish(results, L0(sparsity=0.9), peak_bytes=forged)
        made = tables.costs(results.find())
        assert made is not None and made.cells[1][3] == "–"

    def test_nothing_without_another_method(self, results: Results) -> None:
        results.finish(1_000, 60.0, 1.0, 0.9)
        assert tables.costs(results.find()) is None


class TestWork:
    def test_what_masked_weights_leave_stands_behind_the_bytes(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(2_000_000, 2_000_000))
        results.finish(10_000, 61.0, 1.0, 0.9, work=(20_000_000, 5_000_000))
        made = table(results.find())
        place = made.header.index("Multiply-adds")
        assert [row[place] for row in made.cells] == ["2.00M", "5.00M"]
        assert list(made.raw["multiply_adds"]) == [2_000_000, 20_000_000]
        assert list(made.raw["sparse_multiply_adds"]) == [2_000_000, 5_000_000]
        assert "when masked weights are skipped" in made.caption
        compared = comparison(results.find())
        assert (compared.header[-1], compared.cells[0][-1]) == ("Multiply-adds", "×2.50")
        assert list(compared.raw["multiply_adds_ratio"]) == [2.5]

    def test_no_column_without_them(self, results: Results) -> None:
        results.finish(10_000, 60.0, 0.25, work=(100, 100))
        results.finish(10_000, 61.0, 1.0, 0.9)
        assert "Multiply-adds" not in table(results.find()).header
        assert comparison(results.find()).header[-1] == "Better"


class TestTop5:
    def test_it_stands_beside_top_1(self, results: Results) -> None:
        results.finish(1000, 60.0, 0.25, top5=80.0)
        results.finish(1000, 62.0, 0.25, top5=82.0, seed=1)
        results.finish(9000, 70.0, 1.0)
        made = table(results.find())
        place = made.header.index("test top-5 (%)")
        # Half width of two seeds 1 on either side: t * 1 for one degree of freedom.
        assert [row[place] for row in made.cells] == ["81.0 ± 12.7", "–"]
        assert made.raw["top5"][0] == 81.0
        assert made.raw["top5_half_width_95"][0] == pytest.approx(12.7062)

    def test_no_column_where_no_task_measures_it(self, results: Results) -> None:
        results.finish(1000, 60.0, 0.25)
        made = table(results.find())
        assert "test top-5 (%)" not in made.header and "top5" not in made.raw.columns


MODELS: dict[str, Model] = {
    "inception_v3": InceptionV3(),
    "mobilenet_v1": MobileNetV1(),
    "resnet50": ResNet50(),
}


def imagenet(model: str, sparsity: float | None = None, **pruning: Any) -> Run:
    """A run on ImageNet; dense without a sparsity."""
    return Run(
        task=ImageNet(),
        model=MODELS[model],
        training=Training(),
        pruning=Dense() if sparsity is None else Gradual(sparsity=sparsity, **pruning),
    )


def beside(run: Run, achieved: float = 0.0) -> published.Published:
    return published.published(asked(run), describe(run), "accuracy", achieved)


class TestPublished:
    def beside(self, *run: Any, achieved: float = 0.0, **pruning: Any) -> tuple[Any, Any, str]:
        found = beside(imagenet(*run, **pruning), achieved)
        return found.figure, found.top5, found.source

    def test_tables_1_and_2(self) -> None:
        table_1, table_2 = (f"Zhu and Gupta 2017, Table {number}" for number in (1, 2))
        assert self.beside("inception_v3") == (78.1, 94.3, table_1)
        assert self.beside("inception_v3", 0.875) == (74.6, 92.5, table_1)
        assert self.beside("mobilenet_v1") == (70.6, 89.5, table_2)
        assert self.beside("mobilenet_v1", 0.9) == (61.8, 84.7, table_2)

    @pytest.mark.parametrize(
        "other",
        [
            {"model": InceptionV3(layout="small")},
            {"model": InceptionV3(width=0.5)},
            {"task": ImageNet(pixels=299), "model": MobileNetV1(layout="small")},
        ],
    )
    def test_another_model_or_task_is_not_theirs(self, other: dict[str, Any]) -> None:
        run = replace(imagenet("inception_v3", 0.5), **other)
        assert beside(run) == published.Published()

    def test_gale_et_al(self) -> None:
        assert self.beside("resnet50") == (
            76.69,
            None,
            "Gale et al. 2019, the best of 54 runs (this preset's point of their "
            "grid gave 75.56, 75.14, 74.74, 73.62 at 50, 70, 80, 90 %)",
        )
        assert self.beside("resnet50", 0.9)[0] == 73.91
        assert self.beside("resnet50", 0.9, criterion=Random())[0] == 65.0
        assert self.beside("resnet50", 0.9, allocation=Global())[0] is None
        assert self.beside("resnet50", 0.6)[0] is None

    @pytest.mark.parametrize(
        ("asked", "achieved", "figure"),
        [(0.91, 0.901, 75.16), (0.96, 0.947, 72.71), (0.98, 0.965, 69.26), (0.9, 0.89, None)],
    )
    def test_extended_rows_are_told_by_the_sparsity_of_all_layers(
        self, asked: float, achieved: float, figure: float | None
    ) -> None:
        found = self.beside(
            "resnet50", asked, achieved=achieved, allocation=PerLayer(at_most={"*": 0.99})
        )
        assert found[0] == figure

    @pytest.mark.parametrize(
        ("model", "start", "told"),
        [
            ("mobilenet_v1", Scratch(), "a trained dense model"),
            ("mobilenet_v1", FromDense(), ""),
            ("mobilenet_v1", FromFile(checksum="0123456789abcdef"), ""),
            ("inception_v3", FromDense(), "inside one training"),
            ("inception_v3", Scratch(), ""),
        ],
    )
    def test_what_the_paper_did_otherwise(self, model: str, start: Start, told: str) -> None:
        assert beside(imagenet(model, 0.5, start=start)).start == told

    def test_the_caption_says_so(self, results: Results) -> None:
        results.finish(1000, 60.0, 1.0, 0.9)
        found = results.find()
        beside = {"published": 61.8, "published_top5": 84.7, "published_in": "A, Table 2"}
        (curve,) = found.curves
        points = [
            replace(point, **beside, published_start="a trained dense model")
            for point in found.curves[curve]
        ]
        found = replace(found, curves={curve: points})
        made = table(found)
        assert made.header[-3:] == ["published", "difference (%)", "published top-5 (%)"]
        assert made.cells[0][-3:] == ["61.8", "−2.9", "84.7"]
        assert made.caption.endswith(
            "Published: A, Table 2; difference: ours / published − 1. Note: A, Table 2 pruned a "
            "trained dense model, which the sparse runs beside it did not."
        )

    def test_the_tables_are_whole(self) -> None:
        tables = published.tables()
        counts = [len(each.rows(next(iter(each.columns)))) for each in tables]
        assert counts == [4, 8, 4, 7, 13, 7, 5, 7, 7, 7, 8]
        assert tables[4].rows("perplexity")[1500, 0.975] == 103.20

    def test_every_key_and_word_of_the_conditions_exists(self) -> None:
        """A key that is renamed must not silently lose a published row."""
        for each in published.tables():
            for part, given in each.runs.items():
                self.demand_known(part, given)
            model = self.option("model", each.runs["model"]["option"])
            if each.size:
                assert each.size in {item.name for item in fields(model)}, each.source

    def demand_known(self, group: str, given: dict[str, Any]) -> None:
        words = [given["option"]] if "option" in given else [o.word for o in OPTIONS[group]]
        options = [self.option(group, word) for word in words]
        known = {item.name: item for option in options for item in fields(option)}
        for key, value in given.items():
            if key == "option":
                continue
            assert key in known, f"{group} has no key {key}"
            if isinstance(value, dict):
                self.demand_known(f"{group}/{key}", value)

    def option(self, group: str, word: str) -> Any:
        (option,) = [option for option in OPTIONS[group] if option.word == word]
        return option
