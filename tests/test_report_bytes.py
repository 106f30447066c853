"""Bytes and milliseconds in a report: the paper's printed digits, and what was measured."""

import csv
import math
from typing import Any

import numpy as np
import pytest

from pruneexp.engine import files
from pruneexp.engine.record import BYTES, LATENCY
from pruneexp.models import MobileNetV1
from pruneexp.quantisation import Aware, Quantisation, Rounding
from pruneexp.report import figures, report
from pruneexp.report.data import load
from pruneexp.report.data.published_rows import FOLDER
from pruneexp.report.figures import sizes
from pruneexp.report.figures.positions import positions
from pruneexp.report.output import byte_tables
from pruneexp.tasks.pictures import ImageNet
from tests.results import Results, weights

# docs of the paper's arithmetic: exact counts of MobileNet, and its prunable weights at width 1.0.
PRUNABLE = 4_163_584
DENSE = {0.25: 464_600, 0.5: 1_320_648, 0.75: 2_569_144, 1.0: 4_210_088}
SPARSE = {0.5: 2_128_296, 0.75: 1_087_400, 0.9: 462_861, 0.95: 254_682}
BOUND = {0.5: 520_000.0, 0.75: 422_000.0, 0.9: 244_000.0, 0.95: 149_000.0}


def mobilenets(results: Results, **what: Any) -> Results:
    """The models of Tables 5 and 6, with invented bytes and accuracies."""
    what = {"task": ImageNet(), **what}
    for width, nonzero in DENSE.items():
        size = weights(0, file=4 * nonzero + 90_000, folded=4 * nonzero + 30_000)
        model = MobileNetV1(width=width)
        results.finish(nonzero, 50 + 20 * width, model=model, weighed=size, **what)
    for sparsity, nonzero in SPARSE.items():
        size = weights(
            PRUNABLE,
            file=4 * nonzero + 490_000,
            folded=4 * nonzero + 400_000,
            positions=round(1.01 * BOUND[sparsity]),
            bound=BOUND[sparsity],
        )
        model = MobileNetV1(width=1.0)
        results.finish(nonzero, 70 - 9 * sparsity, 1.0, sparsity, model=model, weighed=size, **what)
    return results


