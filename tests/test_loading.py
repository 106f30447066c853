"""A run or a packed file as a network: the same scores, nothing that a forged file could do, and
measurements that are kept."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as some
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

import pruneexp
from pruneexp.cli import main
from pruneexp.cli.messages import BAD_INPUT
from pruneexp.config.recipe import Invalid, asked
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.plan import plan
from pruneexp.engine.record import LATENCY
from pruneexp.measure.folding import folded
from pruneexp.models import InceptionV3, LSTMLanguageModel, MobileNetV1, Model
from pruneexp.pruning import Dense
from pruneexp.running import cache, source
from pruneexp.running.load import load
from pruneexp.storage import archive
from pruneexp.tasks import CustomTask, Glyphs, PictureFolder, Task, Text
from pruneexp.training import Training
from tests.conftest import Make, silent, tiny_gradual
from tests.test_storage_file import PLAIN

Pack = Callable[..., tuple[Path, nn.Module]]


def shuffled(model: nn.Module) -> nn.Module:
    """With batch-norms that do something, and four of five weights of each matrix masked."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.3, 0.3, generator=random)
                module.running_var.uniform_(0.5, 2, generator=random)
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(torch.rand(weight.shape, generator=random) > 0.8)
    return model.eval()


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """A packed file of a network that never was trained, and the network."""

    def packed(
        model: Model, task: Task, *, fold: bool = False, **changes: Any
    ) -> tuple[Path, nn.Module]:
        run = Run(task=task, model=model, training=Training(), pruning=Dense())
        torch.manual_seed(0)
        network = shuffled(model.build(task.shape()))
        made = folded(network, *task.shape().example()) if fold else network
        state = {name: value.numpy() for name, value in made.state_dict().items()}
        masks = {name: value != 0 for name, value in state.items() if value.ndim > 1}
        about = {"configuration": asked(run), "folded": fold} | changes
        archive.save(tmp_path / "m.pxp", state, masks, notes=about)
        return tmp_path / "m.pxp", network

    return packed


MOBILENET = MobileNetV1(width=0.25, layout="small")
LSTM = LSTMLanguageModel(hidden_size=16)
SMALL = LSTMLanguageModel(hidden_size=2, layers=1)


@torch.inference_mode()
def scores(model: nn.Module, task: Task, batch: int = 2) -> torch.Tensor:
    found = model(*task.shape().example(batch))
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("model", "task", "fold"),
    [
        (MOBILENET, Glyphs(), False),
        (MOBILENET, Glyphs(), True),
        (InceptionV3(width=0.125, layout="small"), Glyphs(), True),
        (LSTM, Text(vocabulary=50), False),
        (LSTMLanguageModel(hidden_size=16, tied=True), Text(vocabulary=50), False),
    ],
)
def test_a_packed_file_gives_the_network_s_scores(
    pack: Pack, model: Model, task: Task, fold: bool, sparse: bool
) -> None:
    path, network = pack(model, task, fold=fold)
    before = torch.get_rng_state()
    loaded = load(path, sparse=sparse)
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.training
    expected, found = scores(network, task), scores(loaded, task)
    if sparse or fold:
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    else:
        assert torch.equal(found, expected)


def test_a_run_by_name_and_the_library_s_face(tiny: Make) -> None:
    run = tiny(tiny_gradual())
    record = execute(run, say=silent)
    model = pruneexp.load(record.fingerprint, results=run.results)
    kept_weights = sum(int(weight.count_nonzero()) for weight in model.parameters())
    assert kept_weights <= record.counts.nonzero + record.counts.batch_norm
    packed = Path(run.results) / "m.pxp"
    with pytest.raises(SystemExit):
        main.main(["pack", record.name, "--results", run.results, "-o", str(packed)])
    same = pruneexp.load(packed).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())


def test_tied_tensors_are_tied_again(pack: Pack) -> None:
    path, _ = pack(LSTMLanguageModel(hidden_size=16, tied=True), Text(vocabulary=50))
    model: Any = load(path)
    assert model.softmax.weight is model.embedding.weight


# --- files that nobody trusts ------------------------------------------------------------------


