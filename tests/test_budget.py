"""A budget in bytes, or in weights, in the place of a sparsity or of a dense model's size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruneexp.cli.compose import compose
from pruneexp.cli.main import main
from pruneexp.cli.points import demand_one_size, read_points
from pruneexp.config import amounts
from pruneexp.config.read import restore
from pruneexp.config.recipe import Invalid, asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import parents, settle
from pruneexp.measure.expected import expected
from pruneexp.measure.file_size import FileSize
from pruneexp.measure.fitting import dense_bytes
from pruneexp.measure.packed import arrays
from pruneexp.measure.planned import network, size
from pruneexp.models import CustomModel, InceptionV3, LSTMLanguageModel, MobileNetV1
from pruneexp.pruning import Gradual
from pruneexp.pruning.allocation import Global, LayerwiseConstant
from pruneexp.pruning.schedule import OneShot
from pruneexp.pruning.scope import ModelScope
from pruneexp.pruning.settling import CLOSE, least_sparsity
from pruneexp.pruning.start import FromDense
from pruneexp.pruning.structure import Blocks, NOfM
from pruneexp.quantisation import Rounding
from pruneexp.storage import archive, encodings, values
from pruneexp.storage.pack import pack
from pruneexp.tasks import Glyphs, Grammar
from pruneexp.tasks.shape import ImageShape
from pruneexp.training.fit import Stopped
from tests.conftest import After, Make, silent, tiny_gradual


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "amount"),
        [("200kB", 200_000), ("0.2 MB", 200_000), ("64KiB", 65_536), ("7b", 7), ("1.5mb", 1.5e6)],
    )
    def test_bytes_are_read_as_people_write_them(self, text: str, amount: int) -> None:
        assert amounts.bytes_of(text) == amount

    @pytest.mark.parametrize("text", ["", "200", "20quux", "0kB", "-1kB", "1e9kB", "kB", "1..5MB"])
    def test_what_is_no_amount_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"takes an amount"):
            amounts.bytes_of("" if text == "200" else text)

    def test_weights_need_no_unit(self) -> None:
        assert [amounts.count_of(text) for text in ("50k", "1.2M", "777")] == [50_000, 1.2e6, 777]

    @given(st.integers(1, 10**12))
    def test_what_is_written_is_read_back(self, amount: int) -> None:
        assert amounts.bytes_of(amounts.bytes_in_words(amount)) == amount
        assert amounts.count_of(amounts.count_in_words(amount)) == amount


class TestSettling:
    @given(
        whole=st.integers(2_000, 10**7),
        fixed=st.floats(0, 0.9),
        share=st.floats(0.01, 0.95),
        start=st.floats(0, 1),
        bend=st.floats(0.5, 2),
    )
    def test_the_size_is_never_above_the_limit_and_near_it(
        self, whole: int, fixed: float, share: float, start: float, bend: float
    ) -> None:
        limit = round(whole * (fixed + (1 - fixed) * share))
        tries = []

        def size(sparsity: float) -> int:
            tries.append(sparsity)
            return round(whole * (fixed + (1 - fixed) * (1 - sparsity) ** bend))

        found = least_sparsity(size, limit, start=start)
        assert limit * (1 - 2 * CLOSE) - 1 <= size(found) <= limit
        assert len(tries) < 35

    def test_in_coarse_steps_the_last_that_fits(self) -> None:
        def size(sparsity: float) -> int:
            return 1000 - 100 * int(sparsity * 10 + 1e-9)

        assert size(least_sparsity(size, 350, start=0.2)) == 300

    def test_not_below_the_lowest(self) -> None:
        assert least_sparsity(lambda s: round(100 * (1 - s)), 90, start=0.8, lowest=0.7) == 0.7


def thinned(shape: tuple[int, ...], kept: float, seed: int) -> np.ndarray:
    """A random mask; of a matrix, a third of the rows hold nothing."""
    drawn = np.random.default_rng(seed).random(shape) < kept
    if len(shape) == 2:
        drawn[::3] = False
    return drawn


class TestFileSize:
    @pytest.mark.parametrize("word", values.WORDS)
    @pytest.mark.parametrize("kept", [0.004, 0.05, 0.3, 0.9, 1.0])
    def test_it_is_the_file_that_is_written(self, tmp_path: Path, word: str, kept: float) -> None:
        shape = ImageShape(channels=1, pixels=24, classes=47)
        model = MobileNetV1(width=0.3, layout="small").build(shape).eval()
        names = [name for group in model.prunable().values() for name in group]  # type: ignore
        state = arrays(model.state_dict())
        masks = {name: thinned(state[name].shape, kept, n) for n, name in enumerate(names)}
        size = FileSize(model, shape, names, values=word, notes=100)
        assert size.folded
        from pruneexp.measure.packed import folded

        smaller = folded(model, shape)
        assert smaller is not None
        path = tmp_path / "model.pxp"
        archive.save(path, smaller, masks, kind=word, notes={"n": "x" * 92})
        # Fillers are taken at their worst, and other weights' values may be zero.
        slack = 0 if no_fillers(path) else 64
        assert path.stat().st_size <= size.of_masks(masks) <= path.stat().st_size + slack

    def test_tied_tensors_count_once(self, tmp_path: Path) -> None:
        task = Grammar()
        model = LSTMLanguageModel(hidden_size=8, tied=True).build(task.shape())
        names = [name for group in ModelScope().groups(model).values() for name in group]
        masks = {
            name: thinned(tuple(weight.shape), 0.2, 1)
            for name, weight in model.named_parameters()
            if name in names
        }
        with torch.no_grad():  # both names of a tied tensor hold what the mask keeps
            for name, mask in masks.items():
                model.get_parameter(name).mul_(torch.from_numpy(mask))
        state = arrays(model.state_dict())
        path = tmp_path / "model.pxp"
        archive.save(path, state, masks, notes={})
        found = FileSize(model, task.shape(), names, values="fp32", notes=0).of_masks(masks)
        assert found == path.stat().st_size

    def test_what_is_expected_is_near_to_random_masks(self) -> None:
        shape = ImageShape(channels=1, pixels=24, classes=47)
        model = MobileNetV1(width=1.0, layout="small").build(shape).eval()
        weights = dict(model.named_parameters())
        names = [name for group in model.prunable().values() for name in group]  # type: ignore
        size = FileSize(model, shape, names, values="fp32", notes=0)
        for kept in (0.02, 0.1, 0.5):
            masks = {
                name: np.random.default_rng(n).random(tuple(weights[name].shape)) < kept
                for n, name in enumerate(names)
            }
            counts = {name: float(mask.sum()) for name, mask in masks.items()}
            assert size.expected(counts) == pytest.approx(size.of_masks(masks), rel=0.01)


def no_fillers(path: Path) -> bool:
    entries = archive.Archive(path).entries.values()
    return not any(
        encodings.BY_NUMBER[entry.encoding].has_fillers for entry in entries if not entry.is_same
    )


def packed_bytes(run: Run, tmp_path: Path, kind: str = "fp32") -> int:
    """What `pruneexp pack --fold` writes."""
    from pruneexp.measure import packed
    from pruneexp.running.source import of_run

    folder = run.store.folder(name(run))
    source = of_run(folder)
    state = packed.folded(source.model, source.shape)
    path = tmp_path / "packed.pxp"
    pack(folder, path, kind=kind, encoding="auto", state=state)
    return path.stat().st_size


def within(**changes: Any) -> Gradual:
    return tiny_gradual(**{"sparsity": None, "budget": "10kB", **changes})


class TestSparseRuns:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"allocation": Global()},
            {"schedule": OneShot(begin=0.0)},
            {"start": FromDense(steps=6)},
        ],
        ids=["gradual", "global", "before the first step", "from dense"],
    )
    def test_the_packed_file_fits_and_fills_the_budget(
        self, tiny: Make, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        run = tiny(within(**changes), model=MobileNetV1(width=0.2, layout="small"), budget="22kB")
        run = settle(run)
        record = execute(run, say=silent)
        met = record.file_budget
        assert met is not None and met.values == "fp32" and met.folded
        assert met.bytes == packed_bytes(run, tmp_path)
        assert 0.985 * 22_000 <= met.bytes <= 22_000  # notes take a part that is bounded from above
        masked = sum(group.masked for group in record.counts.groups)
        assert record.counts.nonzero == record.counts.parameters - masked

    def test_a_child_in_int8_fits_it_too(self, tiny: Make, tmp_path: Path) -> None:
        run = tiny(
            tiny_gradual(),
            model=MobileNetV1(width=0.4, layout="small"),
            quantisation=Rounding(values="int8"),
            budget="25kB",
        )
        run = settle(run)
        (parent,) = parents(
            run,
        ).values()
        record = execute(run, say=silent)
        assert record.file_budget is not None
        assert record.file_budget.values == "int8"
        assert record.file_budget.bytes == packed_bytes(run, tmp_path, "int8") <= 25_000
        assert packed_bytes(settle(parent), tmp_path, "int8") <= 25_000
        assert record.file_budget.bytes >= 0.97 * 25_000

    def test_blocks_say_how_far_below_they_are(self, tiny: Make) -> None:
        said: list[str] = []
        blocks = Blocks(rows=5, columns=288)  # two columns of blocks, 4 in all, 5,760 bytes each
        model = CustomModel(factory="tests.test_budget:blocky")
        run = settle(tiny(tiny_gradual(structure=blocks), model=model, budget="16kB"))
        record = execute(run, say=said.append)
        assert record.file_budget is not None and record.file_budget.bytes < 15_840
        assert any("below its budget: weights go in blocks" in line for line in said)

    def test_it_goes_on_as_if_it_never_stopped(self, tiny: Make, tmp_path: Path) -> None:
        model = MobileNetV1(width=0.2, layout="small")
        whole = execute(settle(tiny(tiny_gradual(), model=model, budget="22kB")), say=silent)
        for steps in (4, 9):
            run = settle(tiny(tiny_gradual(), model=model, budget="22kB"))
            run = replace(run, results=str(tmp_path / f"stopped{steps}"))
            with pytest.raises(Stopped):
                execute(run, stop=After(steps), say=silent)
            again = execute(run, say=silent)
            assert again.circumstances["resumed_at"]
            assert again.checksums == whole.checksums
            assert again.counts == whole.counts

    def test_what_is_masked_for_good_stays_masked(self, tiny: Make) -> None:
        model = MobileNetV1(width=0.2, layout="small")
        run = settle(tiny(tiny_gradual(revive=False), model=model, budget="22kB"))
        record = execute(run, say=silent)
        assert record.file_budget is not None and record.file_budget.bytes <= 22_000

    def test_a_method_of_layers_in_turn(self, tiny: Make) -> None:
        model = MobileNetV1(width=0.2, layout="small")
        run = settle(
            tiny(tiny_gradual(allocation=LayerwiseConstant()), model=model, budget="22kB", steps=40)
        )
        record = execute(run, say=silent)
        assert record.file_budget is not None
        assert 0.97 * 22_000 <= record.file_budget.bytes <= 22_000

    def test_one_amount_is_one_run(self, tiny: Make) -> None:
        runs = [
            settle(tiny(tiny_gradual(), budget=words)) for words in ("11kB", "0.011MB", "11000B")
        ]
        assert len({fingerprint(run) for run in runs}) == 1
        assert "-11kB-" in name(runs[0])
        again = restore(asked(runs[0]), trust=False, origin="a record")
        assert fingerprint(again) == fingerprint(runs[0])

    def test_runs_without_one_keep_their_names(self, tiny: Make) -> None:
        assert "budget" not in str(asked(settle(tiny(tiny_gradual()))))


class Blocky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(576, 10)
        self.last = nn.Linear(10, 47)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.last(self.first(images.flatten(1)).relu())
        return scores

    def prunable(self) -> dict[str, list[str]]:
        return {"first.weight": ["first.weight"]}


def blocky() -> nn.Module:
    return Blocky()


def hidden(units: int = 16) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(576, units), nn.ReLU(), nn.Linear(units, 47))


class TestDenseRuns:
    def test_the_widest_whose_file_fits(self, tiny: Make, tmp_path: Path) -> None:
        run = settle(tiny(budget="20kB"))
        assert isinstance(run.model, MobileNetV1)
        wider = replace(run, model=replace(run.model, width=run.model.width + 0.02))
        assert dense_bytes(run) <= 20_000 < dense_bytes(wider)
        execute(run, say=silent)
        found = packed_bytes(run, tmp_path)
        assert dense_bytes(run) - 400 <= found <= dense_bytes(run)

    def test_units_of_a_language_model(self, tiny: Make) -> None:
        model = LSTMLanguageModel(hidden_size=64)
        run = settle(tiny(task=Grammar(), model=model, budget="100kB", unroll=8))
        assert isinstance(run.model, LSTMLanguageModel)
        assert dense_bytes(run) <= 100_000
        more = replace(run, model=LSTMLanguageModel(hidden_size=run.model.hidden_size + 1))
        assert dense_bytes(more) > 100_000

    def test_the_argument_of_ones_own_network(self, tiny: Make) -> None:
        model = CustomModel(
            factory="tests.test_budget:hidden", arguments={"units": 16}, dial="units"
        )
        run = settle(tiny(model=model, budget="100kB"))
        assert isinstance(run.model, CustomModel)
        assert run.model.arguments == {"units": 39}
        assert [size.heading for size in run.model.sizes()] == ["Units"]

    def test_wide_networks_too(self, tiny: Make) -> None:
        run = settle(tiny(budget="3MB"))
        assert isinstance(run.model, MobileNetV1) and run.model.width > 1

    def test_widths_of_inception_are_sixteenths(self) -> None:
        dial = InceptionV3(layout="small").size_dial()
        assert [dial.at(number) for number in (1, 16, 24)] == [0.0625, 1.0, 1.5]

    def test_in_int8_more_fits(self, tiny: Make) -> None:
        plain = settle(tiny(budget="20kB")).model
        rounded = settle(tiny(budget="20kB", quantisation=Rounding(values="int8"))).model
        assert isinstance(plain, MobileNetV1) and isinstance(rounded, MobileNetV1)
        assert rounded.width > 1.5 * plain.width


class TestWeights:
    def test_no_more_than_asked_for(self, tiny: Make) -> None:
        run = settle(
            tiny(tiny_gradual(), nonzero="4k", model=MobileNetV1(width=0.2, layout="small"))
        )
        assert size(run).nonzero in (3_999, 4_000)

    def test_a_dense_model(self, tiny: Make) -> None:
        run = settle(tiny(nonzero="20k"))
        assert 18_000 <= (size(run).nonzero or 0) <= 20_000


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["budget=5kB"], "budget=5kB is below the 49,"),
            (["budget=2MB"], "budget=2MB holds all of mobilenet_v1 of width 1, whose dense file"),
            (["budget=20quux"], "budget takes an amount such as 200kB, 1.5MB or 64KiB"),
            (["nonzero=1k"], "nonzero=1k is below the 8,"),
            (["nonzero=1M"], "nonzero=1M holds all of mobilenet_v1"),
            (["nonzero=many"], "nonzero takes an amount such as 50k"),
            (["budget=1kB", "pruning=none"], "budget=1kB is below the smallest mobilenet_v1"),
            (["budget=1MB", "nonzero=50k"], "give one of them"),
            (
                ["budget=100kB", "pruning.sparsity=0.5"],
                "pruning.sparsity=0.5: budget=100kB settles",
            ),
            (["budget=100kB", "pruning=none", "model.width=0.5"], "model.width=0.5: budget=100kB"),
            (["budget=100kB", "pruning/structure=n_of_m"], "cannot settle the sparsity of"),
            (["pruning.sparsity=null"], "takes null with a budget only"),
            (["budget=9kB", "pruning=none", "model=custom"], "model.factory"),
        ],
    )
    def test_before_any_training_in_a_line(
        self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            import sys

            sys.argv = ["pruneexp", "run", *words, "results=/tmp/nowhere"]
            main()
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err

    def test_a_model_without_a_size(self, tiny: Make) -> None:
        model = CustomModel(factory="tests.test_budget:hidden", arguments={"units": 16})
        with pytest.raises(Invalid, match=r"model\.dial"):
            settle(tiny(model=model, budget="100kB"))

    def test_an_argument_that_is_no_number(self) -> None:
        with pytest.raises(Invalid, match=r"dial takes the name of one of model\.arguments"):
            CustomModel(factory="a:b", arguments={"units": "many"}, dial="units")

    def test_both_in_one_point(self) -> None:
        demand_one_size(["budget=1kB", "pruning.sparsity=null"])
        with pytest.raises(Invalid, match="settles it"):
            demand_one_size(["budget=1kB", "pruning.sparsity=0.9"])

    def test_structures_of_one_sparsity(self) -> None:
        with pytest.raises(Invalid, match=r"n_of_m, which is 0\.5"):
            Gradual(budget="1MB", structure=NOfM())


class TestSweeps:
    def test_the_command_line_takes_the_place_of_sparsities_and_widths(self) -> None:
        grids = compose(["results=nowhere", "experiment=table2_small", "budget=100kB"]).grids
        assert grids is not None
        runs, unreadable = read_points(grids, ask_first=True)
        assert not unreadable
        kinds = [(run.pruning.word, getattr(run.model, "width", 0)) for run in runs]
        assert ("gradual", 1.0) in kinds and len(kinds) == 2

    def test_what_is_expected_stands_in_the_plan(self, tiny: Make) -> None:
        run = settle(
            tiny(tiny_gradual(), model=MobileNetV1(width=0.2, layout="small"), budget="22kB")
        )
        planned = size(run).nonzero
        assert planned is not None
        record = execute(run, say=silent)
        assert record.counts.nonzero == pytest.approx(planned, rel=0.1)
        assert 0 < expected(run, network(run)).final < 1  # type: ignore[attr-defined]


def test_glyphs_is_what_the_figures_above_are_of() -> None:
    assert Glyphs().shape().classes == 47
