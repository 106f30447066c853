"""RigL and SET: a mask of constant size that moves, by hand and in whole runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.pruning import SET, Pruning, RigL
from pruneexp.pruning.allocation import Erk, Global
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.scope import All
from tests.conftest import After, Make, outcome, silent


def row(*values: float) -> nn.Linear:
    layer = nn.Linear(len(values), 1, bias=False)
    layer.weight.data = torch.tensor([values], dtype=torch.float32)
    return layer


def given_mask(pruner: Pruner, kept: list[int]) -> None:
    """The mask that a hand-computed example begins with, instead of the drawn one."""
    state = pruner.state_dict()
    state["kept"] = {"weight": torch.tensor([kept]).bool()}
    pruner.load_state_dict(state)


class TestRigL:
    def step(self, anneal: str = "constant") -> tuple[nn.Linear, Pruner, torch.optim.Optimizer]:
        """Kept are 1, 2, 3, 4 of eight; half of them, 1 and 2, make room at the second step."""
        recipe = RigL(sparsity=0.5, drop=0.5, interval=2, end=0.5, anneal=anneal, scope=All())
        layer = row(1, 2, 3, 4, 0, 0, 0, 0)
        pruner = recipe.attach(layer, steps=8)
        given_mask(pruner, [1, 1, 1, 1, 0, 0, 0, 0])
        layer.weight.data = torch.tensor([[1.0, 2, 3, 4, 0, 0, 0, 0]])
        optimiser = torch.optim.SGD(layer.parameters(), 0.0, momentum=0.9)
        pruner.use(optimiser)
        layer.weight.grad = torch.ones(1, 8)
        pruner.after_backward()
        assert not pruner.skips_step
        optimiser.step()
        pruner.after_step()
        return layer, pruner, optimiser

    def test_the_smallest_make_room_for_the_largest_gradients(self) -> None:
        layer, pruner, optimiser = self.step()
        # The largest gradients among what is then inactive: the third masked one, and the second
        # weight, which was dropped and comes back with its value and its momentum.
        layer.weight.grad = torch.tensor([[1.0, 8, 9, 9, 2, 3, 7, 0]])
        pruner.after_backward()
        assert pruner.skips_step  # the move takes the step's place
        assert pruner.masks()["weight"].tolist() == [
            [False, True, True, True, *[False] * 2, True, False]
        ]
        assert layer.weight.tolist() == [[0, 2, 3, 4, 0, 0, 0, 0]]
        momentum = optimiser.state[layer.weight]["momentum_buffer"]
        assert momentum.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
        pruner.after_step()
        assert not pruner.skips_step

    def test_new_weights_begin_without_a_memory(self) -> None:
        layer, pruner, _ = self.step()
        optimiser = torch.optim.Adam(layer.parameters(), 0.0)
        pruner.use(optimiser)
        layer.weight.grad = torch.ones(1, 8)
        optimiser.step()
        layer.weight.grad = torch.tensor([[0.0, 0, 0, 0, 5, 5, 0, 0]])
        pruner.after_backward()
        state = optimiser.state[layer.weight]
        for moment in ("exp_avg", "exp_avg_sq"):
            assert (state[moment] > 0).tolist() == [[True] * 4 + [False] * 2 + [True] * 2]

    def test_half_a_cosine_wave(self) -> None:
        """At step 2 of 4: 0.5 / 2 (1 + cos(pi / 2)) of four is one."""
        layer, pruner, _ = self.step("cosine")
        layer.weight.grad = torch.tensor([[0.0, 0, 0, 0, 5, 6, 0, 0]])
        pruner.after_backward()
        assert pruner.masks()["weight"].tolist() == [
            [False, True, True, True, False, True, False, False]
        ]

    def test_the_mask_stays_at_the_end(self) -> None:
        recipe = RigL(sparsity=0.5, interval=100, end=0.75)
        assert recipe.moves(1000) == list(range(100, 751, 100))
        assert RigL().moves(1000) == list(range(37, 751, 37))

    def test_what_has_no_room_is_refused(self) -> None:
        with pytest.raises(Invalid, match=r"drop=0.3 of 1 kept weights exchanges none"):
            RigL(sparsity=0.5, scope=All()).attach(row(1, 2), steps=100)

    @pytest.mark.parametrize(
        ("wrong", "key"),
        [
            ({"drop": 1.0}, "drop"),
            ({"end": 0.0}, "end"),
            ({"anneal": "slow"}, "anneal"),
            ({"interval": 0}, "interval"),
            ({"sparsity": 1.0}, "sparsity"),
        ],
    )
    def test_what_cannot_be_is_refused(self, wrong: dict[str, Any], key: str) -> None:
        with pytest.raises(Invalid, match=key):
            RigL(**wrong)

    def test_lbfgs_does_not_go_with_it(self) -> None:
        layer = row(*range(1, 17))
        pruner = RigL(sparsity=0.5, scope=All()).attach(layer, steps=100)
        with pytest.raises(NotPrunable, match="rigl moves its mask between steps"):
            pruner.use(torch.optim.LBFGS(layer.parameters()))

    def test_a_hook_leaves_out_the_step_that_a_move_takes_the_place_of(self) -> None:
        layer = row(*range(1, 17))
        pruner = RigL(sparsity=0.5, interval=2, end=1.0, scope=All()).attach(layer, steps=4)
        optimiser = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
        pruner.follow(optimiser)
        layer.weight.grad = torch.ones(1, 16)
        optimiser.step()
        before = layer.weight.detach().clone()
        layer.weight.grad = torch.ones(1, 16)
        optimiser.step()  # the move
        kept = pruner.masks()["weight"] & (before != 0)
        assert torch.equal(layer.weight[kept], before[kept])
        layer.weight.grad = torch.ones(1, 16)
        optimiser.step()
        assert not torch.equal(layer.weight[kept], before[kept])


def test_set_draws_what_grows_and_follows_the_step() -> None:
    recipe = SET(sparsity=0.5, drop=0.5, interval=2, end=1.0, anneal="constant", scope=All())
    grown = set()
    for seed in range(8):
        layer = row(1, 2, 3, 4, 0, 0, 0, 0)
        pruner = recipe.attach(layer, steps=4, seed=seed)
        given_mask(pruner, [1, 1, 1, 1, 0, 0, 0, 0])
        layer.weight.data = torch.tensor([[1.0, 2, 3, 4, 0, 0, 0, 0]])
        for _ in range(2):
            layer.weight.grad = torch.zeros(1, 8)
            pruner.after_backward()
            assert not pruner.skips_step
            pruner.after_step()
        mask = pruner.masks()["weight"][0]
        assert mask[2:4].all() and int(mask.sum()) == 4
        grown.add(tuple(mask.tolist()))
    assert len(grown) > 3


@pytest.mark.parametrize("method", [RigL, SET])
def test_the_number_of_weights_is_the_same_throughout(method: Callable[..., Pruning]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))
    recipe = method(sparsity=0.8, interval=3, allocation=Erk())
    pruner = recipe.attach(model, steps=30)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    pruner.use(optimiser)
    planned = recipe.plan(recipe.ranked_groups(model), 30)
    seen: list[dict[str, Tensor]] = []
    for step in range(30):
        random = torch.Generator().manual_seed(step)
        optimiser.zero_grad()
        model(torch.randn(8, 12, generator=random)).square().sum().backward()
        pruner.after_backward()
        if not pruner.skips_step:
            optimiser.step()
        pruner.after_step()
        seen.append(pruner.masks())
        masked = {name: int((~mask).sum()) for name, mask in seen[-1].items()}
        assert masked == planned.by_group
        assert all(not w[~seen[-1][n]].any() for n, w in model.named_parameters() if n in masked)
    moved = {
        step + 1
        for step in range(1, 30)
        if any((seen[step][n] != seen[step - 1][n]).any() for n in masked)
    }
    assert moved <= set(recipe.moves(30)) and len(moved) > 3  # type: ignore[attr-defined]
    pruner.finish()


@pytest.mark.parametrize("method", [RigL, SET])
@pytest.mark.parametrize("allocation", [Erk(), Global()])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tiny: Make, tmp_path: Any, method: Callable[..., Pruning], allocation: Any
) -> None:
    recipe = method(sparsity=0.7, interval=2, allocation=allocation)
    whole = execute(replace(tiny(recipe), results=str(tmp_path / "a")), say=silent)
    stopped = replace(tiny(recipe), results=str(tmp_path / "b"))
    with pytest.raises(Exception, match=r"^$"):
        execute(stopped, stop=After(6), say=silent)
    assert outcome(execute(stopped, say=silent)) == outcome(whole)
    masked = sum(group.masked for group in whole.counts.groups)
    assert masked == pytest.approx(0.7 * whole.counts.prunable, abs=len(whole.counts.groups))


def test_a_control_of_sparsity_0_equals_a_dense_run(tiny: Make) -> None:
    dense = execute(tiny(), say=silent)
    for method in (RigL, SET):
        control = execute(tiny(method(sparsity=0.0)), say=silent)
        assert control.test == dense.test and control.valid == dense.valid
