"""Curves, tables and a page from a plan's finished runs. Reads records and never torch.

    print(report(store, plan).text(80))

The line inside: load -> points -> comparison -> claims -> figures and tables -> page -> screen.
"""

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruneexp.config.recipe import Fault, Invalid
from pruneexp.engine import files
from pruneexp.engine.record import Plan
from pruneexp.engine.store import Store

if TYPE_CHECKING:
    from rich.console import Console

    from pruneexp.report.analysis.findings import Findings
    from pruneexp.report.format import Table
    from pruneexp.report.output.page import Block, Picture

LISTING = ".files.json"  # what a report wrote into its folder
STALE = re.compile(r"\w+\.(png|svg|pdf|csv|md|tex|html)")
# A checkout keeps the YAML beside the package, a wheel inside it.
CONTENTS = next(
    path
    for path in (
        Path(__file__).parent.parent / "conf" / "report.yaml",
        Path(__file__).parent.parent.parent / "conf" / "report.yaml",
    )
    if path.is_file()
)
CLAIMS = Path(__file__).parent / "claims"


@dataclass(kw_only=True, slots=True)
class Report:
    """What was written where, and the story it tells."""

    folder: Path
    files: list[Path]
    verdicts: list[str]  # a sentence for each comparison
    warnings: list[str]
    missing: list[str]  # runs of the plan that are not in it, and why
    tables: "dict[str, Table]"
    blocks: "list[Block]" = field(repr=False)

    def text(self, width: int = 80) -> str:
        """The story in plain text."""
        from pruneexp.report.output.screen import plain

        return plain(self.blocks, width)

    def print(self, console: "Console") -> None:
        """The story with the colours and the width that a terminal has."""
        from pruneexp.report.output.screen import show

        show(self.blocks, console)

    def to_plain(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "files": [str(path) for path in self.files],
            "verdicts": self.verdicts,
            "warnings": self.warnings,
            "missing": self.missing,
        }


def report(store: Store, plan: Plan, out: Path | None = None, *, may_fail: bool = False) -> Report:
    """Write what conf/report.yaml lists into a folder.

        made = report(store, store.find_plan("table2_small"))
        print(made.text(80))

    Files that an earlier report wrote there, and that this one does not write, are removed.

    Arguments:
        out: the folder, results/reports/<plan> by default.
        may_fail: where the folder cannot be written, say so at the end of the story.

    Raises `CannotWrite` where it cannot be written.
    """
    with _without_garbage_collection():
        return _report(store, plan, out or store.reports / plan.name, may_fail)


def _report(store: Store, plan: Plan, folder: Path, may_fail: bool) -> Report:
    from pruneexp.report import figures
    from pruneexp.report.analysis import claims, findings
    from pruneexp.report.data import load
    from pruneexp.report.output import page, tables

    contents = read_contents(CONTENTS)
    found = findings.find(plan, load.load(store, plan))
    found.claims = [str(each) for each in claims.judged(claims.read_claims(CLAIMS), found)]
    there = len(found.runs.rows) > 0
    written: dict[str, bytes] = {}
    with figures.drawing(found, contents["figures"] if there else {}) as drawn:
        found.runs.index.save()
        every = {name: tables.TABLES[name](found) for name in contents["tables"]} if there else {}
        pictures = _pictures(found, drawn(), written)
    filled = {name: table for name, table in every.items() if table is not None}
    _tables(filled, contents["tables"], written)
    blocks = _pages(found, pictures, contents["pages"], written)
    try:
        _write(folder, written)
        ending = _where(folder, list(written))
    except files.CannotWrite as error:
        if not may_fail:
            raise
        written, ending = {}, str(error)
    blocks.append(page.Paragraph(text="\n" + ending))
    return Report(
        folder=folder,
        files=[folder / name for name in written],
        verdicts=found.verdicts,
        warnings=found.warnings,
        missing=[str(missing) for missing in found.runs.missing],
        tables=filled,
        blocks=blocks,
    )


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Rows hold no circles, and looking for some in millions of objects takes a third of the
    time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _write(folder: Path, written: dict[str, bytes]) -> None:
    """All files, and a list of them; what an earlier list names and this one does not goes."""
    listing = folder / LISTING
    try:
        before = files.load_json(listing)["files"]
    except (OSError, files.Damaged, KeyError):
        before = []
    for name, content in written.items():
        files.save_bytes(folder / name, content)
    files.save_json(listing, {"files": list(written)})
    for name in before if isinstance(before, list) else []:
        # The list may come from elsewhere: nothing outside the folder, nothing of another kind.
        if isinstance(name, str) and name not in written and STALE.fullmatch(name):
            (folder / name).unlink(missing_ok=True)


