"""The bytes of .pxp files do not change: hashes of what version 0.1.0's first writer wrote.

A reference file holds one model in which every path of an encoding is taken, for each encoding and
each type of values. Its numbers come from integer arithmetic, so that they are the same on every
machine. A second table holds what the reader made of forged files: the tensors, or a refusal.

A hash that differs means that files written before are read differently or that new ones are
unlike them; then it is a new version of the format (docs/format.md), never a new hash.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pruneexp.engine import files
from pruneexp.storage.archive import Archive, save
from tests.test_storage_file import signed

ENCODINGS = (
    *("auto", "dense", "bitmask", "runs4", "runs5", "escape4", "escape5", "csr", "golomb"),
    *("rows", "columns"),
)
VALUES = ("fp32", "fp16", "bf16", "int8")
SHAPES = [(), (0,), (3, 0), (1, 1), (7,), (300,), (20, 33), (8, 3, 5, 5), (64, 48), (96, 130)]
SHARES = (0.0, 0.004, 0.1, 0.3, 0.5, 0.9, 1.0)
FORGERIES = 150  # for each type of values
BYTES = (0, 1, 2, 5, 11, 127, 128, 255)  # that a forger would try

# What was written, by type of values and encoding.
FILES = {
    "fp32 auto": "f187d86d7d846b2e",
    "fp32 dense": "9d707fbfa710411a",
    "fp32 bitmask": "c4fa40e99d5057c8",
    "fp32 runs4": "7a3c452e1737a3f0",
    "fp32 runs5": "6c6910160ae4cdbf",
    "fp32 escape4": "0d63831f42f87729",
    "fp32 escape5": "23b549c53e7936ac",
    "fp32 csr": "8c5a523cbd13d9d9",
    "fp32 golomb": "91aeda0df2a66b9e",
    "fp32 rows": "9f59a08897d4815b",
    "fp32 columns": "8be77189bc0ed0cf",
    "fp16 auto": "38e90339d5851128",
    "fp16 dense": "ab7bbb5563693ae1",
    "fp16 bitmask": "3498c8ac435b65dc",
    "fp16 runs4": "63b8535a08306e09",
    "fp16 runs5": "81a8b5b5dba1c076",
    "fp16 escape4": "03bae2231f0026ef",
    "fp16 escape5": "5415614ce6844610",
    "fp16 csr": "a44e519bffed6bb5",
    "fp16 golomb": "03447f55dc622999",
    "fp16 rows": "2dea8f829bc3cd8c",
    "fp16 columns": "2c9a3d74d7147558",
    "bf16 auto": "3652071d9c92f659",
    "bf16 dense": "5ac819c3efc3b591",
    "bf16 bitmask": "7f0dcbabb7ac2c9b",
    "bf16 runs4": "3e34bd97670db7fa",
    "bf16 runs5": "e6b7248371de194e",
    "bf16 escape4": "c34af8db7bdaf6a3",
    "bf16 escape5": "a944f4088be1c583",
    "bf16 csr": "c829aeee158d0356",
    "bf16 golomb": "e6ae162bb09a15da",
    "bf16 rows": "0a759ef0a250bb27",
    "bf16 columns": "1e14f2f2d721dc18",
    "int8 auto": "664f954a8a59bb9e",
    "int8 dense": "d260c789c641b643",
    "int8 bitmask": "d407e828ddbe5c23",
    "int8 runs4": "f456e396b2a23c8e",
    "int8 runs5": "4c6590ab6a5f0e7a",
    "int8 escape4": "f23c3dd17f6297d1",
    "int8 escape5": "83f4f96b6c05c3ce",
    "int8 csr": "89504bf5e5b7a91f",
    "int8 golomb": "062f414609c88a86",
    "int8 rows": "11b9a5174a0cb157",
    "int8 columns": "e7e92b09c1e78d6a",
}
# What was read of the forged files of an encoding, and how many of them were refused.
FORGED = {
    "auto": ("cbf5d183e019e5ad", 469),
    "dense": ("59222637d03217f5", 416),
    "bitmask": ("8dd853ae9b98bae1", 473),
    "runs4": ("d1c822da965ce36a", 476),
    "runs5": ("5e732174d6d17332", 469),
    "escape4": ("a64e0f1c0b90103e", 459),
    "escape5": ("90d687b62b6a50a9", 464),
    "csr": ("a8f1d4753e349379", 533),
    "golomb": ("c4b00ecb5a0db3e7", 462),
    "rows": ("e82ae2a5396ce849", 480),
    "columns": ("7383e72397b9b4fd", 481),
}


def scrambled(seed: int, count: int) -> np.ndarray:
    """So many 64-bit numbers without a pattern (splitmix64)."""
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state += np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def fractions(seed: int, count: int) -> np.ndarray:
    """In [0, 1), exact in float32."""
    return (scrambled(seed, count) >> np.uint64(40)).astype(np.float64) / 2**24


def model() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    weights: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray] = {}
    seed = 0
    for shape in SHAPES:
        for share in SHARES:
            seed += 1
            name, entries = f"{shape} {share}", int(np.prod(shape))
            mask = (fractions(seed, entries) < share).reshape(shape)
            tensor = (fractions(1000 + seed, entries).astype(np.float32) - 0.5).reshape(shape)
            masks[name], weights[name] = mask, tensor
    rows, columns = masks["(64, 48) 0.5"].copy(), masks["(96, 130) 0.5"].copy()
    rows[fractions(7, 64) < 0.7] = False
    columns[:, fractions(8, 130) < 0.7] = False
    for name, mask in (("rows", rows), ("columns", columns)):
        masks[name] = mask
        weights[name] = (fractions(9, mask.size).astype(np.float32) - 0.5).reshape(mask.shape)
    for name in ("(20, 33) 0.1", "(64, 48) 0.004", "(300,) 0.1"):  # kept zeros, one negative
        flat = weights[name].reshape(-1)
        flat[np.flatnonzero(masks[name])[1::2]] = 0.0
        flat[np.flatnonzero(masks[name])[:1]] = -0.0
    weights["tiny"] = np.array([[6e-8, 1e-5, 1e-45], [0.0, -0.0, 2.0]], np.float32)
    weights["tied"] = np.where(rows, weights["rows"], 0).astype(np.float32)
    for kind in ("f8", "i8", "i4", "i2", "i1", "u1", "f2"):
        weights[f"as {kind}"] = np.arange(6).reshape(2, 3).astype(kind)
    weights["as bool"] = np.array([[True, False]])
    weights["count"] = np.array(9, np.int64)
    masks["as f8"] = np.array([[True, False, True], [False, False, True]])
    return weights, masks


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def reference(path: Path, values: str, encoding: str) -> str:
    """Of a file's bytes."""
    save(path, *model(), kind=values, encoding=encoding, notes={"made": "by hand"})
    return digest(path.read_bytes())


