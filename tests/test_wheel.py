"""The wheel works installed in another folder, with your own YAML, model, data and loop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MINE = '''
import torch
from torch import nn

from pruneexp.tasks.images import Classification


class Circles:
    """Bright discs of two sizes."""

    def __init__(self, seed, count):
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(2, (count,), generator=random)
        self.noise = torch.randn(count, 1, 8, 8, generator=random)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        disc = ((x - 3.5) ** 2 + (y - 3.5) ** 2 < 4 + 6 * self.labels[index]).float()
        return disc + self.noise[index] / 4, int(self.labels[index])


def data():
    return Classification(train=Circles(0, 256), valid=Circles(1, 64), test=Circles(2, 64))


def network(hidden=16):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 2))
'''
EXPERIMENT = """
# @package _global_
defaults:
  - override /task: mine
  - override /model: mine
title: Mine
training: {steps: 60, batch_size: 32, learning_rate: 0.05}
hydra:
  mode: MULTIRUN
  sweeper:
    union:
      - {pruning: gradual, pruning.sparsity: "0.5,0.9", pruning.schedule.interval: 5}
      - {pruning: none, +model.arguments.hidden: "4,16"}
"""
LOOP = """
import torch
from torch import nn

import pruneexp

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3))
inputs, labels = torch.randn(200, 20), torch.randint(3, (200,))

pruner = pruneexp.Gradual(sparsity=0.9, schedule=pruneexp.Cubic(interval=10)).attach(
    model, steps=200
)
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(200):
    optimiser.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), labels)
    loss.backward()
    pruner.after_backward()
    optimiser.step()
    pruner.after_step()
masks = pruner.finish()
assert [int((~mask).sum()) for mask in masks.values()] == [900, 135]
assert int((model[0].weight == 0).sum()) == 900
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel and a user's own files, and nothing else of ours."""
    home = tmp_path_factory.mktemp("elsewhere")
    wheels = home / "wheels"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    site = home / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site], check=True)
    (home / "mine.py").write_text(MINE)
    for place, text in {
        "conf/model/mine.yaml": "defaults: [base_custom]\nfactory: mine:network\n",
        "conf/task/mine.yaml": (
            "defaults: [base_custom]\nfactory: mine:data\nchannels: 1\npixels: 8\nclasses: 2\n"
        ),
        "conf/experiment/mine.yaml": EXPERIMENT,
    }.items():
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(text)
    return home


def there(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(home / "site")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True
    )


def test_it_is_the_wheel_that_runs(installed: Path) -> None:
    code = "import pruneexp.config.location as c; print(c.CONF)"
    assert there(installed, "-c", code).stdout.strip() == str(installed / "site/pruneexp/conf")
    sized = there(installed, "-m", "pruneexp", "size", "format=json")
    assert '"nonzero": 65621' in sized.stdout, sized.stderr


def test_a_persons_own_yaml_model_and_data_make_a_curve(installed: Path) -> None:
    arguments = ["-m", "pruneexp", "run", "--config-dir", "conf", "experiment=mine"]
    done = there(installed, *arguments)
    assert done.returncode == 0, done.stderr
    table = (installed / "results/reports/mine/table.md").read_text()
    assert "90 %" in table
    assert (installed / "results/reports/mine/parameters.png").stat().st_size > 5000


def test_the_pruner_works_in_a_persons_own_loop(installed: Path) -> None:
    done = there(installed, "-W", "error", "-c", LOOP)
    assert done.returncode == 0, done.stderr
