"""Text from records, plans and settings as each kind of output takes it: one function a kind.

All of them take out what `printable` takes out, so that no file of a report holds an order to a
terminal; each then escapes what its own format would obey.
"""

import html
from typing import Any

from pruneexp.printable import one_line, printable

LATEX = str.maketrans(
    {
        **{sign: "\\" + sign for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "≈": r"$\approx$",
        "−": "$-$",
        "–": "--",
    }
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula's beginning


def for_html(text: str) -> str:
    """Within an element or a quoted attribute."""
    return html.escape(printable(text))


def for_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = one_line(text)
    for sign in "\\`*<|[":
        text = text.replace(sign, "\\" + sign)
    return text


def for_latex(text: str) -> str:
    """Within a cell or a caption, on one line."""
    return one_line(text).translate(LATEX)


def for_csv(value: Any) -> Any:
    """A cell. Text that a spreadsheet would take for a formula gets an apostrophe before it, which
    the spreadsheet does not show; numbers stay as they are."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text
