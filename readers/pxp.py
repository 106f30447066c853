"""Reads .pxp files, pruned models as docs/format.md specifies them, with numpy alone.

    python pxp.py model.pxp                  lists the tensors
    python pxp.py model.pxp NAME out.npy     saves one, dense

    import pxp
    weights = pxp.load("model.pxp")

Whatever is wrong with a file raises ValueError.
"""

import math
import struct
import sys
import zlib

import numpy as np

DENSE, SAME, BITMASK, RUNS4, RUNS5, ESCAPE4, ESCAPE5, CSR, GOLOMB, ROWS, COLUMNS, MASKED = range(12)
ENCODINGS = "dense same bitmask runs4 runs5 escape4 escape5 csr golomb rows columns golomb-masked"
BF16, INT8, TRUTH = 2, 3, 22
TYPES = {0: "<f4", 1: "<f2", BF16: "<u2", INT8: "|i1", 16: "<f8", 17: "<i8", 18: "<i4", 19: "<i2"}
TYPES |= {20: "|i1", 21: "|u1", 22: "|b1", 23: "<f2"}
FIELDS = ["checksum", "name", "encoding", "values"]
FIELDS += ["parameter", "kept", "first", "second", "dimensions"]


def demand(holds, what):
    if not holds:
        raise ValueError(what)


