"""Optimal brain damage and the two-phase ramp, by hand and in whole runs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import parents
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import Gradual, TwoPhase
from pruneexp.pruning.allocation import Global
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.criterion import SecondOrder
from pruneexp.pruning.schedule import OneShot, Rounds
from pruneexp.pruning.scope import All
from pruneexp.pruning.start import FromDense
from pruneexp.pruning.two_phase_pruner import TwoPhasePruner
from pruneexp.tasks import Grammar
from pruneexp.tasks.loaded import sampled_loss
from pruneexp.tasks.supervised import Supervised
from pruneexp.training import Training
from tests.conftest import After, Make, outcome, silent, tiny_gradual


class TestSecondOrder:
    def recipe(self, **changes: Any) -> Gradual:
        own = {"sparsity": 0.5, "schedule": OneShot(begin=0.0), "scope": All()}
        return Gradual(criterion=SecondOrder(examples=2), **{**own, **changes})

    def losses(self, model: nn.Module, count: int) -> Iterator[Tensor]:
        """Gradients of (1, 0, 3) and (-1, 2, 0): squares of means 1, 2 and 4.5, where the
        square of their mean gradient would be 0, 1 and 2.25."""
        assert count == 2 and not model.training
        for row in ([1.0, 0, 3], [-1.0, 2, 0]):
            yield (model.weight * torch.tensor([row])).sum()  # type: ignore[operator]

    def test_squares_of_single_examples_are_averaged(self) -> None:
        """Scores of h w^2 / 2: 8, 1 and 2.25 of weights 4, 1 and 1."""
        layer = nn.Linear(3, 1, bias=False)
        layer.weight.data = torch.tensor([[4.0, 1.0, 1.0]])
        pruner = self.recipe(sparsity=1 / 3).attach(layer, steps=1)
        pruner.use_examples(self.losses)
        assert layer.training
        assert pruner.masks()["weight"].tolist() == [[True, False, True]]

    def test_without_examples_it_says_what_is_missing(self) -> None:
        layer = nn.Linear(3, 1)
        pruner = self.recipe(schedule=OneShot(begin=1.0)).attach(layer, steps=1)
        layer.weight.grad = torch.ones(1, 3)
        pruner.after_backward()
        with pytest.raises(NotPrunable, match="use_examples"):
            pruner.after_step()

    def test_classes_are_drawn_with_the_chances_of_the_model(self) -> None:
        scores = torch.log(torch.tensor([[0.1, 0.9]]))
        losses = [sampled_loss(scores, 0, number).item() for number in range(500)]
        assert sum(loss < 1 for loss in losses) / 500 == pytest.approx(0.9, abs=0.04)
        assert losses == [sampled_loss(scores, 0, number).item() for number in range(500)]

    @pytest.mark.parametrize("begin", [0.0, 0.5])
    def test_a_run_that_was_stopped_goes_on_bit_for_bit(
        self, tiny: Make, tmp_path: Any, begin: float
    ) -> None:
        schedule = Rounds(rounds=2, begin=begin)
        recipe = self.recipe(schedule=schedule, allocation=Global(), start=FromDense(steps=8))
        whole = execute(replace(tiny(recipe), results=str(tmp_path / "a")), say=silent)
        stopped = replace(tiny(recipe), results=str(tmp_path / "b"))
        execute(replace(parents(stopped)["weights"], results=str(tmp_path / "b")), say=silent)
        with pytest.raises(Exception, match=r"^$"):
            execute(stopped, stop=After(5), say=silent)
        assert outcome(execute(stopped, say=silent)) == outcome(whole)

    def test_language_models(self, tiny: Make) -> None:
        run = replace(
            tiny(self.recipe(start=FromDense(steps=3))),
            task=Grammar(train=4000, valid=500, test=500),
            model=LSTMLanguageModel(hidden_size=6),
            training=Training(steps=6, batch_size=4, unroll=5, evaluations=2),
        )
        record = execute(run, say=silent)
        assert sum(group.masked for group in record.counts.groups) == pytest.approx(
            record.counts.prunable / 2, abs=5
        )

    def test_examples_of_a_loss_of_ones_own(self) -> None:
        rows = torch.utils.data.TensorDataset(torch.eye(4), torch.arange(4.0)[:, None])
        task = Supervised(train=rows, valid=rows, test=rows, loss=nn.functional.mse_loss)
        from pruneexp.tasks.loaded import Setting
        from pruneexp.tasks.shape import ArrayShape

        task.settle(
            Setting(
                device=torch.device("cpu"),
                shape=ArrayShape(inputs=(4,), outputs=(1,)),
                seed=0,
                batch_size=2,
                unroll=0,
                label_smoothing=0.0,
                memory_format=torch.contiguous_format,
                workers=0,
            )
        )
        model = nn.Linear(4, 1)
        assert len(list(task.example_losses(model, 3))) == 3


class TestTwoPhase:
    def test_thresholds_rise_slowly_then_half_as_fast_again(self) -> None:
        """From 10 to 30 % at a, from 30 to 50 % at 1.5 a: a 20 + 1.5 a 20 = 1."""
        method = TwoPhase(begin=0.1, ramp=0.3, end=0.5)
        shares = [method.share_at(step, 100) for step in (0, 10, 20, 30, 40, 50, 100)]
        assert shares == pytest.approx([0, 0, 0.2, 0.4, 0.7, 1, 1])

    def test_the_slope_is_that_of_the_paper(self) -> None:
        """2 q f / (2 (ramp - start) + 3 (end - ramp)) at each update of the first phase."""
        method = TwoPhase(begin=0.1, ramp=0.3, end=0.5, interval=5)
        slope = 2 * 1 * 5 / (2 * 20 + 3 * 20)
        assert method.share_at(20, 100) - method.share_at(15, 100) == pytest.approx(slope)

    def pruner(self) -> tuple[nn.Linear, TwoPhasePruner]:
        layer = nn.Linear(4, 1, bias=False)
        layer.weight.data = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
        dense = {"weight": torch.tensor([[0.0, 3.5, 0.0, -9.0]])}
        method = TwoPhase(quantile=0.75, begin=0.0, ramp=0.0, end=1.0, interval=1, scope=All())
        return layer, TwoPhasePruner(layer, method, dense, steps=2)

    def test_what_lies_below_goes_for_good(self) -> None:
        """Three of four dense weights are at most 3.5; half way the threshold is 1.75."""
        layer, pruner = self.pruner()
        assert pruner.levels() == [3.5]
        layer.weight.grad = torch.zeros(1, 4)
        for kept in ([False, True, True, True], [False, False, False, True]):
            pruner.after_backward()
            pruner.after_step()
            assert pruner.masks()["weight"].tolist() == [kept]
            assert layer.weight[0].tolist()[0] == 0
        assert pruner.sparsity == 0.75
        assert pruner.finish()["weight"].tolist() == [[False, False, False, True]]

    def test_a_run_that_was_stopped_goes_on_bit_for_bit(self, tiny: Make, tmp_path: Any) -> None:
        recipe = TwoPhase(interval=1)
        whole = execute(replace(tiny(recipe), results=str(tmp_path / "a")), say=silent)
        stopped = replace(tiny(recipe), results=str(tmp_path / "b"))
        execute(replace(parents(stopped)["levels"], results=str(tmp_path / "b")), say=silent)
        with pytest.raises(Exception, match=r"^$"):
            execute(stopped, stop=After(5), say=silent)
        assert outcome(execute(stopped, say=silent)) == outcome(whole)
        assert whole.budget.spent_steps == 24 and whole.budget.total_steps == 12
        assert sum(group.masked for group in whole.counts.groups) > whole.counts.prunable / 2

    @pytest.mark.parametrize(
        "wrong", [{"quantile": 1.0}, {"ramp": 0.6}, {"begin": 0.3}, {"interval": 0}]
    )
    def test_what_cannot_be_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(Invalid):
            TwoPhase(**wrong)


def test_the_rate_begins_anew_in_each_round(tiny: Make) -> None:
    """Two rounds of a stage: the second is retrained at the same rates as the first."""
    start = FromDense(rate=0.1, restarts=2)
    run = tiny(pruning=tiny_gradual(start=start, schedule=Rounds(rounds=2)))
    record = execute(run, say=silent)
    history = run.store.folder(record.name).history()
    rates = [row["rate"] for row in history]
    half = len(rates) // 2
    assert rates[:half] == rates[half:]
    assert rates[0] == pytest.approx(0.1 * run.training.rate)
    assert rates[half - 1] < rates[0] / 2
