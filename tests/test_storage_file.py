"""A whole model in a .pxp file: what comes back, what is refused, and files that lie."""

import json
import re
import struct
import zlib
from pathlib import Path

import hypothesis.extra.numpy as some_arrays
import hypothesis.strategies as some
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pruneexp.engine import files
from pruneexp.storage import encodings, layout, values
from pruneexp.storage.archive import Archive, save
from pruneexp.storage.values.floats import upper_half

FIXTURE = [HealthCheck.function_scoped_fixture]
FLOATS = some_arrays.arrays(
    np.float32,
    some_arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
    elements=some.floats(width=32),
)
PLAIN = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.text()
    | some.floats(allow_nan=False, allow_infinity=False),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=10,
)
JSON = some.dictionaries(some.text(), PLAIN, max_size=4)
STRANGE = np.array([[-0.0, 0.0, np.nan, np.inf], [-np.inf, 1e-45, 3e38, -1.5]], np.float32)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    return one.tobytes() == other.tobytes()


def held(kind: str, tensor: np.ndarray) -> np.ndarray:
    """What fp16 and bf16 make of values that they can hold."""
    if tensor.ndim < 2 or kind == "fp32":
        return tensor
    if kind == "fp16":
        with np.errstate(over="ignore"):  # what is masked may be too large
            return tensor.astype(np.float16).astype(np.float32)
    return (upper_half(tensor).astype("<u4") << 16).view(np.float32)


