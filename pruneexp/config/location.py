"""Where the YAML of the package lies."""

from pathlib import Path

# A checkout keeps the YAML beside the package, a wheel inside it.
PACKAGE = Path(__file__).parent.parent
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
