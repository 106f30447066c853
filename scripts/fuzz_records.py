"""Forged records, plans and what lies beside them against every command that reads them.

    make fuzz                                among others, five minutes of this
    python -m scripts.fuzz_records 60 7      sixty seconds from seed 7

Each file is a valid one with one to three of its values replaced, its checksum made to fit.
Commands must end in a line or in what they are for: never in a traceback, and nothing may be
written outside the results folder.
"""

import contextlib
import copy
import io
import json
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pruneexp.cli import main as command_line
from pruneexp.engine import files
from pruneexp.engine.record import BYTES, FAILURE, HISTORY, LATENCY, PROGRESS, RECORD, Failure
from pruneexp.engine.store import Store
from tests.results import Results

MEMORY = 6 * 2**30  # bytes of address space
SECONDS = 30  # for all commands on one forged results folder; a report draws figures
HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1, 10**30, -(10**30), 10**400, 0.5, 1e308, -1e308, 1e-320),
    *(
        "",
        "x",
        "../../../x",
        "/etc/passwd",
        "..",
        "a\0b",
        "x" * 5_000,
        "\x1b[31m",
        "=cmd|x",
        "$x^{$",
    ),
    *("os:system", "<script>", "\\input{x}", "\ud800", [], {}, [[]], [None], {"": {}}, "\u202e"),
    *([1] * 1_000, {"a": {"b": {"c": {}}}}, {"option": "custom", "factory": "os:system"}),
]


def places(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value."""
    inner = plain.items() if isinstance(plain, dict) else enumerate(plain)
    found: list[tuple[Any, ...]] = []
    for key, value in inner:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def forged(plain: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A few values replaced, removed or added."""
    made = copy.deepcopy(plain)
    for _ in range(random.integers(1, 4)):
        every = places(made)
        if not every:
            break
        *above, last = every[random.integers(len(every))]
        part: Any = made
        for key in above:
            part = part[key]
        hostile = copy.deepcopy(HOSTILE[random.integers(len(HOSTILE))])
        if random.random() < 0.1:
            del part[last]
        elif random.random() < 0.1 and isinstance(part, dict):
            part[str(hostile)[:50]] = hostile
        else:
            part[last] = hostile
    return made


def write(path: Path, data: dict[str, Any]) -> None:
    """As `files.save_json` does, also what no writer would write."""
    text = json.dumps(data, indent=1).encode()
    body = text.removesuffix(b"\n}") + b"," if data else b"{"
    files.save_bytes(path, body, files.CHECKSUM + files.checksum(body).encode() + b'"\n}\n')


def example(folder: Path) -> tuple[Store, dict[str, Path]]:
    """A plan of a dense and a sparse finished run, a failed one and one under way."""
    results = Results(folder / "results")
    history = [
        {"step": 10 * i, "loss": 2.0 / (i + 1), "valid_accuracy": 50.0 + i} for i in range(5)
    ]
    results.finish(300_000, 81.0, work=(1000, 1000), history=history)
    sparse = results.finish(30_000, 79.0, sparsity=0.9, work=(1000, 200), history=history)
    failed, running = results.ask(0.5), results.ask(0.25)
    store = results.store
    store.folder(failed.name).fail(Failure(error="E", message="no", step=3, traceback="t"))
    write(store.folder(running.name).path / PROGRESS, {"step": 3, "steps": 9, "stage": "training"})
    of = store.folder(sparse.name).path
    file = {key: 100 for key in ("bytes", "position_bytes", "value_bytes", "filler_bytes")}
    state = {"dense_bytes": 1000, "encodings": {"auto": file}, "values": {"int8": file}}
    write(
        of / BYTES,
        {"version": 2, "prunable": 9, "kept": 3, "bound_bytes": 1.5}
        | {"batch_norm_kept": state, "batch_norm_folded": state, "refused": {}},
    )
    row = {"batch": 1, "threads": 1, "dense": 0.1, "sparse": 0.2, "processor": "x", "weights": "w"}
    write(of / LATENCY, {"version": 1, "measured": [row]})
    return store, {
        "plan": store.save_plan(results.plan),
        "record": of / RECORD,
        "bytes": of / BYTES,
        "latency": of / LATENCY,
        "failure": store.folder(failed.name).path / FAILURE,
        "progress": store.folder(running.name).path / PROGRESS,
        "history": of / HISTORY,
    }


def run(words: list[str]) -> str:
    """A command in this process. Returns what it printed; anything but an exit is a fault."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            command_line.main(words)
        except SystemExit as ended:
            assert ended.code in (0, 1, 2), f"{words}: status {ended.code}"
    text = shown.getvalue()
    assert "Traceback" not in text or "show" in words, f"{words}: {text}"
    assert "\x1b" not in text and "\u202e" not in text, f"{words}: an order to the terminal"
    return text


def main(seconds: float, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    random = np.random.default_rng(seed)
    tried, slowest, ends = 0, 0.0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, paths = example(folder)
        good = {what: path.read_bytes() for what, path in paths.items()}
        outside = {path for path in folder.rglob("*") if store.results not in (path, *path.parents)}
        while time.monotonic() < ends:
            what = list(paths)[random.integers(len(paths))]
            if what == "history":
                content = bytearray(good[what])
                content[random.integers(len(content))] = random.integers(256)
                data: Any = bytes(content)
                paths[what].write_bytes(data)
            else:
                plain = json.loads(good[what])
                del plain["checksum"]
                data = forged(plain, random)
                write(paths[what], data)
            began = time.monotonic()
            where = ["--results", str(store.results)]
            commands = [["status", "mine"], ["clean"], ["bytes", "mine"]]
            commands += [
                ["show", paths["record"].parent.name],
                ["show", paths["failure"].parent.name],
            ]
            if random.random() < 0.1:  # it draws figures, which takes seconds
                commands.append(["report", "mine"])
            try:
                for words in commands:
                    run([*words, *where])
                left = {path for path in folder.rglob("*")}
                now = {path for path in left if store.results not in (path, *path.parents)}
                assert now == outside, f"written outside: {now - outside}"
                assert time.monotonic() - began < SECONDS, "too slow"
            except BaseException:
                print(f"seed {seed}, {what}: {data!r}", file=sys.stderr)
                raise
            slowest = max(slowest, time.monotonic() - began)
            paths[what].write_bytes(good[what])
            tried += 1
    print(f"{tried} forged files, every command ended in words; the slowest took {slowest:.2f} s")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(float(given[0]) if given else 300, int(given[1]) if len(given) > 1 else 0)
