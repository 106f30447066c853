"""The readers that need none of the package, against files of our writer and against the text."""

import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruneexp.engine import files
from pruneexp.storage import encodings, layout, values
from pruneexp.storage.archive import Archive, save
from tests.test_storage_file import signed

ROOT = Path(__file__).parent.parent
ABOUT = {"run": "of eleven bytes and more"}  # the readers pass over it
COMPILER = shutil.which("cc")


def model() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tensors and masks in which every path of every encoding is taken."""
    random = np.random.default_rng(5)
    weights, masks = {}, {}
    for name, shape, share in [
        *(("few", (6, 5, 40), 0.03), ("many", (8, 30), 0.9), ("some", (20, 33), 0.3)),
        *(("all", (3, 4), 1.1), ("none", (3, 4), -1.0), ("empty", (0, 4), 0.5)),
        *(("vector", (50,), 0.2), ("scalar", (), 1.1), ("uneven", (64, 48), 0.4)),
    ]:
        mask = random.random(shape) < share
        if name == "uneven":
            mask[random.random(64) < 0.6] = False
        masks[name] = np.asarray(mask)
        weights[name] = np.asarray(random.standard_normal(shape).astype(np.float32)) * mask
    weights["some"][masks["some"]] *= random.random(int(masks["some"].sum())) < 0.8  # kept zeros
    weights["few"].reshape(-1)[np.flatnonzero(masks["few"])[:3]] = [-0.0, 6e-8, 1e-5]
    weights |= {"bias": random.standard_normal(7).astype(np.float32)}
    weights |= {"steps": np.array(9, np.int64), "flags": np.array([[True, False]])}
    weights |= {"tied": weights["uneven"].copy(), "wide": random.standard_normal((2, 3))}
    return weights, masks


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler here: readers/pxp.c is not tested")
    program = tmp_path_factory.mktemp("reader") / "pxp"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    source = ROOT / "readers" / "pxp.c"
    subprocess.run([COMPILER, *flags, "-o", program, source, "-lm"], check=True)
    return program


@pytest.fixture(scope="module")
def in_numpy() -> Any:
    """The reader as a module, found where a person would copy it from."""
    namespace: dict[str, Any] = {"__name__": "pxp"}
    exec((ROOT / "readers" / "pxp.py").read_text(), namespace)
    return namespace


@pytest.mark.parametrize("kind", values.WORDS)
@pytest.mark.parametrize("encoding", encodings.WORDS)
def test_the_numpy_reader_reads_everything(
    tmp_path: Path, in_numpy: Any, encoding: str, kind: str
) -> None:
    weights, masks = model()
    save(tmp_path / "m.pxp", weights, masks, kind=kind, encoding=encoding, notes=ABOUT)
    archive = Archive(tmp_path / "m.pxp")
    assert set(in_numpy["tensors"](tmp_path / "m.pxp")) == set(weights)
    for name in weights:
        found, ours = in_numpy["read"](tmp_path / "m.pxp", name), archive.read(name)
        assert (found.shape, found.dtype) == (ours.shape, ours.dtype)
        assert found.tobytes() == ours.tobytes(), name


@pytest.mark.parametrize("kind", values.WORDS)
@pytest.mark.parametrize("encoding", encodings.WORDS)
def test_the_c_reader_reads_everything(
    tmp_path: Path, in_c: Path, encoding: str, kind: str
) -> None:
    weights, masks = model()
    path = tmp_path / "m.pxp"
    save(path, weights, masks, kind=kind, encoding=encoding, notes=ABOUT)
    archive = Archive(path)
    listed = subprocess.run([in_c, path], capture_output=True, text=True, check=True).stdout
    assert [line.split("\t")[0] for line in listed.splitlines()] == list(archive.entries)
    for name in weights:
        done = subprocess.run([in_c, path, name], capture_output=True, check=True)
        assert done.stdout == archive.read(name).tobytes(), name


def test_the_c_reader_says_what_is_wrong(tmp_path: Path, in_c: Path) -> None:
    path = tmp_path / "m.pxp"
    save(path, *model())
    content = bytearray(path.read_bytes())
    for damaged, message in [
        (content[:-1], "not as long as its header states"),
        (content[:100] + bytes([content[100] ^ 1]) + content[101:], "header's checksum"),
        (signed(content[:36] + b"\7" + content[37:]), "notes of another length"),
        (content[:20], "not a .pxp file"),
        (b"", "not a .pxp file"),
    ]:
        path.write_bytes(damaged)
        done = subprocess.run([in_c, path], capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr
    content[-3] ^= 1
    path.write_bytes(content)
    last = list(Archive(path).entries)[-1]
    done = subprocess.run([in_c, path, last], capture_output=True, text=True)
    assert done.returncode == 1 and "tensor's checksum" in done.stderr and not done.stdout


def test_the_readers_need_none_of_the_package() -> None:
    text = (ROOT / "readers" / "pxp.py").read_text()
    assert not re.search(r"^\s*(from|import) pruneexp", text, re.MULTILINE)
    done = subprocess.run([sys.executable, ROOT / "readers" / "pxp.py"], capture_output=True)
    assert b"out.npy" in done.stderr and done.returncode == 1


def test_the_specification_s_example_is_what_we_write(tmp_path: Path) -> None:
    """The bytes of docs/format.md, which were put together by hand."""
    text = (ROOT / "docs" / "format.md").read_text()
    example = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)", text, re.MULTILINE)
    stated = b"".join(bytes.fromhex(line) for _, line in example)
    assert [int(at, 16) for at, _ in example] == list(range(0, len(stated), 8))
    tensor = np.zeros((3, 5), np.float32)
    mask = np.zeros((3, 5), np.bool_)
    tensor.flat[[0, 5, 14]] = [1.0, -0.0, 0.5]
    mask.flat[[0, 5, 14]] = True
    save(tmp_path / "e.pxp", {"w": tensor}, {"w": mask}, kind="fp16", encoding="golomb")
    written = (tmp_path / "e.pxp").read_bytes()
    assert written.hex(" ", 1) == stated.hex(" ", 1)
    assert struct.unpack_from("<Q", written, 24)[0] == len(stated)


def lies(tmp_path: Path) -> dict[str, bytes]:
    """Files with checksums that fit and one thing that the specification forbids."""
    path = tmp_path / "m.pxp"
    first = layout.HEAD.size

    def changed(offset: int, form: str, value: int, content: bytes) -> bytes:
        forged = bytearray(content)
        struct.pack_into(form, forged, offset, value)
        return signed(forged)

    matrix, mask = np.ones((2, 3), np.float32), np.ones((2, 3), np.bool_)
    save(path, {"w": matrix}, {})
    dense = path.read_bytes()
    save(path, {"w": matrix, "x": matrix}, {"w": mask})
    twice = path.read_bytes()
    second = first + layout.aligned(layout.RECORD.size + 2 * 8 + 1)
    save(path, {"w": matrix}, {}, kind="int8")
    rounded = path.read_bytes()
    save(path, {"w": np.array([True, False])}, {})
    truths = path.read_bytes()
    header = struct.unpack_from("<Q", truths, 16)[0]
    scales = struct.unpack_from("<Q", rounded, 16)[0] + 8
    return {
        "escape in a name": changed(first + 64, "<B", 0x1B, dense),
        "a name that is no UTF-8": changed(first + 64, "<B", 0xFF, dense),
        "dense with positions": changed(first + 24, "<Q", 8, dense),
        "dense, fewer kept": changed(first + 16, "<Q", 5, dense),
        "same with a stream": changed(second + 24, "<Q", 8, twice),
        "same of another type": changed(second + 7, "<B", 1, twice),
        "same of other weights": changed(second + 16, "<Q", 5, twice),
        "same of itself": changed(second + 8, "<Q", 1, twice),
        "a truth value of 2": changed(header, "<B", 2, truths),
        "a negative scale": changed(scales, "<I", 0xBF800000, rounded),
        "an infinite scale": changed(scales, "<I", 0x7F800000, rounded),
    }


def test_all_readers_refuse_what_the_specification_says(
    tmp_path: Path, in_numpy: Any, in_c: Path
) -> None:
    path = tmp_path / "forged.pxp"
    for what, content in lies(tmp_path).items():
        path.write_bytes(content)
        with pytest.raises(files.Damaged):
            [Archive(path).read(name) for name in Archive(path).entries]
        with pytest.raises(ValueError):
            in_numpy["load"](path)
        done = [subprocess.run([in_c, path, name], capture_output=True) for name in ("w", "x")]
        assert any(each.returncode == 1 for each in done), what


def test_names_are_listed_without_orders_to_the_terminal(tmp_path: Path, in_c: Path) -> None:
    name = "w\u202eü"
    save(tmp_path / "m.pxp", {name: np.ones(2, np.float32)}, {})
    script = [sys.executable, ROOT / "readers" / "pxp.py"]
    for command in ([in_c], script):
        shown = subprocess.run([*command, tmp_path / "m.pxp"], capture_output=True, check=True)
        assert "\u202e".encode() not in shown.stdout
        assert shown.stdout.startswith(b"w")


def test_time_and_memory_grow_with_the_number_of_tensors_and_no_faster(
    tmp_path: Path, in_numpy: Any, in_c: Path
) -> None:
    """32,000 empty tensors in 2 MB, read whole; a reader that looks through all of them for each
    would take hours. The bound leaves a busy machine ten times what it takes."""
    empty = np.zeros((0, 4), np.float32)
    save(tmp_path / "m.pxp", {f"t{number}": empty for number in range(32_000)}, {})
    path = tmp_path / "m.pxp"
    began = time.monotonic()
    archive = Archive(path)
    assert sum(archive.read(name).size for name in archive.entries) == 0
    assert len(in_numpy["load"](path)) == 32_000
    subprocess.run([in_c, path, "t31999"], capture_output=True, check=True)
    assert time.monotonic() - began < 20
