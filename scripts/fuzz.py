"""Forged .pxp files against all three readers, for as long as asked.

    make fuzz                            five minutes
    python -m scripts.fuzz 60 7          sixty seconds from seed 7

Each file is a valid one with a few bytes changed and its checksums made to fit again. Our reader
and the two in readers/ must end in an error of their kind or in a tensor, in bounded time and
memory; where ours and the C one both give a tensor, it is the same.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pruneexp.engine import files
from pruneexp.storage import encodings, values
from pruneexp.storage.archive import Archive
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


def numpys(reader: dict[str, Any], path: Path) -> None:
    try:
        for name in reader["tensors"](path):
            reader["read"](path, name)
    except ValueError:
        pass


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


def main(seconds: float, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reader: dict[str, Any] = {"__name__": "pxp"}
    exec((ROOT / "readers" / "pxp.py").read_text(), reader)
    random = np.random.default_rng(seed)
    tried = read = slowest = 0.0
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pxp"
        program = compiled(Path(folder))
        while time.monotonic() < ends:
            word, kind = random.choice(encodings.WORDS), random.choice(values.WORDS)
            example(path, str(word), str(kind))
            content = path.read_bytes()
            for _ in range(20):
                forged = mutated(content, random)
                path.write_bytes(forged)
                began = time.monotonic()
                try:
                    found = ours(path)
                    numpys(reader, path)
                    assert time.monotonic() - began < SECONDS, "too slow"
                    slowest = max(slowest, time.monotonic() - began)
                    for name, tensor in (found or {}).items() if program else ():
                        assert program is not None
                        other = in_c(program, path, name)
                        finite = tensor.dtype != np.float32 or not np.isnan(tensor).any()
                        same = other == tensor.tobytes()
                        assert other is not None, f"the C reader refuses {name}"
                        assert same or not finite, f"the C reader reads another {name}"
                    if program and found is None:
                        for name in ("weight", "bias"):
                            in_c(program, path, name)
                except BaseException:
                    kept = Path(tempfile.gettempdir()) / "pruneexp-fuzz.pxp"
                    kept.write_bytes(forged)
                    print(f"seed {seed}: the file is kept at {kept}")
                    raise
                tried += 1
                read += found is not None
    print(
        f"{tried:.0f} forged files, {read:.0f} still gave tensors; the slowest took "
        f"{slowest:.2f} s in numpy"
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    main(float(words[0]) if words else 300, int(words[1]) if len(words) > 1 else 0)
