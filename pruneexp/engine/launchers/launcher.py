"""What every launcher has: a recipe that starts the runs of a plan, and what it has started."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pruneexp.config.recipe import Recipe
from pruneexp.config.run import Run
from pruneexp.engine.store import Store


class Started(ABC):
    """Workers that a launcher has started over one plan. The sweep that started them looks after
    them through these four methods until `tend` returns False.

    What a run does is told by its folder, not by this object: a worker anywhere that calls
    `engine.work.work` holds a run's folder while it trains and leaves progress, record or failure
    in it.
    """

    workers: int  # how many runs go on side by side; the time left is guessed from it

    @abstractmethod
    def tend(self) -> bool:
        """Look after the workers, such as replacing one that died. It is called several times a
        second and must not wait. Returns False once every worker has left."""

    @abstractmethod
    def said(self) -> Iterable[str]:
        """The lines that workers have written for the user since the last call."""

    @abstractmethod
    def stop(self) -> None:
        """Ask every worker to write its checkpoint and leave. It is called once, and `tend` is
        called on until the last one has left."""

    @abstractmethod
    def kill(self) -> None:
        """End every worker at once, since the sweep itself is ending. Runs go on later from their
        last checkpoints."""


@dataclass(kw_only=True, slots=True)
class Launcher(Recipe):
    """Where the runs of a sweep go on. The fields of a launcher are its keys under
    `hydra.launcher`, and `hydra/launcher=WORD` chooses it.

    A launcher of one process that leaves the machine to others::

        @dataclass(kw_only=True, slots=True)
        class Nice(Launcher):
            word: ClassVar[str] = "nice"
            by: int = 19  # as `nice` counts

            def start(self, store: Store, plan: Path, runs: Sequence[Run]) -> Started:
                return OneProcess(["nice", "-n", str(self.by), *worker_command(store, plan)])


        class OneProcess(Started):
            workers = 1

            def __init__(self, command: list[str]) -> None:
                self.process = subprocess.Popen(command)

            def tend(self) -> bool:
                return self.process.poll() is None

            def said(self) -> list[str]:
                return []  # it writes to the terminal itself

            def stop(self) -> None:
                self.process.terminate()

            def kill(self) -> None:
                self.process.kill()

    It becomes a choice by its entry in `OPTIONS` of `engine/launchers/__init__.py` and by
    `conf/hydra/launcher/nice.yaml`, which says `defaults: [base_nice]`.
    """

    def start(self, store: Store, plan: Path, runs: Sequence[Run]) -> Started:
        """Start workers over a plan, and return without waiting for them.

        Arguments:
            store: where the runs' folders are.
            plan: the plan's file; each worker takes runs of it with `engine.work.work`.
            runs: the runs that are not finished, one or more, to decide how many workers are worth
                starting and what each of them needs.

        Raises `Invalid` where the launcher cannot start anything.
        """
        raise NotImplementedError(f"{type(self).__name__} has no start")


def worker_command(store: Store, plan: Path) -> list[str]:
    """The command of one worker, here or on any machine that sees the results folder. SIGTERM asks
    it to write its checkpoint and leave; its lines for the user go to standard error. With the
    further word `--attached` it also leaves when its standard input closes. It trusts the Python
    that the plan names, since the plan was just composed on the command line."""
    work = ["work", str(plan), "--results", str(store.results), "--trust"]
    return [sys.executable, "-m", "pruneexp", *work]
