"""Values that Hydra's grammar cannot read but whose meaning is plain, such as a path with `~` or
`ü`, put into the quotes that it asks for."""

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def quoted(overrides: list[str]) -> list[str]:
    """Each override as it is where Hydra can read it, else with its value in quotes."""
    parser = OverridesParser.create()
    return [_quoted(parser, override) for override in overrides]


def _quoted(parser: OverridesParser, override: str) -> str:
    try:
        parser.parse_override(override)
    except HydraException:
        key, equals, value = override.partition("=")
        if equals and not re.search(r"['\"\[\]{}()\\]", value):
            return f"{key}=" + ",".join(in_quotes(part) for part in value.split(","))
    return override


def in_quotes(text: str) -> str:
    """A text as a quoted value of Hydra's grammar."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
