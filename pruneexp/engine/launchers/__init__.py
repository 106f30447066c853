"""Launchers: where the runs of a sweep go on. `hydra/launcher=WORD` chooses one of them."""

from pruneexp.engine.launchers.launcher import Launcher, Started
from pruneexp.engine.launchers.local import Local

__all__ = ["OPTIONS", "Launcher", "Local", "Started"]

OPTIONS: tuple[type[Launcher], ...] = (Local,)