class TestRoundTrips:
    @settings(deadline=None, suppress_health_check=FIXTURE)
    @given(
        tensor=FLOATS,
        kind=some.sampled_from(["fp32", "fp16", "bf16"]),
        encoding=some.sampled_from(encodings.WORDS),
        data=some.data(),
    )
    def test_floats(
        self, tmp_path: Path, tensor: np.ndarray, kind: str, encoding: str, data: some.DataObject
    ) -> None:
        mask = data.draw(some_arrays.arrays(np.bool_, tensor.shape))
        path = tmp_path / "model.pxp"
        try:
            save(path, {"weight": tensor}, {"weight": mask}, kind=kind, encoding=encoding)
        except ValueError as error:
            assert "too large for" in str(error) and kind != "fp32"
            return
        archive = Archive(path)
        expected = np.where(mask, held(kind, tensor), np.float32(0))
        found = archive.read("weight")
        where = ~np.isnan(expected)  # a NaN stays one, its payload is cut off
        assert np.isnan(found[~where]).all()
        assert same_bits(found[where], expected[where])
        if kind == "fp32":
            assert same_bits(found, expected)
        assert (archive.mask("weight") == (True if encoding == "dense" else mask)).all()

    @settings(deadline=None, suppress_health_check=FIXTURE)
    @given(
        tensor=some_arrays.arrays(
            np.float32,
            some_arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=7),
            elements=some.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        encoding=some.sampled_from(encodings.WORDS),
        data=some.data(),
    )
    def test_int8_is_off_by_half_a_step_at_most(
        self, tmp_path: Path, tensor: np.ndarray, encoding: str, data: some.DataObject
    ) -> None:
        mask = data.draw(some_arrays.arrays(np.bool_, tensor.shape))
        path = tmp_path / "model.pxp"
        save(path, {"weight": tensor}, {"weight": mask}, kind="int8", encoding=encoding)
        archive = Archive(path)
        found = archive.read("weight").astype(float)
        expected = np.where(mask, tensor, 0).astype(float)
        if encoding != "dense":
            assert (archive.mask("weight") == mask).all()
            assert (found[~mask] == 0).all()
        for row, other in zip(found, expected, strict=True):
            largest = np.abs(other).max(initial=0)
            assert np.abs(row - other).max(initial=0) <= largest / 127 * 0.5001 + 2e-43

    def test_the_largest_float_stays_finite_in_int8(self, tmp_path: Path) -> None:
        largest = np.finfo(np.float32).max
        save(tmp_path / "model.pxp", {"weight": np.array([[largest, -largest]])}, {}, kind="int8")
        found = Archive(tmp_path / "model.pxp").read("weight")
        assert np.isfinite(found).all() and np.allclose(found, [[largest, -largest]], rtol=1e-6)

    @pytest.mark.parametrize("kind", values.WORDS)
    @pytest.mark.parametrize("encoding", encodings.WORDS)
    @pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3), (1, 1), (5, 3, 2)])
    @pytest.mark.parametrize("filling", [False, True])
    def test_all_and_nothing(
        self, tmp_path: Path, kind: str, encoding: str, shape: tuple[int, ...], filling: bool
    ) -> None:
        tensor, mask = np.ones(shape, np.float32), np.full(shape, filling)
        path = tmp_path / "model.pxp"
        save(path, {"weight": tensor}, {"weight": mask}, kind=kind, encoding=encoding)
        archive = Archive(path)
        assert same_bits(archive.read("weight"), tensor * mask)
        if encoding != "dense":
            assert (archive.mask("weight") == mask).all()

    @pytest.mark.parametrize("encoding", encodings.WORDS)
    def test_signs_of_zero_and_what_is_not_finite(self, tmp_path: Path, encoding: str) -> None:
        mask = np.array([[True] * 4, [True, False, True, True]])
        save(tmp_path / "a.pxp", {"w": STRANGE}, {"w": mask}, encoding=encoding)
        archive = Archive(tmp_path / "a.pxp")
        expected = STRANGE.copy()
        expected[1, 1] = 0
        assert same_bits(archive.read("w"), expected)
        assert (archive.mask("w") == mask).all() or encoding == "dense"

    def test_a_model_with_buffers_biases_and_a_tied_tensor(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        mask = random.random((50, 40)) < 0.1
        tied = np.where(mask, random.standard_normal((50, 40)), 0).astype(np.float32)
        model = {
            "softmax.weight": tied.copy(),
            "embedding.weight": tied,
            "norm.bias": random.standard_normal(40).astype(np.float32),
            "norm.seen": np.array(7, np.int64),
            "flags": np.array([True, False]),
            "wide": random.standard_normal((2, 2)),
        }
        path = tmp_path / "model.pxp"
        save(path, model, {"embedding.weight": mask}, kind="fp16")
        archive = Archive(path)
        assert set(archive.entries) == set(model)
        assert archive.entries["softmax.weight"].encoding == encodings.SAME
        assert (archive.mask("softmax.weight") == mask).all()
        for name, tensor in model.items():
            found = archive.read(name)
            expected = held("fp16", tensor) if "weight" in name else tensor
            assert same_bits(found, expected), name

    def test_reading_a_tensor_leaves_the_others_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "model.pxp"
        model = {name: np.full((100, 100), 2.0, np.float32) for name in ("one",)}
        save(path, model | {"two": np.full((100, 100), 3.0, np.float32)}, {})
        content = bytearray(path.read_bytes())
        content[-1] ^= 1  # in the last tensor
        path.write_bytes(content)
        assert (Archive(path).read("one") == 2).all()
        with pytest.raises(files.Damaged, match=r"model\.pxp is damaged: tensor 'two': its check"):
            Archive(path).read("two")


class TestValuesByHand:
    def test_bf16_rounds_to_nearest_and_ties_to_even(self) -> None:
        bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F800001], "<u4")
        upper = upper_half(bits.view("<f4"))
        assert [hex(each) for each in upper] == ["0x3f80", "0x3f82", "0x3f81", "0x3f80", "0x7fc0"]

    def test_int8_has_a_scale_a_row(self) -> None:
        kept = np.array([1.0, -2.54, 0.02, 5.0], np.float32)  # rows of three, none and one
        stored, scales = values.BY_WORD["int8"].encode(kept, np.array([3, 0, 1]))
        assert scales.view("<f4").tolist() == pytest.approx([0.02, 0.0, 5 / 127])
        assert stored.view(np.int8).tolist() == [50, -127, 1, 127]

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [
            ("int8", np.nan, "int8 cannot hold NaN or infinity; fp32, fp16 and bf16 do"),
            ("fp16", 70_000.0, "too large for fp16; bf16 or fp32 hold it"),
            ("bf16", 3.4e38, "too large for bf16; fp32 holds it"),
        ],
    )
    def test_what_a_type_cannot_hold(
        self, tmp_path: Path, kind: str, value: float, message: str
    ) -> None:
        weights = {"layer.weight": np.full((1, 2), value, np.float32)}
        with pytest.raises(ValueError, match=f"tensor layer.weight: .*{message}"):
            save(tmp_path / "model.pxp", weights, {}, kind=kind)
        assert not list(tmp_path.iterdir())


# --- files that lie ----------------------------------------------------------------------------


ABOUT = {"run": "größer", "metrics": {"test": {"accuracy": 81.5}}, "steps": [1, None]}


def example(path: Path, encoding: str = "golomb", kind: str = "int8") -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    mask = random.random((12, 20)) < 0.2
    weights = {
        "weight": np.where(mask, random.standard_normal((12, 20)), 0).astype(np.float32),
        "bias": random.standard_normal(12).astype(np.float32),
    }
    save(path, weights, {"weight": mask}, kind=kind, encoding=encoding, notes=ABOUT)
    return {name: Archive(path).read(name) for name in weights}


