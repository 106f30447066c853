"""What other programs get: dense safetensors, and ONNX that onnxruntime runs alike."""

import json
from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from pruneexp.cli import main
from pruneexp.cli.messages import BAD_INPUT
from pruneexp.config.recipe import Invalid
from pruneexp.data.glyphs import ALPHABET
from pruneexp.data.grammar import VOCABULARY
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.record import USAGE, Usage
from pruneexp.models import LSTMLanguageModel, MobileNetV1, Model, ResNet50
from pruneexp.running import export
from pruneexp.running.source import Source, find
from pruneexp.tasks import Grammar
from pruneexp.tasks.images import STANDARDISED, Classification
from pruneexp.tasks.shape import ImageShape, Shape, TextShape
from tests.conftest import Make, silent, tiny_gradual

PICTURES, WORDS = ImageShape(channels=1, pixels=24, classes=7), TextShape(vocabulary=30)
LSTM = LSTMLanguageModel(hidden_size=8)


def source(model: Model, shape: Shape) -> Source:
    """A network that never was trained, with half of each matrix masked."""
    torch.manual_seed(0)
    network = model.build(shape).eval()
    masks = {}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                masks[name] = torch.rand_like(weight) < 0.5
                weight.mul_(masks[name])
    return Source(
        name="mine", shape=shape, model=network, masks=masks, identity="", latency=Path("none")
    )


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (LSTM, WORDS),
        pytest.param(MobileNetV1(width=0.1, layout="small"), PICTURES, marks=pytest.mark.slow),
        pytest.param(ResNet50(width=0.125, layout="small"), PICTURES, marks=pytest.mark.slow),
    ],
)
def test_onnxruntime_gives_the_same_scores(tmp_path: Path, model: Model, shape: Shape) -> None:
    mine, path = source(model, shape), tmp_path / "m.onnx"
    said = list(export.export(mine, path))
    assert "ONNX opset 20" in said[0] and "left open" in said[0]
    assert f"{path.stat().st_size:,} bytes; as .pxp with fp32 values the weights take" in said[1]
    graph = onnx.load(path).graph
    sizes = [axis.dim_param for axis in graph.input[0].type.tensor_type.shape.dim]
    assert sizes[:2] == (["length", "batch"] if shape is WORDS else ["batch", ""])
    if shape is WORDS:
        names = ["hidden_0", "cell_0", "hidden_1", "cell_1"]
        assert [each.name for each in graph.input] == ["words", *(f"{n}_before" for n in names)]
        assert [each.name for each in graph.output] == ["scores", *(f"{n}_after" for n in names)]
    else:
        dense = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        for name, mask in mine.masks.items():  # batch-norm may be folded in; zeros are carried
            assert ((dense[name] == 0) == ~mask.numpy()).all()


class Picky(nn.Module):
    """Looks at the size of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24 * 24, 7)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        torch._check(pictures.shape[0] == 1)
        return self.fc(pictures.flatten(1))


def test_a_network_with_a_fixed_batch_and_one_that_runs_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    model = Picky().eval()
    picky = Source(name="p", shape=PICTURES, model=model, masks={}, identity="", latency=path)
    assert "one example at a time" in next(iter(export.export(picky, path)))
    content = path.read_bytes()
    path.unlink()

    def converted(*given: object, fixed: bool) -> bytes:
        if not fixed:
            raise torch.onnx.errors.OnnxExporterError
        return content

    monkeypatch.setattr(export, "_converted", converted)
    with torch.no_grad():
        model.fc.bias.mul_(-9)
    with pytest.raises(Invalid, match=r"onnxruntime's scores differ from torch's by \d"):
        list(export.export(picky, path))
    assert not list(tmp_path.iterdir())


def test_weights_that_a_mask_should_have_taken(tmp_path: Path) -> None:
    mine = source(LSTM, WORDS)
    with torch.no_grad():
        mine.model.softmax.weight.fill_(1.0)
    with pytest.raises(Invalid, match=r"^softmax\.weight has weights where its mask has none"):
        list(export.export(mine, tmp_path / "m.safetensors"))


def test_the_command(
    tiny: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tiny(tiny_gradual())
    record = execute(run, say=silent)

    def asked(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main.main([words[0], "--results", run.results, *words[1:]])
        return int(ended.value.code or 0)

    packed, dense = str(tmp_path / "m.pxp"), str(tmp_path / "m.safetensors")
    assert asked("pack", record.fingerprint, "-o", packed) == 0
    assert asked("export", packed, "-o", dense) == 0
    assert "zeros are carried densely" in capsys.readouterr().out
    kept = load_file(run.store.folder(record.name).path / "weights.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in load_file(dense).items())
    assert asked("export", record.name, "-o", str(tmp_path / "m.pt")) == BAD_INPUT
    assert "takes FILE.safetensors or FILE.onnx" in capsys.readouterr().err
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnx" else name)
    assert asked("export", packed, "-o", str(tmp_path / "m.onnx")) == BAD_INPUT
    assert "needs onnx: pip install 'pruneexp[onnx]'" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["safetensors", "onnx"])
def test_a_file_says_what_inputs_and_outputs_mean(ending: str, tiny: Make, tmp_path: Path) -> None:
    run = tiny(tiny_gradual())
    record = execute(run, say=silent)
    path = tmp_path / f"model.{ending}"
    said = list(export.export(find(record.name, run.store), path))
    assert "with the names of 47 outputs" in said[0]
    if ending == "onnx":
        metadata = {item.key: item.value for item in onnx.load(path).metadata_props}
    else:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
    assert json.loads(metadata["outputs"]) == list(ALPHABET)
    assert metadata["inputs"] == STANDARDISED


def test_what_inputs_and_outputs_mean_is_checked(tiny: Make) -> None:
    run = tiny()
    record = execute(run, say=silent)
    folder = run.store.folder(record.name)
    files.save_json(folder.path / USAGE, {"inputs": 3, "outputs": []})
    with pytest.raises(files.Damaged, match=r"usage\.json is damaged: inputs takes a text"):
        folder.usage()
    (folder.path / USAGE).unlink()  # of a run that an older version made
    assert folder.usage() == Usage()


def test_nothing_is_said_of_pictures_of_your_own() -> None:
    rows = [(torch.zeros(1, 4, 4), 0)]
    assert Classification(train=rows, valid=rows, test=rows).usage() == Usage()


def test_the_words_of_a_text_are_the_outputs() -> None:
    usage = Grammar(train=500, valid=100, test=100).load(Path()).usage()
    assert usage.outputs == list(VOCABULARY)
    assert usage.inputs.startswith("numbers of words") and "begins with <eos>" in usage.inputs
