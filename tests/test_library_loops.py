"""Pruning in loops that are not ours: whatever breaks the tie between pruner and model is an error
that names the tensor, and masked weights are zero after every step of every optimiser."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

import pruneexp
from pruneexp import Gradual, Named, NotPrunable, OneShot
from pruneexp.pruning.pruner import Pruner

EARLY = Gradual(sparsity=0.5, schedule=OneShot(begin=0.0))
STEPS = 12


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(32, 6, generator=generator)
    return inputs, inputs @ torch.randn(6, 3, generator=generator)


def loss_of(model: nn.Module) -> Tensor:
    inputs, wanted = batch()
    return nn.functional.mse_loss(model(inputs), wanted)


def step(model: nn.Module, pruner: Pruner, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss_of(model).backward()
    pruner.after_backward()
    optimiser.step()
    pruner.after_step()


# --- optimisers --------------------------------------------------------------------------------


def named(name: str) -> type[torch.optim.Optimizer]:
    kind: type[torch.optim.Optimizer] | None = getattr(torch.optim, name, None)
    return kind or pytest.skip(f"this torch has no {name}")


OPTIMISERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "Nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"lr": 0.01, "weight_decay": 0.01}),
    "AMSGrad": ("Adam", {"lr": 0.01, "amsgrad": True}),
    "AdamW": ("AdamW", {"lr": 0.01}),
    "fused AdamW": ("AdamW", {"lr": 0.01, "fused": True}),
    "RMSprop": ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Adadelta": ("Adadelta", {}),
    "Adamax": ("Adamax", {}),
    "NAdam": ("NAdam", {}),
    "RAdam": ("RAdam", {}),
    "Rprop": ("Rprop", {}),
    "ASGD": ("ASGD", {}),
    "Adafactor": ("Adafactor", {}),
    "Muon": ("Muon", {"lr": 0.02}),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("follows", [False, True])
def test_masked_weights_are_zero_after_each_step(name: str, follows: bool) -> None:
    kind, settings = OPTIMISERS[name]
    model = network()
    recipe = Gradual(sparsity=0.75, schedule=pruneexp.Cubic(begin=0.2, end=0.7, interval=1))
    pruner = recipe.attach(model, steps=STEPS)
    weights = [p for p in model.parameters() if kind != "Muon" or p.dim() == 2]
    optimiser = named(kind)(weights, **settings)
    before = loss_of(model).item()
    if follows:
        pruner.follow(optimiser)
    else:
        pruner.use(optimiser)
    for _ in range(STEPS):
        if follows:
            optimiser.zero_grad()
            loss_of(model).backward()
            optimiser.step()
        else:
            step(model, pruner, optimiser)
        for key, kept in pruner.masks().items():
            assert not model.get_parameter(key)[~kept].any(), key
    masks = pruner.finish()
    assert [int((~kept).sum()) for kept in masks.values()] == [36, 18]
    assert loss_of(model).item() < before
    step_without(optimiser, model)  # hooks are gone


def step_without(optimiser: torch.optim.Optimizer, model: nn.Module) -> None:
    optimiser.zero_grad()
    loss_of(model).backward()
    optimiser.step()


def test_hooks_do_what_the_loop_does() -> None:
    def trained(follows: bool) -> list[Tensor]:
        model = network()
        pruner = Gradual(sparsity=0.75).attach(model, steps=STEPS)
        optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        if follows:
            pruner.follow(optimiser)
        for number in range(STEPS):
            optimiser.zero_grad()
            loss_of(model).backward()
            if not follows or number % 2:  # before clipping, by hand: not a second time
                pruner.after_backward()
            optimiser.step()
            if not follows:
                pruner.after_step()
        pruner.finish()
        return list(model.parameters())

    assert all(map(torch.equal, trained(False), trained(True)))


def test_the_history_of_lbfgs_does_not_span_two_sets_of_masks() -> None:
    def trained(tells: bool) -> float:
        model = network()
        pruner = Gradual(sparsity=0.5, schedule=pruneexp.Linear(begin=0, end=1)).attach(
            model, steps=STEPS
        )
        optimiser = torch.optim.LBFGS(model.parameters(), lr=0.5)
        if tells:
            pruner.use(optimiser)

        def closure() -> float:
            optimiser.zero_grad()
            loss = loss_of(model)
            loss.backward()
            pruner.after_backward()
            return loss.item()

        for _ in range(STEPS):
            optimiser.step(closure)
            pruner.after_step()
            for key, kept in pruner.masks().items():
                assert not model.get_parameter(key)[~kept].any()
        pruner.finish()
        return loss_of(model).item()

    assert trained(tells=True) < 2
    with pytest.raises(NotPrunable, match="end of its closure"):
        model = network()
        EARLY.attach(model, steps=1).follow(torch.optim.LBFGS(model.parameters()))


def test_a_schedule_free_optimiser_is_refused() -> None:
    class ScheduleFree(torch.optim.SGD):
        def train(self) -> None: ...

        def eval(self) -> None: ...

    model = network()
    pruner = EARLY.attach(model, steps=1)
    with pytest.raises(NotPrunable, match=r"^ScheduleFree is schedule-free: "):
        pruner.use(ScheduleFree(model.parameters(), 0.1))


# --- what breaks the tie between pruner and model ----------------------------------------------


def replaced(model: nn.Sequential) -> None:
    model[2] = nn.Linear(8, 3)


def new_parameter(model: nn.Sequential) -> None:
    model[2].weight = nn.Parameter(torch.zeros(3, 8))


def assigned(model: nn.Sequential) -> None:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def resized(model: nn.Sequential) -> None:
    model[2].weight.data = torch.zeros(5, 8)


def cast(model: nn.Sequential) -> None:
    model.double()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced, r"^2\.weight of the model is another tensor than the one that was attached"),
        (new_parameter, r"^2\.weight of the model is another tensor"),
        (assigned, r"^0\.weight of the model is another tensor .*loaded with assign=True"),
        (resized, r"^2\.weight was attached as \(3, 8\) and is \(5, 8\) now; .*resize_token"),
        (cast, r"^0\.weight was attached as torch\.float32 and is torch\.float64 now; cast"),
    ],
)
def test_a_part_that_is_no_longer_the_models_is_named(
    change: Callable[[nn.Sequential], None], message: str
) -> None:
    model = network()
    pruner = EARLY.attach(model, steps=1)
    change(model)
    with pytest.raises(NotPrunable, match=message):
        pruner.after_step()
        pruner.finish()


def test_a_copy_that_is_trained_instead_is_noticed() -> None:
    model = network()
    recipe = Gradual(sparsity=0.5, schedule=pruneexp.Linear(begin=0, end=1, interval=2))
    pruner = recipe.attach(model, steps=4)
    other = copy.deepcopy(model)
    optimiser = torch.optim.SGD(other.parameters(), 0.1)
    step(other, pruner, optimiser)
    with pytest.raises(NotPrunable, match=r"^0\.weight and all other .* had no gradient since"):
        step(other, pruner, optimiser)


def test_a_step_whose_loss_passes_the_model_by_is_no_error() -> None:
    model = network()
    pruner = EARLY.attach(model, steps=2)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    step(model, pruner, optimiser)
    optimiser.zero_grad()
    pruner.after_backward()
    optimiser.step()
    pruner.after_step()
    pruner.finish()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_pruner_cannot_be_copied(copied: Callable[[Any], Any]) -> None:
    pruner = EARLY.attach(network(), steps=1)
    with pytest.raises(NotPrunable, match="holds the tensors of one model and cannot be copied"):
        copied(pruner)


def test_a_forgotten_call_is_named() -> None:
    model = network()
    pruner = EARLY.attach(model, steps=2)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    loss_of(model).backward()
    optimiser.step()
    with pytest.raises(NotPrunable, match=r"^step 1 was made without after_backward\(\)"):
        pruner.after_step()
    with pytest.raises(NotPrunable, match=r"Steps are counted by after_step\(\)"):
        Gradual(sparsity=0.5).attach(network(), steps=9).finish()


def test_what_is_sharded_is_refused() -> None:
    class FullyShardedDataParallel(nn.Module):  # what counts is the class's name
        def __init__(self) -> None:
            super().__init__()
            self.flat = nn.Parameter(torch.zeros(48))

    with pytest.raises(NotPrunable, match=r"^FullyShardedDataParallel holds .* prune before"):
        EARLY.attach(nn.Sequential(FullyShardedDataParallel()), steps=1)


def test_fsdp2_is_refused_by_the_tensors_name(tmp_path: Any) -> None:
    code = (
        "import torch, sys\n"
        "from torch import nn\n"
        "torch.distributed.init_process_group('gloo', rank=0, world_size=1,\n"
        f"    init_method='file://{tmp_path}/meeting')\n"
        "from torch.distributed.fsdp import fully_shard\n"
        "from torch.distributed.device_mesh import init_device_mesh\n"
        "model = nn.Linear(8, 4)\n"
        "fully_shard(model, mesh=init_device_mesh('cpu', (1,)))\n"
        "import pruneexp\n"
        "try:\n"
        "    pruneexp.Gradual(sparsity=0.5).attach(model, steps=1)\n"
        "except pruneexp.NotPrunable as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("weight is sharded (FSDP2 or tensor parallel)"), done


# --- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -5, 2.5, True, "10", None])
def test_steps_are_a_whole_number(steps: Any) -> None:
    with pytest.raises(pruneexp.Invalid, match=r"^steps takes a whole number above 0, got"):
        EARLY.attach(network(), steps=steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sparsity": "0.9"}, "^sparsity takes a finite number, got '0.9'"),
        ({"sparsity": float("nan")}, "^sparsity takes a finite number, got nan"),
        ({"schedule": "linear"}, "^schedule takes a Schedule, got linear"),
        ({"schedule": None}, "^schedule takes a Schedule, got None"),
        ({"revive": 1}, "^revive takes true or false, got 1"),
    ],
)
def test_values_of_other_types_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(pruneexp.Invalid, match=message):
        Gradual(**values)


def test_numbers_of_numpy_are_numbers() -> None:
    assert Gradual(sparsity=np.float64(0.5)) == Gradual(sparsity=0.5)
    assert type(Gradual(sparsity=np.float32(0.5)).sparsity) is float


def test_scores_that_are_no_numbers_name_the_tensor() -> None:
    model = network()
    pruner = Gradual(sparsity=0.5, schedule=OneShot(begin=1.0)).attach(model, steps=1)
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"^2\.weight: scores that are not numbers"):
        pruner.after_step()


# --- states ------------------------------------------------------------------------------------


def trained_state() -> dict[str, Any]:
    model = network()
    pruner = EARLY.attach(model, steps=4)
    step(model, pruner, torch.optim.SGD(model.parameters(), 0.1))
    return pruner.state_dict()


def other(**changes: Any) -> dict[str, Any]:
    return trained_state() | changes


def with_tensor(key: str, tensor: Any) -> dict[str, Any]:
    state = trained_state()
    state[key] = state[key] | {"0.weight": tensor}
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: {}, "^a pruner's state holds recipe, steps, seed, step, kept, before; got "),
        (lambda: other(steps=5), "with steps 5, and this one was attached with 4"),
        (lambda: other(seed=1), "with seed 1, and this one was attached with 0"),
        (lambda: other(recipe="{}"), "^the state is of a pruner with recipe {}"),
        (lambda: other(step=5), "^step takes a whole number from 0 to 4, got 5"),
        (lambda: other(step=-1), "^step takes a whole number from 0 to 4, got -1"),
        (lambda: other(kept={}), r"^kept takes tensors for 0\.weight, 2\.weight"),
        (
            lambda: with_tensor("kept", torch.ones(1, dtype=torch.bool)),
            r"^kept of 0\.weight takes a tensor of torch\.bool and shape \(8, 6\), got .* \(1,\)",
        ),
        (lambda: with_tensor("before", 3), r"^before of 0\.weight takes a tensor .* got int"),
    ],
)
def test_another_pruners_state_is_refused(state: Callable[[], Any], message: str) -> None:
    pruner = EARLY.attach(network(), steps=4)
    with pytest.raises(ValueError, match=message):
        pruner.load_state_dict(state())


def test_a_state_does_not_change_with_the_pruner() -> None:
    model = network()
    pruner = Gradual(sparsity=0.5, schedule=pruneexp.Linear(begin=0, end=1, interval=1)).attach(
        model, steps=4
    )
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    step(model, pruner, optimiser)
    state = pruner.state_dict()
    kept, before = copy.deepcopy((state["kept"], state["before"]))
    step(model, pruner, optimiser)
    assert all(torch.equal(kept[name], state["kept"][name]) for name in kept)
    assert all(torch.equal(before[name], state["before"][name]) for name in before)


# --- masks in mid-run --------------------------------------------------------------------------


def test_an_average_is_masked_before_it_is_used() -> None:
    model = network()
    pruner = Gradual(sparsity=0.75).attach(model, steps=STEPS)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(STEPS):
        step(model, pruner, optimiser)
        average.update_parameters(model)
    masks = pruner.masks()
    remembered = average.module.get_parameter("0.weight")
    assert remembered[~masks["0.weight"]].any()  # without it, what was masked is back
    pruner.apply_to(average)
    assert not remembered[~masks["0.weight"]].any()
    masks["0.weight"].zero_()  # a copy
    assert pruner.masks()["0.weight"].any()
    with pytest.raises(NotPrunable, match=r"^0\.weight of shape \(8, 6\) is masked, and this"):
        pruner.apply_to(nn.Linear(2, 2))


def test_a_tensor_that_loses_all_weights_is_said() -> None:
    recipe = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0))
    pruner = recipe.attach(nn.Sequential(nn.Linear(40, 4), nn.Linear(4, 1)), steps=1)
    with pytest.warns(pruneexp.EmptyTensor, match=r"^no weight of 1\.weight is left, so that"):
        pruner.finish()


# --- scope -------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """One of each kind of tensor that a scope could meet."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.words = nn.Embedding(7, 4)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LayerNorm((5, 5))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.cross = nn.MultiheadAttention(4, 2, kdim=3, vdim=3)
        self.cell = nn.GRUCell(4, 4)
        self.rnn = nn.LSTM(4, 4, proj_size=2, bidirectional=True)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.pair = nn.Bilinear(2, 2, 2)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.words.weight