def forged(path: Path, encoding: str) -> Iterator[bytes]:
    """Files with up to three bytes changed, most of them in the header, and checksums that fit."""
    weights, masks = model()
    some = ("(20, 33) 0.1", "rows")
    for count, values in enumerate(VALUES):
        save(
            path,
            {name: weights[name] for name in some} | {"bias": weights["(7,) 0.5"]},
            {name: masks[name] for name in some},
            kind=values,
            encoding=encoding,
        )
        content = path.read_bytes()
        for number in range(FORGERIES):
            draws = scrambled(10_000 * count + number, 12).tolist()
            changed = bytearray(content)
            for draw in draws[: 1 + draws[3] % 3]:
                end = 220 if draw % 3 else len(content)
                byte = BYTES[draw >> 32 & 7] if draw & 64 else draw >> 48 & 0xFF
                changed[8 + (draw >> 8) % (end - 8)] = byte
            yield signed(changed)


def outcome(path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    try:
        archive = Archive(path)
        tensors = [archive.read(name) for name in archive.entries]
        flags = [archive.mask(name) for name in archive.entries]
    except files.Damaged:
        return b"refused"
    parts = [name.encode() for name in archive.entries]
    return b"|".join(parts + [each.tobytes() for each in tensors + flags])


@pytest.mark.parametrize("file", FILES)
def test_every_byte_is_as_it_was(tmp_path: Path, file: str) -> None:
    values, encoding = file.split()
    assert reference(tmp_path / "model.pxp", values, encoding) == FILES[file]


@pytest.mark.parametrize("encoding", FORGED)
def test_what_is_read_and_what_is_refused_is_as_it_was(tmp_path: Path, encoding: str) -> None:
    contents = list(forged(tmp_path / "model.pxp", encoding))
    outcomes = [outcome(tmp_path / "model.pxp", content) for content in contents]
    refused = sum(outcome == b"refused" for outcome in outcomes)
    assert (digest(*outcomes), refused) == FORGED[encoding]
