"""Variational dropout and L0 regularisation: formulas by hand, layers by their moments, whole
runs, and thresholds that are moved after training."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import parents
from pruneexp.engine.record import MASKS
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import L0, VariationalDropout
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.l0_pruner import CLOSED, L0Pruner
from pruneexp.pruning.scope import All, Named
from pruneexp.pruning.stochastic_pruner import StochasticPruner
from pruneexp.pruning.variational_dropout_pruner import VariationalDropoutPruner
from pruneexp.tasks import Grammar
from pruneexp.training import Training
from tests.conftest import After, Make, outcome, silent

METHODS = [VariationalDropout, L0]
DRAWS = 4000


def attached(model: nn.Module, recipe: Any, steps: int = 10) -> Any:
    pruner = recipe.attach(model, steps=steps)
    pruner.use_data(examples=100)
    return pruner


def moments(draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        drawn = torch.stack([draw() for _ in range(DRAWS)])
    return drawn.mean(0), drawn.var(0)


class TestVariationalDropout:
    def layer(self) -> tuple[nn.Linear, VariationalDropoutPruner]:
        layer = nn.Linear(2, 1)
        layer.weight.data = torch.tensor([[2.0, -1.0]])
        layer.bias.data.fill_(0.5)
        pruner = attached(layer, VariationalDropout(log_variance=math.log(0.25), scope=All()))
        return layer, pruner

    def test_log_alpha_is_variance_over_square(self) -> None:
        _, pruner = self.layer()
        expected = [math.log(0.25 / 4), math.log(0.25)]
        assert pruner.log_alpha("weight")[0].tolist() == pytest.approx(expected, abs=1e-6)

    def test_the_divergence_is_that_of_the_paper(self) -> None:
        """At log alpha = log(1/16) and log(1/4), with the constants of equation 14."""
        _, pruner = self.layer()
        expected = 0.0
        for log_alpha in (math.log(0.25 / 4), math.log(0.25)):
            sigmoid = 1 / (1 + math.exp(-(1.8732 + 1.48695 * log_alpha)))
            expected -= 0.63576 * sigmoid - 0.5 * math.log1p(math.exp(-log_alpha)) - 0.63576
        assert pruner._cost("weight").item() == pytest.approx(expected, rel=1e-5)

    def test_the_penalty_is_over_the_number_of_examples_and_grows(self) -> None:
        layer = nn.Linear(2, 1)
        recipe = VariationalDropout(penalty=3.0, end=0.5, scope=All())
        pruner = attached(layer, recipe, steps=8)
        assert pruner.penalty() is None  # nothing at the first step
        pruner.step = 2
        expected = 3.0 * 0.5 * pruner._cost("weight").item() / 100
        assert pruner.penalty().item() == pytest.approx(expected, rel=1e-5)
        pruner.use_data(examples=100, terms=20)  # of a loss summed over 20 words
        assert pruner.penalty().item() == pytest.approx(20 * expected, rel=1e-5)

    @pytest.mark.parametrize(("ramp", "half"), [("linear", 0.5), ("cubic", 0.875), ("none", 1.0)])
    def test_how_it_grows(self, ramp: str, half: float) -> None:
        recipe = VariationalDropout(ramp=ramp, begin=0.2, end=0.6)
        assert recipe.share_at(40, 100) == pytest.approx(half)
        assert recipe.share_at(60, 100) == recipe.share_at(100, 100) == 1.0

    def test_outputs_of_a_linear_layer(self) -> None:
        """Of inputs (1, 3): mean 2 - 3 + 0.5, variance 0.25 (1 + 9)."""
        layer, _ = self.layer()
        torch.manual_seed(0)
        mean, variance = moments(lambda: layer(torch.tensor([[1.0, 3.0]])))
        assert float(mean) == pytest.approx(-0.5, abs=0.1)
        assert float(variance) == pytest.approx(2.5, rel=0.1)

    def test_positions_of_a_sequence_share_their_noise(self) -> None:
        layer, _ = self.layer()
        torch.manual_seed(0)
        first, second = layer(torch.ones(2, 3, 2)).squeeze(-1)
        assert torch.equal(first, second) and first.unique().numel() == 3

    def test_outputs_of_a_convolution(self) -> None:
        layer = nn.Conv2d(1, 1, 2, bias=False)
        layer.weight.data = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        attached(layer, VariationalDropout(log_variance=math.log(0.04), scope=All()))
        torch.manual_seed(0)
        mean, variance = moments(lambda: layer(torch.ones(1, 1, 2, 2)))
        assert float(mean) == pytest.approx(10, abs=0.05)
        assert float(variance) == pytest.approx(4 * 0.04, rel=0.1)

    def test_an_embedding_draws_each_occurrence_anew(self) -> None:
        layer = nn.Embedding(3, 4)
        attached(layer, VariationalDropout(log_variance=0.0, scope=All()))
        torch.manual_seed(0)
        first, second = layer(torch.tensor([1, 1]))
        assert (first != second).all()
        mean, variance = moments(lambda: layer(torch.tensor([1])))
        assert torch.allclose(mean[0], layer.weight[1], atol=0.1)
        assert variance[0].tolist() == pytest.approx([1.0] * 4, rel=0.12)

    def test_an_lstm_without_noise_is_an_lstm(self) -> None:
        torch.manual_seed(0)
        layer = nn.LSTM(3, 5)
        inputs, state = torch.randn(4, 2, 3), (torch.randn(1, 2, 5), torch.randn(1, 2, 5))
        expected, (hidden, cell) = layer(inputs, state)
        recipe = VariationalDropout(log_variance=-40.0, scope=All())
        attached(layer, recipe)
        outputs, after = layer(inputs, state)
        # The least noise that there is has a deviation of 1e-4 and of exp(-8 / 2) of a weight.
        assert torch.allclose(outputs, expected, atol=0.05)
        assert torch.allclose(after[0], hidden, atol=0.05) and layer.input_size == 3
        assert torch.allclose(after[1], cell, atol=0.1)

    def test_an_lstm_draws_once_for_all_positions(self) -> None:
        """With recurrent weights of nothing and a forget gate that is shut, equal inputs give equal
        outputs at each position of a stream, and others in another stream."""
        layer = nn.LSTM(2, 3)
        with torch.no_grad():
            layer.weight_hh_l0.zero_()
            layer.bias_ih_l0[3:6] = -1e4
        recipe = VariationalDropout(log_variance=0.0, scope=Named(include=["weight_ih_l0"]))
        with pytest.raises(NotPrunable, match="LSTMs of one layer"):  # both, or none
            attached(layer, recipe)
        pruner = attached(layer, VariationalDropout(log_variance=-3.0, scope=All()))
        pruner.own["weight_hh_l0"].data.fill_(-40.0)
        torch.manual_seed(0)
        outputs, _ = layer(torch.ones(3, 2, 2))
        assert torch.allclose(outputs[0, 0], outputs[2, 0], atol=1e-3)
        assert not torch.allclose(outputs[0, 0], outputs[0, 1], atol=1e-2)

    def test_after_training_weights_are_without_noise_and_above_the_threshold(self) -> None:
        layer, pruner = self.layer()
        with torch.no_grad():
            pruner.own["weight"].copy_(torch.tensor([[3.0 + math.log(4) - 0.1, 3.1]]))
        layer.eval()
        assert layer(torch.tensor([[1.0, 3.0]])).item() == pytest.approx(2.5)
        assert pruner.sparsity == 0.5
        pruner.step = 10
        assert pruner.finish()["weight"].tolist() == [[True, False]]
        assert layer.weight.tolist() == [[2.0, 0.0]] and "forward" not in layer.__dict__

    @pytest.mark.parametrize(
        "layer", [nn.MultiheadAttention(4, 2), nn.LSTM(3, 3, num_layers=2), nn.GRU(3, 3)]
    )
    def test_what_has_no_honest_form_is_refused(self, layer: nn.Module) -> None:
        with pytest.raises(NotPrunable, match="cannot draw by local reparametrisation"):
            attached(layer, VariationalDropout(scope=All()))
        assert all("forward" not in each.__dict__ for each in layer.modules())


class TestL0:
    def test_gates_are_those_of_the_hard_concrete_distribution(self) -> None:
        """A gate is shut with probability sigmoid(beta log(-gamma / zeta) - log alpha), and the
        penalty counts those that are not."""
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.fill_(1.0)
        pruner = attached(layer, L0(scope=All()))
        pruner.own["weight"].data.fill_(0.3)
        torch.manual_seed(0)
        with torch.no_grad():
            drawn = torch.stack([layer(torch.ones(1, 1)).squeeze() for _ in range(DRAWS)])
        open_ = 1 / (1 + math.exp(-(0.3 - 2 / 3 * CLOSED)))
        assert float((drawn > 0).float().mean()) == pytest.approx(open_, abs=0.03)
        assert pruner._cost("weight").item() == pytest.approx(open_, rel=1e-5)
        assert drawn.min() >= 0 and drawn.max() <= 1 and (drawn == 1).any()

    def test_after_training_a_weight_has_its_mean_gate(self) -> None:
        layer = nn.Linear(2, 1, bias=False)
        layer.weight.data = torch.tensor([[2.0, 5.0]])
        pruner = attached(layer, L0(scope=All()))
        pruner.own["weight"].data = torch.tensor([[0.3, CLOSED - 0.01]])
        gate = 1.2 / (1 + math.exp(-0.3)) - 0.1
        layer.eval()
        assert layer(torch.ones(1, 2)).item() == pytest.approx(2 * gate, rel=1e-5)
        pruner.step = 10
        assert pruner.finish()["weight"].tolist() == [[True, False]]
        assert layer.weight[0].tolist() == pytest.approx([2 * gate, 0.0], rel=1e-5)

    def test_gates_begin_open_at_nine_of_ten_draws(self) -> None:
        pruner = attached(nn.Linear(100, 100), L0(scope=All()))
        own = pruner.own["weight"]
        assert own.detach().mean().item() == pytest.approx(2.197, abs=1e-3)
        assert own.detach().std().item() == pytest.approx(0.01, rel=0.05)

    @pytest.mark.parametrize(
        ("layer", "inputs"),
        [
            (nn.MultiheadAttention(4, 2), (torch.ones(3, 2, 4),) * 3),
            (nn.LSTM(4, 3, num_layers=2, bidirectional=True), (torch.ones(3, 2, 4),)),
            (nn.Embedding(5, 4), (torch.tensor([1, 1]),)),
            (nn.Conv1d(2, 3, 2), (torch.ones(1, 2, 4),)),
        ],
        ids=["attention", "lstm", "embedding", "convolution"],
    )
    def test_any_layer_draws_and_comes_back(self, layer: nn.Module, inputs: Any) -> None:
        def outputs() -> Tensor:
            made = layer(*inputs)
            return made[0] if isinstance(made, tuple) else made

        expected = outputs()
        pruner = attached(layer, L0(scope=All(), log_alpha=9.9))
        torch.manual_seed(0)
        assert torch.allclose(outputs(), expected, atol=1e-5)  # gates that are open throughout
        for own in pruner.own.values():
            own.data.fill_(0.0)
        drawn = outputs()
        assert not torch.allclose(outputs(), drawn)
        layer.eval()
        assert torch.equal(outputs(), outputs())
        pruner.step = 10
        pruner.finish()
        assert all("forward" not in each.__dict__ for each in layer.modules())


@pytest.mark.parametrize("method", METHODS)
class TestBoth:
    def test_a_copy_of_the_model_is_a_plain_one(self, method: Any) -> None:
        layer = nn.Linear(3, 3)
        attached(layer, method(scope=All()))
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(torch.ones(1, 3)), twin(torch.ones(1, 3)))
        assert twin.weight is not layer.weight and torch.equal(twin.weight, layer.weight)
        twin.weight.data.fill_(0)
        assert layer(torch.ones(1, 3)).abs().sum() > 0

    @pytest.mark.parametrize("decay", [0.0, 0.1])
    def test_an_optimiser_gets_the_methods_own_parameters(self, method: Any, decay: float) -> None:
        """In the group without weight decay, which a scheduler of its rate knows, if there is
        one."""
        layer = nn.Linear(3, 3)
        pruner = attached(layer, method(scope=All()))
        optimiser = torch.optim.AdamW(layer.parameters(), weight_decay=decay)
        for _ in range(2):
            pruner.use(optimiser)  # once
        groups = optimiser.param_groups
        assert len(groups) == (2 if decay else 1)
        assert groups[-1]["weight_decay"] == 0 and pruner.own["weight"] is groups[-1]["params"][-1]
        assert sum(len(group["params"]) for group in groups) == 3

    def test_penalty_needs_to_know_the_data(self, method: Any) -> None:
        pruner = method(scope=All(), ramp="none").attach(nn.Linear(3, 3), steps=10)
        with pytest.raises(NotPrunable, match="use_data"):
            pruner.penalty()

    def test_removing_everything_is_told(self, method: Any) -> None:
        layer = nn.Linear(3, 3)
        pruner: StochasticPruner = attached(layer, method(scope=All()))
        for own in pruner.own.values():
            own.data.fill_(-99.0 if method is L0 else 99.0)
        pruner.step = 10
        with pytest.raises(NotPrunable, match="removes every weight; a smaller penalty"):
            pruner.finish()

    def test_finishing_early_says_when(self, method: Any) -> None:
        with pytest.raises(NotPrunable, match="this is step 0 of 10"):
            attached(nn.Linear(3, 3), method(scope=All())).finish()

    def test_a_state_of_another_recipe_is_refused(self, method: Any) -> None:
        one = attached(nn.Linear(3, 3), method(scope=All()))
        other = attached(nn.Linear(3, 3), method(scope=All(), penalty=2.0))
        with pytest.raises(ValueError, match="the state is of a pruner with recipe"):
            other.load_state_dict(one.state_dict())

    def test_a_run_that_was_stopped_goes_on_bit_for_bit(
        self, tiny: Make, tmp_path: Any, method: Any
    ) -> None:
        recipe = method(penalty=50.0)
        whole = execute(replace(tiny(recipe), results=str(tmp_path / "a")), say=silent)
        stopped = replace(tiny(recipe), results=str(tmp_path / "b"))
        with pytest.raises(Exception, match=r"^$"):
            execute(stopped, stop=After(6), say=silent)
        assert outcome(execute(stopped, say=silent)) == outcome(whole)

    def test_a_threshold_is_moved_without_training(self, tiny: Make, method: Any) -> None:
        run = tiny(method(penalty=1.0, sparsity=0.7))
        record = execute(run, say=silent)
        trained = execute(parents(run)["weights"], say=silent)
        assert record.parents == {"weights": trained.fingerprint}
        assert (record.budget.steps, record.budget.total_steps) == (0, 12)
        masked = sum(group.masked for group in record.counts.groups)
        assert masked == round(0.7 * record.counts.prunable)
        # The one that was trained first kept what its children need.
        said: list[str] = []
        other = execute(tiny(method(penalty=1.0, sparsity=0.8)), say=said.append)
        assert other.budget.steps == 0 and said == []

    def test_language_models(self, tmp_path: Any, method: Any, tiny: Make) -> None:
        run = replace(
            tiny(method(penalty=1.0)),
            task=Grammar(train=4000, valid=500, test=500),
            model=LSTMLanguageModel(hidden_size=6),
            training=Training(steps=6, batch_size=4, unroll=5, evaluations=2),
        )
        record = execute(run, say=silent)
        from safetensors.torch import load_file

        masks = load_file(run.store.folder(record.name).path / MASKS)
        assert "embedding.weight" in masks and "layers.0.weight_hh_l0" in masks
        assert math.isfinite(record.test["perplexity"])

    @pytest.mark.parametrize(
        "wrong",
        [{"penalty": -1.0}, {"ramp": "slow"}, {"begin": 0.6}, {"sparsity": 1.0}],
        ids=lambda wrong: next(iter(wrong)),
    )
    def test_what_cannot_be_is_refused(self, method: Any, wrong: dict[str, Any]) -> None:
        with pytest.raises(Invalid):
            method(**wrong)


def test_what_l0_closed_does_not_come_back() -> None:
    layer = nn.Linear(4, 1)
    pruner: L0Pruner = attached(layer, L0(scope=All()))
    pruner.own["weight"].data = torch.tensor([[1.0, -9.0, -9.0, -9.0]])
    with pytest.raises(Invalid, match=r"takes a share not below the 0.7500"):
        pruner.move_threshold(0.5)
