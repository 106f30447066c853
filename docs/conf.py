"""Settings of the site that `make docs` builds."""

import re
from importlib import metadata
from typing import Any

project = "pruneexp"
release = metadata.version("pruneexp")
html_title = f"pruneexp {release}"
html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # links such as extending.md#an-experiment
myst_enable_extensions = ["colon_fence"]
napoleon_custom_sections = [("Arguments", "params_style")]
autodoc_typehints = "description"
autodoc_member_order = "bysource"

BACKTICKS = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def _as_restructured(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Docstrings are written as Markdown: names between backticks, code indented by four."""
    out: list[str] = []
    code = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not code and out and not out[-1]:
            out += ["::", ""]
            code = True
        elif line and not indented:
            code = False
        out.append(line if code else BACKTICKS.sub(r"``\1``", line))
    lines[:] = out


def setup(app: Any) -> None:
    """Called by Sphinx. Napoleon reads what this leaves, so it comes first."""
    app.connect("autodoc-process-docstring", _as_restructured, priority=400)
