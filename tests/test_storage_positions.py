"""Positions of kept weights: each encoding by hand on tiny tensors, and without loss on any."""

import math
from collections.abc import Sequence

import hypothesis.extra.numpy as some_arrays
import hypothesis.strategies as some
import numpy as np
import pytest
from hypothesis import given, settings

from pruneexp.storage import bits, encodings, golomb
from pruneexp.storage.encodings import NAMES
from pruneexp.storage.encodings.csr import pointer_bits
from pruneexp.storage.encodings.encoding import EncodedPositions, Encoding, KeptPositions
from pruneexp.storage.malformed import Malformed
from pruneexp.storage.positions import bound, decode, encode

MASKS = some_arrays.arrays(
    np.bool_,
    some_arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40),
    elements=some.booleans(),
    fill=some.booleans(),
)
WIDTHS = some.sampled_from([4, 8, 16, 32])


def coded(
    word: str, where: Sequence[int], shape: tuple[int, ...], zero: Sequence[int] = ()
) -> EncodedPositions:
    flags = np.isin(where, zero)
    return encode(word, np.array(where, np.int64), shape, flags, 32)


def flat(stream: bits.Bytes) -> list[int]:
    return stream.tolist()


class TestByHand:
    def test_planes_hold_the_highest_bits_first(self) -> None:
        # 5 = 101, 1 = 001, 6 = 110: planes 1,0,1 then 0,0,1 then 1,1,0, first bit lowest
        assert flat(bits.planes(np.array([5, 1, 6]), 3)) == [0b101, 0b100, 0b011]

    def test_bitmask(self) -> None:
        found = coded("bitmask", [0, 3, 9], (10,))
        assert flat(found.first) == [0b00001001, 0b00000010] and flat(found.second) == []

    def test_four_bit_runs_fill_a_gap_of_twenty(self) -> None:
        # 15 zeros and a stored zero pass over 16, then 4 zeros and the weight at 20
        found = coded("runs4", [20], (40,))
        assert found.parameter == 2 and found.slots is not None
        assert found.slots.tolist() == [False, True]
        # codes 15 = 1111 and 4 = 0100: planes 10, 11, 10, 10
        assert flat(found.first) == [0b01, 0b11, 0b01, 0b01]

    def test_four_bit_escapes_of_a_gap_of_twenty(self) -> None:
        found = coded("escape4", [20], (40,))  # 15 zeros, then 5 zeros and the weight
        assert found.parameter == 2
        assert flat(found.first) == [0b01, 0b11, 0b01, 0b11]  # 1111 and 0101

    def test_a_gap_of_fifteen(self) -> None:
        assert flat(coded("runs4", [15], (16,)).first) == [1, 1, 1, 1]
        assert flat(coded("escape4", [15], (16,)).first) == [1, 1, 1, 1]  # 1111 and 0000
        assert coded("escape4", [15], (16,)).parameter == 2

    def test_five_bit_runs(self) -> None:
        found = coded("runs5", [0, 40], (41,))  # 0; then 31 zeros and a zero, 7 zeros
        assert found.parameter == 3 and found.slots is not None
        assert found.slots.tolist() == [True, False, True]
        # codes 00000, 11111, 00111
        assert flat(found.first) == [0b010, 0b010, 0b110, 0b110, 0b110]

    def test_a_kept_zero_that_looks_like_a_filler_is_named(self) -> None:
        found = coded("runs4", [2, 18], (20,), zero=[18])  # gaps 2 and 15
        assert found.second.tobytes() == (1).to_bytes(8, "little")
        where, slots = decode(found, 2, (20,), np.array([False, True]))
        assert where.tolist() == [2, 18] and slots is not None and slots.all()

    def test_csr(self) -> None:
        found = coded("csr", [1, 5, 7], (2, 4))
        assert found.first.view("<u4").tolist() == [0, 1, 3]
        assert found.second.view("<u4").tolist() == [1, 1, 3]

    def test_row_pointers_grow_past_two_billion_weights(self) -> None:
        assert pointer_bits(2**31 - 1) == 32
        assert pointer_bits(2**31) == 64

    def test_columns_past_32_bits_are_refused_with_the_remedy(self) -> None:
        with pytest.raises(ValueError, match="use auto"):
            coded("csr", [1], (2, 2**33))
        wide = coded("golomb", [2**33 + 1], (2, 2**33))  # arithmetic in 64 bits
        assert decode(wide, 1, (2, 2**33), np.zeros(1, np.bool_))[0].tolist() == [2**33 + 1]

    def test_golomb_with_parameter_three(self) -> None:
        # gaps 0, 4, 8: quotients 0, 1, 2 are 1 01 001; remainders 0, 1, 2 are 0, 10, 11
        first, second = golomb.encode(np.array([0, 4, 8]), 3)
        assert flat(first) == [0b00100101]
        assert flat(second) == [0b110, 0b10]  # 0, 1, 1, then the further bits 0, 1
        assert golomb.decode(first, second, 3, 3, 15).tolist() == [0, 5, 14]

    def test_rows_of_two_densities_and_an_empty_one(self) -> None:
        # rows: full, empty, full, one of eight kept
        where = [*range(8), *range(16, 24), 27]
        found = coded("rows", where, (4, 8))
        table = found.first[: 16 * 3].view("<u4").reshape(3, 4)
        assert table[:, 0].tolist() in ([1, 0, 16], [0, 1, 16], [1, 16, 0])
        labels = bits.numbers(found.first[48:], 4, 2)
        assert labels[0] == labels[2] != labels[3] and labels[1] == 0


