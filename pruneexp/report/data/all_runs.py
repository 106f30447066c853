"""Every run of a results folder, whichever plan asked for it: as rows and as a table of pandas.

frame = pruneexp.runs("results")
frame[frame.task == "glyphs"].sort_values("test")[["name", "test", "bytes"]]
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pandas as pd

from pruneexp.engine import files
from pruneexp.engine.run_folder import RunFolder
from pruneexp.engine.store import Store
from pruneexp.report.data.facts import Facts
from pruneexp.report.data.index import Index


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One run. What only a finished run has is None for others.

    Arguments:
        name, fingerprint: of the run.
        state: finished, running, interrupted, failed, waiting or damaged.
        task, family, kind, size: what it learned, with which network, dense or sparse, how large.
        sparsity: the share of the prunable weights that is masked.
        values: the type of its values.
        seed: of the run.
        metric, higher_is_better: what it is measured by.
        valid, test: of the state that validation chose.
        parameters, nonzero: weights and biases in all, and those that are kept.
        bytes: of its packed file, values of its own type, batch-norm folded where it can be.
        bytes_fp32, bytes_fp16, bytes_int8: the same with values of these types.
        milliseconds: of one example at batch 1 on one thread, where it was timed.
        multiply_adds: of one example, masked weights skipped.
        steps: that its weights have seen, ancestors included.
        seconds: that its own stage took.
        data: the checksum of what it was trained on.
        why: of a failed or damaged run, what is wrong.
    """

    name: str
    fingerprint: str
    state: str
    task: str = ""
    family: str = ""
    kind: str = ""
    size: str = ""
    sparsity: float | None = None
    values: str = ""
    seed: int | None = None
    metric: str = ""
    higher_is_better: bool | None = None
    valid: float | None = None
    test: float | None = None
    parameters: int | None = None
    nonzero: int | None = None
    bytes: int | None = None
    bytes_fp32: int | None = None
    bytes_fp16: int | None = None
    bytes_int8: int | None = None
    milliseconds: float | None = None
    multiply_adds: int | None = None
    steps: int | None = None
    seconds: float | None = None
    data: str = ""
    why: str = ""


def listed(store: Store) -> list[Listed]:
    """Every run of a results folder, by name."""
    index = Index(store)
    rows = [_one(folder, index) for folder in store.folders()]
    index.save()
    return rows


def runs(results: str | Path = "results") -> pd.DataFrame:
    """Every run of a results folder as a table, a row a run, with bytes and milliseconds.

    Arguments:
        results: the folder.
    """
    rows = listed(Store(Path(results).expanduser()))
    columns = [item.name for item in fields(Listed)]
    return pd.DataFrame([asdict(row) for row in rows], columns=columns).convert_dtypes()


def _one(folder: RunFolder, index: Index) -> Listed:
    state = folder.status()
    bare = Listed(name=folder.path.name, fingerprint=folder.fingerprint, state=state)
    try:
        if state == "failed":
            failure = folder.failure()
            return replace(bare, why=failure.message if failure else "")
        facts = index.facts(folder, []) if state == "finished" else None
    except (files.Damaged, OSError) as error:
        return replace(bare, state="damaged", why=str(error))
    return bare if facts is None else _finished(facts)


def _finished(facts: Facts) -> Listed:
    curve = facts.curve
    return Listed(
        name=facts.name,
        fingerprint=facts.fingerprint,
        state="finished",
        task=" ".join(_trait(facts, "task")),
        family=curve.family,
        kind=curve.kind,
        size=", ".join(size.words for size in curve.sizes if size.heading),
        sparsity=facts.achieved,
        values=curve.values,
        seed=facts.seed,
        metric=facts.metric.name,
        higher_is_better=facts.metric.higher_is_better,
        valid=facts.valid,
        test=facts.test,
        parameters=facts.parameters,
        nonzero=facts.nonzero,
        bytes=_bytes(facts, curve.values),
        bytes_fp32=_bytes(facts, "fp32"),
        bytes_fp16=_bytes(facts, "fp16"),
        bytes_int8=_bytes(facts, "int8"),
        milliseconds=facts.timed.milliseconds if facts.timed else None,
        multiply_adds=facts.sparse_multiply_adds,
        steps=facts.budget.total_steps,
        seconds=facts.seconds,
        data=facts.data,
    )


def _trait(facts: Facts, key: str) -> Iterator[str]:
    yield from (str(trait.value) for trait in facts.curve.traits if trait.key == key)


def _bytes(facts: Facts, values: str) -> int | None:
    """Of the packed file, batch-norm folded where it can be."""
    file = facts.packed.shipped(values) if facts.packed else None
    return None if file is None else int(file.bytes)