def _where(folder: Path, names: list[str]) -> str:
    """The file to open first, and what lies beside it."""
    first = next((name for name in reversed(names) if name.startswith("report.")), None)
    if first is None:
        return f"{len(names)} files in {folder}"
    kinds = sorted({name.rpartition(".")[2] for name in names})
    return f"{folder / first}, and beside it {', '.join(kinds)}"


def _pictures(
    found: "Findings", drawn: dict[str, dict[str, bytes]], written: dict[str, bytes]
) -> "list[Picture]":
    """The figures for the page; all of their files are added to what is written."""
    from pruneexp.report import figures
    from pruneexp.report.output import page

    pictures = []
    for name, contents in drawn.items():
        written |= {f"{name}.{kind}": content for kind, content in contents.items()}
        shown = next((kind for kind in ("svg", "png") if kind in contents), None)
        if shown is not None:
            pictures.append(
                page.Picture(
                    file=f"{name}.{shown}",
                    media=page.MEDIA[shown],
                    content=contents[shown],
                    alternative=figures.alternative(name, found),
                    also=[f"{name}.{kind}" for kind in contents if kind != shown],
                )
            )
    return pictures


def _tables(
    made: "dict[str, Table]", wanted: dict[str, list[str]], written: dict[str, bytes]
) -> None:
    from pruneexp.report.format import TABLE_FORMATS

    for name, table in made.items():
        for kind in wanted[name]:
            written[f"{name}.{kind}"] = TABLE_FORMATS[kind](table).encode()


def _pages(
    found: "Findings", pictures: "list[Picture]", kinds: list[str], written: dict[str, bytes]
) -> "list[Block]":
    from pruneexp.report.choice.choose import chooser_of
    from pruneexp.report.output import page
    from pruneexp.report.web.data import page_data
    from pruneexp.report.web.render import html

    blocks = page.story(found, pictures, list(written))
    if "md" in kinds:
        written["report.md"] = page.markdown(blocks).encode()
    if "html" in kinds:
        there = len(found.runs.rows) > 0
        data = page_data(found, chooser_of(found)) if there else None
        written["report.html"] = html(blocks, data).encode()
    return blocks


def read_contents(path: Path) -> dict[str, Any]:
    """What a report holds: figures and tables with their formats, and pages. Raises `Invalid`."""
    from omegaconf import OmegaConf

    from pruneexp.report import figures, format
    from pruneexp.report.output import page, tables

    known: dict[str, tuple[list[str], list[str]]] = {
        "figures": (list(figures.FIGURES), list(figures.METADATA)),
        "tables": (list(tables.TABLES), list(format.TABLE_FORMATS)),
    }
    given: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    faults = _unknown(str(path), given, [*known, "pages"])
    contents: dict[str, Any] = {part: given.get(part) or {} for part in known}
    for part, (names, formats) in known.items():
        faults += _unknown(f"{path}: {part}", contents[part], names)
        if not isinstance(contents[part], dict):
            faults.append(Fault(f"{path}: {part}", "takes names with formats, as in NAME: [csv]"))
            continue
        for name, kinds in contents[part].items():
            faults += _unknown(f"{path}: {part}.{name}", kinds, formats)
    contents["pages"] = given.get("pages") or []
    faults += _unknown(f"{path}: pages", contents["pages"], list(page.PAGES))
    if faults:
        raise Invalid(faults)
    return contents


def _unknown(key: str, given: Iterable[str], known: list[str]) -> list[Fault]:
    takes = ", ".join(known)
    return [Fault(key, f"takes {takes}, got {word}") for word in given if word not in known]
