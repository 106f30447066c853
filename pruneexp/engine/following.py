"""A run as its loggers see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import distributed
from pruneexp.engine.run_folder import RunFolder
from pruneexp.loggers.follower import Follower
from pruneexp.loggers.logger import Followed
from pruneexp.training.fit import Stopped

PROJECT = "pruneexp"  # of runs whose experiment has no title
LOGS = "logs"  # in the results folder: what loggers keep of their own


@contextmanager
def following(run: Run, folder: RunFolder, say: Callable[[str], None]) -> Iterator[Follower]:
    """Inside, a run's loggers follow it; at all ranks but the first there are none."""
    followed = Followed(
        name=name(run),
        fingerprint=fingerprint(run),
        project=run.title or PROJECT,
        configuration=dict(flat(asked(run))),
        folder=run.store.folder(name(run)).path.parent.parent / LOGS,
    )
    names = run.logger if distributed.is_first() else []
    made = Follower(names, followed, folder.path, say=say)
    state = "failed"
    try:
        yield made
        state = "finished"
    except (Stopped, KeyboardInterrupt):
        state = "interrupted"
        raise
    finally:
        made.close(state)


def flat(plain: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by their full keys."""
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