def signed(content: bytes | bytearray) -> bytes:
    """With checksums that fit, as a forger makes them, where the table can be read at all."""
    forged = bytearray(content)
    tensors, length = (
        struct.unpack_from("<I", forged, 12)[0],
        struct.unpack_from("<Q", forged, 16)[0],
    )
    with_sums = _tensor_sums(forged, tensors, length)
    with_sums[32:36] = bytes(4)
    with_sums[32:36] = zlib.crc32(with_sums[:length]).to_bytes(4, "little")
    return bytes(with_sums)


def _tensor_sums(content: bytearray, tensors: int, length: int) -> bytearray:
    at, begin = layout.HEAD.size, length
    for _ in range(min(tensors, 10)):
        try:
            entry, after = layout._read_record(memoryview(bytes(content[:length])), at, begin)
            end = entry.end
        except (ValueError, KeyError, struct.error):
            break
        if end <= len(content):
            content[at : at + 4] = zlib.crc32(content[begin:end]).to_bytes(4, "little")
        at, begin = after, end
    return content


def read_or_refuse(path: Path) -> dict[str, np.ndarray] | None:
    try:
        archive = Archive(path)
        for name in archive.entries:
            archive.mask(name)
        return {name: archive.read(name) for name in archive.entries}
    except files.Damaged as error:
        assert str(path) in str(error)
        return None


@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=60)
@given(encoding=some.sampled_from(encodings.WORDS), place=some.integers(0), bit=some.integers(0, 7))
def test_a_flipped_bit_is_always_noticed(
    tmp_path: Path, encoding: str, place: int, bit: int
) -> None:
    path = tmp_path / "model.pxp"
    example(path, encoding)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    assert read_or_refuse(path) is None


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.pxp"
    example(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert read_or_refuse(path) is None
    path.write_bytes(content + b"\0")
    assert read_or_refuse(path) is None


@settings(deadline=None, suppress_health_check=FIXTURE, max_examples=150)
@given(
    encoding=some.sampled_from(encodings.WORDS),
    kind=some.sampled_from(values.WORDS),
    changes=some.lists(some.tuples(some.integers(0), some.integers(0, 255)), max_size=3),
)
def test_a_forger_gets_an_error_or_a_tensor(
    tmp_path: Path, encoding: str, kind: str, changes: list[tuple[int, int]]
) -> None:
    """With checksums that fit, the streams themselves must hold."""
    path = tmp_path / "model.pxp"
    expected = example(path, encoding, kind)
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[8 + place % (len(content) - 8)] = byte
    path.write_bytes(signed(content))
    found = read_or_refuse(path)
    if not changes:
        assert found is not None and all(same_bits(found[name], expected[name]) for name in found)
    assert found is None or sum(each.nbytes for each in found.values()) < 17e6


def forged(path: Path, offset: int, form: str, value: int) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, value)
    path.write_bytes(signed(content))


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (0, "<B", 0x88, "does not begin as a .pxp file"),
        (8, "<I", 2, "format version 2; this reader knows 1"),
        (12, "<I", 3, "ends within a tensor"),
        (12, "<I", 2**32 - 1, "ends within a tensor"),
        (12, "<I", 1, "belong neither to a tensor nor to the notes"),
        (16, "<Q", 2**63, "a header of"),
        (24, "<Q", 2**63, "bytes, where its header states"),
        (36, "<I", 8, "belong neither to a tensor nor to the notes"),
        (40 + 4, "<H", 60_000, "shape or name"),
        (40 + 6, "<B", 77, "tensor 'weight': encoding 77 is unknown"),
        (40 + 7, "<B", 77, "tensor 'weight': type 77 of values is unknown"),
        (40 + 8, "<Q", 0, "tensor 'weight': Golomb parameter 0"),
        (40 + 8, "<Q", 2**64 - 1, "tensor 'weight': Golomb parameter"),
        (40 + 16, "<Q", 2**64 - 1, "tensor 'weight': 18446744073709551615 kept of 240"),
        (40 + 24, "<Q", 2**63, "tensor 'weight' would end at"),
        (40 + 40, "<Q", 2**64 - 1, "shape or name"),
        (40 + 48, "<Q", 2**62, "more than 2^40 entries"),
        (40 + 64, "<B", 10, "control characters"),
        (40 + 64, "<B", 0xFF, "not UTF-8"),
    ],
)
def test_lies_in_the_header(
    tmp_path: Path, offset: int, form: str, value: int, message: str
) -> None:
    path = tmp_path / "model.pxp"
    example(path)
    forged(path, offset, form, value)
    with pytest.raises(files.Damaged, match=re.escape(message)):
        for name in Archive(path).entries:
            Archive(path).read(name)


