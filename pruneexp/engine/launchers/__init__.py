"""Launchers: where the runs of a sweep go on. `hydra/launcher=WORD` chooses one of them."""

from pruneexp.engine.launchers.launcher import Launcher, Started, worker_command
from pruneexp.engine.launchers.local import Local

__all__ = ["OPTIONS", "Launcher", "Local", "Started", "worker_command"]

OPTIONS: tuple[type[Launcher], ...] = (Local,)