def changed(value: Any, *path: str) -> dict[str, Any]:
    """The configuration of the small MobileNet with one value in another's place."""
    run = Run(task=Glyphs(), model=MOBILENET, training=Training(), pruning=Dense())
    found = part = asked(run)
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("value", "path", "error", "says"),
    [
        (
            {"option": "custom", "factory": "evil:net", "arguments": {}},
            ["model"],
            Invalid,
            r"model\.factory=evil:net .*m\.pxp.*--trust",
        ),
        ("evil:net", ["training", "factory"], files.Damaged, r"training\.factory is no key"),
        (
            [{"factory": "evil:net"}],
            ["pruning", "scope"],
            files.Damaged,
            r"pruning\.scope is no key",
        ),
    ],
)
def test_no_file_runs_python_unless_it_is_trusted(
    pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: Any,
    path: list[str],
    error: type[Exception],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    packed, _ = pack(MOBILENET, Glyphs(), configuration=changed(value, *path))
    with pytest.raises(error, match=says):
        load(packed)
    assert "evil" not in sys.modules


def test_a_custom_task_matters_only_to_what_needs_its_data(pack: Pack) -> None:
    task = CustomTask(factory="evil:data", channels=1, pixels=28, classes=47)
    packed, network = pack(MOBILENET, task)
    assert torch.equal(scores(load(packed), task), scores(network, task))


def test_a_trusted_file_may(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)
    (tmp_path / "of_mine.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))\n"
    )
    from pruneexp.models import CustomModel

    task = CustomTask(channels=1, pixels=4, classes=3)
    packed, network = pack(CustomModel(factory="of_mine:net"), task)
    with pytest.raises(Invalid, match=r"of_mine:net.*trust=True"):
        load(packed)
    assert torch.equal(scores(load(packed, trust=True), task), scores(network, task))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("wide", ["model", "width"]),
        (20.0, ["model", "width"]),
        ("no_such", ["model", "option"]),
        (["mobilenet_v1"], ["model", "option"]),
        (None, ["model"]),
        ([], ["task"]),
        ("x", ["no_such"]),
        ({"option": "text", "vocabulary": 50}, ["task"]),
        ({"option": "lstm_lm", "hidden_size": 10**30}, ["model"]),
        ({"option": "lstm_lm", "layers": 10**9}, ["model"]),
        ({**asked(PictureFolder(classes=47, channels=1)), "pixels": 24.0}, ["task"]),
    ],
)
def test_a_configuration_that_makes_no_network(pack: Pack, value: Any, path: list[str]) -> None:
    packed, _ = pack(MOBILENET, Glyphs(), configuration=changed(value, *path))
    with pytest.raises(files.Damaged, match=r"m\.pxp is damaged: its configuration makes no net"):
        load(packed)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=some.sampled_from(
        [("model", key) for key in ("option", "hidden_size", "layers", "initial", "tied", "x")]
        + [("task", "option"), ("task", "vocabulary"), ("training", "steps"), ("pruning", "option")]
        + [("seed",), ("model",), ("task",), ("training",), ("pruning",)]
    ),
    value=PLAIN,
)
def test_any_configuration_ends_in_a_line_or_a_network(
    tmp_path: Path, place: tuple[str, ...], value: Any
) -> None:
    task = Text(vocabulary=6)
    found = part = asked(Run(task=task, model=SMALL, training=Training(), pruning=Dense()))
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    state = SMALL.build(task.shape()).state_dict()
    weights = {name: tensor.numpy() for name, tensor in state.items()}
    archive.save(tmp_path / "m.pxp", weights, {}, notes={"configuration": found})
    try:
        assert set(load(tmp_path / "m.pxp").state_dict()) == set(state)
    except (files.Damaged, Invalid) as error:
        assert "m.pxp" in str(error)


def test_a_network_beyond_all_memory_is_refused_by_its_shapes(pack: Pack) -> None:
    run = Run(
        task=Text(vocabulary=10**6),
        model=LSTMLanguageModel(hidden_size=10**6),
        training=Training(),
        pruning=Dense(),
    )
    packed, _ = pack(LSTM, Text(vocabulary=50), configuration=asked(run))
    with pytest.raises(files.Damaged, match=r"embedding\.weight is \(50, 16\), the model has \(1"):
        load(packed)


def test_names_that_differ_are_said(pack: Pack) -> None:
    packed, _ = pack(MOBILENET, Glyphs(), folded=True)
    with pytest.raises(files.Damaged, match=r"stem\.0\.bias is missing(.|\n)*and \d+ more"):
        load(packed)


