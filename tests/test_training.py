"""Optimisers, decays, warm-up, averages, precision, parts of a batch: each by hand on little."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.schedule import OneShot
from pruneexp.training import Training, decay, fit
from pruneexp.training import optimiser as optimisers
from pruneexp.training.average import Average
from pruneexp.training.decay import Decay, Exponential, Stepwise
from pruneexp.training.optimiser import SGD, Adam, Optimiser, RMSProp
from pruneexp.training.optimiser_state import zero_optimiser_state
from pruneexp.training.parameter_groups import parameter_groups
from tests.conftest import After, Make, outcome, silent, tiny_gradual
from tests.test_data import setting


class TestDecays:
    def test_one_that_does_not_say_how_is_an_error(self) -> None:
        with pytest.raises(AssertionError, match="Decay"):
            Decay().factor(0.5)

    @pytest.mark.parametrize("option", decay.OPTIONS, ids=lambda option: option.word)
    def test_each_begins_at_the_full_rate_and_never_rises(self, option: type[Decay]) -> None:
        factors = [option().factor(step / 100) for step in range(100)]
        assert factors[0] == 1 and factors == sorted(factors, reverse=True)

    def test_stepwise(self) -> None:
        decay = Stepwise(at=[0.25, 0.5], base=0.1)
        assert [decay.factor(step / 8) for step in range(8)] == pytest.approx(
            [1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]
        )
        with pytest.raises(Invalid, match=r"at takes rising fractions in \(0, 1\)"):
            Stepwise(at=[0.5, 0.25])

    def test_exponential_goes_down_in_stairs(self) -> None:
        decay = Exponential(base=0.5, times=3)  # at 1/3 and 2/3
        assert [decay.factor(step / 6) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]

    def test_warm_up_rises_in_equal_steps_and_multiplies_the_decay(self) -> None:
        recipe = Training(warm_up=0.4, decay=Stepwise(at=[0.2], base=0.5))
        assert [recipe.factor(step, 10) for step in range(5)] == [0.25, 0.5, 0.375, 0.5, 0.5]

    def test_a_rate_for_so_many_examples_is_scaled(self) -> None:
        assert Training(learning_rate=0.1, batch_size=64).rate == 0.1
        scaled = Training(learning_rate=0.1, batch_size=64, learning_rate_per=256)
        assert scaled.rate == pytest.approx(0.025)


class TestOptimisers:
    def test_rmsprop_is_tensorflows(self) -> None:
        """Two steps by hand: the accumulator from 1, epsilon inside the root, the rate inside
        what momentum gathers."""
        weight = nn.Parameter(torch.tensor([1.0]))
        optimiser = RMSProp(smoothing=0.5, momentum=0.5, epsilon=2.0).build([weight], rate=0.1)
        square, move, value = 1.0, 0.0, 1.0
        for gradient in (2.0, -1.0):
            weight.grad = torch.tensor([gradient])
            optimiser.step()
            square = 0.5 * square + 0.5 * gradient**2
            move = 0.5 * move + 0.1 * gradient / math.sqrt(square + 2.0)
            value -= move
            assert weight.item() == pytest.approx(value)

    def test_decay_spares_vectors_and_depthwise_filters_if_told(self) -> None:
        network = nn.Sequential(
            nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        )
        depthwise, scale, shift, pointwise, bias = network.parameters()
        every = parameter_groups(network, SGD(weight_decay=0.1))
        assert [id(parameter) for parameter in every] == [id(p) for p in network.parameters()]
        recipe = SGD(weight_decay=0.1, decay_vectors=False, decay_depthwise=False)
        decays, spared = parameter_groups(network, recipe)
        assert [id(parameter) for parameter in decays["params"]] == [id(pointwise)]
        kept = [id(parameter) for parameter in (depthwise, scale, shift, bias)]
        assert [id(parameter) for parameter in spared["params"]] == kept
        assert spared["weight_decay"] == 0
        optimiser = recipe.build([decays, spared], rate=1.0)
        assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0]

    @pytest.mark.parametrize("spares", [False, True])
    def test_others_are_never_decayed_and_in_no_second_group(self, spares: bool) -> None:
        """One parameter of the model's and one beside it; torch refuses one in two groups."""
        network, alone = nn.Linear(3, 2), nn.Parameter(torch.ones(4))
        recipe = SGD(weight_decay=0.1, decay_vectors=not spares)
        groups = parameter_groups(network, recipe, undecayed=[alone, network.weight])
        assert [id(p) for p in groups[0]["params"]] == [id(network.bias)] * (not spares)
        assert [id(p) for p in groups[-1]["params"]] == [id(alone), id(network.weight)]
        decays = [group["weight_decay"] for group in recipe.build(groups, 1.0).param_groups]
        assert decays == ([0.1, 0.0, 0.0] if spares else [0.1, 0.0])


