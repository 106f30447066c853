"""Networks and their weights, against the paper's exact counts."""

import json
from dataclasses import replace

import pytest
import torch

from pruneexp import models, tasks
from pruneexp.config import Run
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.allocation import Global
from pruneexp.pruning.scope import All
from pruneexp.recipe import ImageShape, Invalid
from pruneexp.size import size
from pruneexp.training import Training

IMAGENET = tasks.Custom(channels=3, pixels=224, classes=1000)
GLYPHS = tasks.Glyphs()


def weighed(task: tasks.Task, model: models.Model, pruning: Dense | Gradual) -> dict:
    run = Run(task=task, model=model, training=Training(), pruning=pruning)
    return size(run).to_plain()


@pytest.mark.parametrize(
    ("width", "parameters", "prunable"),
    [
        (0.25, 464_600, 452_224),
        (0.5, 1_320_648, 1_296_896),
        (0.75, 2_569_144, 2_534_016),
        (1.0, 4_210_088, 4_163_584),
    ],
)
def test_mobilenet_weighs_what_table_2_says(width: float, parameters: int, prunable: int) -> None:
    dense = weighed(IMAGENET, MobileNetV1(width=width), Dense())
    assert (dense["parameters"], dense["nonzero"]) == (parameters, parameters)
    assert dense["prunable"] == prunable
    assert weighed(IMAGENET, MobileNetV1(width=width), Gradual())["prunable"] == prunable


@pytest.mark.parametrize(
    ("sparsity", "uniform", "all_together"),
    [
        (0.5, 2_128_296, None),
        (0.75, 1_087_400, None),
        (0.9, 462_861, 462_862),
        (0.95, 254_682, 254_683),
    ],
)
def test_sparse_mobilenet_weighs_what_table_2_says(
    sparsity: float, uniform: int, all_together: int | None
) -> None:
    recipe = Gradual(sparsity=sparsity)
    assert weighed(IMAGENET, MobileNetV1(), recipe)["nonzero"] == uniform
    if all_together is not None:
        recipe = replace(recipe, allocation=Global())
        assert weighed(IMAGENET, MobileNetV1(), recipe)["nonzero"] == all_together


def test_batch_norm_is_counted_apart() -> None:
    plain = weighed(IMAGENET, MobileNetV1(), Dense())
    assert plain["parameters"] + plain["batch_norm"] == 4_231_976  # 4.23 million with, as published


def test_the_small_layout_has_the_stated_entries() -> None:
    network = MobileNetV1(layout="small").build(GLYPHS.shape())
    assert sum(p.numel() for p in network.parameters() if p.dim() > 1) == 293_312


def test_multiply_adds_of_a_layer_by_hand() -> None:
    layers = {
        layer["name"]: layer
        for layer in weighed(GLYPHS, MobileNetV1(layout="small"), Gradual(sparsity=0.75))["layers"]
    }
    stem = layers["stem.0.weight"]
    assert stem["multiply_adds"] == 16 * 9 * 24 * 24  # 16 filters of 3x3 at each of 24x24 places
    pointwise = layers["blocks.0.pointwise.0.weight"]
    assert pointwise["multiply_adds"] == 16 * 32 * 24 * 24
    assert pointwise["sparse_multiply_adds"] == 16 * 32 * 24 * 24 // 4
    assert layers["classifier.weight"]["multiply_adds"] == 512 * 47


def test_what_only_training_can_tell_is_not_invented() -> None:
    plain = weighed(GLYPHS, MobileNetV1(layout="small"), Gradual(allocation=Global()))
    assert plain["layers"][2]["nonzero"] is None
    assert plain["sparse_multiply_adds"] is None
    assert plain["nonzero"] == plain["parameters"] - round(0.8 * plain["prunable"])
    json.dumps(plain, allow_nan=False)


@pytest.mark.parametrize("layout", ["published", "small"])
@pytest.mark.parametrize("width", [0.01, 0.33, 1.0])
def test_any_width_runs_forward(layout: str, width: float) -> None:
    shape = ImageShape(channels=1, pixels=32, classes=5)
    network = MobileNetV1(width=width, layout=layout).build(shape).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 5)


def test_everything_in_scope_all_is_weighed_as_pruned() -> None:
    plain = weighed(GLYPHS, MobileNetV1(layout="small"), Gradual(scope=All(), sparsity=0.5))
    assert plain["prunable"] == 293_312


@pytest.mark.parametrize("values", [{"width": 0}, {"width": 1.01}, {"layout": "tiny"}])
def test_what_cannot_be_is_refused(values: dict) -> None:
    with pytest.raises(Invalid, match=f"^{next(iter(values))} takes"):
        MobileNetV1(**values)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nowhere", "takes package.module:function"),
        ("no_such_module:build", "there is no module no_such_module"),
    ],
)
def test_a_factory_that_is_not_there_is_refused_at_once(factory: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        models.Custom(factory=factory)


def test_a_factory_is_called_with_its_arguments() -> None:
    linear = models.Custom(
        factory="torch.nn:Linear", arguments={"in_features": 3, "out_features": 2}
    )
    assert linear.build(GLYPHS.shape()).weight.shape == (2, 3)
    wrong = models.Custom(factory="torch.nn:Linear", arguments={"inputs": 3})
    with pytest.raises(Invalid, match=r"^model\.factory=torch\.nn:Linear does not take inputs"):
        wrong.build(GLYPHS.shape())
    none = models.Custom(factory="torch.nn:NoSuchThing")
    with pytest.raises(Invalid, match="cannot be imported"):
        none.build(GLYPHS.shape())
    broken = models.Custom(factory="json:loads", arguments={"s": "{"})
    with pytest.raises(Invalid, match=r"^model\.factory=json:loads failed \(JSONDecodeError"):
        broken.build(GLYPHS.shape())
    number = models.Custom(factory="math:sqrt", arguments={})
    with pytest.raises(Invalid, match=r"^model\.factory=math:sqrt does not take nothing"):
        number.build(GLYPHS.shape())
