"""Two processes train one run, as `torchrun` starts them: over gloo, on this machine's CPU."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pruneexp.engine.execute import execute
from pruneexp.engine.record import CHECKPOINT, RECORD, WEIGHTS
from pruneexp.models import GNMT, CustomModel
from tests.conftest import silent, tiny_gradual, tiny_run
from tests.test_translation import made

SCRIPT = '''
"""One rank of a tiny run: its folder, its model, and the step at which the second rank dies."""
import os, signal, sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
import torch
from pruneexp.engine import distributed
from pruneexp.engine.execute import execute
from pruneexp.models import CustomModel
from pruneexp.pruning.gradual_pruner import GradualPruner
from pruneexp.training.fit import Fit
from tests.conftest import tiny_gradual, tiny_run

results, model, die_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
finish = GradualPruner.finish


def finish_and_show(self):
    masks = finish(self)
    weights = dict(zip(self.names, self.weights))
    torch.save([masks, weights], results / f"rank{distributed.rank()}.pt")
    return masks


GradualPruner.finish = finish_and_show
steps = 0


def take(self, waiting, before=None):
    global steps
    steps += 1
    if steps == die_at and distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(self, waiting)


Fit._take = partialmethod(take, before=Fit._take)
run = tiny_run(results, tiny_gradual(), checkpoint_seconds=0, average=0.5)
if model == "linear":
    run = replace(run, model=CustomModel(factory="tests.test_ranks:linear"))
if model == "translation":
    from pruneexp.models import GNMT
    from tests.test_translation import made

    run = made(results, GNMT(units=8, layers=2, dropout=0.0), pruning=tiny_gradual())
execute(run)
'''


def linear() -> torch.nn.Module:
    """Without batch-norm two halves of a batch give what the whole batch gives."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24 * 24, 47))


def start(folder: Path, model: str, ranks: int, die_at: int = 0, script: str = SCRIPT) -> list[int]:
    """Exit statuses of the ranks."""
    folder.mkdir(exist_ok=True)
    file = folder / "rank.py"
    file.write_text(script)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(ranks):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{Path(__file__).parent.parent}",
        }
        arguments = [str(folder), model, str(die_at)]
        command = [sys.executable, str(file), *arguments]
        with (folder / f"said{rank}.txt").open("w") as said:
            started.append(subprocess.Popen(command, env=environment, stderr=said))
    return [process.wait(300) for process in started]


def outcome(folder: Path) -> dict:
    (record,) = folder.glob(f"runs/*/{RECORD}")
    content = json.loads(record.read_text())
    del content["circumstances"], content["checksum"]  # the file's own
    return content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, "mobilenet", 2) == [0, 0]
    return folder


def test_masks_and_weights_are_equal_on_all_ranks(whole: Path) -> None:
    first, second = (torch.load(whole / f"rank{rank}.pt") for rank in range(2))
    for mine, other in zip(first, second, strict=True):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert not all(mask.all() for mask in first[0].values())


def test_a_killed_rank_loses_nothing(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    first, second = start(folder, "mobilenet", 2, die_at=7)
    assert second == -signal.SIGKILL
    assert first not in (0, None)
    assert list(folder.glob(f"runs/*/{CHECKPOINT}"))
    assert not list(folder.glob(f"runs/*/{RECORD}"))
    assert start(folder, "mobilenet", 1) == [1]
    said = (folder / "said0.txt").read_text()
    assert "began with 2 processes and goes on with as many, not 1" in said
    assert start(folder, "mobilenet", 2) == [0, 0]
    assert "goes on at step" in (folder / "said0.txt").read_text()
    assert "goes on" not in (folder / "said1.txt").read_text()  # the first rank alone talks
    assert outcome(folder) == outcome(whole)


def test_two_halves_of_a_batch_train_as_the_whole(tmp_path: Path) -> None:
    assert start(tmp_path / "ranks", "linear", 2) == [0, 0]
    alone = replace(
        tiny_run(tmp_path / "alone", tiny_gradual(), average=0.5),
        model=CustomModel(factory="tests.test_ranks:linear"),
    )
    execute(alone, say=silent)
    one, two = (
        load_file(next((tmp_path / folder).glob(f"runs/*/{WEIGHTS}")))
        for folder in ("alone", "ranks")
    )
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_two_halves_of_a_batch_of_pairs_train_as_the_whole(tmp_path: Path) -> None:
    """Halves have more or fewer words; their gradients are weighed accordingly."""
    assert start(tmp_path / "ranks", "translation", 2) == [0, 0]
    model = GNMT(units=8, layers=2, dropout=0.0)
    alone = execute(made(tmp_path / "alone", model, pruning=tiny_gradual()), say=silent)
    one, two = (
        load_file(next((tmp_path / folder).glob(f"runs/*/{WEIGHTS}")))
        for folder in ("alone", "ranks")
    )
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    assert outcome(tmp_path / "ranks")["test"]["loss"] == pytest.approx(
        alone.test["loss"], rel=1e-4
    )


METHODS_SCRIPT = '''
"""One rank of a run of every method: the masks and weights that it ends with."""
import sys
from pathlib import Path
import torch
from pruneexp.engine import distributed
from pruneexp.engine.execute import execute
from pruneexp.training.fit import Fit
from tests.test_methods import METHODS, made

results = Path(sys.argv[1])
finish, ends = Fit.finish, []


def finish_and_keep(self):
    masks = finish(self)
    ends.append((masks, {name: w.clone() for name, w in self.model.state_dict().items()}))
    return masks


Fit.finish = finish_and_keep
for method in METHODS:
    execute(made(results, "mobilenet", method, "training.evaluations=1"))
    torch.save(ends[-1], results / f"{method}-rank{distributed.rank()}.pt")
'''


@pytest.mark.slow
def test_every_method_ends_alike_on_all_ranks(tmp_path: Path) -> None:
    from tests.test_methods import METHODS

    assert start(tmp_path, "", 2, script=METHODS_SCRIPT) == [0, 0]
    for method in METHODS:
        first, second = (torch.load(tmp_path / f"{method}-rank{rank}.pt") for rank in range(2))
        for mine, other in zip(first, second, strict=True):
            unlike = [name for name in mine if not torch.equal(mine[name], other[name])]
            assert not unlike, (method, unlike)
