"""Forged .pxp files against all three readers, for as long as asked.

    make fuzz                            five minutes
    python -m scripts.fuzz 60 7          sixty seconds from seed 7

Each file is a valid one with a few bytes changed and its checksums made to fit again; some have
thousands of tensors. Our reader and the two in readers/ must end in an error of their kind or in
tensors, in bounded time and memory, and all three alike.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pruneexp.engine import files
from pruneexp.storage import encodings, layout, values
from pruneexp.storage.archive import Archive
from pruneexp.storage.layout import Entry
from tests.test_storage_file import example, signed

ROOT = Path(__file__).parent.parent
MEMORY = 2 * 2**30  # bytes of address space for each reader
SECONDS = 10  # one tensor of a small file takes milliseconds


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """A few bytes changed, most often among the fields of the header."""
    found = bytearray(content)
    for _ in range(random.integers(1, 4)):
        end = 200 if random.random() < 0.5 else len(found)
        place = int(random.integers(8, end))
        found[place] = random.choice([0, 1, 127, 128, 255, int(random.integers(256))])
    if random.random() < 0.1:
        del found[int(random.integers(40, len(found))) :]
    return signed(found)


def ours(path: Path) -> dict[str, np.ndarray] | None:
    try:
        archive = Archive(path)
        return {name: archive.read(name) for name in archive.entries}
    except files.Damaged:
        return None


def with_numpy(reader: dict[str, Any], path: Path) -> dict[str, np.ndarray] | None:
    try:
        loaded: dict[str, np.ndarray] = reader["load"](path)
    except ValueError:
        return None
    return loaded


def in_c(program: Path, path: Path, name: str) -> bytes | None:
    limits = f"ulimit -v {MEMORY // 1024} -t {SECONDS}; exec "
    done = subprocess.run(
        ["sh", "-c", limits + '"$@"', "sh", program, path, name],
        capture_output=True,
        timeout=10 * SECONDS,
    )
    assert done.returncode in (0, 1), f"the C reader ended with {done.returncode}: {done.stderr!r}"
    return done.stdout if done.returncode == 0 else None


def compiled(folder: Path) -> Path | None:
    compiler = shutil.which("cc")
    if compiler is None:
        print("no C compiler here: readers/pxp.c takes no part")
        return None
    program = folder / "pxp"
    check = ["-g", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover"]
    source = ROOT / "readers" / "pxp.c"
    for more in (check, ["-O2"]):  # a compiler may come without its sanitizer
        command = [compiler, "-std=c11", *more, "-o", program, source, "-lm"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return program
    raise SystemExit("readers/pxp.c does not compile")


def many_tensors(random: np.random.Generator) -> bytes:
    """A file of thousands of tensors, most of them empty and some of them repeated."""
    count = int(random.integers(1, 8_000))
    dense = {"encoding": encodings.DENSE.number, "values": 0, "parameter": 0}
    empty = {"shape": (0, 4), "kept": 0, "first": 0, "second": 0}
    entries = [Entry(name=f"t{number}", **dense, **empty) for number in range(count)]  # type: ignore[arg-type]
    for number in sorted(map(int, random.integers(1, count + 1, size=count // 4))):
        other = int(random.integers(number))
        if number < count and not entries[other].is_same:
            entries[number] = replace(entries[number], encoding=encodings.SAME, parameter=other)
    return layout.header(entries)


def compare(
    forged: bytes, path: Path, reader: dict[str, Any], program: Path | None
) -> tuple[bool, float]:
    """Whether the readers accept a file, about which they agree, and how long the slower of both in
    Python took."""
    path.write_bytes(forged)
    began = time.monotonic()
    one = ours(path)
    between = time.monotonic()
    other = with_numpy(reader, path)
    took = max(between - began, time.monotonic() - between)
    assert took < SECONDS, "too slow"
    accepted = other if one is None and notes_are_wrong(path) else one
    assert (accepted is None) == (other is None), "numpy's reader does not agree"
    for name, tensor in (accepted or {}).items():
        assert other is not None
        assert other[name].tobytes() == tensor.tobytes() or has_nan(tensor), f"numpy: {name}"
    if program is not None:
        compare_with_c(program, path, accepted)
    return one is not None, took


def has_nan(tensor: np.ndarray) -> bool:
    """Of which there are many, and readers may give any."""
    return tensor.dtype.kind == "f" and bool(np.isnan(tensor).any())


def notes_are_wrong(path: Path) -> bool:
    """Whether our reader refuses the notes, which the others pass over."""
    try:
        Archive(path)
    except files.Damaged as error:
        return "notes" in str(error)
    return False


def compare_with_c(
    program: Path, path: Path, tensors: dict[str, np.ndarray] | None, most: int = 8
) -> None:
    if tensors is None:
        read = [in_c(program, path, name) for name in ("weight", "bias")]
        assert None in read, "the C reader accepts what the others refuse"
        return
    for name, tensor in list(tensors.items())[:most]:
        found = in_c(program, path, name)
        assert found is not None, f"the C reader refuses {name}"
        assert found == tensor.tobytes() or has_nan(tensor), f"the C reader reads another {name}"


def main(seconds: float, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reader: dict[str, Any] = {"__name__": "pxp"}
    exec((ROOT / "readers" / "pxp.py").read_text(), reader)
    random = np.random.default_rng(seed)
    tried = accepted = slowest = 0.0
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pxp"
        program = compiled(Path(folder))
        while time.monotonic() < ends:
            word, kind = random.choice(encodings.WORDS), random.choice(values.WORDS)
            example(path, str(word), str(kind))
            content = path.read_bytes()
            candidates = [mutated(content, random) for _ in range(20)]
            if random.random() < 0.1:
                content = many_tensors(random)
                candidates = [content, *(mutated(content, random) for _ in range(3))]
            for forged in candidates:
                try:
                    is_accepted, took = compare(forged, path, reader, program)
                except BaseException:
                    kept = Path(tempfile.gettempdir()) / "pruneexp-fuzz.pxp"
                    kept.write_bytes(forged)
                    print(f"seed {seed}: the file is kept at {kept}")
                    raise
                tried += 1
                accepted += is_accepted
                slowest = max(slowest, took)
    print(
        f"{tried:.0f} forged files, of which the readers accept {accepted:.0f} and agree on all; "
        f"the slowest took {slowest:.2f} s in Python"
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    main(float(words[0]) if words else 300, int(words[1]) if len(words) > 1 else 0)