def with_notes(path: Path, content: bytes) -> None:
    """An example whose notes are these bytes, its checksums made to fit."""
    example(path)
    before = path.read_bytes()
    length, noted = struct.unpack_from("<16xQ12xI", before)[:2]
    table = before[40 : length - layout.aligned(noted)]
    added = content + bytes(layout.aligned(len(content)) - len(content))
    body = before[length:]
    length = 40 + len(table + added)
    head = struct.pack("<QQII", length, length + len(body), 0, len(content))
    path.write_bytes(signed(before[:16] + head + table + added + body))


class TestNotes:
    def test_they_come_back_and_cost_their_length(self, tmp_path: Path) -> None:
        example(tmp_path / "m.pxp")
        assert Archive(tmp_path / "m.pxp").notes == ABOUT
        with_notes(tmp_path / "other.pxp", b"")
        assert Archive(tmp_path / "other.pxp").notes == {}
        longer = (tmp_path / "m.pxp").stat().st_size - (tmp_path / "other.pxp").stat().st_size
        text = json.dumps(ABOUT, ensure_ascii=False, separators=(",", ":"))
        assert longer == layout.aligned(len(text.encode()))

    @settings(deadline=None, suppress_health_check=FIXTURE)
    @given(about=JSON)
    def test_any_plain_data(self, tmp_path: Path, about: dict[str, object]) -> None:
        save(tmp_path / "m.pxp", {"w": np.ones(3, np.float32)}, {}, notes=about)
        archive = Archive(tmp_path / "m.pxp")
        assert archive.notes == about and (archive.read("w") == 1).all()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"[1]", "notes that are no JSON object"),
            (b"{", "notes that are no JSON"),
            (b"{}x", "notes that are no JSON"),
            (b'{"a": NaN}', "NaN is no finite number"),
            (b'{"a": -Infinity}', "-Infinity is no finite number"),
            (b'{"a": 1e999}', "1e999 is no finite number"),
            (b'{"a": 1, "b": {"c": 1, "c": 2}}', "a key that comes twice"),
            (b'{"a": "\xff"}', "notes that are no JSON"),
            (b'{"a": "\\ud800"}', "notes that are no JSON"),
            (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "notes nested more than 32 deep"),
            (b'{"a": ' + b"[" * 500_000, "notes nested more than 32 deep"),
            (b'{"a": "' + b'\\"' * 500_000, "notes that are no JSON"),
            (b'{"a": "' + b"x" * 2**20 + b'"}', "where 1,048,576 are the most"),
            (b'{"a": ' + b"9" * 5000 + b"}", "notes that are no JSON"),
        ],
    )
    def test_a_forger_s(self, tmp_path: Path, content: bytes, message: str) -> None:
        with_notes(tmp_path / "m.pxp", content)
        with pytest.raises(files.Damaged, match=re.escape(message)):
            Archive(tmp_path / "m.pxp")

    def test_brackets_in_a_text_are_no_depth(self, tmp_path: Path) -> None:
        with_notes(tmp_path / "m.pxp", b'{"a": "' + rb"[\"" * 100 + b'"}')
        assert Archive(tmp_path / "m.pxp").notes == {"a": '["' * 100}

    def test_what_would_not_be_read_is_not_written(self, tmp_path: Path) -> None:
        for about in ({"a": float("nan")}, {"a": "x" * 2**20}):
            with pytest.raises(ValueError):
                save(tmp_path / "m.pxp", {}, {}, notes=about)
        assert not list(tmp_path.iterdir())


def test_two_tensors_of_one_name(tmp_path: Path) -> None:
    one = np.ones(2, np.float32)
    save(tmp_path / "model.pxp", {"a": one, "b": one}, {})
    content = bytearray((tmp_path / "model.pxp").read_bytes())
    content[content.index(b"b\0")] = ord("a")
    (tmp_path / "model.pxp").write_bytes(signed(content))
    with pytest.raises(files.Damaged, match="two tensors are named 'a'"):
        Archive(tmp_path / "model.pxp")


def test_a_small_file_may_not_ask_for_much_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.pxp"
    save(path, {"w": np.zeros((2, 2), np.float32)}, {"w": np.zeros((2, 2), np.bool_)})
    forged(path, 40 + 48, "<Q", 2**38)  # 2^39 entries of nothing: 2 TB when dense
    archive = Archive(path)  # what it says can be listed
    assert archive.entries["w"].shape == (2**38, 2)
    with pytest.raises(files.Damaged, match="would take 2,199,023,255,552 bytes"):
        archive.read("w")
    with pytest.raises(files.Damaged, match="would take"):
        archive.mask("w")
    assert Archive(path, limit=2**42).limit == 2**42


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.pxp").write_bytes(b"")
    with pytest.raises(files.Damaged, match="empty"):
        Archive(tmp_path / "empty.pxp")
    with pytest.raises(files.NotFound, match="cannot be read"):
        Archive(tmp_path / "none.pxp")
    with pytest.raises(files.NotFound, match="cannot be read"):
        Archive(tmp_path)
