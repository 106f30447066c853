"""Importing torch quickly."""

import gc
import sys


def import_torch() -> None:
    """Import torch, if it is not there yet, with Python's garbage collector paused, and keep the
    collector from what there is then. The import makes very many objects, all of which stay:
    looking through them again and again costs a sixth of the import, and once more a quarter of a
    second when the process ends."""
    if "torch" in sys.modules:
        return
    was_on = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401 - for those that import it next
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
