"""Networks and their weights, against the paper's exact counts."""

import json
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import nn

from pruneexp import models, tasks
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.measure.planned import size
from pruneexp.models import InceptionV3, MobileNetV1, ResNet50
from pruneexp.pruning import Dense, Gradual
from pruneexp.pruning.allocation import Global, PerLayer
from pruneexp.pruning.schedule import OneShot
from pruneexp.pruning.scope import All
from pruneexp.tasks.shape import ImageShape
from pruneexp.training import Training

IMAGENET = tasks.CustomTask(channels=3, pixels=224, classes=1000)
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


@pytest.mark.parametrize(
    ("sparsity", "nonzero", "printed"),
    [
        (0.0, 27_125_040, 27.1),
        (0.5, 13_563_520, 13.56),
        (0.75, 6_782_760, 6.78),
        (0.875, 3_392_380, 3.39),
    ],
)
def test_inception_weighs_what_table_1_says(sparsity: float, nonzero: int, printed: float) -> None:
    # 2,000 biases of the two classifiers, and the kept share of 27,123,040 weights
    plain = weighed(IMAGENET, InceptionV3(), Gradual(sparsity=sparsity))
    assert plain["parameters"] == 27_125_040
    assert plain["parameters"] + plain["batch_norm"] == 27_161_264
    heads = sum(layer["weights"] for layer in plain["layers"] if len(layer["shape"]) == 2)
    assert (plain["prunable"] - heads, heads) == (24_307_040, 2_816_000)
    assert plain["nonzero"] == nonzero == 2_000 + round((1 - sparsity) * 27_123_040)
    assert round(plain["nonzero"] / 1e6, 1 if printed == 27.1 else 2) == printed


def test_resnet_weighs_what_is_published() -> None:
    plain = weighed(IMAGENET, ResNet50(), Dense())
    assert plain["parameters"] == 25_503_912
    assert plain["parameters"] + plain["batch_norm"] == 25_557_032
    assert plain["prunable"] == 25_503_912 - 1_000
    # 64x3x7x7 at 112x112 places; every product of 224 pixels is 4.09 thousand million
    assert plain["layers"][0]["multiply_adds"] == 64 * 3 * 49 * 112 * 112
    assert round(plain["multiply_adds"] / 1e9, 2) == 4.09


@pytest.mark.parametrize(("rest", "total"), [(0.91, 90.1), (0.96, 94.7), (0.98, 96.5)])
def test_extended_resnet_is_as_sparse_as_published(rest: float, total: float) -> None:
    """Gale et al. 2019: the first convolution dense, the classifier at 80 %."""
    extended = PerLayer(at_most={"conv1.weight": 0.0, "fc.weight": 0.8})
    plain = weighed(IMAGENET, ResNet50(), Gradual(sparsity=rest, allocation=extended))
    masked = plain["parameters"] - plain["nonzero"]
    assert round(100 * masked / plain["prunable"], 1) == total


@pytest.mark.parametrize("recipe", [InceptionV3(), ResNet50()], ids=lambda recipe: recipe.word)
def test_names_and_shapes_are_torchvisions(recipe: models.Model) -> None:
    build = getattr(torchvision.models, recipe.word)
    options = {"init_weights": False} if recipe.word == "inception_v3" else {}
    with torch.device("meta"):
        mine, theirs = recipe.build(IMAGENET.shape()), build(weights=None, **options)
    shapes = [
        {name: tensor.shape for name, tensor in network.state_dict().items()}
        for network in (mine, theirs)
    ]
    assert shapes[0] == shapes[1]
    known = torchvision.models.get_model_weights(recipe.word)
    assert recipe.torchvision == tuple(str(weights) for weights in known)


@pytest.mark.parametrize("recipe", [InceptionV3(), ResNet50()], ids=lambda recipe: recipe.word)
def test_networks_compute_what_torchvisions_do(recipe: models.Model) -> None:
    """At a quarter of a picture's side, with torchvision's own weights in ours."""
    if isinstance(recipe, InceptionV3):
        theirs = torchvision.models.inception_v3(weights=None, init_weights=False)
    else:
        theirs = torchvision.models.resnet50(weights=None)
    with torch.device("meta"):
        mine = recipe.build(IMAGENET.shape())
    mine.load_state_dict(theirs.state_dict(), assign=True)
    pictures = torch.randn(1, 3, 75, 75)
    with torch.inference_mode():
        assert torch.equal(mine.eval()(pictures), theirs.eval()(pictures))


def test_inception_has_an_auxiliary_classifier_in_training_only() -> None:
    network = InceptionV3(width=1 / 16, layout="small", auxiliary=0.3).build(GLYPHS.shape())
    scores = network(torch.randn(2, 1, 24, 24))
    assert isinstance(scores, tuple)
    assert [tuple(each.shape) for each in scores] == [(2, 47), (2, 47)]
    assert network.auxiliary == 0.3
    assert network.eval()(torch.randn(2, 1, 24, 24)).shape == (2, 47)


def test_the_auxiliary_classifier_pools_as_published_where_that_fits() -> None:
    network = InceptionV3(width=1 / 16).build(IMAGENET.shape())
    head = network.AuxLogits.eval()
    features = torch.randn(1, 48, 17, 17)  # of a picture of 299 pixels; 768 channels / 16
    pooled = nn.functional.avg_pool2d(features, 5, 3)
    assert pooled.shape[-1] == 5
    assert torch.equal(head(features), head(pooled))  # a 5x5 grid is left as it is
    assert head(torch.randn(1, 48, 3, 3)).shape == (1, 1000)  # of 75 pixels


