"""pack, unpack and inspect on finished, unfinished and damaged runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from pruneexp.cli import main
from pruneexp.engine import files
from pruneexp.engine.record import MASKS, WEIGHTS
from pruneexp.engine.run_folder import RunFolder
from tests.results import Results


def kept(results: Results, largest: float = 1.0) -> RunFolder:
    """A finished run whose weights were kept: a pruned matrix, its bias and a counter."""
    random = np.random.default_rng(0)
    mask = random.random((40, 50)) < 0.1
    weight = np.where(mask, random.standard_normal((40, 50)), 0).astype(np.float32)
    weight[tuple(np.argwhere(mask)[0])] = largest
    state = {"weight": weight, "bias": np.ones(40, np.float32), "seen": np.array(3, np.int64)}
    record = results.finish(240, 80.0, sparsity=0.9)
    folder = results.store.folder(record.name)
    for name, tensors in ((WEIGHTS, state), (MASKS, {"weight": mask})):
        payload = save(tensors)
        files.save_bytes(folder.path / name, payload)
        record.checksums[name.partition(".")[0]] = files.checksum(payload)
    folder.finish(record)
    return folder


def pruneexp(*words: str | Path, results: Results) -> int:
    command, *rest = map(str, words)
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--results", str(results.store.results), *rest])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("values", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("encoding", ["auto", "csr"])
def test_there_and_back(
    results: Results,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    values: str,
    encoding: str,
) -> None:
    folder = kept(results)
    packed, back, masks = (tmp_path / name for name in ("m.pxp", "w.safetensors", "k.safetensors"))
    asked = ("--values", values, "--encoding", encoding)
    assert pruneexp("pack", folder.fingerprint, "-o", packed, *asked, results=results) == 0
    assert f"{packed.stat().st_size:,} bytes" in capsys.readouterr().out
    assert pruneexp("unpack", packed, "-o", back, "--masks", masks, results=results) == 0
    before, after = load_file(folder.path / WEIGHTS), load_file(back)
    np.testing.assert_allclose(after["weight"], before["weight"], atol=3 / 254, rtol=0)
    assert values != "fp32" or (after["weight"] == before["weight"]).all()
    assert (after["bias"] == 1).all() and after["seen"] == 3
    assert (load_file(masks)["weight"] == load_file(folder.path / MASKS)["weight"]).all()


def test_inspect_tells_what_each_tensor_takes(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kept(results)
    pruneexp("pack", folder.fingerprint, "-o", tmp_path / "m.pxp", results=results)
    capsys.readouterr()
    assert pruneexp("inspect", tmp_path / "m.pxp", results=results) == 0
    shown = capsys.readouterr().out
    assert "golomb" in shown and "of bound" in shown
    assert "test accuracy 80.0 %" in shown and "pruneexp 0." in shown
    pruneexp("inspect", tmp_path / "m.pxp", "--format", "json", results=results)
    facts = json.loads(capsys.readouterr().out)
    record = folder.record_or_fail()
    assert facts["notes"]["run"] == record.name and facts["notes"]["folded"] is False
    assert facts["notes"]["configuration"] == record.configuration
    rows = {row["name"]: row for row in facts["tensors"]}
    weight, bias, seen = rows["weight"], rows["bias"], rows["seen"]
    assert (weight["name"], weight["shape"], weight["values"]) == ("weight", [40, 50], "fp32")
    assert weight["value_bytes"] == 4 * weight["kept"]
    assert weight["position_bytes"] < 1.05 * weight["bound_bytes"]
    assert (bias["encoding"], bias["value_bytes"], bias["bound_bytes"]) == ("dense", 160, None)
    assert (seen["values"], seen["value_bytes"]) == ("int64", 8)


def test_inspect_survives_any_notes(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pruneexp.storage.archive import save as save_archive

    nothing = {"w": np.ones(2, np.float32)}
    for about in ({"run": "a\x1b[31mb", "package": {"name": 3}}, {"run": ["x"], "metric": "y"}):
        save_archive(tmp_path / "m.pxp", nothing, {}, notes=about)
        assert pruneexp("inspect", tmp_path / "m.pxp", results=results) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_what_cannot_be_packed_is_said(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.pxp"

    def fault(folder: RunFolder, *more: str) -> str:
        assert pruneexp("pack", folder.path.name, "-o", out, *more, results=results) == 2
        assert not out.exists()
        return capsys.readouterr().err

    unkept = results.store.folder(results.finish(10, 70.0, 0.5).name)
    assert "weights were not kept" in fault(unkept) and "keep=weights" in fault(unkept)
    waiting = results.store.folder("net-0123456789ab")
    with waiting.lease():
        pass
    assert "is not finished (waiting)" in fault(waiting)
    large = kept(results, largest=1e6)
    assert "tensor weight: a weight is too large for fp16" in fault(large, "--values", "fp16")
    (large.path / MASKS).write_bytes(b"other")
    assert "its checksum is not the one in the run's record" in fault(large)


def test_a_file_that_asks_for_too_much_needs_the_persons_word(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pruneexp.storage.archive import save as save_archive

    nothing = np.zeros((3000, 3000), np.float32)
    save_archive(tmp_path / "m.pxp", {"w": nothing}, {"w": nothing.astype(np.bool_)})
    out = tmp_path / "w.safetensors"
    assert pruneexp("unpack", tmp_path / "m.pxp", "-o", out, results=results) == 2
    assert "would take 36,000,000 bytes" in capsys.readouterr().err and not out.exists()
    again = ("unpack", tmp_path / "m.pxp", "-o", out, "--limit", "36000000")
    assert pruneexp(*again, results=results) == 0
    assert load_file(out)["w"].shape == (3000, 3000)
