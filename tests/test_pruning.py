"""Pruning: arithmetic computed by hand, and the pruner against an explicit weight * mask."""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruneexp.config.recipe import Invalid
from pruneexp.pruning import Dense, Gradual, Random
from pruneexp.pruning.allocation import (
    Allocation,
    Global,
    LayerwiseConstant,
    PerLayer,
    Uniform,
)
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.group import Group
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.schedule import Cubic, Linear, OneShot, Schedule
from pruneexp.pruning.scope import All, ModelScope, Named
from pruneexp.pruning.structure import Blocks, NOfM, Structure
from pruneexp.training.optimiser import SGD, Adam, AdamW


class TestSchedule:
    def test_cubic_is_equation_1(self) -> None:
        schedule = Cubic(begin=0.1, end=0.9, interval=10, initial_sparsity=0.2)
        # t0 = 10, span 80: at t = 50 half has gone by, s = 0.8 + (0.2 - 0.8) * (1/2)^3
        assert schedule.at(50, 100, 0.8) == pytest.approx(0.725)
        assert schedule.at(10, 100, 0.8) == pytest.approx(0.2)
        assert schedule.at(9, 100, 0.8) == 0.0

    def test_linear_is_half_way_at_half(self) -> None:
        assert Linear(begin=0.0, end=1.0).at(50, 100, 0.8) == pytest.approx(0.4)

    @pytest.mark.parametrize("interval", [1, 7, 30, 1000])
    def test_last_update_lands_on_the_final_sparsity(self, interval: int) -> None:
        schedule = Cubic(begin=0.2, end=0.7, interval=interval)
        updates = schedule.updates(100)
        assert updates[0] == 20 or interval > 50
        assert updates[-1] == 70
        assert schedule.at(updates[-1], 100, 0.9) == 0.9
        assert all(b - a <= interval for a, b in pairwise(updates))

    def test_a_short_run_is_gradual_without_an_interval(self) -> None:
        assert Cubic().updates(150)[:3] == [30, 33, 36]  # a twentieth of the span of 75 steps
        assert Cubic().updates(40_000)[:2] == [8000, 8100]

    def test_a_control_of_sparsity_0_stays_dense(self) -> None:
        schedule = Cubic(initial_sparsity=0.5)
        assert all(schedule.at(step, 100, 0.0) == 0.0 for step in range(101))

    def test_one_shot_updates_once(self) -> None:
        assert OneShot(begin=0.25).updates(40) == [10]
        assert OneShot(begin=0.25).at(9, 40, 0.5) == 0.0
        assert OneShot(begin=0.25).at(10, 40, 0.5) == 0.5

    def test_parts_follow_one_another(self) -> None:
        schedule = Linear(begin=0.2, end=0.8, interval=1000)
        assert [schedule.part(100, part, 3) for part in range(3)] == [(20, 40), (40, 60), (60, 80)]
        assert schedule.updates(100, parts=3) == [20, 40, 60, 80]

    @pytest.mark.parametrize(
        ("schedule", "values", "key"),
        [
            (Cubic, {"begin": 0.8, "end": 0.5}, "end"),
            (Cubic, {"interval": 0}, "interval"),
            (Linear, {"begin": -0.1}, "begin"),
            (Linear, {"initial_sparsity": 1.0}, "initial_sparsity"),
            (OneShot, {"begin": 1.5}, "begin"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, schedule: type[Schedule], values: dict[str, float], key: str
    ) -> None:
        with pytest.raises(Invalid, match=f"^{key} takes"):
            schedule(**values)


class TestAllocation:
    groups: ClassVar[list[Group]] = [
        Group("stem", {"stem": (2, 5)}),
        Group("head", {"head": (3, 10)}),
    ]
    ramp = Linear(begin=0.0, end=1.0, interval=1)

    def test_uniform_rounds_each_group(self) -> None:
        assert Uniform().masked(self.groups, self.ramp, 0.85, 100, 100) == [9, 26]

    def test_global_rounds_once(self) -> None:
        assert Global().pools(self.groups) == [[0, 1]]
        assert Global().masked(self.groups, self.ramp, 0.85, 100, 100) == [34]

    def test_layerwise_takes_turns(self) -> None:
        one_by_one = LayerwiseConstant()
        at = [one_by_one.masked(self.groups, self.ramp, 0.8, t, 100) for t in (25, 50, 75)]
        assert at == [[4, 0], [8, 0], [8, 12]]
        backward = LayerwiseConstant(order="backward")
        assert backward.masked(self.groups, self.ramp, 0.8, 50, 100) == [0, 24]
        assert backward.masked(self.groups, self.ramp, 0.8, 100, 100) == [8, 24]

    def test_per_layer_stops_at_the_smallest_bound_that_fits(self) -> None:
        def masked(step: int, **bounds: float) -> list[int]:
            return PerLayer(at_most=bounds).masked(self.groups, self.ramp, 0.8, step, 100)

        assert masked(100, stem=0.0) == [0, 24]
        assert masked(100, stem=0.9) == [8, 24]  # a bound above pruning.sparsity is none
        assert masked(100, **{"*": 0.5, "st?m": 0.3}) == [3, 15]
        assert masked(50, **{"*": 0.5, "st?m": 0.3}) == [2, 8]  # half of each: 1.5 and 7.5, rounded
        assert PerLayer(at_most={"stem": 0}).at_most == {"stem": 0.0}

    def test_a_bound_needs_a_layer_and_a_share(self) -> None:
        with pytest.raises(Invalid, match=r"pattern haed .*did you mean head\?.*are stem, head$"):
            PerLayer(at_most={"haed": 0.5}).masked(self.groups, self.ramp, 0.8, 100, 100)
        for bounds in ({}, {"stem": 1.0}, {"stem": -0.1}):
            with pytest.raises(Invalid, match=r"^at_most takes patterns .* got \{"):
                PerLayer(at_most=bounds)


class TestScope:
    def network(self) -> nn.Module:
        network = nn.Module()
        network.embed = nn.Embedding(5, 4)
        network.rnn = nn.LSTM(4, 4, num_layers=2)
        network.head = nn.Linear(4, 5)
        network.head.weight = network.embed.weight  # tied
        return network

    def test_recurrent_layers_are_one_group_and_tied_tensors_once(self) -> None:
        assert All().groups(self.network()) == {
            "embed.weight": ["embed.weight"],
            "rnn.weights_l0": ["rnn.weight_ih_l0", "rnn.weight_hh_l0"],
            "rnn.weights_l1": ["rnn.weight_ih_l1", "rnn.weight_hh_l1"],
        }

    def test_a_recurrent_layer_may_be_ranked_apart(self) -> None:
        network = self.network()
        apart = All(recurrent="apart")
        names = ["embed.weight", *(f"rnn.weight_{k}_l{n}" for n in (0, 1) for k in ("ih", "hh"))]
        assert apart.groups(network) == {name: [name] for name in names}
        with torch.no_grad():  # a magnitude for each half of the layer
            network.rnn.weight_ih_l0.fill_(2.0)
            network.rnn.weight_hh_l0.fill_(1.0)
            network.rnn.weight_hh_l0[0, 0] = 3.0
        masks = {}
        for scope in (All(), apart):
            pruner = Gradual(sparsity=0.5, scope=scope, schedule=OneShot(begin=0)).attach(
                deepcopy(network), steps=1
            )
            masks[scope.recurrent] = pruner.finish()
        assert masks["together"]["rnn.weight_ih_l0"].sum() == 63
        assert masks["together"]["rnn.weight_hh_l0"].sum() == 1
        assert masks["apart"]["rnn.weight_ih_l0"].sum() == 32  # of 16 x 4
        assert masks["apart"]["rnn.weight_hh_l0"].sum() == 32

    def test_apart_leaves_a_networks_own_groups_alone(self) -> None:
        network = self.network()
        network.prunable = lambda: {"both": ["embed.weight", "rnn.weight_hh_l0"]}
        assert ModelScope(recurrent="apart").groups(network) == network.prunable()
        with pytest.raises(Invalid, match="recurrent takes together or apart, got alone"):
            ModelScope(recurrent="alone")

    def test_named_includes_and_excludes(self) -> None:
        groups = Named(include=["rnn.*", "embed.*"], exclude=["*_l1"]).groups(self.network())
        assert list(groups) == ["embed.weight", "rnn.weights_l0"]

    def test_nothing_is_refused_with_the_names_there_are(self) -> None:
        with pytest.raises(Invalid, match=r"matches no tensor.*embed\.weight"):
            Named(include=["encoder.*"]).groups(self.network())
        with pytest.raises(Invalid, match="matches no tensor"):
            All().groups(nn.BatchNorm1d(3))

    def test_model_scope_asks_the_network(self) -> None:
        network = self.network()
        network.prunable = lambda: {"head": ["embed.weight"]}
        assert ModelScope().groups(network) == {"head": ["embed.weight"]}

    @pytest.mark.parametrize(
        ("says", "message"),
        [
            ({}, "matches no tensor"),
            (["embed.weight"], "must return names of groups"),
            ({"a": ["nope.weight"]}, "nope.weight: no such tensor"),
        ],
    )
    def test_a_prunable_that_cannot_be_is_refused(self, says: Any, message: str) -> None:
        network = self.network()
        network.prunable = lambda: says
        with pytest.raises(Invalid, match=message):
            ModelScope().groups(network)

    def test_each_pattern_must_match(self) -> None:
        with pytest.raises(Invalid, match=r"pattern clasifier\.\*"):
            Named(include=["rnn.*", "clasifier.*"]).groups(self.network())
        with pytest.raises(Invalid, match=r"^include takes a list"):
            Named(include="rnn.*")


class TestBoundWeights:
    """2 of 4 and blocks, through the whole schedule."""

    def pruned(
        self, structure: Structure, sparsity: float, allocation: Allocation | None = None
    ) -> dict[str, Tensor]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(8, 12, 3), nn.Flatten(), nn.Linear(12, 8))
        schedule = Cubic(begin=0.0, end=0.8, interval=2)
        recipe = Gradual(
            sparsity=sparsity,
            structure=structure,
            allocation=allocation or Uniform(),
            scope=All(),
            schedule=schedule,
        )
        pruner = recipe.attach(model, steps=10)
        optimiser = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
        for _ in range(10):
            optimiser.zero_grad()
            model(torch.randn(4, 8, 3, 3)).square().sum().backward()
            pruner.after_backward()
            optimiser.step()
            pruner.after_step()
        return pruner.finish()

    def test_two_of_each_four_stay(self) -> None:
        masks = self.pruned(NOfM(), 0.5)
        assert (masks["2.weight"].view(8, 3, 4).sum(2) == 2).all()
        assert (masks["0.weight"].movedim(1, -1).reshape(-1, 4).sum(1) == 2).all()

    def test_blocks_stay_or_go(self) -> None:
        masks = self.pruned(Blocks(rows=2, columns=4), 0.75)
        blocks = masks["2.weight"].view(4, 2, 3, 4).sum((1, 3))
        assert sorted(blocks.flatten().tolist()) == [0] * 9 + [8] * 3
        blocks = masks["0.weight"].movedim(1, -1).reshape(6, 2, 9, 2, 4).sum((1, 4))
        assert sorted(blocks.flatten().tolist()) == [0] * 81 + [8] * 27

    def test_what_cannot_be_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(Invalid, match=r"sparsity takes 0.5 where 2 of 4 stay, got 0.8"):
            self.pruned(NOfM(), 0.8)
        with pytest.raises(Invalid, match=r"cuts tensors into 8, and 2.weight is \(8, 12\); leave"):
            self.pruned(Blocks(columns=8), 0.5)
        with pytest.raises(Invalid, match=r"keep takes a number from 1 to 3, got 4"):
            NOfM(keep=4)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
    )


OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "plain sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01),
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
}
RECIPE = Gradual(sparsity=0.8, schedule=Cubic(begin=0.1, end=0.8, interval=3), scope=All())
STEPS = 40


def data(step: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(step)
    return torch.randn(8, 1, 6, 6, generator=random), torch.randint(5, (8,), generator=random)


def explicit(optimiser: Callable[..., Any], recipe: Gradual) -> dict[str, Tensor]:
    """weight * mask written out: raw values stay in the parameters, masked ones are frozen, decay
    acts on weight * mask, gradients are clipped after masking."""
    model = network()
    raw = dict(model.named_parameters())
    names = [name for group in recipe.groups(model).values() for name in group]
    mask = {name: torch.ones_like(raw[name]) for name in names}
    made = optimiser(model.parameters())
    updates = recipe.schedule.updates(STEPS)
    for step in range(STEPS):
        used = {name: value * mask.get(name, 1.0) for name, value in raw.items()}
        inputs, labels = data(step)
        made.zero_grad()
        nn.functional.cross_entropy(functional_call(model, used, (inputs,)), labels).backward()
        frozen = {name: raw[name].detach().clone() for name in names}
        with torch.no_grad():
            for name in names:
                raw[name].grad *= mask[name]
                raw[name] *= mask[name]
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        made.step()
        with torch.no_grad():
            for name in names:
                raw[name].copy_(torch.where(mask[name] == 1, raw[name], frozen[name]))
                if step + 1 in updates:
                    group = Group(name, {name: tuple(raw[name].shape)})
                    masked = recipe.allocation.masked(
                        [group], recipe.schedule, recipe.sparsity, step + 1, STEPS
                    )[0]
                    mask[name] = keep_highest([raw[name].abs()], masked)[0].float()
    return {name: (value * mask.get(name, 1.0)).detach() for name, value in raw.items()}


def in_place(
    optimiser: Callable[..., Any], recipe: Gradual, stop: int = STEPS, *, zeros_moved: bool = True
) -> Any:
    model = network()
    pruner = recipe.attach(model, steps=STEPS)
    made = optimiser(model.parameters())
    for step in range(stop):
        inputs, labels = data(step)
        made.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        pruner.after_backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        made.step()
        pruner.after_step(zeros_moved=zeros_moved)
    return model, pruner


@pytest.mark.parametrize("name", OPTIMISERS)
def test_equals_an_explicit_mask_bit_for_bit(name: str) -> None:
    expected = explicit(OPTIMISERS[name], RECIPE)
    model, pruner = in_place(OPTIMISERS[name], RECIPE)
    pruner.finish()
    for key, value in model.named_parameters():
        assert torch.equal(value, expected[key]), key


def test_what_plain_sgd_leaves_alone_needs_no_product() -> None:
    assert not SGD(momentum=0.0).moves_zeros
    assert SGD(momentum=0.1).moves_zeros
    assert Adam().moves_zeros
    assert AdamW().moves_zeros
    expected = explicit(OPTIMISERS["plain sgd"], RECIPE)
    model, pruner = in_place(OPTIMISERS["plain sgd"], RECIPE, zeros_moved=False)
    pruner.finish()  # counts masked weights that are not zero
    for key, value in model.named_parameters():
        assert torch.equal(value, expected[key]), key


def test_weights_revive_with_the_value_they_had_when_masked() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    recipe = Gradual(
        sparsity=0.5, schedule=Linear(begin=0, end=1, interval=1, initial_sparsity=0.5)
    )
    pruner = recipe.attach(layer, steps=2)
    assert layer.weight.tolist() == [[0, 0, pytest.approx(0.3), pytest.approx(0.4)]]
    with torch.no_grad():
        layer.weight[0, 2] = 0.15  # a survivor has shrunk below a masked one
    pruner.after_step()
    assert layer.weight.tolist() == [[0, pytest.approx(0.2), 0, pytest.approx(0.4)]]
    with torch.no_grad():
        layer.weight[0, 3] = 0.01
    pruner.after_step()
    assert layer.weight.tolist() == [[0, pytest.approx(0.2), pytest.approx(0.15), 0]]


def test_monotone_never_revives() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    schedule = Linear(begin=0, end=1, interval=1, initial_sparsity=0.5)
    pruner = Gradual(sparsity=0.75, schedule=schedule, revive=False).attach(layer, steps=2)
    with torch.no_grad():
        layer.weight[0, 2] = 0.05
    pruner.after_step()
    pruner.after_step()
    assert layer.weight.tolist() == [[0, 0, 0, pytest.approx(0.4)]]


@pytest.mark.parametrize("revive", [True, False])
@pytest.mark.parametrize(
    "allocation", [Uniform(), Global(), LayerwiseConstant(), PerLayer(at_most={"0.*": 0.2})]
)
@pytest.mark.parametrize("sparsity", [0.0, 0.333, 0.95])
def test_planned_and_achieved_numbers_are_equal(
    allocation: Any, sparsity: float, revive: bool
) -> None:
    recipe = Gradual(
        sparsity=sparsity,
        schedule=Cubic(interval=7),
        allocation=allocation,
        scope=All(),
        revive=revive,
    )
    _, pruner = in_place(OPTIMISERS["sgd"], recipe)
    masks = pruner.finish()
    plan = recipe.plan(recipe.ranked_groups(network()), STEPS)
    achieved = {name: int((~mask).sum()) for name, mask in masks.items()}
    assert sum(achieved.values()) == plan.total
    assert all(planned in (None, achieved[name]) for name, planned in plan.by_group.items())


def test_a_weight_that_moves_under_its_mask_is_an_error() -> None:
    model, pruner = in_place(OPTIMISERS["sgd"], RECIPE)
    masked = torch.nonzero(model[4].weight == 0)[0]
    with torch.no_grad():
        model[4].weight[tuple(masked)] = 1.0
    with pytest.raises(NotPrunable, match=r"masked weights are not zero; call after_step"):
        pruner.finish()


class TestAttached:
    """The tensors that are pruned are the model's own."""

    recipe = Gradual(sparsity=0.5, schedule=OneShot(begin=1.0))

    def test_a_replaced_layer_is_named(self) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        pruner = self.recipe.attach(model, steps=1)
        model[1] = nn.Linear(4, 2)
        with pytest.raises(NotPrunable, match=r"^1\.weight of the model is another tensor"):
            pruner.after_step()

    def test_a_cast_after_attaching_is_named(self) -> None:
        model = nn.Linear(4, 4).bfloat16()
        pruner = self.recipe.attach(model, steps=1)
        model.float()
        with pytest.raises(NotPrunable, match=r"^weight was attached as torch.bfloat16 and is"):
            pruner.after_step()

    def test_a_second_pruner_waits_for_the_first_to_finish(self) -> None:
        model = nn.Linear(4, 4)
        first = self.recipe.attach(model, steps=1)
        with pytest.raises(NotPrunable, match=r"^weight is already held by a pruner"):
            self.recipe.attach(model, steps=1)
        first.after_step()
        first.finish()
        second = self.recipe.attach(model, steps=1)
        del second  # one that is gone holds nothing
        self.recipe.attach(model, steps=1)

    def test_wrappers_are_looked_through(self) -> None:
        model = nn.Linear(4, 4)
        model.prunable = lambda: {"all": ["weight"]}
        for wrapped in (nn.DataParallel(model), torch.compile(model, backend="eager")):
            pruner = self.recipe.attach(wrapped, steps=1)
            pruner.after_step()
            assert list(pruner.finish()) == ["weight"]

    def test_finishing_early_says_when(self) -> None:
        pruner = self.recipe.attach(nn.Linear(4, 4), steps=10)
        with pytest.raises(
            NotPrunable, match=r"this is step 0, and the masks are final at step 10"
        ):
            pruner.finish()

    def test_frozen_weights_are_pruned_where_they_are_named(self) -> None:
        recipe = Gradual(sparsity=0.5, schedule=OneShot(begin=0.0), scope=Named(include=["weight"]))
        model = nn.Linear(4, 4).requires_grad_(False)
        pruner = recipe.attach(model, steps=1)
        pruner.after_backward()
        pruner.after_step()
        assert int((~pruner.finish()["weight"]).sum()) == 8


def test_random_scores_are_cumulative_and_follow_the_seed() -> None:
    def masks(seed: int, steps: int) -> Tensor:
        model = nn.Linear(20, 10)
        recipe = Gradual(
            sparsity=0.9, criterion=Random(), schedule=Linear(begin=0, end=1, interval=1)
        )
        pruner = recipe.attach(model, steps=10, seed=seed)
        for _ in range(steps):
            pruner.after_step()
        return model.weight != 0

    early, late = masks(0, 5), masks(0, 10)
    assert not bool((late & ~early).any())
    assert torch.equal(late, masks(0, 10))
    assert not torch.equal(late, masks(1, 10))


def test_a_sparsity_that_masks_nothing_is_refused() -> None:
    with pytest.raises(Invalid, match=r"^pruning\.sparsity=1e-06 masks none of the 356 weights"):
        Gradual(sparsity=1e-6, scope=All()).attach(network(), steps=10)


def test_weights_of_double_precision_are_ranked_as_such() -> None:
    layer = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(1 + torch.tensor([[4.0, 1.0, 3.0, 2.0]]).double() * 1e-12)
    pruner = Gradual(sparsity=0.5, schedule=OneShot(begin=0.0)).attach(layer, steps=1)
    assert (layer.weight != 0).tolist() == [[True, False, True, False]]
    assert pruner.settled


def test_a_dense_run_has_the_same_calls() -> None:
    pruner = Dense().attach(network(), steps=3)
    pruner.after_backward()
    pruner.after_step()
    assert pruner.sparsity == 0 and pruner.settled and pruner.finish() == {}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.1}, "sparsity"),
        ({"sparsity": 0.3, "schedule": Cubic(initial_sparsity=0.5)}, "schedule.initial_sparsity"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], key: str) -> None:
    with pytest.raises(Invalid, match=f"^{key} takes"):
        Gradual(**values)
