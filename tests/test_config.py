"""Reading, naming, restoring; every YAML composes; faults are all said, with full keys."""

import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as some
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings

from pruneexp.cli import hydra_errors
from pruneexp.config import schemas
from pruneexp.config.location import CONF
from pruneexp.config.options import OPTIONS
from pruneexp.config.read import read, restore
from pruneexp.config.recipe import Invalid, Recipe, added, asked, digest, filled
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.lineage import parents, settle
from pruneexp.models import MobileNetV1
from pruneexp.pruning import Dense, Gradual, Random
from pruneexp.pruning.allocation import Global, LayerwiseConstant, PerLayer
from pruneexp.pruning.schedule import Cubic, Linear, OneShot
from pruneexp.pruning.scope import All, Named
from pruneexp.pruning.start import FromDense, FromTorchvision
from pruneexp.tasks import Glyphs
from pruneexp.training import Training
from pruneexp.training.optimiser import Adam

TRANSLATION = ("pairs", "wmt16_en_de", "wmt14_en_de", "tatoeba_en_de", "grammar_pairs")
WORDS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
EXPERIMENTS = f"{', '.join(WORDS[:-1])} or {WORDS[-1]}"


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    schemas.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> Run:
    return read(compose("run", overrides=list(overrides)))


def test_without_arguments_it_is_the_small_mobilenet_on_glyphs_at_80_percent() -> None:
    assert composed() == Run(
        task=Glyphs(),
        model=MobileNetV1(layout="small"),
        training=Training(learning_rate=0.2),
        pruning=Gradual(),
    )


@pytest.mark.parametrize(
    "option",
    [
        f"{path.parent.relative_to(CONF)}={path.stem}"
        for path in sorted(CONF.rglob("*/*.yaml"))
        if path.parent.name != "experiment"
    ],
)
def test_every_option_composes_and_is_restored(option: str) -> None:
    needs = {
        "model=custom": ["model.factory=math:sqrt"],
        "model=inception_v3": ["task=custom"],
        "distillation=run": ["distillation.fingerprint=0123456789ab"],
        "pruning/start=run": ["pruning.start.fingerprint=0123456789ab"],
        "pruning/start=file": ["pruning.start.checksum=0123456789abcdef"],
        "pruning/start=torchvision": [
            *("model=resnet50", "task=imagenet", "pruning.start.weights=IMAGENET1K_V1")
        ],
        "pruning/allocation=per_layer": ["pruning.allocation.at_most={classifier.weight: 0.5}"],
        "task=text": ["task.vocabulary=50", "model=lstm_lm"],
        "task=ptb": ["model=lstm_lm"],
        "task=folder": ["task.classes=2"],
        "task=grammar": ["model=lstm_lm"],
        **{f"model=lstm_lm{size}": ["task=grammar"] for size in ("", "_medium", "_large")},
        **{f"task={name}": ["model=gnmt"] for name in TRANSLATION},
        **{
            f"model={name}{size}": ["task=grammar_pairs"]
            for name in ("gnmt", "transformer")
            for size in ("", "_small")
        },
    }
    run = composed(option, *needs.get(option, []))
    assert restore(asked(run), trust=True, origin="here") == run


def test_every_option_of_the_table_has_a_yaml() -> None:
    for group, known in OPTIONS.items():
        for option in known:
            assert (CONF / group / f"{option.word}.yaml").exists(), (group, option.word)


def test_recipes_are_keyword_only_and_slotted() -> None:
    for known in [*OPTIONS.values(), (Run,)]:
        for option in known:
            assert all(item.kw_only for item in fields(option)), option
            assert "__slots__" in vars(option), option


PRUNINGS = some.one_of(
    some.builds(Dense),
    some.builds(
        Gradual,
        sparsity=some.floats(0, 0.999) | some.just(0),
        revive=some.booleans(),
        schedule=some.builds(Cubic, interval=some.integers(1, 999))
        | some.builds(Linear, begin=some.floats(0, 0.5), end=some.floats(0.5, 1))
        | some.builds(OneShot),
        scope=some.builds(All) | some.builds(Named, include=some.just(["a*"])),
        criterion=some.builds(Random),
        allocation=some.builds(Global)
        | some.builds(LayerwiseConstant)
        | some.builds(
            PerLayer,
            at_most=some.dictionaries(some.text(), some.floats(0, 0.99) | some.just(0), min_size=1),
        ),
    ),
)


