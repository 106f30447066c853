"""Recipes of learning from a teacher: a finished model whose chances of the classes are matched
beside the labels of the data (Hinton, Vinyals and Dean 2015). Dense and sparse models learn so
alike.

To add one: a class here that names the teacher's run in `parents`, an entry in `OPTIONS`, a YAML in
conf/distillation/.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, demand, here
from pruneexp.pruning.start import dense_of, finished

if TYPE_CHECKING:
    import torch

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.models import Model
    from pruneexp.tasks.shape import Shape
    from pruneexp.training.teacher import Teacher

TEACHER = "teacher"  # the role of the run that teaches


@dataclass(kw_only=True, slots=True)
class Distillation(Recipe):
    """No teacher, and the base of all ways to have one."""

    word: ClassVar[str] = "none"

    @property
    def active(self) -> bool:
        """Whether there is a teacher."""
        return False

    def settled(self, store: "Store") -> "Distillation":
        """The same with what a run's name depends on looked up. Raises `Invalid`."""
        return self

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        """The run that teaches, under the role "teacher"; none where there is none. `find` gives
        the finished run of a fingerprint."""
        return {}

    def misfits(self, model: "Model", shape: "Shape") -> Iterator[Fault]:
        """Why nothing can be taught on this task; keys are under distillation."""
        yield from ()

    def teacher(
        self, ancestors: "Mapping[str, Ancestor]", device: "torch.device"
    ) -> "Teacher | None":
        """The trained network that teaches, and how; None where there is none, as in a last stage
        that rounds, which learns from the labels alone."""
        return None

    def label(self) -> str:
        """A few letters for a run's name; nothing without a teacher."""
        return ""


@dataclass(kw_only=True, slots=True)
class DenseTeacher(Distillation):
    """The teacher is the trained dense model of the same configuration; it is trained first if it
    is missing. A model that begins with that model's weights learns from what it began as.

    Arguments:
        size: the teacher's width or hidden size, or what `model.dial` names; null for the run's
            own. With it, dense models of any size learn from the same teacher as sparse ones.
        temperature: both models' scores are divided by it before they become chances.
        share: of the loss that is the teacher's; the rest is the labels'.
    """

    word: ClassVar[str] = "dense"
    size: float | None = None
    temperature: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        demand(self, **self._rules())

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return {
            "temperature": (0 < self.temperature <= 1000, "a number above 0, at most 1000"),
            "share": (0 < self.share <= 1, "a number above 0, at most 1"),
            "size": (self.size is None or self.size > 0, "a number above 0, or null"),
        }

    @property
    def active(self) -> bool:
        return True

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        dense = dense_of(run)
        if self.size is not None:
            dial = run.model.size_dial()
            size = int(self.size) if dial is not None and dial.is_whole else self.size
            dense = replace(dense, model=run.model.resized(size))
        return {TEACHER: dense}

    def misfits(self, model: "Model", shape: "Shape") -> Iterator[Fault]:
        if not shape.gives_classes:
            why = "needs a task of classes, whose scores a teacher gives; choose distillation=none"
            yield Fault("", why)
        if self.size is None:
            return
        dial = model.size_dial()
        if dial is None:
            why = "takes null with this model, which has no setting of its size (model.dial)"
            yield Fault("size", f"{why}, got {self.size:g}")
        elif self.size > dial.most or (dial.is_whole and self.size % 1):
            whole = "a whole number" if dial.is_whole else "a number"
            yield Fault("size", f"takes {whole} of at most {dial.most:g}, got {self.size:g}")

    def teacher(
        self, ancestors: "Mapping[str, Ancestor]", device: "torch.device"
    ) -> "Teacher | None":
        if TEACHER not in ancestors:
            return None
        from pruneexp.training.teacher import Teacher

        network = ancestors[TEACHER].network().to(device)
        return Teacher(network, temperature=self.temperature, share=self.share)

    def label(self) -> str:
        return f"taught{'' if self.size is None else f'{self.size:g}'}"


@dataclass(kw_only=True, slots=True)
class RunTeacher(DenseTeacher):
    """The teacher is a finished run, whatever it was, on the same task.

    Arguments:
        run: its name, its folder, or its fingerprint or the beginning of it.
        fingerprint: all twelve digits; looked up from `run`.
        temperature, share: as for the dense model.
    """

    word: ClassVar[str] = "run"
    run: str = here("")
    fingerprint: str = ""

    def _rules(self) -> dict[str, tuple[bool, str]]:
        named = bool(self.run or self.fingerprint)
        return {
            **DenseTeacher._rules(self),
            "run": (named, "a finished run's name, folder or fingerprint"),
            "size": (self.size is None, "null with a run, which has its own"),
        }

    def settled(self, store: "Store") -> Distillation:
        if self.fingerprint:
            return self
        found = finished(store, self.run, "distillation.run", "a finished run")
        return replace(self, fingerprint=found)

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        teacher = find(self.fingerprint)
        if teacher.task.shape() != run.task.shape():
            why = "was trained on another task, whose classes or sizes are not this one's"
            raise Invalid([Fault("distillation.run", f"={self.fingerprint} {why}")])
        return {TEACHER: teacher}

    def label(self) -> str:
        return f"taught-{self.fingerprint[:6]}"


OPTIONS: tuple[type[Distillation], ...] = (Distillation, DenseTeacher, RunTeacher)
