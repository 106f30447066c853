"""The one table of types of values; their words are those of `quantisation` too."""

import numpy as np

from pruneexp.storage.values.as_they_are import AsTheyAre
from pruneexp.storage.values.floats import BFloat16, Float16, Float32
from pruneexp.storage.values.int8 import Int8
from pruneexp.storage.values.value_type import Refused, ValueType

# Those for weights come first, the widest before narrower ones.
VALUE_TYPES: tuple[ValueType, ...] = (
    Float32(0, "fp32", 32, for_weights=True),
    Float16(1, "fp16", 16, for_weights=True, remedy="bf16 or fp32 hold it"),
    BFloat16(2, "bf16", 16, for_weights=True, remedy="fp32 holds it"),
    Int8(3, "int8", 8, for_weights=True, has_scales=True, remedy="fp32, fp16 and bf16 do"),
    AsTheyAre(16, "float64", "<f8"),
    AsTheyAre(17, "int64", "<i8"),
    AsTheyAre(18, "int32", "<i4"),
    AsTheyAre(19, "int16", "<i2"),
    AsTheyAre(20, "integer8", "|i1"),
    AsTheyAre(21, "uint8", "|u1"),
    AsTheyAre(22, "bool", "|b1"),
    AsTheyAre(23, "float16", "<f2"),
)
BY_NUMBER = {kind.number: kind for kind in VALUE_TYPES}
BY_WORD = {kind.name: kind for kind in VALUE_TYPES if kind.for_weights}
EXACT = "fp32"  # the word of the type that changes no weight
WORDS = tuple(BY_WORD)  # what a person may ask for


def type_for(source: np.dtype, word: str) -> ValueType:
    """The type in the file: what was asked for of float32, any other as it is. Raises `Refused`
    for types that the format does not have."""
    if source == np.float32:
        return BY_WORD[word]
    for kind in VALUE_TYPES:
        if not kind.for_weights and source == kind.decoded:
            return kind
    raise Refused(f"values of type {source} have no number in the format; float32 has")