def test_the_default_scope_means_matrices_of_layers() -> None:
    names = [
        name for group in pruneexp.ModelScope().groups(Transformer()).values() for name in group
    ]
    ends = ("", "_reverse")
    assert names == [
        "words.weight",
        "conv.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        *(f"cross.{letter}_proj_weight" for letter in "qkv"),
        "cross.out_proj.weight",
        *(f"cell.weight_{kind}" for kind in ("ih", "hh")),
        *(f"rnn.weight_{kind}_l0{end}" for end in ends for kind in ("ih", "hh", "hr")),
        "pair.weight",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("cls_token", "pos_embed", "relative_position_bias_table"),
        *("norm.weight", "attention.bias_k", "frozen.weight"),
    ],
)
def test_what_is_no_matrix_is_taken_by_its_whole_name_only(name: str) -> None:
    model = Transformer()
    assert Named(include=[name]).groups(model) == {name: [name]}
    assert Named(include=["*"]).groups(model) == pruneexp.All().groups(model)
    with pytest.raises(pruneexp.Invalid, match="matches no tensor"):
        Named(include=[f"{name[:-1]}?"]).groups(model)


def test_a_tied_tensor_has_all_its_names() -> None:
    model = Transformer()
    assert Named(include=["head.weight"]).groups(model) == {"words.weight": ["words.weight"]}
    assert "words.weight" not in Named(exclude=["head.*"]).groups(model)
    model.prunable = lambda: {"head": ["head.weight"]}  # type: ignore[assignment]
    assert pruneexp.ModelScope().groups(model) == {"head": ["words.weight"]}