def rows(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(newline="") as lines:
        return list(csv.DictReader(lines))


class TestAsThePaperCounts:
    def test_every_digit_of_table_5(self) -> None:
        for row in rows("table5_storage.csv"):
            nonzero = SPARSE.get(float(row["sparsity"]), DENSE[1.0])
            assert f"{byte_tables.rounded(nonzero, 10_000) / 1e6:.2f}" == row["nnz_millions"]
            if row["csr_megabytes"]:
                counted = byte_tables.bitmask(PRUNABLE, 10_000), byte_tables.csr(nonzero, 10_000)
                printed = row["bitmask_megabytes"], row["csr_megabytes"]
                assert tuple(f"{size / 1e6:.2f}" for size in counted) == printed

    def test_every_digit_of_table_6(self) -> None:
        for row in rows("table6_bytes.csv"):
            sparse = row["kind"] == "large-sparse"
            nonzero = SPARSE[float(row["sparsity"])] if sparse else DENSE[float(row["width"])]
            counted = byte_tables.counted(nonzero, PRUNABLE * sparse, 10_000)
            assert f"{counted / 1e6:.2f}" == row["megabytes"]


class TestTables:
    def test_table_5_twice(self, results: Results) -> None:
        made = byte_tables.storage(mobilenets(results).find())
        assert made is not None
        assert made.header[:8] == [
            *("Model", "Sparsity", "NNZ params", "Bit-mask, as the paper counts"),
            *("CSR(C), as the paper counts", "Bit-mask, published", "CSR(C), published"),
            "Bit-mask",
        ]
        assert [row[:7] for row in made.cells] == [
            ["×1", "0 %", "4.21M", "–", "–", "–", "–"],
            ["×1", "50 %", "2.13M", "0.52", "1.06", "0.52", "1.06"],
            ["×1", "75 %", "1.09M", "0.52", "0.54", "0.52", "0.54"],
            ["×1", "90 %", "0.46M", "0.52", "0.23", "0.52", "0.23"],
            ["×1", "95 %", "0.25M", "0.52", "0.13", "0.52", "0.13"],
        ]
        # Positions of 95 %: 150,490 bytes and a bound of 149,000, fillers three times as much.
        last = dict(zip(made.header, made.cells[-1], strict=True))
        assert (last["4-bit runs"], last["4-bit fillers"]) == ("0.150", "0.451")
        assert (last["Auto"], last["log2 C(n, k)"]) == ("0.150", "0.149")
        assert "at 90 %, 95 % it lies below log2 C(n, k)" in made.caption
        assert made.raw["counted_csr_bytes"].iloc[-1] == 130_000

    def test_table_6_twice(self, results: Results) -> None:
        made = byte_tables.written(mobilenets(results).find())
        assert made is not None
        assert made.header[3:7] == [
            *("MB as the paper counts", "published", "MB written, batch-norm kept", "folded")
        ]
        assert [[row[0], *row[2:7]] for row in made.cells] == [
            ["dense", "0 %", "16.84", "–", "16.930", "16.870"],
            ["dense", "0 %", "10.28", "10.28", "10.367", "10.307"],
            ["dense", "0 %", "5.28", "5.28", "5.373", "5.313"],
            ["dense", "0 %", "1.84", "1.84", "1.948", "1.888"],
            ["sparse", "50 %", "9.04", "9.04", "9.003", "8.913"],
            ["sparse", "75 %", "4.88", "4.88", "4.840", "4.750"],
            ["sparse", "90 %", "2.07", "2.07", "2.341", "2.251"],
            ["sparse", "95 %", "1.13", "1.13", "1.509", "1.419"],
        ]

    def test_small_models_get_two_more_digits(self, results: Results) -> None:
        results.finish(24_464, 70.0, 0.25, weighed=weights(0, file=98_111))
        sparse = weights(284_672, file=150_000, positions=17_000, bound=16_682.0)
        results.finish(37_167, 75.0, 1.0, 0.9, weighed=sparse)
        found = results.find()
        table_5, table_6 = byte_tables.storage(found), byte_tables.written(found)
        assert table_5 is not None and table_6 is not None
        # Without batch-norm there is one column of bytes.
        assert table_6.header[3:5] == ["MB as the paper counts", "MB written"]
        # 284,672 / 8 = 35,584 and 37,167 / 2 = 18,584 bytes; 37,200 * 4 + 18,600 = 167,400
        assert table_5.cells[0][3:5] == ["0.0356", "0.0186"]
        assert [row[3:5] for row in table_6.cells] == [["0.0980", "0.0981"], ["0.1674", "0.1500"]]

    def test_an_encoding_that_was_refused_is_left_blank(self, results: Results) -> None:
        for sparsity in (0.5, 0.9):
            size = weights(100, file=400, positions=10, bound=5.0)
            size["batch_norm_kept"]["encodings"]["csr"] = None
            results.finish(100, 70.0, 1.0, sparsity, weighed=size)
        made = byte_tables.storage(results.find())
        assert made is not None and made.cells[0][made.header.index("CSR")] == "–"
        figure = positions(results.find())
        assert figure is not None
        (csr,) = (line for line in figure.axes[0].lines if "CSR" in str(line.get_label()))
        assert np.isnan(np.asarray(csr.get_ydata(), float)).all()

    def test_where_a_run_was_not_weighed_nothing_is_shown(self, results: Results) -> None:
        mobilenets(results).finish(100_000, 60.0, 0.1)
        found = results.find()
        assert byte_tables.storage(found) is None and byte_tables.written(found) is None
        assert sizes.against("written", found) is None and positions(found) is None

    def test_a_report_holds_them(self, results: Results) -> None:
        made = report(results.store, mobilenets(results, seconds=0.01).plan)
        names = {path.name for path in made.files}
        assert {"storage.tex", "bytes.csv", "written.svg", "positions.png"} <= names
        text = made.text(100)
        assert "Bytes really written" in text and "What the positions take" not in text

    def test_damage_is_named(self, results: Results) -> None:
        mobilenets(results)
        path = results.store.folder(results.plan.runs[0].name).path / BYTES
        path.write_text("{}")
        found = results.find()
        assert any(str(path) in warning and "damaged" in warning for warning in found.warnings)
        assert byte_tables.written(found) is None


class TestFigures:
    def test_bits_of_positions(self, results: Results) -> None:
        figure = positions(mobilenets(results).find())
        assert figure is not None
        axes = figure.axes[0]
        lines = {str(line.get_label()): line for line in axes.lines}
        assert len(lines) == 5
        bound, smallest = lines["bound log2 C(n, k)"], lines["the smallest (auto)"]
        assert list(bound.get_xdata()) == pytest.approx([0.5, 0.25, 0.1, 0.05])
        assert list(bound.get_ydata()) == pytest.approx([8 * b / PRUNABLE for b in BOUND.values()])
        ratios = [e / b for e, b in zip(smallest.get_ydata(), bound.get_ydata(), strict=True)]
        assert ratios == pytest.approx([1.01] * 4, rel=1e-4)
        with_fillers = lines["4-bit runs and fillers"].get_ydata()[0]
        assert with_fillers == pytest.approx(4 * smallest.get_ydata()[0])
        assert axes.xaxis_inverted() and axes.get_ylabel() == "bits a prunable weight"

    def test_one_sparsity_is_no_curve(self, results: Results) -> None:
        results.finish(37_167, 75.0, 1.0, 0.9, weighed=weights(284_672, file=150_000, bound=1.0))
        assert positions(results.find()) is None

    def test_bytes_are_folded_where_they_can_be(self, results: Results) -> None:
        figure = sizes.against("written", mobilenets(results).find())
        assert figure is not None
        assert figure.axes[0].get_xlabel() == "size (MB really written, batch-norm folded)"
        dense = next(line for line in figure.axes[0].lines if line.get_label() == "dense")
        assert list(dense.get_xdata()) == [(4 * n + 30_000) / 1e6 for n in DENSE.values()]

    def test_milliseconds_of_one_thread(self, results: Results) -> None:
        for width, nonzero in DENSE.items():
            results.finish(nonzero, 70.0, width, seconds=width / 100)
        figure = sizes.against("latency", results.find())
        assert figure is not None
        (curve,) = (line for line in figure.axes[0].lines if line.get_label() == "dense")
        assert list(curve.get_xdata()) == pytest.approx([2.5, 5.0, 7.5, 10.0])
        assert "milliseconds for one picture" in figure.axes[0].get_xlabel()
        found = results.find()
        folder = results.store.folder(str(found.runs.frame["name"].iloc[0]))
        timed = files.load_json(folder.path / LATENCY)
        for forged, warning in [
            ({"version": 2, "times": []}, ""),  # of a later pruneexp
            ({**timed, "measured": [{**timed["measured"][0], "weights": "others"}]}, ""),
            ({**timed, "measured": [{**timed["measured"][0], "processor": "slow"}]}, "slow"),
        ]:
            files.save_json(folder.path / LATENCY, forged)
            found = results.find()
            assert (sizes.against("latency", found) is None) == (not warning)
            assert any("several processors: None, slow" in w for w in found.warnings) == bool(
                warning
            )
        results.finish(100, 50.0, 0.1)  # and one that was not timed
        assert sizes.against("latency", results.find()) is None

    def test_what_a_reader_who_does_not_see_is_told(self, results: Results) -> None:
        found = mobilenets(results).find()
        told = {name: figures.alternative(name, found) for name in ("written", "positions")}
        title = found.title
        assert told["written"] == (
            f"{title}: test accuracy (%) against bytes really written. "
            "Dense: 55.0 to 70.0 at 1.89 to 16.9 MB; sparse: 61.5 to 65.5 at 1.42 to 8.91 MB."
        )
        bits = 8 * 1.01 * BOUND[0.95] / PRUNABLE
        bits = f"{8 * 1.01 * BOUND[0.95] / PRUNABLE:.2g}"
        assert told["positions"] == (
            f"{title}: bits of positions for each prunable weight against sparsity, encoding by "
            f"encoding. At 95 % {bits} bits, against {bits} in a bit-mask and {bits} in CSR."
        )

    def test_an_alternative_text_ends_with_the_finding(self, results: Results) -> None:
        found = mobilenets(results).find()
        told = figures.alternative("parameters", found)
        first, _, _ = found.verdicts[0].partition(". ")
        assert "sparse has the better test accuracy" in first
        assert told == (
            f"{found.title}: test accuracy (%) against parameters. Dense: 55.0 to 70.0 at 465k to "
            f"4.21M; sparse: 61.5 to 65.5 at 255k to 2.13M. {first.removesuffix('.')}."
        )

    def test_what_a_paper_printed_lies_under_ours(self, results: Results) -> None:
        found = mobilenets(results).find()
        figure = sizes.against("parameters", found)
        assert figure is not None
        hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
        assert [list(line.get_ydata()) for line in hollow] == [
            [50.6, 63.7, 68.4, 70.6],
            [53.6, 61.8, 67.7, 69.5],
        ]
        full = [line for line in figure.axes[0].lines if line.get_label() in ("dense", "sparse")]
        for ours, theirs in zip(full, hollow, strict=True):
            assert list(theirs.get_xdata()) == list(ours.get_xdata())
            assert theirs.get_zorder() < ours.get_zorder()
        written = sizes.against("written", found)  # whose place in bytes no paper gives
        assert written is not None
        assert all(line.get_markerfacecolor() != "none" for line in written.axes[0].lines)


class TestQuantisation:
    def runs(self, results: Results) -> load.Runs:
        for how in (None, Rounding, Aware):
            values = how(values="int8") if how else None
            for sparsity in (None, 0.5, 0.9):
                nonzero = round(300_000 * (1 - (sparsity or 0)))
                size = weights(280_000, file=4 * nonzero, positions=9, bound=8.0)
                results.finish(nonzero, 70.0, 1.0, sparsity, weighed=size, quantisation=values)
        return load.load(results.store, results.plan)

    def test_each_kind_is_a_curve_that_says_so(self, results: Results) -> None:
        assert list(dict.fromkeys(self.runs(results).frame["series"])) == [
            *("dense", "sparse", "dense, int8 after training", "sparse, int8 after training"),
            *("dense, int8 aware", "sparse, int8 aware"),
        ]

    def test_it_is_said_where_nothing_else_is_there(self, results: Results) -> None:
        values = Aware(values="bf16")
        results.finish(100, 70.0, 1.0, 0.9, quantisation=values)
        assert list(results.find().curves) == ["sparse, bf16 aware"]

    def test_the_control_that_rounds_nothing(self, results: Results) -> None:
        values = Aware(values="fp32")
        results.finish(100, 70.0, 1.0, 0.9, quantisation=values)
        assert list(results.find().curves) == ["sparse, fp32 trained on"]

    def test_without_it_a_name_is_as_before(self, results: Results) -> None:
        results.finish(100, 70.0, 1.0, 0.9, quantisation=Quantisation())
        results.finish(100, 70.0, 1.0, 0.5)
        assert list(results.find().curves) == ["sparse"]

    def test_bytes_are_those_of_its_values(self, results: Results) -> None:
        self.runs(results)
        points = {(p.series, p.sparsity): p for p in results.find().points}
        assert points["sparse", 0.9].written == pytest.approx(0.12)
        assert points["sparse, int8 aware", 0.9].written == pytest.approx(0.03)

    def test_a_curve_is_held_against_its_like(self, results: Results) -> None:
        self.runs(results)
        compared = [(p.ours[0].series, p.theirs[0].series) for p in results.find().pairs]
        assert compared == [
            ("sparse", "dense"),
            ("sparse, int8 after training", "dense, int8 after training"),
            ("sparse, int8 aware", "dense, int8 aware"),
        ]

    def test_the_paper_knows_fp32_alone(self, results: Results) -> None:
        self.runs(results)
        made = byte_tables.written(results.find())
        assert made is not None
        counted = {(row[0], row[2]): row[3] for row in made.cells}
        assert counted["sparse, int8 aware", "90 %"] == "–" != counted["sparse", "90 %"]
        assert math.isnan(made.raw["counted_bytes"].iloc[-1])
        assert {row["size"] for row in made.raw.to_dict("records")} == {"×1"}

    def test_no_published_figure_stands_beside_it(self, results: Results) -> None:
        values = Rounding(values="int8")
        found = mobilenets(results, quantisation=values).find()
        assert all(p.published is None and not p.published_megabytes for p in found.points)


def test_bytes_in_the_file_for_programs_are_numbers(results: Results) -> None:
    results.finish(1000, 70.0, weighed=weights(900, file=4000, folded=3900))
    table = byte_tables.written(results.find())
    assert table is not None
    raw = table.raw
    assert list(raw["batch_norm_kept_bytes"]) == [4000]
    assert list(raw["batch_norm_folded_bytes"]) == [3900]
