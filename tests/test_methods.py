"""What every method of pruning holds to, over methods, families of models, structures and
allocations that go together."""

import copy
import itertools
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneexp.cli.compose import compose
from pruneexp.config.read import read
from pruneexp.config.recipe import Invalid
from pruneexp.config.run import Run
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import Ancestor, parents, settle
from pruneexp.engine.network import build
from pruneexp.engine.record import MASKS, WEIGHTS, Record
from pruneexp.pruning import Pruning
from pruneexp.pruning.pruner import Pruner
from tests.conftest import silent

METHODS = {
    "gradual": [],
    "one_shot": [],
    "iterative": ["pruning.schedule.rounds=2"],
    "two_phase": ["pruning.interval=1"],
    "random": [],
    "variational_dropout": [],
    "l0": [],
    "second_order": ["pruning.schedule.rounds=2", "pruning.criterion.examples=4"],
    "lottery": [],
    "scratch": [],
    "rigl": ["pruning.interval=2"],
    "set": ["pruning.interval=2"],
    "movement": [],
}
OUTCOME = {"two_phase", "variational_dropout", "l0"}  # whose sparsity training tells
AT_THE_END = {"variational_dropout", "l0"}  # which have no mask before training has ended
SMALL = ["training.steps=8", "training.evaluations=2", "device=cpu"]
PICTURES = ["task.train=120", "task.valid=30", "task.test=30", "training.batch_size=8"]
FAMILIES = {
    "mobilenet": [*PICTURES, "model.width=0.1"],
    "resnet": ["model=resnet50_small", "training=resnet50_small", *PICTURES, "model.width=0.0625"],
    "lstm": [
        *("task=grammar", "model=lstm_lm", "training=grammar", "model.hidden_size=8"),
        *("task.train=3000", "task.valid=400", "task.test=400"),
        *("training.batch_size=4", "training.unroll=6"),
    ],
}
TRANSLATION = [
    *("task=grammar_pairs", "training=grammar_pairs", "task.train=40", "task.valid=6"),
    *("task.test=6", "task.beams=1", "model.units=8", "training.batch_size=8"),
]
FAMILIES |= {
    "gnmt": ["model=gnmt_small", *TRANSLATION],
    "transformer": ["model=transformer_small", "model.layers=1", *TRANSLATION],
}
PARTS = [
    *(
        "pruning/allocation=erk",
        "pruning/allocation=global",
        "pruning/allocation=layerwise_constant",
    ),
    *("pruning/structure=blocks", "pruning/structure=n_of_m"),
]


def made(results: Path, family: str, method: str, *more: str) -> Run:
    words = [f"pruning={method}", *METHODS[method], *FAMILIES[family], *SMALL, *more]
    (composed,) = compose([*words, f"results={results}"]).configurations
    return settle(read(composed))


def goes(method: str, part: str) -> bool:
    """Whether a method has a setting for this part."""
    gradual = ("gradual", "one_shot", "iterative", "random", "second_order", "movement")
    if "structure" in part:
        return method in gradual and not ("n_of_m" in part and method == "second_order")
    if "layerwise" in part and method in ("rigl", "set", "iterative", "one_shot"):
        return method in ("rigl", "set")
    return method in (*gradual, "lottery", "scratch", "rigl", "set")


CASES = [(family, method, "") for family, method in itertools.product(FAMILIES, METHODS)]
CASES += [
    ("mobilenet", method, part)
    for method, part in itertools.product(METHODS, PARTS)
    if goes(method, part)
]


def slow(family: str, method: str, part: str) -> bool:
    """What `make test-slow` adds: two families and most of a third, and parts with methods of one
    pruner."""
    if family in ("resnet", "transformer"):
        return True
    if family == "gnmt":
        return method not in ("gradual", "variational_dropout", "l0", "second_order", "rigl")
    return bool(part) and method not in ("gradual", "rigl", "lottery")


EVERY = [pytest.param(*case, marks=[pytest.mark.slow] * slow(*case)) for case in CASES]