class TestWithoutLoss:
    @settings(deadline=None)
    @given(mask=MASKS, word=some.sampled_from(encodings.WORDS[1:]), data=some.data())
    def test_positions_come_back(self, mask: np.ndarray, word: str, data: some.DataObject) -> None:
        where = np.flatnonzero(mask)
        if word == "dense":
            where = np.arange(mask.size)
        zero = data.draw(some_arrays.arrays(np.bool_, len(where)))
        found = encode(word, where, mask.shape, zero, 32)
        stored = zero
        if found.slots is not None:
            stored = np.ones(len(found.slots), np.bool_)
            stored[found.slots] = zero
        back, slots = decode(found, len(where), mask.shape, stored)
        assert (back if slots is None else back[slots]).tolist() == where.tolist()

    @settings(deadline=None)
    @given(mask=MASKS)
    def test_auto_takes_least(self, mask: np.ndarray) -> None:
        where = np.flatnonzero(mask)
        zero = np.zeros(len(where), np.bool_)

        def takes(word: str) -> int:
            found = encode(word, where, mask.shape, zero, 32)
            fillers = 0 if found.slots is None else int((~found.slots).sum())
            return len(found.first) + len(found.second) + 4 * fillers

        # Lines in classes are tried where they promise enough, so they are left out here.
        others = [word for word in encodings.WORDS[2:] if word not in ("rows", "columns")]
        least = min(map(takes, others)) if len(where) < mask.size else 0
        assert takes("auto") <= least

    @settings(deadline=None)
    @given(gaps=some.lists(some.integers(0, 300), min_size=1, max_size=60))
    def test_the_cost_of_a_parameter_is_what_its_streams_take(self, gaps: list[int]) -> None:
        where = np.cumsum(np.array(gaps) + 1) - 1
        found = golomb.histogram(golomb.gaps_between(where), int(where[-1]) + 1)
        for parameter in (1, 2, 3, 5, 8, 70):
            first, second = golomb.encode(golomb.gaps_between(where), parameter)
            assert golomb.cost(found, parameter) == len(first) + len(second)
        assert golomb.best(found)[1] <= min(golomb.cost(found, each) for each in range(1, 65))