class TestAverage:
    def test_by_hand(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        average = Average(layer, decay=0.15)
        values = [4.0, 8.0, 0.0]
        for value in values:
            with torch.no_grad():
                layer.weight.fill_(value)
            average.take()
        # keeps of 0.1 (1/10), 0.15, 0.15 (2/11 and 3/12 are more): starts at the first value
        expected = 0.15 * (0.15 * 4 + 0.85 * 8)
        with average.in_place():
            assert layer.weight.item() == pytest.approx(expected)
        assert layer.weight.item() == 0

    def test_what_is_masked_is_zero_in_the_average(self, tiny: Make) -> None:
        """Averaging from the first step would bring masked weights back."""
        run = tiny(tiny_gradual())
        run = replace(run, training=replace(run.training, average=0.9))
        record = execute(run, say=silent)  # `finish` refuses masked weights that are not zero
        assert record.counts.nonzero < record.counts.parameters
        plain = execute(tiny(tiny_gradual()), say=silent)
        assert record.checksums["weights"] != plain.checksums["weights"]


@pytest.mark.parametrize(
    "changes",
    [{"average": 0.9}, {"precision": "bf16"}, {"precision": "fp16"}, {"accumulate": 4}],
    ids=str,
)
def test_a_resumed_run_equals_one_never_stopped(
    tiny: Make, changes: dict[str, Any], tmp_path: Any
) -> None:
    run = tiny(tiny_gradual())
    run = replace(run, training=replace(run.training, **changes))
    whole = outcome(execute(replace(run, results=str(tmp_path / "whole")), say=silent))
    with pytest.raises(fit.Stopped):
        execute(run, stop=After(6), say=silent)
    assert outcome(execute(run, say=silent)) == whole


class TestParts:
    def test_parts_add_up_to_the_whole_batch(self, tiny: Make) -> None:
        """Without batch-norm and dropout the gradient is the same up to rounding."""
        torch.manual_seed(0)
        whole, parted = nn.Linear(4, 3), nn.Linear(4, 3)
        parted.load_state_dict(whole.state_dict())
        pictures, labels = torch.randn(8, 4), torch.randint(3, (8,))
        for network, count in ((whole, 1), (parted, 4)):
            task = _Rows(pictures, labels)
            recipe = Training(steps=1, batch_size=8, accumulate=count, optimiser=SGD(momentum=0.0))
            pruner = Gradual(sparsity=0.5, schedule=OneShot(begin=1.0)).attach(network, steps=1)
            made = fit.Fit(network, task, pruner, recipe, steps=1, rate=0.1)
            made._step((pictures, labels))
        assert torch.allclose(whole.weight, parted.weight, atol=1e-6)

    def test_parts_are_equal(self) -> None:
        with pytest.raises(Invalid, match=r"accumulate takes a number of equal parts of training"):
            Training(batch_size=10, accumulate=3)


class _Rows(fit.LoadedTask):
    def __init__(self, pictures: torch.Tensor, labels: torch.Tensor) -> None:
        from pruneexp.tasks.images import Classification

        self.task = Classification([(0, 0)], [(0, 0)], [(0, 0)])
        self.setting = setting(batch_size=8)
        self.task.setting = self.setting

    def parts(self, batch: Any, count: int) -> list[Any]:
        return self.task.parts(batch, count)

    def loss(self, model: nn.Module, batch: Any, carry: Any) -> Any:
        pictures, labels = batch
        return nn.functional.cross_entropy(model(pictures), labels), None


def test_compiled_steps_train(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is the network that batches go through; the eager backend stands in for a
    compiler, which takes minutes."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend="eager"))
    run = tiny(Dense())
    plain = execute(run, say=silent)
    record = execute(
        replace(run, training=replace(run.training, compile=True)),
        say=silent,
    )
    assert record.fingerprint != plain.fingerprint
    assert record.test == plain.test


def test_out_of_memory_says_what_to_change(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from pruneexp.engine.failure import OutOfMemory

    def full(self: Any, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fit.Fit, "_step", full)
    with pytest.raises(OutOfMemory, match=r"at training.batch_size=\d+: training.accumulate=2"):
        execute(tiny(), say=silent)


class TestOptimiserState:
    INITIAL: ClassVar = {
        "sgd": {"momentum_buffer": 0.0},
        "adam": {"exp_avg": 0.0, "exp_avg_sq": 0.0},
        "adamw": {"exp_avg": 0.0, "exp_avg_sq": 0.0},
        "rmsprop": {"square": 1.0, "move": 0.0},
    }

    @pytest.mark.parametrize("option", optimisers.OPTIONS, ids=lambda option: option.word)
    def test_some_entries_begin_anew(self, option: type[Optimiser]) -> None:
        recipe, anew = option(), self.INITIAL[option.word]
        weight = nn.Parameter(torch.ones(3))
        optimiser = recipe.build([weight], 0.1)
        where = torch.tensor([True, False, True])
        zero_optimiser_state(optimiser, weight, where)  # before the first step there is none
        for _ in range(2):
            weight.grad = torch.full((3,), 2.0)
            optimiser.step()
        before = {key: value.clone() for key, value in optimiser.state[weight].items()}
        zero_optimiser_state(optimiser, weight, where)
        after = optimiser.state[weight]
        assert after.keys() == before.keys() >= anew.keys()
        for name, initial in anew.items():
            assert after[name].tolist() == [initial, before[name][1].item(), initial]
        assert all(torch.equal(after[k], before[k]) for k in before.keys() - anew.keys())

    def test_a_number_of_steps_stays_though_the_weight_has_its_shape(self) -> None:
        weight = nn.Parameter(torch.tensor(1.0))
        optimiser = Adam().build([weight], 0.1)
        weight.grad = torch.tensor(2.0)
        optimiser.step()
        zero_optimiser_state(optimiser, weight, torch.tensor(True))
        state = optimiser.state[weight]
        assert (state["step"].item(), state["exp_avg"].item(), state["exp_avg_sq"].item()) == (
            *(1, 0.0, 0.0),
        )

    def test_plain_sgd_keeps_nothing(self) -> None:
        weight = nn.Parameter(torch.ones(3))
        optimiser = SGD(momentum=0.0).build([weight], 0.1)
        weight.grad = torch.ones(3)
        optimiser.step()
        zero_optimiser_state(optimiser, weight, torch.ones(3, dtype=torch.bool))
        assert weight.tolist() == pytest.approx([0.9] * 3)