@pytest.mark.parametrize(
    ("recipe", "pixels"),
    [
        (InceptionV3(width=1 / 16), 75),
        (InceptionV3(width=1 / 16, layout="small"), 19),
        (InceptionV3(width=1 / 16, layout="small"), 24),
        (ResNet50(width=0.03), 32),
        (ResNet50(width=0.03, layout="small"), 24),
        (ResNet50(width=0.03, layout="small", zero_last=True), 24),
    ],
)
@pytest.mark.filterwarnings("ignore::pruneexp.EmptyTensor")
def test_thin_networks_learn_and_are_pruned(recipe: models.Model, pixels: int) -> None:
    torch.manual_seed(0)
    network = recipe.build(ImageShape(channels=1, pixels=pixels, classes=5))
    pruner = Gradual(sparsity=0.5, schedule=OneShot(begin=0.0)).attach(network, steps=1)
    scores = network(torch.randn(3, 1, pixels, pixels))
    heads = scores if isinstance(scores, tuple) else (scores,)
    sum(nn.functional.cross_entropy(each, torch.tensor([0, 1, 2])) for each in heads).backward()
    assert all(weight.grad is not None for weight in network.parameters())
    pruner.after_backward()
    pruner.after_step()
    masks = pruner.finish()
    assert masks.keys() == {name for name, p in network.named_parameters() if p.dim() > 1}


@pytest.mark.parametrize("width", [0.0625, 0.5, 1.0])
def test_every_channel_number_follows_the_width(width: float) -> None:
    """A square of it, but for what the picture, the classes and one-dimensional tensors fix."""
    with torch.device("meta"):
        for recipe in (InceptionV3, ResNet50):
            thin, whole = (
                dict(recipe(width=w).build(IMAGENET.shape()).named_parameters())
                for w in (width, 1.0)
            )
            for name, weight in whole.items():
                ends = name in ("conv1.weight", "Conv2d_1a_3x3.conv.weight") or "fc.w" in name
                power = 0 if "fc.b" in name else 2 if weight.dim() > 1 and not ends else 1
                assert thin[name].numel() == weight.numel() * width**power, name


def test_resnets_last_scales_may_start_at_zero() -> None:
    with torch.random.fork_rng():
        plain, zero = (
            ResNet50(width=0.05, layout="small", zero_last=z).build(GLYPHS.shape())
            for z in (False, True)
        )
    assert plain.layer1[0].bn3.weight.all() and not zero.layer1[0].bn3.weight.any()
    assert zero.layer1[0].bn2.weight.all()


@pytest.mark.parametrize(
    ("recipe", "entries"),
    [
        (InceptionV3(width=0.125, layout="small"), 210_932),
        (ResNet50(width=0.125, layout="small"), 229_384),
    ],
)
def test_small_layouts_have_the_stated_entries(recipe: models.Model, entries: int) -> None:
    assert weighed(GLYPHS, recipe, Dense())["prunable"] == entries


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


@pytest.mark.parametrize("recipe", [MobileNetV1, InceptionV3, ResNet50])
@pytest.mark.parametrize("values", [{"width": 0}, {"width": 16.01}, {"layout": "tiny"}])
def test_what_cannot_be_is_refused(recipe: type[models.Convolutional], values: dict) -> None:
    with pytest.raises(Invalid, match=f"^{next(iter(values))} takes"):
        recipe(**values)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nowhere", "takes package.module:function"),
        ("no_such_module:build", "there is no module no_such_module"),
    ],
)
def test_a_factory_that_is_not_there_is_refused_at_once(factory: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        models.CustomModel(factory=factory).ready()


def test_a_factory_is_called_with_its_arguments() -> None:
    linear = models.CustomModel(
        factory="torch.nn:Linear", arguments={"in_features": 3, "out_features": 2}
    )
    assert linear.build(GLYPHS.shape()).weight.shape == (2, 3)
    wrong = models.CustomModel(factory="torch.nn:Linear", arguments={"inputs": 3})
    with pytest.raises(Invalid, match=r"^model\.factory=torch\.nn:Linear does not take inputs"):
        wrong.build(GLYPHS.shape())
    none = models.CustomModel(factory="torch.nn:NoSuchThing")
    with pytest.raises(Invalid, match="cannot be imported"):
        none.build(GLYPHS.shape())
    broken = models.CustomModel(factory="json:loads", arguments={"s": "{"})
    with pytest.raises(Invalid, match=r"^model\.factory=json:loads failed \(JSONDecodeError"):
        broken.build(GLYPHS.shape())
    number = models.CustomModel(factory="math:sqrt", arguments={})
    with pytest.raises(Invalid, match=r"^model\.factory=math:sqrt does not take nothing"):
        number.build(GLYPHS.shape())


def test_the_published_mobilenet_has_the_authors_clipping_and_batch_norm() -> None:
    """ReLU6; batch-norm's decay 0.9997 and epsilon 1e-3 (the authors' published code)."""
    shape = ImageShape(channels=3, pixels=32, classes=5)
    published = MobileNetV1(width=0.1).build(shape)
    norms = [layer for layer in published.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(round(layer.momentum or 0, 9), layer.eps) for layer in norms} == {(0.0003, 1e-3)}
    assert sum(isinstance(layer, nn.ReLU6) for layer in published.modules()) == len(norms) == 27
    small = MobileNetV1(width=0.1, layout="small").build(shape)
    assert not any(isinstance(layer, nn.ReLU6) for layer in small.modules())
    assert MobileNetV1().revision == 2 and MobileNetV1(layout="small").revision == 1


def test_inception_keeps_four_fifths_before_its_classifier() -> None:
    network = InceptionV3().build(ImageShape(channels=3, pixels=75, classes=5))
    assert network.dropout.p == 0.2
