"""`pruneexp list`: the runs of a results folder; `pruneexp compare`: two of them side by side."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import JustifyMethod
from rich.text import Text

from pruneexp.cli import tables
from pruneexp.cli.console import Console
from pruneexp.cli.live import COLOURS, table_of
from pruneexp.cli.messages import BAD_INPUT, FINISHED, complain
from pruneexp.cli.names import fitted
from pruneexp.engine import files
from pruneexp.engine.record import Record
from pruneexp.engine.store import Store
from pruneexp.report.data.all_runs import Listed, listed
from pruneexp.report.format import BLANK

WIDE = 110  # columns from which on every detail fits


def list_command(options: argparse.Namespace, store: Store) -> int:
    """All runs, those that are asked for, in the order that is asked for."""
    every = listed(store)
    if not every:
        raise files.NotFound(f"no run in {store.runs}; `pruneexp run` makes one")
    rows = ordered([row for row in every if _is_wanted(row, options)], options.sort)
    left = len(rows) - len(rows[: options.most])
    rows = rows[: options.most]
    if options.format == "json":
        print(json.dumps([asdict(row) for row in rows]))
        return FINISHED
    if not rows:
        complain([f"none of {len(every)} runs is meant; leave out a word or an option"])
        return BAD_INPUT
    console = Console()
    _show(console, rows)
    if left:
        console.print(f"and {left} more; --most {len(rows) + left} shows them", style="dim")
    return FINISHED


def _is_wanted(row: Listed, options: argparse.Namespace) -> bool:
    facts = f"{row.name} {row.task} {row.family} {row.kind} {row.values} {row.state}".lower()
    return (
        all(word.lower() in facts for word in options.words)
        and options.task in ("", row.task)
        and options.state in ("", row.state)
        and options.kind in ("", row.kind)
    )


def ordered(rows: list[Listed], by: str) -> list[Listed]:
    """Rows in one of the orders that `list` knows; what has no such value comes last. The best come
    first, task by task, since metrics of several tasks cannot be compared."""

    def key(row: Listed) -> tuple[Any, ...]:
        if by == "best":
            sign = 1 if row.higher_is_better else -1
            value = None if row.valid is None else -sign * row.valid
            return value is None, row.task, row.metric, value or 0.0, row.name
        value = getattr(row, by)
        return value is None, value or 0, row.name

    return sorted(rows, key=(lambda row: (row.name,)) if by == "name" else key)


def _show(console: Console, rows: list[Listed]) -> None:
    columns = {
        "state": [row.state for row in rows],
        "test": [_rounded(row.test, "{:.2f}") for row in rows],
        "MB file": [_rounded(row.bytes and row.bytes / 1e6, "{:.3f}") for row in rows],
        "non-zero": [_rounded(row.nonzero, "{:,}") for row in rows],
    }
    if console.width >= WIDE:
        columns["ms"] = [_rounded(row.milliseconds, "{:.2f}") for row in rows]
        columns["took"] = [_rounded(row.seconds, "{:,.0f} s") for row in rows]
    columns = {title: cells for title, cells in columns.items() if set(cells) != {BLANK}}
    taken = sum(2 + max(map(len, [title, *cells])) for title, cells in columns.items())
    names, shared = fitted([row.name for row in rows], max(10, console.width - taken))
    shown = table_of()
    shown.add_column("run", no_wrap=True)
    for title in columns:
        side: JustifyMethod = "left" if title == "state" else "right"
        shown.add_column(title, no_wrap=True, justify=side)
    for number, row in enumerate(rows):
        cells = [
            Text(values[number], COLOURS.get(row.state, "") if title == "state" else "")
            for title, values in columns.items()
        ]
        shown.add_row(names[number], *cells)
    shown.caption = f"all: {shared}" if shared else None
    console.print(shown)
    metrics = sorted({f"{row.metric} ({row.task})" for row in rows if row.metric})
    told = f"test: {', '.join(metrics)}; " if metrics else ""
    console.print(f"{told}MB file: packed, batch-norm folded where it can be", style="dim")


def _rounded(value: float | None, form: str) -> str:
    return BLANK if value is None else form.format(value)


# --- two runs ------------------------------------------------------------------------------------


def compare_command(options: argparse.Namespace, store: Store) -> int:
    """Two runs side by side: what was asked, given, measured, and what is left of each layer."""
    records = [store.find(word).record_or_fail() for word in (options.first, options.second)]
    sizes = [_packed(store, record) for record in records]
    sections = {
        "settings that differ": _settings(records),
        "given": _given(records),
        "measured": _measured(records),
        "bytes of the packed file": _bytes(sizes),
        "weights kept, layer by layer": _layers(records),
    }
    if options.format == "json":
        runs = [record.name for record in records]
        print(json.dumps({"runs": runs, **sections}))
        return FINISHED
    console = Console()
    for letter, record in zip("AB", records, strict=True):
        console.print(f"{letter}: {record.name}", soft_wrap=True)
    for title, rows in sections.items():
        if not rows:
            continue
        shown = table_of(title)
        shown.add_column("", overflow="fold")
        for letter in "AB":
            shown.add_column(letter, justify="right", overflow="fold")
        for key, values in rows.items():
            different = values[0] != values[1]
            shown.add_row(key, *(Text(_cell(v), "bold" if different else "") for v in values))
        console.print()
        console.print(shown)
    if records[0].checksums.get("data") != records[1].checksums.get("data"):
        complain(["the two were trained on different data: their metrics cannot be compared"])
    return FINISHED


def _packed(store: Store, record: Record) -> Any:
    try:
        return store.folder(record.name).packed_sizes()
    except files.Damaged as error:
        complain([str(error)])
        return None


def _cell(value: Any) -> str:
    if value is None:
        return BLANK
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _settings(records: list[Record]) -> dict[str, list[Any]]:
    flat = [tables.flat(record.configuration) for record in records]
    keys = dict.fromkeys(key for each in flat for key in each)
    return {
        key: [each.get(key) for each in flat]
        for key in keys
        if flat[0].get(key) != flat[1].get(key)
    }


def _given(records: list[Record]) -> dict[str, list[Any]]:
    return {
        "steps of its own stage": [record.budget.steps for record in records],
        "steps in all": [record.budget.total_steps for record in records],
        "examples in all": [record.budget.total_examples for record in records],
        "steps of every run that was needed": [record.budget.spent_steps for record in records],
        "seconds": [record.circumstances.get("seconds") for record in records],
    }


def _measured(records: list[Record]) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    for split in ("valid", "test"):
        values = [getattr(record, split) for record in records]
        for name in dict.fromkeys(name for each in values for name in each):
            rows[f"{split} {name}"] = [each.get(name) for each in values]
    for key in ("parameters", "nonzero", "batch_norm", "multiply_adds", "sparse_multiply_adds"):
        rows[key.replace("_", " ")] = [getattr(record.counts, key) for record in records]
    return rows


def _bytes(sizes: list[Any]) -> dict[str, list[Any]]:
    if not all(sizes):
        return {}
    rows: dict[str, list[Any]] = {}
    for folded in (False, True):
        states = [each.state(folded) for each in sizes]
        for word in ("fp32", "fp16", "int8"):
            files_ = [state.values.get(word) if state else None for state in states]
            if any(files_):
                key = f"{word}, batch-norm {'folded' if folded else 'kept'}"
                rows[key] = [file.bytes if file else None for file in files_]
    return rows


def _layers(records: list[Record]) -> dict[str, list[Any]]:
    kept = [
        {group.name: f"{group.weights - group.masked:,} of {group.weights:,}" for group in groups}
        for groups in (record.counts.groups for record in records)
    ]
    names = dict.fromkeys(name for each in kept for name in each)
    return {name: [each.get(name) for each in kept] for name in names}
