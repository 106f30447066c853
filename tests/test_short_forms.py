"""Short forms of overrides and what they stand for."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pruneexp.config import schemas
from pruneexp.config.location import CONF
from pruneexp.config.read import read
from pruneexp.config.recipe import Invalid
from pruneexp.config.short_forms import expand


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("pruning.start=scratch", ["pruning/start=scratch"]),
        ("pruning.start=scratch,dense", ["pruning/start=scratch,dense"]),
        (
            "pruning.start=torchvision:IMAGENET1K_V1",
            ["pruning/start=torchvision", "pruning.start.weights=IMAGENET1K_V1"],
        ),
        (
            "pruning.start=torchvision:A, torchvision:B",
            ["pruning/start=torchvision", "pruning.start.weights=A,B"],
        ),
        ("pruning.start=a/b.pth", ["pruning/start=file", "pruning.start.file=a/b.pth"]),
        (
            "pruning.start='my weights.bin',b.safetensors",
            ["pruning/start=file", "pruning.start.file='my weights.bin',b.safetensors"],
        ),
        ("pruning.start=net-0123", ["pruning/start=run", "pruning.start.run=net-0123"]),
        ("pruning.start=run:ab12", ["pruning/start=run", "pruning.start.run=ab12"]),
        # what YAML and Hydra would take for numbers stays the digits that were typed
        ("pruning.start=012345678901", ["pruning/start=run", "pruning.start.run='012345678901'"]),
        ("pruning.start=12e4", ["pruning/start=run", "pruning.start.run='12e4'"]),
        ("pruning.start=run", ["pruning/start=run"]),
        ("pruning.steps=100", ["pruning.start.steps=100"]),
        ("pruning.rate=0.1,0.5", ["pruning.start.rate=0.1,0.5"]),
        ("~pruning.rate", ["~pruning.start.rate"]),
        ("pruning/allocation=n_of_m", ["pruning/structure=n_of_m"]),
        ("pruning/allocation=n_of_m,blocks", ["pruning/structure=n_of_m,blocks"]),
        ("pruning/allocation=uniform,global", ["pruning/allocation=uniform,global"]),
        ("pruning.allocation.keep=2", ["pruning.structure.keep=2"]),
        ("pruning.allocation.columns=4,8", ["pruning.structure.columns=4,8"]),
        ("pruning.allocation.at_most={fc.weight: 0.8}", None),
        ("pruning.start={steps: 5}", None),
        ("pruning.start=choice(a,b)", None),
        ("pruning.start=", None),
        ("pruning.start.steps=5", None),
        ("pruning/start=dense", None),
        ("pruning.sparsity=0.5,0.9", None),
        ("--cfg", None),
        ("job", None),
        ("-m", None),
    ],
)
def test_each_short_form_by_hand(short: str, long: list[str] | None) -> None:
    assert expand([short]) == (long or [short])


def test_an_existing_file_of_any_name_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"")
    assert expand(["pruning.start=weights"])[0] == "pruning/start=file"
    assert expand(["pruning.start=other"])[0] == "pruning/start=run"


@pytest.mark.parametrize(
    ("mixed", "message"),
    [
        ("pruning.start=dense,ab12", "dense (an option) and ab12 (run); use one sweep for each"),
        ("pruning.start=a.pth,torchvision:A", "a.pth (file) and torchvision:A (torchvision)"),
        ("pruning/allocation=uniform,n_of_m", "together with uniform; use one sweep"),
    ],
)
def test_several_kinds_in_one_sweep_are_refused_with_a_remedy(mixed: str, message: str) -> None:
    with pytest.raises(Invalid) as invalid:
        expand([mixed])
    assert message in str(invalid.value)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (
            ["pruning.start=dense", "pruning.steps=7", "pruning.rate=0.5"],
            ["pruning/start=dense", "pruning.start.steps=7", "pruning.start.rate=0.5"],
        ),
        (
            ["pruning/allocation=n_of_m", "pruning.allocation.keep=1", "pruning.sparsity=0.75"],
            ["pruning/structure=n_of_m", "pruning.structure.keep=1", "pruning.sparsity=0.75"],
        ),
        (
            ["pruning.start=0123456789"],
            ["pruning/start=run", "pruning.start.run='0123456789'"],
        ),
    ],
)
def test_a_short_form_composes_the_run_of_its_long_form(short: list[str], long: list[str]) -> None:
    schemas.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        runs = [read(compose("run", overrides=words)) for words in (expand(short), long)]
    assert runs[0] == runs[1]
    if "0123456789" in short[0]:
        assert getattr(runs[0].pruning, "start").run == "0123456789"  # noqa: B009 - of one method