@settings(deadline=None)
@given(
    run=some.builds(
        Run,
        task=some.builds(Glyphs, seed=some.integers(0, 9)),
        model=some.builds(MobileNetV1, width=some.floats(0.01, 1)),
        training=some.builds(
            Training, clip=some.none() | some.integers(1, 3), optimiser=some.builds(Adam)
        ),
        pruning=PRUNINGS,
        seed=some.integers(0, 2**40),
        results=some.text(min_size=1),
    )
)
def test_restore_undoes_asked(run: Run) -> None:
    again = restore(asked(run), trust=True, origin="here")
    assert again == run
    assert fingerprint(again) == fingerprint(run)


def test_names_are_pinned() -> None:
    """A change here renames all runs; add a field with `added` instead."""
    small = MobileNetV1(layout="small")
    dense = Run(task=Glyphs(), model=small, training=Training(), pruning=Dense())
    assert name(dense) == "mobilenet_v1_small-w1-glyphs-dense-seed0-ae03a555f034"
    sparse = replace(dense, pruning=Gradual(sparsity=0.9, start=FromDense()), seed=3)
    assert name(sparse) == "mobilenet_v1_small-w1-glyphs-s0.9-from-dense-seed3-b18f638faf7a"


def test_where_and_how_fast_are_no_part_of_a_name() -> None:
    there = composed(
        *["results=/elsewhere", "device=cpu", "training.threads=2", "workers=3", "keep=none"],
        *["training.workers=4", "training.checkpoint_seconds=1", "format=json"],
    )
    assert fingerprint(there) == fingerprint(composed())
    assert fingerprint(composed("seed=1")) != fingerprint(composed())


def test_an_alias_keeps_the_name_of_its_long_form() -> None:
    assert name(composed("pruning=one_shot")) == name(composed("pruning/schedule=one_shot"))
    assert name(composed("pruning.sparsity=0")) == name(composed("pruning.sparsity=0.0"))


def test_a_younger_field_does_not_rename_older_runs() -> None:
    from dataclasses import dataclass
    from typing import ClassVar

    @dataclass(kw_only=True, slots=True)
    class Old(Recipe):
        word: ClassVar[str] = "it"
        size: int = 1

    @dataclass(kw_only=True, slots=True)
    class New(Old):
        smooth: float = added(default=0.1, before=0.0)

    assert digest(asked(New(smooth=0.0))) == digest(asked(Old()))
    assert digest(asked(New())) != digest(asked(Old()))
    assert New(**filled(New, asked(Old()))) == New(smooth=0.0)


class TestParents:
    def test_dense_is_the_childs_configuration_without_pruning(self) -> None:
        child = composed(
            *("pruning/start=dense", "pruning.start.steps=7", "seed=4", "model.width=0.5")
        )
        dense = composed("pruning=none", "seed=4", "model.width=0.5")
        assert parents(child) == {"weights": dense}
        assert child.steps == 7
        assert parents(composed()) == {}

    def test_siblings_share_a_parent(self) -> None:
        before = [
            parents(composed("pruning/start=dense", f"pruning.sparsity={s}"))["weights"]
            for s in (0, 0.9)
        ]
        assert name(before[0]) == name(before[1])

    def test_a_file_is_named_by_its_content(self, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "w.safetensors").write_bytes(b"the same")
        first, second = (
            settle(
                composed(
                    "pruning/start=file",
                    f"pruning.start.file={tmp_path / folder / 'w.safetensors'}",
                )
            )
            for folder in "ab"
        )
        assert name(first) == name(second)
        assert first.pruning.start.checksum == files.checksum(b"the same")[:16]
        (tmp_path / "b" / "w.safetensors").write_bytes(b"another")
        changed = composed(
            "pruning/start=file", f"pruning.start.file={tmp_path / 'b' / 'w.safetensors'}"
        )
        assert name(settle(changed)) != name(first)


def said(*overrides: str) -> list[str]:
    return [str(fault) for fault in hydra_errors.faults(list(overrides))]