def test_a_tensor_is_in_one_group() -> None:
    model = Transformer()
    model.prunable = lambda: {  # type: ignore[assignment]
        "one": ["conv.weight"],
        "two": ["head.weight", "words.weight", "conv.weight"],
    }
    with pytest.raises(pruneexp.Invalid, match=r"names conv\.weight, words\.weight twice"):
        pruneexp.ModelScope().groups(model)


@pytest.mark.parametrize(
    ("parametrise", "part"),
    [
        (weight_norm, "parametrizations.weight.original0"),
        (orthogonal, "parametrizations.weight.original"),
        (spectral_norm, "parametrizations.weight.original"),
        (nn.utils.spectral_norm, "weight_orig"),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), "weight_orig"),
    ],
)
def test_a_computed_weight_is_refused(parametrise: Callable[[Any], Any], part: str) -> None:
    model = network()
    parametrise(model[0])
    message = rf"^pruning\.scope would prune 0\.{part}, from which 0\.weight is computed.*Named\("
    with pytest.raises(pruneexp.Invalid, match=message):
        EARLY.attach(model, steps=1)
    left = Named(exclude=["0.*"]).groups(model)
    assert left == {"2.weight": ["2.weight"]}


# --- python -O ---------------------------------------------------------------------------------


def test_promises_hold_without_asserts() -> None:
    code = (
        "import torch, pruneexp\n"
        "from torch import nn\n"
        "def promised(work, *kinds):\n"
        "    try:\n"
        "        work()\n"
        "    except kinds as error:\n"
        "        return print(type(error).__name__)\n"
        "    print('nothing was raised')\n"
        "early = pruneexp.Gradual(sparsity=0.5, schedule=pruneexp.OneShot(begin=0.0))\n"
        "model = nn.Linear(4, 4)\n"
        "pruner = early.attach(model, steps=2)\n"
        "model.weight.data.fill_(1.0)\n"
        "promised(pruner.finish, pruneexp.NotPrunable)\n"
        "promised(lambda: pruner.load_state_dict({}), ValueError)\n"
        "promised(lambda: early.attach(model, steps=2), pruneexp.NotPrunable)\n"
        "promised(lambda: pruneexp.Dense().attach(model, steps=1).load_state_dict({'a': 1}),\n"
        "         ValueError)\n"
        "promised(lambda: pruneexp.Gradual(sparsity=1.5), pruneexp.Invalid)\n"
        "late = pruneexp.Gradual(sparsity=0.5).attach(nn.Linear(4, 4), steps=9)\n"
        "promised(late.finish, pruneexp.NotPrunable)\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    expected = ["NotPrunable", "ValueError", "NotPrunable", "ValueError", "Invalid", "NotPrunable"]
    assert done.stdout.split() == expected, done