def test_numbers_and_names_are_each_given_once() -> None:
    """A file knows an encoding by its number for ever (docs/format.md)."""
    numbers = {encoding.name: encoding.number for encoding in encodings.ENCODINGS}
    assert numbers | {"same": encodings.SAME} == {
        **{"dense": 0, "same": 1, "bitmask": 2, "runs4": 3, "runs5": 4, "escape4": 5, "escape5": 6},
        **{"csr": 7, "golomb": 8, "rows": 9, "columns": 10, "golomb-masked": 11},
    }
    assert len(encodings.ENCODINGS) == len(numbers) == len(encodings.BY_NUMBER)
    assert len(encodings.NAMES) == len(numbers) + 1


@settings(deadline=None)
@given(mask=MASKS, encoding=some.sampled_from(encodings.ENCODINGS), bits_a_value=WIDTHS)
def test_a_cost_is_what_streams_and_fillers_take(
    mask: np.ndarray, encoding: Encoding, bits_a_value: int
) -> None:
    """What `auto` compares, beside kept zeros that fillers look like, of which there are none."""
    where = np.flatnonzero(mask)
    kept = KeptPositions(where, mask.shape, np.zeros(len(where), np.bool_), bits_a_value)
    cost = encoding.cost(kept, None)
    if cost is None:
        return
    coded = encoding.encode(kept)
    fillers = 0 if coded.slots is None else int((~coded.slots).sum())
    assert cost == coded.size + bits.size(bits_a_value * fillers)


@pytest.mark.parametrize("sparsity", [0.75, 0.8, 0.85, 0.875, 0.9, 0.95, 0.975])
def test_random_masks_take_at_most_two_hundredths_more_than_the_bound(sparsity: float) -> None:
    entries = 400_000
    kept = round(entries * (1 - sparsity))
    where = np.sort(np.random.default_rng(7).choice(entries, kept, replace=False))
    found = encode("auto", where, (500, 800), np.zeros(kept, np.bool_), 32)
    assert 1.0 <= (len(found.first) + len(found.second)) / bound(entries, kept) <= 1.02


def test_the_bound_by_hand() -> None:
    assert bound(4, 2) == pytest.approx(math.log2(6) / 8)
    # 4,163,584 weights at 90 % cannot take less than 0.244 MB
    assert bound(4_163_584, 416_358) / 1e6 == pytest.approx(0.244, abs=0.0005)


def test_rows_all_but_empty_take_far_less_than_the_bound() -> None:
    """A quarter of the rows holds everything, at one half: 1 bit an entry there, nothing else."""
    mask = np.zeros((400, 200), np.bool_)
    mask[::4] = np.random.default_rng(0).random((100, 200)) < 0.5
    where = np.flatnonzero(mask)
    zero = np.zeros(len(where), np.bool_)
    found = encode("auto", where, mask.shape, zero, 32)
    assert NAMES[found.encoding] == "rows"
    assert len(found.first) + len(found.second) < 1.1 * 100 * 200 / 8
    turned = np.flatnonzero(mask.T)
    assert NAMES[encode("auto", turned, (200, 400), zero, 32).encoding] == "columns"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameter": 0}, "parameter 0"),
        ({"parameter": 2**31}, "streams too short"),
        ({"first": np.array([0xFF], np.uint8)}, "8 positions, 3 stated"),
        ({"first": np.array([0b00100101, 0], np.uint8)}, "bytes after the last quotient"),
        ({"second": np.array([0b110], np.uint8)}, "further bits"),
        ({"second": np.array([0b110, 2, 0], np.uint8)}, "further bits"),
    ],
)
def test_golomb_streams_that_no_writer_made(changes: dict, message: str) -> None:
    streams = {
        "first": np.array([0b00100101], np.uint8),
        "second": np.array([0b110, 0b10], np.uint8),
        "parameter": 3,
    }
    with pytest.raises(Malformed, match=message):
        golomb.decode(**(streams | changes), count=3, entries=15)
    with pytest.raises(Malformed, match="beyond the last entry"):
        golomb.decode(**streams, count=3, entries=14)
