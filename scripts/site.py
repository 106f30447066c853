"""The documentation as a site: README, documents, published reports and every public name.

    make docs                       # into build/site; open build/site/index.html
    python -m scripts.site FOLDER   # somewhere else

Pages keep the places that they have in the repository, so that the links between them hold. A link
that leads nowhere, or a docstring that cannot be read, is an error.
"""

import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

import pruneexp

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "site"
SETTINGS = ROOT / "docs" / "conf.py"
# In the order of the sidebar; the rest of a folder follows by name.
GUIDES = ("choosing", "methods", "library", "commands", "extending", "presets", "imagenet")
BACKGROUND = ("architecture", "format", "log")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def stage(source: Path) -> None:
    """Put all pages, and the files that they link to, where Sphinx reads them."""
    shutil.rmtree(source, ignore_errors=True)
    pages = [ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md"]
    pages += sorted((ROOT / "docs").glob("*.md"))
    results = ROOT / "results" / "published"
    reports = sorted(results.glob("*/report.md"))
    pages += [results / "README.md", *sorted(results.glob("*/README.md")), *reports]
    for page in pages:
        _write(source, page.relative_to(ROOT), page.read_text())
    readme = (ROOT / "README.md").read_text()
    _write(source, Path("index.md"), readme, at=Path("README.md"), more=_contents())
    listing = source / "results" / "published" / "README.md"
    names = [f"{page.parent.name}/{page.stem}" for page in pages if page.parent.parent == results]
    listing.write_text(listing.read_text() + _tree(names))
    (source / "api.md").write_text(_names())
    shutil.copy(SETTINGS, source / "conf.py")


def _write(source: Path, path: Path, text: str, at: Path | None = None, more: str = "") -> None:
    """A page, and beside it the files that it links to."""
    target = source / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + more)
    for link in LINK.findall(text):
        linked = ((ROOT / (at or path)).parent / link).resolve()
        copy = source / linked.relative_to(ROOT)
        if linked.suffix != ".md" and linked.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(linked, copy)


def _contents() -> str:
    """What the sidebar lists."""
    parts = {
        "Guides": [f"docs/{name}" for name in GUIDES] + ["examples/README"],
        "Results": ["results/published/README"],
        "Reference": ["api", *(f"docs/{name}" for name in BACKGROUND), "CHANGELOG"],
    }
    return "".join(_tree(pages, caption) for caption, pages in parts.items())


def _tree(pages: list[str], caption: str = "") -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n\n```{toctree}\n" + "\n".join([*options, "", *pages]) + "\n```\n"


def _names() -> str:
    """A page of every public name with its docstring."""
    parts = ["# Public names", "", "What `import pruneexp` offers.", ""]
    for name in sorted(pruneexp.__all__):
        kind = "autoclass" if isinstance(getattr(pruneexp, name), type) else "autofunction"
        options = "\n   :members:" if kind == "autoclass" else ""
        parts += [f"```{{eval-rst}}\n.. {kind}:: pruneexp.{name}{options}\n```", ""]
    return "\n".join(parts)


def main() -> int:
    """Stage and build; the exit status of Sphinx."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD
    source = ROOT / "build" / "site-source"
    stage(source)
    quiet = ["-q", "-W", "--keep-going", "-d", str(ROOT / "build" / "doctrees")]
    status = build_main(["-b", "html", *quiet, str(source), str(target)])
    if status == 0:
        print(f"{target / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
