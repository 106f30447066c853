"""What a .pxp file says of how it was made: one JSON object, written and read with suspicion."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from pruneexp.storage.malformed import Malformed

MOST_BYTES = 2**20
MOST_DEPTH = 32  # objects and lists within each other
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # one without an end is looked at once


def written(notes: Mapping[str, Any]) -> bytes:
    """The notes as bytes; none at all take none. Raises ValueError where they would not be read."""
    if not notes:
        return b""
    content = json.dumps(notes, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    read(content)
    return content


def read(content: bytes) -> dict[str, Any]:
    """What `written` wrote; raises `Malformed`."""
    if not content:
        return {}
    if len(content) > MOST_BYTES:
        raise Malformed(f"notes of {len(content):,} bytes, where {MOST_BYTES:,} are the most")
    if _depth(content) > MOST_DEPTH:
        raise Malformed(f"notes nested more than {MOST_DEPTH} deep")
    try:
        notes = json.loads(
            content.decode(), object_pairs_hook=_once, parse_float=_finite, parse_constant=_no
        )
        json.dumps(notes, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError as error:
        raise Malformed(f"notes that are no JSON ({error})") from error
    if not isinstance(notes, dict):
        raise Malformed("notes that are no JSON object")
    return notes


def _depth(content: bytes) -> int:
    """Of brackets outside texts, before a parser recurses into them."""
    deepest = depth = 0
    for bracket in re.findall(rb"[][{}]", TEXT.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a key that comes twice")
    return unique


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no(text)


def _no(text: str) -> NoReturn:
    raise ValueError(f"{text} is no finite number")