def test_a_picture_beyond_what_the_file_justifies(pack: Pack) -> None:
    task = PictureFolder(pixels=10**5, classes=47, channels=1)
    packed, _ = pack(MOBILENET, Glyphs(), configuration=changed(asked(task), "task"))
    with pytest.raises(files.Damaged, match="one picture would take 40,000,000,000 bytes"):
        load(packed)


def test_a_file_without_a_configuration(tmp_path: Path) -> None:
    archive.save(tmp_path / "m.pxp", {"w": np.ones(2, np.float32)}, {})
    with pytest.raises(files.NotFound, match=r"does not say which network.*pruneexp unpack"):
        load(tmp_path / "m.pxp")


# --- measurements that are kept ----------------------------------------------------------------


def test_a_decision_is_kept_and_used_again(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, _ = pack(LSTM, Text(vocabulary=50))
    load(packed, sparse=True)
    beside = packed.with_name(f"{packed.name}.{LATENCY}")
    (row,) = files.load_json(beside)["measured"]
    assert (row["batch"], row["threads"], row["torch"]) == (1, 1, torch.__version__)
    assert row["dense"] > 0 and row["sparse"] > 0 and row["processor"]

    def forbidden(*given: Any, **options: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("pruneexp.running.load.latency", forbidden)
    load(packed, sparse=True)
    with pytest.raises(AssertionError, match="measured again"):
        load(packed, sparse=True, batch=2)
    found = source.of_file(packed)
    assert cache.remembered(found, batch=1, threads=2) is None
    monkeypatch.setattr(cache, "processor", lambda: "another")
    assert cache.remembered(found, batch=1, threads=1) is None


def test_a_newer_measurement_takes_the_older_s_place(pack: Pack) -> None:
    packed, _ = pack(LSTM, Text(vocabulary=50))
    load(packed, sparse=True)
    load(packed, sparse=True, batch=2)
    found = source.of_file(packed)
    one = cache.remembered(found, batch=1, threads=1)
    assert one is not None
    cache.keep(found, one)
    rows = files.load_json(found.latency)["measured"]
    assert sorted(row["batch"] for row in rows) == [1, 2]
    pack(LSTMLanguageModel(hidden_size=8), Text(vocabulary=50))  # another under the same name
    assert cache.remembered(source.of_file(packed), batch=1, threads=1) is None


FORGED = {
    "dense": "x",
    "sparse": 0.0,  # by which a gain would be divided
    "layers": [],
    "channels_last": 1,
    "batch": "x",
    "difference": 1e300,
}


@pytest.mark.parametrize("key", FORGED)
def test_a_forged_measurement_is_made_anew(pack: Pack, key: str) -> None:
    packed, network = pack(LSTM, Text(vocabulary=50))
    load(packed, sparse=True)
    found = source.of_file(packed)
    data = files.load_json(found.latency)
    (row,) = data["measured"]
    row[key] = [{**row["layers"][0], "layer": "dropout"}] if key == "layers" else FORGED[key]
    files.save_json(found.latency, data)
    assert cache.remembered(found, batch=1, threads=1) is None
    task = Text(vocabulary=50)
    torch.testing.assert_close(scores(load(packed, sparse=True), task), scores(network, task))
    found.latency.write_bytes(b"{}")
    load(packed, sparse=True)
    assert cache.remembered(found, batch=1, threads=1) is not None


def test_the_command_takes_runs_plans_and_files(
    tiny: Make, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(tiny_gradual(sparsity=0.9))
    record = execute(run, say=silent)
    packed, _ = pack(LSTM, Text(vocabulary=50))
    made = plan("", "mine", [run, tiny(seed=1)], [])
    run.store.save_plan(made)
    words = ["latency", "--results", run.results, "--batch", "1", "2", "--format", "json"]
    with pytest.raises(SystemExit) as ended:
        main.main([*words, "mine", str(packed)])
    assert ended.value.code == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row["run"] for row in rows] == [record.name] * 2 + ["m.pxp"] * 2
    assert [row["example"] for row in rows] == ["picture", "picture", "word", "word"]
    assert rows[1]["dense_an_example"] == rows[1]["dense"] / 2
    assert "1 of 2 runs of mine are finished" in captured.err
    stored = files.load_json(Path(run.results) / "runs" / record.name / LATENCY)
    assert [row["batch"] for row in stored["measured"]] == [1, 2]
    with pytest.raises(SystemExit) as ended:
        main.main([*words, "no_such_run"])
    assert ended.value.code == BAD_INPUT and "no_such_run" in capsys.readouterr().err
