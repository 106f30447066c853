"""The page as one file: the template filled with the report's story, its pictures and its data."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pruneexp.printable import printable
from pruneexp.report.output.page import Block, Grid, Heading, Listing, Paragraph, Picture

FOLDER = Path(__file__).parent
# What would end a script element, or what an old script takes for the end of a line.
IN_SCRIPT = {sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
OPEN = ("What the papers claim", "Not in this report", "How large a parent at equal bytes")


@dataclass(frozen=True, slots=True)
class Part:
    """Blocks under one heading of the page."""

    title: str
    blocks: list[dict[str, Any]]
    folded: bool  # until a reader opens it


def html(blocks: list[Block], data: dict[str, Any] | None = None) -> str:
    """The story as one file that holds its pictures, its script and its data.

    Arguments:
        data: what the script shows (`data.page_data`); without it, the page has no script.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = printable
    opening, parts = _parts(blocks, folds=data is not None)
    title = next(block.text for block in blocks if isinstance(block, Heading))
    return environment.get_template("page.html.j2").render(
        title=printable(title),
        style=(FOLDER / "page.css").read_text(),
        script=(FOLDER / "page.js").read_text(),
        data=None if data is None else _in_script(data),
        opening=opening,
        parts=parts,
    )


def _in_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign, written in IN_SCRIPT.items():
        text = text.replace(sign, written)
    return printable(text)


def _parts(blocks: list[Block], *, folds: bool) -> tuple[list[dict[str, Any]], list[Part]]:
    """What stands above the interactive part, title and verdicts, and what stands below it, part by
    part. Where there is an interactive part, most of the rest is folded away."""
    opening: list[dict[str, Any]] = []
    parts: list[Part] = []
    pictures = [block for block in blocks if isinstance(block, Picture)]
    label = ""
    for block in blocks:
        if isinstance(block, Picture):
            continue
        if isinstance(block, Heading) and block.level > 1:
            folded = folds and not block.text.startswith(OPEN)
            parts.append(Part(block.text, [] if folded else [_plain(block, "")], folded))
            label = block.text
        elif parts:
            parts[-1].blocks.append(_plain(block, label))
        else:
            opening.append(_plain(block, label))
    if pictures:
        drawn = [_plain(picture, "") for picture in pictures]
        parts.insert(0, Part("Figures", drawn, folds))
    return opening, parts


def _plain(block: Block, label: str) -> dict[str, Any]:
    """A block as the template takes it."""
    match block:
        case Heading():
            return {"kind": "heading", "level": block.level, "text": block.text}
        case Paragraph():
            return {"kind": "paragraph", "text": block.text, "warning": block.warning}
        case Listing():
            return {"kind": "listing", "lines": block.items}
        case Grid():
            return {"kind": "grid", "table": block.table, "label": label}
        case Picture():
            content = base64.b64encode(block.content).decode()
            return {
                "kind": "picture",
                "media": block.media,
                "content": content,
                "alternative": block.alternative,
            }
    raise AssertionError(block)