def packed(count):
    return -(-count // 8)


def tensors(path):
    """By name, what the header says of each tensor."""
    data = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    demand(len(data) >= 40, "not a .pxp file")
    magic, version, count, length, size, checksum, notes = struct.unpack_from("<8sIIQQII", data)
    demand(magic == b"\x89PXP\r\n\x1a\n" and version == 1, "not a .pxp file of version 1")
    demand(size == len(data) and 40 <= length <= size and length % 8 == 0, "wrong length")
    head = bytes(data[:32]) + bytes(4) + bytes(data[36:length])
    demand(zlib.crc32(head) == checksum, "the header's checksum is wrong")
    found, order, at, begin, dense = {}, [], 40, length, 0
    for _ in range(count):
        demand(at + 48 <= length, "the table ends within a tensor")
        tensor = dict(zip(FIELDS, struct.unpack_from("<IHBBQQQQQ", head, at), strict=True))
        dimensions, name_at = tensor["dimensions"], at + 48 + 8 * tensor["dimensions"]
        demand(dimensions <= 32 and name_at + tensor["name"] <= length, "a name is cut off")
        shape = struct.unpack_from(f"<{dimensions}Q", head, at + 48)
        name = head[name_at : name_at + tensor["name"]].decode()
        plain = all(" " <= sign <= "~" or sign >= "\xa0" for sign in name)
        demand(plain, "a name with control characters")
        at = name_at + -(-(48 + 8 * dimensions + tensor["name"]) // 8) * 8 - 48 - 8 * dimensions
        demand(math.prod(max(each, 1) for each in shape) <= 2**40, "more than 2^40 entries")
        demand(tensor["encoding"] <= MASKED and tensor["values"] in TYPES, "unknown encoding")
        demand(name not in found, "two tensors of one name")
        tensor |= {"shape": shape, "entries": math.prod(shape), "begin": begin, "data": data}
        tensor["matrix"] = (1, *shape) if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
        demand(tensor["kept"] <= tensor["entries"], "more kept than there are")
        dense += tensor["entries"] * (4 if tensor["values"] <= INT8 else width_of(tensor))
        if tensor["encoding"] == SAME:
            demand(tensor["parameter"] < len(order), "it repeats none before it")
            other = tensor["same"] = order[tensor["parameter"]]
            alike = all(tensor[key] == other[key] for key in ("shape", "values", "kept"))
            streams = tensor["first"] or tensor["second"]
            demand("same" not in other and alike and not streams, "a wrong repetition")
        else:
            stored = tensor["entries"] if tensor["encoding"] == DENSE else tensor["kept"]
            if tensor["encoding"] in (RUNS4, RUNS5):
                stored = tensor["parameter"]
            scales = 4 * tensor["matrix"][0] if tensor["values"] == INT8 else 0
            tensor["spans"] = []
            for span in (tensor["first"], tensor["second"], stored * width_of(tensor), scales):
                tensor["spans"].append((begin, begin + span))
                begin += -(-span // 8) * 8
            demand(begin <= size, "a tensor ends beyond the file")
        tensor["end"] = begin
        found[name] = tensor
        order.append(tensor)
    demand(notes <= 2**20 and at + -(-notes // 8) * 8 == length, "notes of another length")
    demand(begin == size, "bytes that belong to no tensor")
    for tensor in order:
        tensor["fits"] = dense <= 2**24 + 1024 * size
    return found


def width_of(tensor):
    return np.dtype(TYPES[tensor["values"]]).itemsize


def load(path):
    """All tensors by name, dense."""
    return {name: decoded(tensor) for name, tensor in tensors(path).items()}


def read(path, name):
    """One tensor, dense."""
    return decoded(tensors(path)[name])


def decoded(tensor):
    """A tensor with zeros where it is masked; fp16, bf16 and int8 as float32."""
    tensor = tensor.get("same", tensor)
    data, rows, columns = tensor["data"], tensor["matrix"][0], math.prod(tensor["matrix"][1:])
    demand(tensor["fits"], "it would take more than its file justifies")
    demand(zlib.crc32(data[tensor["begin"] : tensor["end"]]) == tensor["checksum"], "checksum")
    first, second, stored, scales = (np.array(data[a:b]) for a, b in tensor["spans"])
    kind = tensor["values"]
    numbers = stored.view(TYPES[kind])
    scale = scales.view("<f4")
    demand((np.isfinite(scale) & (scale >= 0)).all(), "a scale negative or not finite")
    demand(kind != TRUTH or not (stored > 1).any(), "a truth value that is neither 0 nor 1")
    where = positions(tensor, first, second, rows, columns)
    demand(len(where) == len(numbers), "another number of weights than stated")
    if tensor["encoding"] in (RUNS4, RUNS5):
        weights = len(where) - fillers(tensor, first, second, stored)
        demand(weights == tensor["kept"], "another number of weights than stated")
    demand(not len(where) or where.max() < tensor["entries"], "a position beyond the last entry")
    if kind == BF16:
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    elif kind == INT8:
        with np.errstate(over="ignore"):
            numbers = numbers * scale[where // max(columns, 1)]
    out = np.zeros(tensor["entries"], "<f4" if kind < 16 else TYPES[kind])
    out[where] = numbers
    return out.reshape(tensor["shape"])


def flags(stream, count=None):
    return np.unpackbits(stream, count=count, bitorder="little").astype(bool)


def planes(stream, count, width):
    """Numbers of `width` bits from planes of bits, the highest first."""
    length = packed(count)
    demand(len(stream) >= width * length, "planes cut off")
    found = np.zeros(count, np.int64)
    for plane in range(width):
        found = 2 * found + flags(stream[plane * length : (plane + 1) * length], count)
    return found


def positions(tensor, first, second, rows, columns):
    """The place of each stored value (also of fillers) in the flattened tensor."""
    encoding, parameter, kept = tensor["encoding"], tensor["parameter"], tensor["kept"]
    entries = tensor["entries"]
    if encoding == DENSE:
        demand(not len(first) and not len(second), "dense, yet with positions")
        demand(kept == entries, "dense, yet not all is kept")
        return np.arange(entries)
    if encoding == BITMASK:
        demand(len(first) == packed(entries) and not len(second), "a mask of another length")
        return np.flatnonzero(flags(first, entries))
    if encoding in (GOLOMB, MASKED):
        count = kept if encoding == GOLOMB else entries - kept
        found = golomb(first, second, parameter, count, entries)
        if encoding == GOLOMB:
            return found
        others = np.ones(entries, bool)
        others[found] = False
        return np.flatnonzero(others)
    if encoding == CSR:
        demand(parameter in (32, 64), "row pointers of impossible width")
        demand(len(first) == (rows + 1) * parameter // 8, "row pointers of another length")
        demand(len(second) == 4 * kept, "another number of columns than stated")
        pointers, indices = first.view(f"<u{parameter // 8}"), second.view("<u4")
        demand(not pointers[0] and (pointers <= kept).all(), "row pointers out of range")
        counts = np.diff(pointers.astype(np.int64))
        demand((counts >= 0).all() and counts.sum() == kept, "row pointers that do not rise")
        demand((indices < columns).all(), "a column beyond the last")
        where = np.repeat(np.arange(rows) * columns, counts) + indices
        demand((np.diff(where) > 0).all(), "columns that do not rise")
        return where
    if encoding in (ROWS, COLUMNS):
        return in_lines(encoding, parameter, first, second, rows, columns)
    width = 4 if encoding in (RUNS4, ESCAPE4) else 5
    demand(parameter <= 8 * len(first), "fewer codes than stated")
    demand(len(first) == width * packed(parameter), "codes of another length")
    codes = planes(first, parameter, width)
    if encoding in (RUNS4, RUNS5):
        return np.cumsum(codes + 1) - 1
    demand(not len(second), "escape codes, yet with a second stream")
    weights = codes < 2**width - 1
    return (np.cumsum(codes + weights) - 1)[weights]


def fillers(tensor, first, second, stored):
    """How many of the stored values are no weights."""
    width = 4 if tensor["encoding"] == RUNS4 else 5
    demand(len(second) % 8 == 0, "a list of zeros of wrong length")
    named = second.view("<u8")
    demand((named < tensor["parameter"]).all(), "a kept zero that is not there")
    looks = planes(first, tensor["parameter"], width) == 2**width - 1
    looks &= ~stored.reshape(-1, width_of(tensor)).any(axis=1)
    looks[named.astype(np.int64)] = False
    return looks.sum()


def golomb(first, second, parameter, count, entries):
    ends = np.flatnonzero(flags(first))
    demand(len(ends) == count and 1 <= parameter <= 2**31, "another number of positions")
    if not count:
        demand(not len(first) and not len(second), "codes of nothing")
        return ends
    demand(len(first) == packed(ends[-1] + 1), "bytes after the last quotient")
    width = parameter.bit_length() - 1
    short = 2 ** (width + 1) - parameter
    remainders = planes(second, count, width)
    longer = remainders >= short
    further = flags(second[width * packed(count) :])
    demand(len(further) == 8 * packed(longer.sum()), "further bits of another length")
    remainders[longer] = 2 * remainders[longer] - short + further[: longer.sum()]
    order = np.arange(count)
    demand((int(ends[-1]) - count + 1) * parameter < entries, "a position beyond the last entry")
    found = (ends - order) * parameter + np.cumsum(remainders) + order
    demand(found.max() < entries, "a position beyond the last entry")
    return found


def in_lines(encoding, width, first, second, rows, columns):
    lines, length = (rows, columns) if encoding == ROWS else (columns, rows)
    demand(1 <= width <= 4, "labels of impossible width")
    head = 16 * (2**width - 1)
    demand(len(first) == head + width * packed(lines), "labels of another length")
    labels = planes(first[head:], lines, width)
    kept, at = np.zeros((lines, length), bool), 0
    for label, row in enumerate(first[:head].view("<u4").reshape(-1, 4).tolist(), start=1):
        count, parameter, a, b = row
        mine = np.flatnonzero(labels == label)
        codes = second[at : at + a], second[at + a : at + a + b]
        found = golomb(*codes, parameter, count, len(mine) * length)
        at += a + b
        if count:
            kept[mine[found // length], found % length] = True
    demand(at == len(second), "bytes after the last class")
    return np.flatnonzero(kept if encoding == ROWS else kept.T)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        np.save(sys.argv[3], read(sys.argv[1], sys.argv[2]))
    elif len(sys.argv) == 2:
        for name, tensor in tensors(sys.argv[1]).items():
            coded = ENCODINGS.split()[tensor["encoding"]]
            shown = "".join(sign if sign.isprintable() else "?" for sign in name)
            print(shown, coded, f"kept {tensor['kept']} of {tensor['entries']}", sep="\t")
    else:
        sys.exit(__doc__)
