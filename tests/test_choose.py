"""Which model for a budget: the pick, how sure it is, for which budgets it is another one."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pruneexp
from pruneexp.cli.main import main
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.record import RECORD
from pruneexp.models import LSTMLanguageModel
from pruneexp.quantisation import Rounding
from pruneexp.report.choice.answer import Answer, answer
from pruneexp.report.choice.beliefs import shrunken
from pruneexp.report.choice.candidates import Limits
from pruneexp.report.choice.told import how_sure
from pruneexp.tasks import Grammar
from tests.results import PERPLEXITY, Results, weights

LIMITS = [Limits(bytes=200_000)]


def trained(
    results: Results,
    file: int,
    tests: list[float],
    width: float = 1.0,
    *,
    sparsity: Any = None,
    **what: Any,
) -> None:
    """All seeds of one configuration, whose file takes so many bytes."""
    for seed, test in enumerate(tests):
        results.finish(
            file // 4,
            test,
            width,
            sparsity,
            seed=seed,
            weighed=weights(file // 4, file=file),
            **what,
        )


def curves(results: Results) -> Results:
    """Small: sparse is better; large: dense is."""
    for file, width, test in ((50, 0.25, 70.0), (150, 0.5, 80.0), (400, 1.0, 86.0)):
        trained(results, 1000 * file, [test - 0.2, test, test + 0.2], width)
    for file, sparsity, test in ((60, 0.9, 76.0), (160, 0.75, 82.0), (390, 0.5, 84.0)):
        found = [test - 0.2, test + 0.2, test]
        trained(results, 1000 * file, found, sparsity=sparsity)
    return results


def of(results: Results, **limits: float) -> Answer:
    return answer(results.store, [Limits(**limits)], plan=results.plan)


class TestPick:
    def test_the_best_that_fits(self, results: Results) -> None:
        made = of(curves(results), bytes=200_000)
        (choice,) = made.choices
        assert choice.pick is not None and choice.pick.words == "sparse 75 % from ×1"
        assert choice.certainty is not None and (choice.certainty.best or 0) > 0.99
        assert choice.runner_up is not None and choice.runner_up.words == "dense ×0.5"
        assert choice.best["dense"].words == "dense ×0.5"
        assert not choice.is_tie and choice.within == 4
        assert made.pack_command(choice).endswith("-o model.pxp")
        assert made.text().startswith(
            "For 0.200 MB: sparse 75 % from ×1: test accuracy 82.0 ± 0.5 %"
        )

    def test_seeds_that_overlap_are_a_tie(self, results: Results) -> None:
        trained(results, 100_000, [80.0, 81.0, 82.0], 0.5)
        trained(results, 90_000, [82.1, 80.2, 81.3], sparsity=0.9)
        (choice,) = of(results, bytes=200_000).choices
        assert choice.is_tie
        assert "A tie: dense ×0.5 is not worse beyond chance" in how_sure(choice)

    def test_what_is_told_was_measured_on_test(self, results: Results) -> None:
        trained(results, 100_000, [80.0, 80.4, 80.8], 0.5)
        (choice,) = of(results, bytes=200_000).choices
        assert choice.pick is not None
        assert choice.pick.point.test == pytest.approx(80.4)
        assert choice.pick.point.valid == pytest.approx(81.4)

    def test_the_files_of_a_type_that_was_measured(self, results: Results) -> None:
        trained(results, 400_000, [86.0, 86.1], 1.0)
        trained(results, 400_000, [85.9, 86.0], 1.0, quantisation=Rounding(values="int8"))
        trained(results, 90_000, [80.0, 80.1], 0.5)
        made = of(results, bytes=120_000)
        (choice,) = made.choices
        assert choice.pick is not None and choice.pick.bytes == 100_000
        assert choice.pick.words == "dense ×1, int8 after training"
        assert "--values int8" in made.pack_command(choice)

    def test_the_smallest_that_reaches_a_value(self, results: Results) -> None:
        (choice,) = of(curves(results), at_least=82.0).choices
        assert choice.pick is not None and choice.pick.words == "sparse 75 % from ×1"
        (choice,) = of(results, at_least=99.0).choices
        assert choice.pick is None and "the best is dense ×1, about 87.0 %" in choice.lacking[0]

    @pytest.mark.parametrize("value", [100.0, 120.0])
    def test_what_nothing_can_reach(self, results: Results, value: float) -> None:
        (choice,) = of(curves(results), at_least=value).choices
        assert choice.pick is None and "is believed to reach" in choice.lacking[0]

    def test_a_perplexity_is_better_when_low(self, results: Results) -> None:
        for units, file, test in ((10, 50, 20.0), (20, 90, 18.0)):
            for seed in range(2):
                results.finish(
                    1000 * units,
                    test + 0.1 * seed,
                    metric=PERPLEXITY,
                    model=LSTMLanguageModel(hidden_size=units),
                    task=Grammar(),
                    seed=seed,
                    weighed=weights(units, file=1000 * file),
                )
        (choice,) = of(results, bytes=100_000).choices
        assert choice.pick is not None and choice.pick.words == "dense 20 units"
        (choice,) = of(results, at_least=21.5).choices
        assert choice.pick is not None and choice.pick.words == "dense 10 units"

    def test_several_limits_at_once(self, results: Results) -> None:
        trained(results, 100_000, [80.0, 80.1], 0.5, seconds=0.002)
        trained(results, 90_000, [85.0, 85.1], sparsity=0.9, seconds=0.009)
        (choice,) = of(results, bytes=200_000, milliseconds=5).choices
        assert choice.pick is not None and choice.pick.words == "dense ×0.5"
        (choice,) = of(results, bytes=200_000, nonzero=24_000).choices
        assert choice.pick is not None and choice.pick.words == "sparse 90 % from ×1"

    def test_the_same_answer_each_time(self, results: Results) -> None:
        curves(results)
        one, other = (json.dumps(of(results, bytes=200_000).to_plain()) for _ in range(2))
        assert one == other


class TestBudgets:
    def test_a_step_where_the_answer_gains(self, results: Results) -> None:
        made = of(curves(results))
        picks = [step.choice.pick.words for step in made.steps if step.choice.pick]
        assert picks == [
            *("dense ×0.25", "sparse 90 % from ×1", "dense ×0.5"),
            *("sparse 75 % from ×1", "sparse 50 % from ×1", "dense ×1"),
        ]
        assert [step.least for step in made.steps][:2] == [50_000, 60_000]
        assert made.steps[0].most == 60_000 and made.steps[-1].most is None
        assert made.budgets is not None and len(made.budgets.cells) == 6

    def test_for_which_budgets_to_prune(self, results: Results) -> None:
        said = of(curves(results)).crossover
        assert said.startswith("From 0.060 MB to 0.2")
        assert "MB sparse from ×1 is better" in said and said.endswith("MB dense is better.")

    def test_one_kind_has_no_crossover(self, results: Results) -> None:
        trained(results, 100_000, [80.0, 80.1], 0.5)
        assert of(results).crossover == ""


class TestNextRuns:
    def test_more_seeds_where_it_is_a_tie(self, results: Results) -> None:
        trained(results, 100_000, [80.0, 81.0, 82.0], 0.5)
        trained(results, 90_000, [80.2, 81.3], sparsity=0.9)
        made = of(results, bytes=95_000_0)
        first, second = made.next[0][:2]
        assert first.changes == {"seed": "2"} and second.changes == {"seed": "3"}
        assert "sparse 90 % from ×1 or dense ×0.5" in first.settles

    def test_smaller_values_where_a_better_model_would_fit(self, results: Results) -> None:
        made = of(curves(results), bytes=110_000)
        (run, *_) = made.next[0]
        assert run.changes == {"quantisation": "rounding", "quantisation.values": "int8"}
        assert run.settles == "whether dense ×1 in int8, 0.100 MB, is better"

    @pytest.mark.parametrize("kind", ["dense", "sparse"])
    def test_the_kind_that_is_not_there(self, results: Results, kind: str) -> None:
        trained(results, 100_000, [80.0, 80.1], 0.5, sparsity=None if kind == "sparse" else 0.9)
        made = of(results, bytes=100_000)
        (run,) = made.next[0]
        assert run.changes["budget"] == "100kB"
        assert run.changes["pruning"] == ("none" if kind == "dense" else "gradual")
        assert f"no {kind} run" in made.choices[0].lacking[0]


class TestWhatIsLacking:
    def test_one_seed_each(self, results: Results) -> None:
        trained(results, 100_000, [80.0], 0.5)
        trained(results, 90_000, [82.0], sparsity=0.9)
        made = of(results, bytes=200_000)
        (choice,) = made.choices
        assert choice.pick is not None and choice.pick.kind == "sparse"
        assert choice.certainty is not None and choice.certainty.best is None
        assert "one seed" in " ".join(choice.lacking)

    def test_one_run(self, results: Results) -> None:
        trained(results, 100_000, [80.0], 0.5)
        assert "the only one" in of(results, bytes=200_000).text()

    def test_nothing_fits(self, results: Results) -> None:
        (choice,) = of(curves(results), bytes=1_000).choices
        assert choice.pick is None
        assert "the smallest file is that of dense ×0.25, 50,000 bytes" in choice.lacking[0]

    def test_nothing_was_timed(self, results: Results) -> None:
        (choice,) = of(curves(results), milliseconds=5).choices
        assert choice.lacking == ("no run was timed; `pruneexp latency RUN` times it",)

    def test_nothing_was_weighed(self, results: Results) -> None:
        results.finish(1000, 80.0)
        (choice,) = of(results, bytes=1_000).choices
        assert choice.pick is None and "pruneexp bytes" in choice.lacking[0]

    def test_no_runs(self, tmp_path: Path) -> None:
        with pytest.raises(files.NotFound, match="no finished run"):
            pruneexp.choose(tmp_path, budget="1kB")

    def test_a_plan_of_which_nothing_is_finished(self, results: Results) -> None:
        results.ask(0.5)
        with pytest.raises(files.NotFound, match="no run of mine is finished"):
            of(results, bytes=1)

    def test_a_budget_misspelt(self, results: Results) -> None:
        with pytest.raises(Invalid, match="budget takes an amount such as 200kB"):
            pruneexp.choose(results.store.results, budget="200quux")


class TestAllRuns:
    def test_the_largest_comparable_group(self, results: Results) -> None:
        curves(results)
        trained(results, 100_000, [99.0], 0.7, data="other")
        for seed in range(2):
            results.finish(
                500,
                12.0,
                metric=PERPLEXITY,
                model=LSTMLanguageModel(hidden_size=8),
                task=Grammar(),
                seed=seed,
                data="language",
                weighed=weights(100, file=400),
            )
        made = pruneexp.choose(results.store.results, budget="200kB")
        assert made.choices[0].pick is not None
        assert made.choices[0].pick.words == "sparse 75 % from ×1"
        assert sorted(made.notes) == [
            "1 runs of other data are left out",
            "2 runs of grammar (--task grammar takes those) are left out",
        ]
        made = pruneexp.choose(results.store.results, budget="200kB", task="grammar")
        assert made.choices[0].pick is not None and made.metric.name == "perplexity"
        with pytest.raises(files.NotFound, match="there are runs of: glyphs, grammar"):
            pruneexp.choose(results.store.results, budget="200kB", task="ptb")

    def test_a_damaged_record_is_named_and_left_out(self, results: Results) -> None:
        curves(results)
        victim = results.store.folders()[0]
        (victim.path / RECORD).write_text("{")
        made = pruneexp.choose(results.store.results, budget="200kB")
        assert made.choices[0].pick is not None
        assert any(victim.path.name in note for note in made.notes)

    def test_points_that_are_called_the_same_are_told_apart(self, results: Results) -> None:
        from pruneexp.training import Training

        for rate in (0.1, 0.2):
            trained(results, 100_000, [80.0, 80.1], 0.5, training=Training(learning_rate=rate))
        made = of(results, bytes=200_000)
        assert made.choices[0].pick is not None and made.choices[0].runner_up is not None
        words = {made.choices[0].pick.words, made.choices[0].runner_up.words}
        assert words == {"dense ×0.5 (learning rate 0.1)", "dense ×0.5 (learning rate 0.2)"}


class TestBeliefs:
    def test_a_lucky_value_is_drawn_towards_its_line(self) -> None:
        places = np.arange(6.0) - 2.5
        design = np.stack([np.ones(6), places], axis=1)
        values = places + np.array([0, 0, 0, 2.0, 0, 0])
        means = shrunken(values, np.eye(6), design).mean
        assert places[3] < means[3] < values[3] - 0.5

    def test_without_noise_nothing_moves(self) -> None:
        values = np.array([1.0, 5.0, 2.0, 7.0])
        design = np.stack([np.ones(4), np.arange(4.0)], axis=1)
        made = shrunken(values, 1e-12 * np.eye(4), design)
        assert made.mean == pytest.approx(values, abs=1e-6)
        assert np.abs(made.drawn(8) - values).max() < 1e-4

    def test_probabilities_are_those_of_repeated_experiments(self) -> None:
        """Of picks that are said to be best with probability p, about that share are."""
        generator = np.random.default_rng(7)
        places = np.linspace(-1, 1, 8)
        design = np.stack([np.ones(8), places], axis=1)
        told, right, luckiest, chosen = [], [], [], []
        seeds, points = 3, 8
        for _ in range(400):
            true = 0.3 * places + generator.normal(0, 0.3, points)
            runs = true[:, None] + generator.normal(0, 0.4, (points, seeds))
            values = runs.mean(axis=1)
            variance = runs.var(axis=1, ddof=1).mean()
            made = shrunken(values, variance / seeds * np.eye(points), design)
            drawn = made.drawn(points * (seeds - 1))
            pick = int(made.mean.argmax())
            told.append(float(np.mean(drawn.argmax(axis=1) == pick)))
            right.append(pick == int(true.argmax()))
            luckiest.append(true[int(values.argmax())])
            chosen.append(true[pick])
        assert np.mean(told) == pytest.approx(np.mean(right), abs=0.06)
        assert np.mean(chosen) >= np.mean(luckiest) - 0.005
        sure = np.array(told) > 0.7
        assert np.mean(np.array(right)[sure]) > 0.65


class TestCommand:
    def run(self, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
        monkeypatch.setattr("sys.argv", ["pruneexp", "choose", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    def test_in_words(
        self, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        curves(results)
        folder = str(results.store.results)
        assert self.run(monkeypatch, "--results", folder, "--budget", "200kB", "70kB") == 0
        shown = capsys.readouterr().out
        assert "For 0.200 MB: sparse 75 % from ×1" in shown
        assert "For 0.070 MB: sparse 90 % from ×1" in shown
        assert "pruneexp pack" in shown and "pruneexp run" in shown

    def test_commands_hold_in_a_folder_with_a_space(
        self, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        curves(results)
        folder = results.store.results.rename(results.store.results.with_name("a b"))
        assert self.run(monkeypatch, "--results", str(folder), "--budget", "110kB") == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "pruneexp " in line]
        assert len(lines) >= 2
        assert all(str(folder) in shlex.split(line) for line in lines)

    def test_as_json(
        self, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        curves(results)
        folder = str(results.store.results)
        assert self.run(monkeypatch, f"results={folder}", "budget=110kB", "format=json") == 0
        plain = json.loads(capsys.readouterr().out)
        (choice,) = plain["choices"]
        assert choice["pick"]["words"] == "sparse 90 % from ×1"
        assert choice["pick"]["bytes_by_values"]["int8"] == 15_000
        assert choice["next"][0]["command"].startswith("pruneexp run ")
        assert "quantisation=rounding" in choice["next"][0]["command"]
        assert plain["budgets"][0]["from_bytes"] == 50_000

    def test_no_answer_is_told_with_a_status_of_its_own(
        self, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        curves(results)
        folder = str(results.store.results)
        assert self.run(monkeypatch, "--results", folder, "--budget", "1kB") == 2
        assert "no answer" in capsys.readouterr().out

    @pytest.mark.parametrize("words", [["--budget", "2q"], ["--ms", "0"], ["--at-least", "nan"]])
    def test_amounts_that_are_none(
        self, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, *words) == 2
        assert "takes a" in capsys.readouterr().err
