"""Every experiment composes, point by point, and takes its first step: the small ones on what the
package makes itself, the others on a handful of pictures and sentences in the official formats."""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pruneexp.cli.compose import compose
from pruneexp.cli.sweep import read_sweep
from pruneexp.config.location import CONF
from pruneexp.config.run import Run, name
from pruneexp.engine.execute import execute
from pruneexp.measure.planned import size
from pruneexp.models import InceptionV3, LSTMLanguageModel, MobileNetV1, Model, ResNet50
from pruneexp.models.translators import Translator
from pruneexp.tasks import Glyphs, Grammar, GrammarPairs, Pairs, PennTreebank
from pruneexp.tasks.pictures import FashionMNIST, ImageNet
from tests.conftest import silent
from tests.test_archives import write_fashion_mnist

LARGE = {  # of which a few points take ten seconds and more
    *("ablation_start", "budget", "figure2", "methods_lstm_small", "quantised_lstm_small"),
    *("quantised_small", "resnet50_magnitude", "resnet50_random", "state_of_sparsity_resnet50"),
    *("state_of_sparsity_resnet50_small", "table1", "state_of_sparsity_transformer"),
    *("state_of_sparsity_transformer_small", "transformer_magnitude", "figure5", "figure5_small"),
    *("ablation_allocation", "ablation_allocation_small", "transformer_magnitude_small"),
}
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def runs(experiment: str) -> list[Run]:
    """All points, of one seed; of a search its trials."""
    composed = compose([f"experiment={experiment}", "seed=0"])
    assert composed.grids is not None
    asked = read_sweep(composed.grids)
    assert not asked.unreadable
    return asked.runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two classes of two pictures, and a few sentences."""
    root = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("cat", "dog"):
            folder = root / "imagenet" / split / kind
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = noise.integers(256, size=(40, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.JPEG")
    (root / "ptb").mkdir()
    for split in ("train", "valid", "test"):
        with gzip.open(root / "ptb" / f"ptb.{split}.txt.gz", "wt") as file:
            file.write(" the cat saw a dog \n a dog ran \n" * 60)
    write_fashion_mnist(root / "fashion_mnist")
    (root / "pairs").mkdir()
    for split in ("train", "valid", "test"):
        (root / "pairs" / f"{split}.en").write_text("the cat saw a dog\na dog ran\n" * 8)
        (root / "pairs" / f"{split}.de").write_text("die Katze sah den Hund\nein Hund lief\n" * 8)
    yield root


def little(run: Run, data: Path, results: Path) -> Run:
    """The same path on little data, with a thinner network."""
    task = {
        "glyphs": Glyphs(train=150, valid=20, test=20),
        "grammar": Grammar(train=800, valid=100, test=100),
        "ptb": PennTreebank(vocabulary=7, root=str(data / "ptb")),
        "imagenet": replace(run.task, root=str(data / "imagenet"), classes=2, valid=2)
        if isinstance(run.task, ImageNet)
        else run.task,
        "fashion_mnist": replace(run.task, root=str(data / "fashion_mnist"), valid=2)
        if isinstance(run.task, FashionMNIST)
        else run.task,
        "grammar_pairs": replace(run.task, train=40, valid=6, test=6)
        if isinstance(run.task, GrammarPairs)
        else run.task,
        **{
            name: Pairs(root=str(data / "pairs"), direction=run.task.direction, vocabulary=30)
            for name in ("wmt16_en_de", "wmt14_en_de", "tatoeba_en_de")
            if isinstance(run.task, Pairs)
        },
    }[run.task.word]
    # What ranks by gradients needs a step before masks are chosen.
    ranked = getattr(run.pruning, "criterion", None)
    steps = 3 if ranked is not None and ranked.uses_gradients else 1
    training = replace(run.training, steps=steps, batch_size=4, evaluations=1)
    return replace(
        run,
        task=task,
        training=training,
        model=thin(run.model),
        results=str(results),
        device="cpu",
    )


def thin(model: Model) -> Model:
    if isinstance(model, MobileNetV1):
        return replace(model, width=model.width / 8)
    if isinstance(model, LSTMLanguageModel):
        return replace(model, hidden_size=max(8, model.hidden_size // 50))
    if isinstance(model, Translator):
        return replace(model, units=8)
    assert isinstance(model, InceptionV3 | ResNet50), model
    return replace(model, width=1 / 16)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_point_is_another_run(experiment: str) -> None:
    made = runs(experiment)
    assert len({name(run) for run in made}) == len(made)
    assert all(run.title for run in made)


@pytest.mark.parametrize(
    "experiment", [pytest.param(e, marks=[pytest.mark.slow] * (e in LARGE)) for e in EXPERIMENTS]
)
def test_points_take_a_step(experiment: str, data: Path, tmp_path: Path) -> None:
    made = runs(experiment)
    for run in made[:: max(1, len(made) // 3)]:
        ready = little(run, data, tmp_path)
        record = execute(ready, say=silent)
        assert size(ready).counts.nonzero in (None, record.counts.nonzero)


@pytest.mark.parametrize(
    ("table", "twin", "rows"),
    [("table5", "", 5), ("table6", "", 7), ("table5", "_small", 9), ("table6", "_small", 8)],
)
def test_bytes_are_of_runs_that_table_2_trains(table: str, twin: str, rows: int) -> None:
    mine = {name(run) for run in runs(f"{table}{twin}")}
    assert len(mine) == rows and mine <= {name(run) for run in runs(f"table2{twin}")}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_file_opens_with_its_command_its_cost_and_what_to_expect(experiment: str) -> None:
    first, *rest = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert first == "# @package _global_"
    head = list(takewhile(lambda line: line.startswith("# "), rest))
    said = {key: text for key, _, text in (line[2:].partition(": ") for line in head)}
    program, command, own, *words = said["Command"].split()
    assert (program, command, own) == ("pruneexp", "run", f"experiment={experiment}")
    assert compose([own, *words]).grids is not None
    assert said["Cost"] and said["Expected"]
    assert head[0] != f"# Command: {said['Command']}"  # but what it asks
