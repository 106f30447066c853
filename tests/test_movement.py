"""Movement pruning: weights that move towards zero go first."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.pruning import Gradual
from pruneexp.pruning.criterion import Movement
from pruneexp.pruning.schedule import Cubic, OneShot
from pruneexp.pruning.scope import All
from tests.conftest import After, Make, outcome, silent, tiny_gradual


def layer() -> nn.Linear:
    made = nn.Linear(4, 1, bias=False)
    made.weight.data = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    return made


def step(pruner: Any, made: nn.Linear, *gradient: float) -> None:
    made.weight.grad = torch.tensor([gradient], dtype=torch.float32)
    pruner.after_backward()
    pruner.after_step()


def test_the_score_is_the_sum_of_minus_weight_times_gradient() -> None:
    """Step 1: -1, 2, -3, 4; step 2: -1, 2, 6, -16. In all: -2, 4, 3, -12."""
    made = layer()
    recipe = Gradual(sparsity=0.5, criterion=Movement(), schedule=OneShot(begin=1.0), scope=All())
    pruner = recipe.attach(made, steps=2)
    step(pruner, made, 1, 1, 1, 1)
    step(pruner, made, 1, 1, -2, -4)
    assert pruner.state_dict()["sums"]["weight"].tolist() == [[-2, 4, 3, -12]]
    assert pruner.finish()["weight"].tolist() == [[False, True, True, False]]


def test_masked_weights_score_with_the_value_they_had_and_may_come_back() -> None:
    made = layer()
    schedule = Cubic(begin=1 / 3, end=1.0, interval=1, initial_sparsity=0.5)
    recipe = Gradual(sparsity=0.5, criterion=Movement(), schedule=schedule, scope=All())
    pruner = recipe.attach(made, steps=3)
    step(pruner, made, 1, -1, 1, 1)  # -1, -2, -3, 4: the second and the third go
    assert made.weight.tolist() == [[1, 0, 0, -4]]
    step(pruner, made, 4, 0, -2, 0)  # -4 and +6: the third comes back with 3, the first goes
    assert pruner.masks()["weight"].tolist() == [[False, False, True, True]]
    assert made.weight.tolist() == [[0, 0, 3, -4]]


def test_before_the_first_gradient_there_is_nothing_to_rank_by() -> None:
    recipe = Gradual(criterion=Movement(), schedule=Cubic(begin=0.0), scope=All())
    with pytest.raises(Invalid, match="there is no gradient before the first step"):
        recipe.attach(layer(), steps=10)


def test_its_sums_are_part_of_a_state(tiny: Make, tmp_path: Any) -> None:
    recipe = tiny_gradual(criterion=Movement())
    whole = execute(replace(tiny(recipe), results=str(tmp_path / "a")), say=silent)
    stopped = replace(tiny(recipe), results=str(tmp_path / "b"))
    with pytest.raises(Exception, match=r"^$"):
        execute(stopped, stop=After(6), say=silent)
    assert outcome(execute(stopped, say=silent)) == outcome(whole)


def test_a_state_without_sums_is_refused() -> None:
    schedule = OneShot(begin=1.0)
    recipe = Gradual(sparsity=0.5, criterion=Movement(), schedule=schedule, scope=All())
    pruner = recipe.attach(layer(), steps=2)
    state = pruner.state_dict()
    del state["sums"]
    with pytest.raises(ValueError, match="a pruner's state holds"):
        pruner.load_state_dict(state)
