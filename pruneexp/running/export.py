"""A model for other programs: safetensors, or ONNX that onnxruntime has been seen to run alike.

pruneexp export RUN -o model.safetensors
pruneexp export model.pxp -o model.onnx
"""

import json
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine import files
from pruneexp.engine.record import Usage
from pruneexp.running.source import Source
from pruneexp.storage import archive
from pruneexp.tasks.shape import Shape

OPSET = 20
REMEDY = "pip install 'pruneexp[onnx]'"
CHECKED = ((1, 1), (3, 4))  # examples in a batch and words of a text, run by onnxruntime and torch
TINY = 1e-30  # instead of a largest score of 0
CLOSE = 1e-4  # the largest difference that is rounding, over the largest score


def export(source: Source, path: Path) -> Iterator[str]:
    """Write the file, and say what was written."""
    if path.suffix not in (".safetensors", ".onnx"):
        raise Invalid([Fault("--out", f"takes FILE.safetensors or FILE.onnx, got {path}")])
    state = source.model.state_dict()
    for name, mask in source.masks.items():
        if state[name][~mask].any():
            raise Invalid([Fault(name, "has weights where its mask has none; nothing is written")])
    if path.suffix == ".onnx":
        content, about = _onnx(source)
    else:
        tensors = {name: tensor.contiguous().clone() for name, tensor in state.items()}
        content = save(tensors, metadata=metadata(source.usage))
        about = ["safetensors"]
    if source.usage.outputs:
        about.append(f"with the names of {len(source.usage.outputs):,} outputs")
    files.save_bytes(path, content)
    yield f"{path}: {', '.join(about)}"
    try:
        packed = f"; as .pxp with fp32 values the weights take {_packed_bytes(source):,}"
    except (TypeError, ValueError):  # a type of numbers that a packed file does not have
        packed = ""
    yield f"zeros are carried densely: {len(content):,} bytes{packed}"


def metadata(usage: Usage) -> dict[str, str]:
    """What inputs and outputs mean, as a file's own metadata: `inputs` in words, `outputs` as a
    JSON list of names."""
    names = {"outputs": json.dumps(usage.outputs, ensure_ascii=False)} if usage.outputs else {}
    return names | ({"inputs": usage.inputs} if usage.inputs else {})


def _with_metadata(content: bytes, said: dict[str, str]) -> bytes:
    import onnx

    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, said)
    return bytes(model.SerializeToString())


def _packed_bytes(source: Source) -> int:
    """Of the same weights, as fp32 and without notes."""
    weights = {name: tensor.numpy() for name, tensor in source.model.state_dict().items()}
    masks = {name: mask.numpy() for name, mask in source.masks.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pxp"
        archive.save(path, weights, masks)
        return path.stat().st_size


def _onnx(source: Source) -> tuple[bytes, list[str]]:
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise Invalid([Fault("--out", f"=*.onnx needs {' and '.join(missing)}: {REMEDY}")])
    import onnx

    open_sizes = source.shape.onnx_names(source.shape.call_inputs(source.model)).open_sizes
    checked = list(CHECKED)
    try:
        content = _converted(source.model, source.shape, fixed=False)
    except torch.onnx.errors.OnnxExporterError:  # a network that looks at its sizes
        checked, open_sizes = checked[:1], ""
        try:
            content = _converted(source.model, source.shape, fixed=True)
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).partition("\n")[0]
            why = f"torch.onnx cannot export {source.name} ({reason})"
            raise Invalid([Fault("--out", f"=*.onnx: {why}; FILE.safetensors works")]) from error
    content = _with_metadata(content, metadata(source.usage))
    onnx.checker.check_model(content)
    sizes = f"{open_sizes} left open" if open_sizes else "one example at a time"
    about = [f"ONNX opset {OPSET}", sizes]
    if find_spec("onnxruntime") is None:
        return content, [*about, f"not checked, as onnxruntime is not here ({REMEDY})"]
    worst = max(_difference(source, content, *sizes) for sizes in checked)
    if not worst <= CLOSE:  # nor where it is no number
        why = f"onnxruntime's scores differ from torch's by {worst:.1e} of the largest"
        raise Invalid([Fault("--out", f"=*.onnx: {why}; FILE.safetensors works")])
    return content, [*about, f"onnxruntime's scores differ from torch's by {worst:.0e} at most"]


def _converted(model: nn.Module, shape: Shape, *, fixed: bool) -> bytes:
    inputs = shape.call_inputs(model, *(CHECKED[0] if fixed else (2, 3)))
    names = shape.onnx_names(inputs)
    with warnings.catch_warnings():  # of the exporter's own code
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            model,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=None if fixed else names.axes,
            input_names=names.inputs,
            output_names=names.outputs,
            verbose=False,
        )
    assert made is not None
    return made.model_proto.SerializeToString()


def _difference(source: Source, content: bytes, batch: int, length: int) -> float:
    """The largest between the outputs of onnxruntime and of torch, over torch's largest."""
    import onnxruntime

    inputs = source.shape.call_inputs(source.model, batch, length)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    feed = {name: each.numpy() for name, each in zip(names, _flat(inputs), strict=True)}
    with torch.no_grad():
        expected = _flat(source.model(*inputs))
    found = [torch.from_numpy(each) for each in session.run(None, feed)]
    pairs = list(zip(found, expected, strict=True))
    return max(
        float((one - other).abs().max() / other.abs().max().clamp(min=TINY)) for one, other in pairs
    )


def _flat(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [tensor for each in values for tensor in _flat(each)]
