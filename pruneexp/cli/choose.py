"""`pruneexp choose`: the answer on a terminal, with the commands that follow from it."""

import argparse
import json
import shlex
from dataclasses import replace
from itertools import product

from pruneexp.cli.console import Console
from pruneexp.cli.hydra_errors import EXPECTED
from pruneexp.cli.live import table_of
from pruneexp.cli.messages import BAD_INPUT, FINISHED
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files
from pruneexp.engine.store import Store
from pruneexp.report.choice import told
from pruneexp.report.choice.answer import Answer, answer
from pruneexp.report.choice.candidates import Candidate, Limits, megabytes
from pruneexp.report.choice.choose import Recommendation
from pruneexp.report.choice.next_runs import NextRun
from pruneexp.report.format import BLANK, Table

PAGE = "report.html"
WIDE = 100  # columns from which on every detail fits
VALUE_TYPES = ("fp32", "fp16", "int8")  # whose bytes are shown beside each other


def choose_command(options: argparse.Namespace, store: Store) -> int:
    """Which model to ship within each budget."""
    plan = store.find_plan(options.plan) if options.plan else None
    made = answer(store, limits_of(options), plan=plan, task=options.task)
    if options.format == "json":
        plain = made.to_plain()
        for choice, runs in zip(plain["choices"], made.next, strict=True):
            for each, run in zip(choice["next"], runs, strict=True):
                each["command"] = command(store, run)
        print(json.dumps(plain))
    else:
        console = Console()
        show(console, store, made)
        page = store.reports / plan.name / PAGE if plan else None
        if page is not None and page.is_file():
            console.print(f"curves and tables: {page}", style="dim", soft_wrap=True)
    return FINISHED if all(choice.pick for choice in made.choices) else BAD_INPUT


def limits_of(options: argparse.Namespace) -> list[Limits]:
    """Every combination of the budgets that were given, each with the other limits."""
    rest = Limits(milliseconds=options.ms, at_least=options.at_least)
    budgets = [{"bytes": each} for each in options.budget or [None]]
    weights = [{"nonzero": each} for each in options.nonzero or [None]]
    return [replace(rest, **one, **other) for one, other in product(budgets, weights)]


def show(console: Console, store: Store, made: Answer) -> None:
    """The answer in full."""
    for choice, runs in zip(made.choices, made.next, strict=True):
        _show_choice(console, store, made, choice, runs)
    if made.crossover:
        console.print(made.crossover)
    if made.budgets is not None and len(made.steps) > 1:
        _print_table(console, made.budgets)
    for note in made.notes:
        console.print(note, style="dim")


def _show_choice(
    console: Console, store: Store, made: Answer, choice: Recommendation, runs: list[NextRun]
) -> None:
    console.print(told.headline(choice, made.metric), style="bold")
    if sure := told.how_sure(choice):
        console.print(sure)
    for line in choice.lacking:
        console.print(f"{line[0].upper()}{line[1:]}.", style="yellow")
    rows = _rows(choice)
    if rows:
        _print_table(console, _candidates(rows, made, console.width))
    if packed := made.pack_command(choice):
        console.print(f"pack it:  {packed}", soft_wrap=True)
    for run in runs:
        if line := command(store, run):
            console.print(f"next:     {run.settles}:", style="dim", soft_wrap=True)
            console.print(f"          {line}", style="dim", soft_wrap=True)
    console.print()


def _rows(choice: Recommendation) -> dict[str, Candidate]:
    """What each of the candidates that are named is, the pick first; each candidate once."""
    named = [("pick", choice.pick), ("runner-up", choice.runner_up)]
    named += [(f"best {kind}", each) for kind, each in choice.best.items()]
    rows: dict[str, tuple[str, Candidate]] = {}
    for word, each in named:
        if each is not None:
            said = rows[each.key][0] + ", " if each.key in rows else ""
            rows[each.key] = said + word, each
    return dict(rows.values())


def _candidates(rows: dict[str, Candidate], made: Answer, width: int) -> Table:
    """The candidates that are named, a row each. A narrow terminal gets the size of each one's own
    file, a wide one that of other types of values too, time and work."""
    import pandas as pd

    wide = width >= WIDE
    cells = []
    for word, each in rows.items():
        point = each.point
        cell = [word, each.words, told.quality(point, made.metric)]
        if wide:
            milliseconds = BLANK if point.milliseconds is None else f"{point.milliseconds:.2f}"
            work = point.sparse_multiply_adds
            cell += [
                *_by_type(each),
                milliseconds,
                BLANK if work is None else f"{work / 1e6:,.2f} M",
            ]
        else:
            cell.append(megabytes(each.bytes).removesuffix(" MB"))
        cells.append(cell)
    sizes = [*(f"MB {kind}" for kind in VALUE_TYPES), "ms", "multiply-adds"] if wide else ["MB"]
    said = "In brackets: bytes with values of a type in which that run was not measured."
    return Table(
        raw=pd.DataFrame(),
        header=["", "model", f"test {made.metric.label}", *sizes],
        cells=cells,
        align="llr" + "r" * len(sizes),
        caption=said if wide else "",
    )


def _by_type(candidate: Candidate) -> list[str]:
    """Megabytes of a candidate's file by type of values; in brackets where it was not measured
    so."""
    point = candidate.point
    state = point.packed.state(candidate.folded) if point.packed else None
    texts = []
    for kind in VALUE_TYPES:
        file = state.values.get(kind) if state else None
        text = megabytes(file.bytes).removesuffix(" MB") if file else BLANK
        texts.append(text if kind == point.values or not file else f"[{text}]")
    return texts


def _print_table(console: Console, made: Table) -> None:
    shown = table_of()
    for heading, side in zip(made.header, made.align, strict=True):
        shown.add_column(heading, justify="right" if side == "r" else "left", overflow="fold")
    for row in made.cells:
        shown.add_row(*row)
    console.print(shown)
    if made.caption:
        console.print(made.caption, style="dim")


def command(store: Store, run: NextRun) -> str:
    """What makes a run; nothing where the run that it is like cannot be asked for again."""
    from pruneexp.cli.again import command as again
    from pruneexp.config.read import restore

    try:
        record = store.folder(run.like).record_or_fail()
        words = shlex.split(again(restore(record.configuration, trust=False, origin=record.name)))
    except (Invalid, files.NotFound, files.Damaged, *EXPECTED):
        return ""
    kept = [
        word
        for word in words
        if word.partition("=")[0] not in run.changes and not _falls(word, run.left_out)
    ]
    changes = [f"{key}={value}" for key, value in run.changes.items()]
    return shlex.join([*kept, *changes, *told.results_option(str(store.results))])


def _falls(word: str, left_out: tuple[str, ...]) -> bool:
    key = word.partition("=")[0]
    return any(key == each or key.startswith((f"{each}.", f"{each}/")) for each in left_out)
