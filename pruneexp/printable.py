"""Text from files, names and errors, fit to be printed: the one function that all of it passes
through on its way to a terminal, a table or a page."""

import re

# Control characters, among them the escape that begins a terminal's commands; what hides text or
# turns its direction; halves of a character; line breaks that editors show and tools do not count.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
    """The text with a question mark for every character that is an order to a terminal, hides
    others or is none. Line ends and tabs stay.

    >>> printable("plain \\x1b[31mred")
    'plain ?[31mred'
    """
    return _UNPRINTABLE.sub("?", text)


def one_line(text: str) -> str:
    """The same, without line ends and tabs."""
    return " ".join(printable(text).split())
