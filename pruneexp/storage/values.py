"""Values of kept weights as bytes and back: fp32, fp16, bf16, int8 with a scale a row, or as is.

Rows are the tensor's first dimension, its output channels. Other types than float32 (counters,
somebody's float64 buffers) are stored as they are.
"""

import numpy as np
from numpy.typing import NDArray

from pruneexp.storage.bits import NOTHING, Bytes, Numbers
from pruneexp.storage.golomb import Malformed

Array = NDArray[np.generic]

FP32, FP16, BF16, INT8 = range(4)
WORDS = ("fp32", "fp16", "bf16", "int8")
# As they are: number in the file, name, numpy's little-endian type.
AS_IS = {
    16: ("float64", "<f8"),
    17: ("int64", "<i8"),
    18: ("int32", "<i4"),
    19: ("int16", "<i2"),
    20: ("integer8", "|i1"),
    21: ("uint8", "|u1"),
    22: ("bool", "|b1"),
    23: ("float16", "<f2"),
}
NAMES = {**dict(enumerate(WORDS)), **{number: name for number, (name, _) in AS_IS.items()}}
WIDTHS = {FP32: 4, FP16: 2, BF16: 2, INT8: 1} | {
    number: np.dtype(kind).itemsize for number, (_, kind) in AS_IS.items()
}
HIGHEST = 127  # of int8; -128 is not used, so that both signs reach equally far


class Refused(ValueError):
    """Values that a type cannot hold; the message ends with the remedy."""


def kind_for(source: np.dtype, word: str) -> int:
    """The type in the file: what was asked for of float32, any other as it is."""
    if source == np.float32:
        return WORDS.index(word)
    for number, (_, kind) in AS_IS.items():
        if source == np.dtype(kind):
            return number
    raise Refused(f"values of type {source} have no place in the format; float32 has")


def decoded(kind: int) -> np.dtype:
    """numpy's type of what comes back."""
    return np.dtype(AS_IS[kind][1] if kind in AS_IS else "<f4")


def encode(kind: int, kept: Array, row_lengths: Numbers) -> tuple[Bytes, Bytes]:
    """The stored values and the scales; `row_lengths` says how many values each row has."""
    if kind == INT8:
        return _quantised(kept.astype(np.float32), row_lengths)
    if kind == FP16:
        with np.errstate(over="ignore"):
            halves = kept.astype("<f2")
        _demand_finite(kept, np.isinf(halves), "fp16")
        return halves.view(np.uint8), NOTHING
    if kind == BF16:
        upper = upper_half(kept)
        _demand_finite(kept, upper & 0x7FFF == 0x7F80, "bf16")
        return upper.astype("<u2").view(np.uint8), NOTHING
    return kept.astype(decoded(kind)).view(np.uint8), NOTHING


def _demand_finite(before: Array, infinite: NDArray[np.bool_], word: str) -> None:
    if (infinite & np.isfinite(before)).any():
        other = "bf16 or fp32 hold" if word == "fp16" else "fp32 holds"
        raise Refused(f"a weight is too large for {word}; {other} it")


def upper_half(kept: Array) -> NDArray[np.uint32]:
    """The upper 16 bits of float32, rounded to nearest, ties to even; NaN stays NaN."""
    whole = kept.astype("<f4").view("<u4")
    rounded = (whole + (0x7FFF + (whole >> 16 & 1))) >> 16
    return np.where(np.isnan(kept), whole >> 16 | 0x40, rounded)


def _quantised(kept: NDArray[np.float32], row_lengths: Numbers) -> tuple[Bytes, Bytes]:
    """value = scale * whole number; a row's scale takes its largest magnitude to 127."""
    if not np.isfinite(kept).all():
        raise Refused("int8 cannot hold NaN or infinity; fp32, fp16 and bf16 do")
    scales = np.zeros(len(row_lengths), np.float32)
    filled = np.flatnonzero(row_lengths)
    starts = np.cumsum(row_lengths) - row_lengths
    if len(filled):
        scales[filled] = np.maximum.reduceat(np.abs(kept), starts[filled]) / np.float32(HIGHEST)
    with np.errstate(
        over="ignore"
    ):  # next to the largest float32, 127 rounded steps may be infinite
        scales = np.where(np.isinf(scales * HIGHEST), np.nextafter(scales, np.float32(0)), scales)
    each = np.repeat(scales, row_lengths)
    ratios = np.divide(kept, each, out=np.zeros_like(kept), where=each > 0)
    whole = np.clip(np.rint(ratios), -HIGHEST, HIGHEST).astype(np.int8)
    return whole.view(np.uint8), scales.astype("<f4").view(np.uint8)


def decode(kind: int, stored: Bytes, scales: Bytes, row_lengths: Numbers) -> Array:
    """What was stored, as `decoded(kind)`; raises `Malformed`."""
    stored = np.ascontiguousarray(stored)
    if kind == FP16:
        return stored.view("<f2").astype("<f4")
    if kind == BF16:
        return (stored.view("<u2").astype("<u4") << 16).view("<f4")
    if kind == INT8:
        each = np.ascontiguousarray(scales).view("<f4")
        if not (np.isfinite(each) & (each >= 0)).all():
            raise Malformed("a scale that is negative or not finite")
        with np.errstate(over="ignore"):  # a file may ask for infinity; that is no crash
            return stored.view(np.int8) * np.repeat(each, row_lengths)
    if AS_IS.get(kind, ("", ""))[0] == "bool" and (stored > 1).any():
        raise Malformed("a truth value that is neither 0 nor 1")
    return stored.view(decoded(kind)).copy()
