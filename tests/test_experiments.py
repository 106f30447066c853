"""Every experiment composes, point by point, and its runs take their first steps."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hydra_plugins.pruneexp.sweeper import points
from pruneexp import config
from pruneexp.config import CONF, Run, name, read
from pruneexp.execute import execute
from pruneexp.models import InceptionV3, LSTMLanguageModel, MobileNetV1, ResNet50
from pruneexp.size import size
from pruneexp.tasks import Glyphs, Grammar

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SMALL = [experiment for experiment in EXPERIMENTS if experiment.endswith("_small")]
TINY = {
    "glyphs": Glyphs(train=150, valid=20, test=20),
    "grammar": Grammar(train=800, valid=100, test=100),
}


def runs(experiment: str) -> list[Run]:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("run", overrides=[f"experiment={experiment}"], return_hydra_config=True)
        union = OmegaConf.to_container(whole.hydra.sweeper.union)
        assert isinstance(union, list)
        chosen = points(union, [f"experiment={experiment}"])
        return [read(compose("run", overrides=point)) for point in chosen]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_point_composes_and_is_another_run(experiment: str) -> None:
    made = runs(experiment)
    assert len({name(run) for run in made}) == len(made)
    assert all(run.title for run in made)


@pytest.mark.parametrize("experiment", SMALL)
def test_first_steps(experiment: str, tmp_path: Path) -> None:
    """The whole path of every other point, on little data and thinner networks."""
    made = [run for run in runs(experiment) if run.task.word in TINY]
    for run in made[::2]:
        training = replace(run.training, steps=2, batch_size=16, evaluations=1)
        model = run.model
        if isinstance(model, MobileNetV1):
            model = replace(model, width=model.width / 8)
        elif isinstance(model, LSTMLanguageModel):
            model = replace(model, hidden_size=model.hidden_size // 8)
        elif isinstance(model, InceptionV3 | ResNet50):
            model = replace(model, width=1 / 16)
        little = replace(
            run,
            task=TINY[run.task.word],
            training=training,
            model=model,
            results=str(tmp_path),
            device="cpu",
        )
        record = execute(little)
        assert record.counts.nonzero == size(little).counts.nonzero
