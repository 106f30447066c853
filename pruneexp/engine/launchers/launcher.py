"""What every launcher has: a recipe that starts the runs of a plan, and what it has started."""

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

    A launcher that lets one thread of this process do all the work::

        @dataclass(kw_only=True, slots=True)
        class InAThread(Launcher):
            word: ClassVar[str] = "thread"

            def start(self, store: Store, plan: Path, runs: Sequence[Run]) -> Started:
                return OneThread(store, plan)


        class OneThread(Started):
            workers = 1

            def __init__(self, store: Store, plan: Path) -> None:
                self.lines: list[str] = []
                self.asked_to_stop = Event()
                work_on = partial(
                    work,
                    store,
                    store.find_plan(str(plan)),
                    stop=self.asked_to_stop.is_set,
                    say=self.lines.append,
                )
                self.thread = Thread(target=work_on, daemon=True)
                self.thread.start()

            def tend(self) -> bool:
                return self.thread.is_alive()

            def said(self) -> list[str]:
                lines, self.lines[:] = list(self.lines), []
                return lines

            def stop(self) -> None:
                self.asked_to_stop.set()

            def kill(self) -> None:
                self.asked_to_stop.set()

    It becomes a choice by its entry in `OPTIONS` of `engine/launchers/__init__.py` and by
    `conf/hydra/launcher/thread.yaml`, which says `defaults: [base_thread]`.
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