def loaded(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize(("family", "method", "part"), EVERY)
def test_a_run_of_every_method(family: str, method: str, part: str, tmp_path: Path) -> None:
    """Zeros are where the mask says and in what is stored; as many as were planned, where that is
    known; the record holds what the files do."""
    more = [part] if part else []
    if "structure" in part:  # whose blocks of four go into the channels
        more.append("model.width=0.25")
    if "n_of_m" in part:
        more.append("pruning.sparsity=0.5")
    run = made(tmp_path / "results", family, method, *more)
    record = execute(run, say=silent)
    folder = run.store.folder(record.name)
    masks, weights = loaded(folder.path / MASKS), loaded(folder.path / WEIGHTS)
    assert masks and all(not weights[name][~mask].any() for name, mask in masks.items())
    masked = sum(int((~mask).sum()) for mask in masks.values())
    assert masked == sum(group.masked for group in record.counts.groups)
    assert masked > 0 or method in AT_THE_END  # so short a training may remove nothing
    if method not in OUTCOME:
        network = build(run, torch.device("cpu"))
        plan = run.pruning.plan(run.pruning.ranked_groups(network), run.steps)
        assert plan.total == masked
        named = {group.name: group.masked for group in record.counts.groups}
        assert all(plan.by_group[name] in (None, number) for name, number in named.items())
    assert execute(run, say=silent).checksums == record.checksums


def ancestors(run: Run) -> dict[str, Ancestor]:
    found = {}
    for role, parent in parents(run).items():
        record = execute(parent, say=silent)
        found[role] = Ancestor(run=parent, record=record, folder=run.store.folder(record.name))
    return found


def steps(
    pruner: Pruner, model: nn.Module, optimiser: Any, first: int, last: int, run: Run
) -> list[dict[str, Tensor]]:
    """A loop of one's own; the masks after each step."""
    seen = []
    for step in range(first, last):
        torch.manual_seed(step)
        optimiser.zero_grad()
        outputs = model(*run.task.shape().example(batch=4, length=5))
        scores = outputs[0] if isinstance(outputs, tuple) else outputs
        scores.float().square().mean().backward()
        pruner.after_backward()
        if not pruner.skips_step:
            optimiser.step()
        pruner.after_step()
        seen.append(pruner.masks())
    return seen


def begun(run: Run, before: dict[str, Ancestor]) -> tuple[nn.Module, Pruner, Any]:
    model = build(run, torch.device("cpu"))
    run.pruning.load(model, run.model, before)
    pruner = run.pruning.attach(model, steps=run.steps, seed=run.seed, ancestors=before)
    every = [*model.parameters(), *pruner.parameters()]
    optimiser = torch.optim.SGD(every, 0.01, momentum=0.9, weight_decay=0.01)
    pruner.use(optimiser)
    pruner.use_data(examples=1000)
    pruner.use_examples(lambda model, count: losses(model, count, run))
    return model, pruner, optimiser


def losses(model: nn.Module, count: int, run: Run) -> Any:
    for number in range(count):
        torch.manual_seed(number)
        outputs = model(*run.task.shape().example(batch=1, length=5))
        scores = outputs[0] if isinstance(outputs, tuple) else outputs
        yield (scores * torch.randn_like(scores)).sum()


@pytest.mark.parametrize(
    ("family", "method"), [(f, m) for f in ("mobilenet", "lstm") for m in METHODS]
)
def test_in_a_loop_of_ones_own_a_state_goes_on_bit_for_bit(
    family: str, method: str, tmp_path: Path
) -> None:
    """The state of pruner, model and optimiser is all there is; masked weights are zero after every
    step; a mask that is final stays."""
    run = made(tmp_path / "results", family, method)
    before = ancestors(run)
    model, pruner, optimiser = begun(run, before)
    middle = run.steps // 2
    masks = steps(pruner, model, optimiser, 0, middle, run)
    twin, other, second = begun(run, before)
    twin.load_state_dict(model.state_dict())
    second.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    other.load_state_dict(pruner.state_dict())
    settled = pruner.settled
    rest = steps(pruner, model, optimiser, middle, run.steps, run)
    steps(other, twin, second, middle, run.steps, run)
    if method not in AT_THE_END:
        weights = dict(model.named_parameters())
        assert all(not weights[name][~mask].any() for name, mask in rest[-1].items())
        if settled:
            final = masks[-1]
            assert all(torch.equal(each[name], final[name]) for each in rest for name in final)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = pruner.finish(), other.finish()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for (name, weight), same in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(weight, same), name


@pytest.mark.parametrize("method", ["gradual", "random", "one_shot", "rigl", "set"])
def test_a_control_that_removes_nothing_equals_a_dense_run(method: str, tmp_path: Path) -> None:
    run = made(tmp_path / "results", "mobilenet", method, "pruning.sparsity=0")
    from pruneexp.pruning import Dense

    dense = execute(replace(run, pruning=Dense()), say=silent)
    assert values(execute(run, say=silent)) == values(dense)


def values(record: Record) -> Any:
    return record.valid, record.test, record.counts.nonzero


@pytest.mark.parametrize("method", METHODS)
def test_a_model_without_anything_to_prune_is_refused(method: str, tmp_path: Path) -> None:
    recipe: Pruning = made(tmp_path / "results", "mobilenet", method).pruning
    with pytest.raises(Invalid, match="scope"):
        recipe.groups(nn.BatchNorm1d(3))


OWN_PRUNER = ("gradual", "variational_dropout", "l0", "rigl")  # one method of each pruner
COMPILED = [
    pytest.param(
        family,
        method,
        marks=[pytest.mark.slow] * (family == "lstm" or method not in OWN_PRUNER),
    )
    for family in ("mobilenet", "lstm")
    for method in METHODS
]


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch itself reads in tracing
@pytest.mark.parametrize(("family", "method"), COMPILED)
def test_a_compiled_network_is_pruned_to_the_same(
    family: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What batches go through is traced, with what methods put into layers; the eager backend
    stands in for a compiler, whose rounding would be another."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend="eager"))
    torch.compiler.reset()
    run = made(tmp_path / "results", family, method)
    plain = execute(run, say=silent)
    traced = replace(run, training=replace(run.training, compile=True))
    record = execute(traced, say=silent)
    assert record.fingerprint != plain.fingerprint
    assert values(record) == values(plain)


@pytest.mark.parametrize("method", METHODS)
def test_under_autocast_with_accumulated_gradients(method: str, tmp_path: Path) -> None:
    more = ["training.precision=bf16", "training.accumulate=2"]
    run = made(tmp_path / "results", "mobilenet", method, *more)
    record = execute(run, say=silent)
    folder = run.store.folder(record.name)
    masks, weights = loaded(folder.path / MASKS), loaded(folder.path / WEIGHTS)
    assert all(not weights[name][~mask].any() for name, mask in masks.items())
    assert all(weight.dtype != torch.bfloat16 for weight in weights.values())
    if method not in OUTCOME:
        masked = sum(int((~mask).sum()) for mask in masks.values())
        assert masked / record.counts.prunable == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_with_a_fused_optimiser(method: str, tmp_path: Path) -> None:
    """AdamW fused into one kernel leaves masked weights at zero as the plain one does."""
    run = made(tmp_path / "results", "mobilenet", method)
    model, pruner, _ = begun(run, ancestors(run))
    every = [*model.parameters(), *pruner.parameters()]
    optimiser = torch.optim.AdamW(every, 0.001, fused=True)
    pruner.use(optimiser)
    seen = steps(pruner, model, optimiser, 0, run.steps, run)
    weights = dict(model.named_parameters())
    assert all(weight.isfinite().all() for weight in weights.values())
    if method not in AT_THE_END:
        assert all(not weights[name][~mask].any() for name, mask in seen[-1].items())