def test_all_faults_are_said_together_with_full_keys() -> None:
    with pytest.raises(Invalid) as raised:
        composed(
            *["pruning.sparsity=1", "model.width=20", "pruning.schedule.interval=0", "seed=-1"],
            *["training.steps=0", "task.train=0"],
        )
    assert {fault.key for fault in raised.value.faults} == {
        *("pruning.sparsity", "model.width", "pruning.schedule.interval", "seed"),
        *("training.steps", "task.train"),
    }


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["pruning.sparsity=1.5"], ["pruning.sparsity takes a number in [0, 1), got 1.5"]),
        (["model.width=0"], ["model.width takes a number in (0, 16], got 0.0"]),
        (
            ["pruning.schedule.begin=0.8", "pruning.schedule.end=0.5"],
            ["pruning.schedule.end takes a fraction of the run in [begin=0.8, 1], got 0.5"],
        ),
        (
            ["pruning.schedule.interval=0"],
            ["pruning.schedule.interval takes a number of steps of 1 or more, or null, got 0"],
        ),
        (["training.steps=soon"], ["training.steps takes a whole number, got soon"]),
        (["pruning.revive=maybe"], ["pruning.revive takes true or false, got maybe"]),
        (
            ["model.widht=1"],
            ["model.widht is no key here (did you mean model.width?); model takes width or layout"],
        ),
        (
            ["pruning=none", "pruning.sparsity=0.5"],
            [
                "pruning.sparsity is no key with pruning=none; gradual, rigl, set, lottery, "
                "scratch, variational_dropout and l0 have it"
            ],
        ),
        (
            ["pruning/schedule=cubik"],
            [
                "pruning/schedule takes cubic, linear, one_shot or rounds, got cubik (did you mean "
                "cubic?)"
            ],
        ),
        (
            ["pruning/schedul=cubic"],
            ["pruning/schedul is no group (did you mean pruning/schedule?)"],
        ),
        (
            ["experiment=table2_smal"],
            [f"experiment takes {EXPERIMENTS}, got table2_smal (did you mean table2_small?)"],
        ),
        (["model=custom"], ["model.factory must be given"]),
        (
            ["training/optimiser=adam", "training.optimiser.momentum=0.5"],
            [
                "training.optimiser.momentum is no key with training/optimiser=adam; sgd and "
                "rmsprop have it"
            ],
        ),
        (
            ["+pruning.sparsty=0.3", "+foo=1"],
            [
                "foo is no key here; a run takes task, model, training, pruning, quantisation, "
                "distillation, budget, nonzero, seed, title, keep, keep_steps, logger, device, "
                "results, trust, workers, hours, dry_run or format",
                "pruning.sparsty is no key here (did you mean pruning.sparsity?); pruning takes "
                "sparsity, budget, budget_values, revive, start, schedule, scope, criterion, "
                "structure or allocation",
            ],
        ),
        (["training.learning_rate=inf"], ["training.learning_rate takes a finite number, got inf"]),
        (
            ["training.threads=100000"],
            ["training.threads takes a number from 1 to 256, got 100000"],
        ),
        (["task=ptb"], ["model takes lstm_lm or custom with this task, got mobilenet_v1"]),
        (
            ["model=lstm_lm"],
            [
                "model takes mobilenet_v1, inception_v3, resnet50 or custom with this task, "
                "got lstm_lm"
            ],
        ),
        (
            ["task=ptb", "model=lstm_lm", "model.hidden_size=0", "model.dropout=1"],
            [
                "model.hidden_size takes a number of units above 0, got 0",
                "model.dropout takes a number in [0, 1), got 1.0",
            ],
        ),
        (
            ["model=inception_v3", "seed=-1"],
            [
                "seed takes a whole number of 0 or more, got -1",
                "model.layout=published takes pictures of 75 pixels or more, this task's have 24; "
                "choose model.layout=small",
            ],
        ),
        (
            ["model=inception_v3_small", "task=custom", "task.pixels=18"],
            [
                "model.layout=small takes pictures of 19 pixels or more, this task's have 18; "
                "choose another model"
            ],
        ),
        (
            ["model=inception_v3", "task=custom", "model.width=0.3", "model.auxiliary=-1"],
            [
                "model.width takes a multiple of 1/16, as its channel numbers are of 16, got 0.3",
                "model.auxiliary takes a weight of 0 or more, got -1.0",
            ],
        ),
        (
            ["pruning/allocation=per_layer", "pruning.allocation.at_most={a: x}"],
            ["pruning.allocation.at_most.a takes a number, got x"],
        ),
        (
            ["pruning/start=torchvision", "pruning.start.weights=IMAGENET1K_V1"],
            [
                "pruning.start.weights=IMAGENET1K_V1: torchvision has nothing for "
                "mobilenet_v1; start from dense, a finished run or a file of weights"
            ],
        ),
        (
            [
                "model=resnet50",
                "task=custom",
                "pruning/start=torchvision",
                "pruning.start.weights=IMAGENET1K_V3",
            ],
            [
                "pruning.start.weights=IMAGENET1K_V3: torchvision has IMAGENET1K_V1 or "
                "IMAGENET1K_V2 for resnet50"
            ],
        ),
        (
            [
                *("model=inception_v3_small", "model.width=0.5"),
                *("pruning/start=torchvision", "pruning.start.weights=IMAGENET1K_V1"),
            ],
            [
                "pruning.start.weights=IMAGENET1K_V1: fits model.width=1 (here 0.5) and "
                "model.layout=published (here small) and channels=3 (here 1) and "
                "classes=1000 (here 47) only"
            ],
        ),
        (["device=gpu"], ["device takes auto, cpu, cuda, cuda:N or mps, got gpu"]),
    ],
)
def test_a_fault_names_key_value_and_remedy(overrides: list[str], expected: list[str]) -> None:
    assert said(*overrides) == expected


