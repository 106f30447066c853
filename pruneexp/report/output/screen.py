"""The report's story on a terminal, or as plain text of any width."""

import io
import textwrap

from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text as Line

from pruneexp.printable import printable
from pruneexp.report.format import Table
from pruneexp.report.output.page import Block, Grid, Heading, Listing, Paragraph


def show(blocks: list[Block], console: Console) -> None:
    """Print the story, without its details."""
    for block in blocks:
        if not block.detail:
            _show(block, console)


def plain(blocks: list[Block], width: int) -> str:
    """The story as plain text, which holds no order to a terminal."""
    file = io.StringIO()
    show(blocks, Console(file=file, width=width, color_system=None, force_terminal=False))
    lines = printable(file.getvalue()).split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"


def _show(block: Block, console: Console) -> None:
    match block:
        case Heading():
            before = "" if block.level == 1 else "\n"
            console.print(Line(before + block.text, style="bold"))
        case Paragraph():
            words = ("Note: " if block.warning else "") + block.text
            console.print(Line(words, style="yellow" if block.warning else ""), overflow="fold")
        case Listing():
            items = Shown.grid(padding=(0, 1))
            items.add_column(width=1)
            items.add_column(overflow="fold")
            for item in block.items:
                items.add_row("-", Line(item))
            console.print(items)
        case Grid():
            console.print(_table(block.table, console.width))
            if block.table.caption:
                console.print(Line(block.table.caption, style="dim"))


def _table(table: Table, width: int) -> Shown:
    """Headers break where that saves room; gaps narrow, and at last cells fold, where they must."""
    columns = list(zip(table.header, *table.cells, strict=True))
    widest = [
        max(*(len(cell) for cell in cells), *(len(word) for word in header.split(" ")))
        for header, *cells in columns
    ]
    roomy = sum(widest) + 2 * len(widest) <= width
    folds = sum(widest) + len(widest) - 1 > width
    shown = Shown(
        box=None, pad_edge=False, header_style="bold", padding=(0, 1), collapse_padding=not roomy
    )
    for (header, *_), room, side in zip(columns, widest, table.align, strict=True):
        shown.add_column(
            "\n".join(textwrap.wrap(header, room)),
            justify="right" if side == "r" else "left",
            vertical="bottom",
            no_wrap=not folds,
            overflow="fold",
        )
    for row in table.cells:
        shown.add_row(*(Line(cell) for cell in row))
    return shown