def test_a_module_is_looked_for_after_reading() -> None:
    before = list(sys.path)
    run = composed("model=custom", "model.factory=nowhere:at_all")
    settle(run)  # a name needs no module
    with pytest.raises(Invalid) as raised:
        run.model.ready()
    assert str(raised.value) == (
        "model.factory takes package.module:function, got nowhere:at_all: there is no module "
        "nowhere in the working folder, on PYTHONPATH or among the installed packages"
    )
    assert sys.path == before


def test_unknown_keys_and_wrong_values_are_said_in_one_go() -> None:
    lines = said(
        "modle.width=2", "model.widht=3", "training.steps=abc", "model=mobilnet", "seed=-2"
    )
    keys = [line.split()[0] for line in lines]
    assert keys == ["model", "modle", "model.widht", "training.steps", "seed"]


def test_a_start_that_is_nothing_is_refused() -> None:
    with pytest.raises(
        Invalid, match=r"^pruning\.start takes .* got nothing_like_it: there is no such"
    ):
        settle(composed("pruning/start=run", "pruning.start.run=nothing_like_it"))


def test_torchvisions_weights_are_part_of_the_name() -> None:
    given = ("model=resnet50", "task=custom", "pruning/start=torchvision")
    first, second = (composed(*given, f"pruning.start.weights=IMAGENET1K_V{n}") for n in (1, 2))
    assert first.pruning.start == FromTorchvision(weights="IMAGENET1K_V1")
    assert name(first) != name(second)
    assert name(first).startswith("resnet50-w1-custom-s0.8-from-torchvision-seed0-")
    assert parents(first) == {}


def test_bounds_of_layers_come_from_the_command_line() -> None:
    run = composed(
        "pruning/allocation=per_layer",
        "pruning.allocation.at_most={conv1.weight: 0, blocks.*.weight: 0.5}",
    )
    assert run.pruning.allocation == PerLayer(at_most={"conv1.weight": 0.0, "blocks.*.weight": 0.5})
    assert restore(asked(run), trust=True, origin="here") == run
    assert name(restore(asked(run), trust=True, origin="here")) == name(run)


def test_a_plain_dict_of_values_survives(tmp_path: Path) -> None:
    run = composed("model=custom", "model.factory=math:sqrt", "+model.arguments.width=0.5")
    arguments: dict[str, Any] = run.model.arguments
    assert arguments == {"width": 0.5}
    assert restore(asked(run), trust=True, origin="here") == run
