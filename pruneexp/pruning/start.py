"""Which weights a run begins with, and how long and how fast its own stage then is.

To add a start: a class here that says which file is loaded, or which runs must be there first, an
entry in `OPTIONS`, a YAML in conf/pruning/start/.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, added, demand, here
from pruneexp.engine import files

if TYPE_CHECKING:
    from torch import nn

    from pruneexp.config.run import Run
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.engine.store import Store
    from pruneexp.models import Model
    from pruneexp.pruning import Pruning
    from pruneexp.tasks.shape import Shape

WEIGHTS_OF = "weights"  # the role of the run whose weights a run begins with


@dataclass(kw_only=True, slots=True)
class Start(Recipe):
    """Where a run's first weights come from. This base is a fresh network.

    A start that needs other runs names them in `parents`, by role; they are trained first, and
    `load` finds them finished. What it must look up before it has a name (a checksum, a
    fingerprint) it looks up in `settled`, which is called once, after reading.
    """

    @property
    def is_settled(self) -> bool:
        """Whether it holds all that a run is named by."""
        return True

    def settled(self, store: "Store") -> "Start":
        """The same start with what its name depends on looked up. Raises `Invalid`."""
        return self

    def stage(self, steps: int) -> tuple[int, float]:
        """Steps of the run's own stage, from `training.steps`, and the factor on its rate."""
        return steps, 1.0

    @property
    def cycles(self) -> int:
        """How often the stage goes through the learning rate's decay."""
        return 1

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        """The runs that must be finished first, by role. `find` gives the finished run of a
        fingerprint."""
        return {}

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        """Put the first weights into a fresh network, which this base leaves as it is. Raises
        `Invalid` where that cannot be.

        Arguments:
            network: what the recipe `model` built.
            ancestors: the finished runs of `parents`, by role.
        """

    def misfits(self, model: "Model", shape: "Shape") -> Iterator[Fault]:
        """Why this network on this task cannot begin so; keys are under pruning."""
        yield from ()

    def label(self) -> str:
        """A word for a run's name; nothing for a fresh network."""
        return ""


@dataclass(kw_only=True, slots=True)
class Scratch(Start):
    """A fresh network: it is pruned inside one training. `training.steps` and
    `training.learning_rate` rule."""

    word: ClassVar[str] = "scratch"


@dataclass(kw_only=True, slots=True)
class Trained(Start):
    """What starts from trained weights has a stage of its own.

    Arguments:
        steps: of the stage; None is as many as training.steps, times `times`.
        times: see there.
        restarts: how often the stage goes through the decay of the rate, from its full value; as
            often as the schedule has rounds, each round of pruning is retrained in full.
        rate: factor on training.learning_rate (Zhu and Gupta 2017, section 4.1: a tenth).
    """

    steps: int | None = None
    rate: float = 0.1
    times: float = added(default=1.0, before=1.0)
    restarts: int = added(default=1, before=1)

    def __post_init__(self) -> None:
        demand(self, **self._rules())

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return {
            "steps": (self.steps is None or self.steps > 0, "a number of steps above 0, or null"),
            "rate": (self.rate > 0, "a factor above 0"),
            "restarts": (self.restarts > 0, "a number of 1 or more"),
            "times": (
                self.times > 0 and (self.steps is None or self.times == 1),
                "a multiple of training.steps above 0, where pruning.start.steps gives no number",
            ),
        }

    def stage(self, steps: int) -> tuple[int, float]:
        return self.steps or max(1, round(steps * self.times)), self.rate

    @property
    def cycles(self) -> int:
        return self.restarts

    def label(self) -> str:
        return f"from-{self.word}"


@dataclass(kw_only=True, slots=True)
class FromDense(Trained):
    """The trained dense model of the same configuration; it is trained first if it is missing."""

    word: ClassVar[str] = "dense"

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        return {WEIGHTS_OF: dense_of(run)}

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        ancestors[WEIGHTS_OF].load(network)


@dataclass(kw_only=True, slots=True)
class FromRun(Trained):
    """A finished run, whatever it was.

    Arguments:
        run: its name, its folder, or its fingerprint or the beginning of it.
        fingerprint: all twelve digits; looked up from `run`.
        step: begin with the weights that it had after so many steps; it is trained again if it
            did not keep that state. None: its final weights.
    """

    word: ClassVar[str] = "run"
    run: str = here("")
    fingerprint: str = ""
    step: int | None = None

    def _rules(self) -> dict[str, tuple[bool, str]]:
        named = bool(self.run or self.fingerprint)
        return {
            **Trained._rules(self),
            "run": (named, "a finished run's name, folder or fingerprint"),
            "step": (self.step is None or self.step >= 0, "a number of steps, or null"),
        }

    @property
    def is_settled(self) -> bool:
        return bool(self.fingerprint)

    def settled(self, store: "Store") -> "Start":
        if self.fingerprint:
            return self
        takes = "scratch, dense, torchvision:NAME, a finished run or a file of weights"
        return replace(self, fingerprint=finished(store, self.run, "pruning.start", takes))

    def parents(self, run: "Run", find: "Callable[[str], Run]") -> "dict[str, Run]":
        parent = find(self.fingerprint)
        if self.step is not None:
            parent = replace(parent, keep_steps=sorted({*parent.keep_steps, self.step}))
        return {WEIGHTS_OF: parent}

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        ancestors[WEIGHTS_OF].load(network, self.step)


@dataclass(kw_only=True, slots=True)
class FromFile(Trained):
    """A file of weights, safetensors or what torch saved, that holds no code.

    Arguments:
        file: its path.
        checksum: the first 16 hex digits of its SHA-256, which name the run; looked up.
    """

    word: ClassVar[str] = "file"
    file: str = here("")
    checksum: str = ""

    def _rules(self) -> dict[str, tuple[bool, str]]:
        named = bool(self.file or self.checksum)
        return {**Trained._rules(self), "file": (named, "a file of weights")}

    @property
    def is_settled(self) -> bool:
        return bool(self.checksum)

    def settled(self, store: "Store") -> "Start":
        if self.checksum:
            return self
        path = Path(self.file).expanduser()
        if not path.is_file():
            raise Invalid([Fault("pruning.start.file", f"={self.file}: there is no such file")])
        return replace(self, checksum=files.checksum_of(path)[:16])

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        from pruneexp.engine import initial_weights

        path = Path(self.file).expanduser()
        if not self.file:
            why = "must be given: the path of the file with the checksum "
            raise Invalid([Fault("pruning.start.file", why + self.checksum)])
        if not path.is_file() or files.checksum_of(path)[:16] != self.checksum:
            why = f"={path} is no longer the file that this run was named by ({self.checksum})"
            raise Invalid([Fault("pruning.start.file", why)])
        initial_weights.load(network, path)


@dataclass(kw_only=True, slots=True)
class FromTorchvision(Trained):
    """torchvision's published weights of the same network, such as IMAGENET1K_V1."""

    word: ClassVar[str] = "torchvision"
    weights: str  # the name of a set, such as IMAGENET1K_V1

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return {
            **Trained._rules(self),
            "weights": (bool(self.weights), "a name of weights, such as IMAGENET1K_V1"),
        }

    def load(
        self, network: "nn.Module", model: "Model", ancestors: "Mapping[str, Ancestor]"
    ) -> None:
        from pruneexp.engine import initial_weights

        key = "pruning.start.weights"
        path = initial_weights.torchvision_file(self.weights, model.torchvision, key)
        initial_weights.load(network, path, key)

    def misfits(self, model: "Model", shape: "Shape") -> Iterator[Fault]:
        if why := model.unlike_torchvision(self.weights, shape):
            yield Fault("start.weights", f"={self.weights}: {why}")


def made_for(run: "Run", pruning: "Pruning") -> "Run":
    """The run of the same configuration with another method that this one needs: it keeps its
    weights, and it learns from the labels alone, since a teacher is of the run that asked for
    it."""
    return replace(run.untaught(), pruning=pruning, keep="weights", keep_steps=[])


def dense_of(run: "Run") -> "Run":
    """The dense run of the same configuration, for one that needs it."""
    from pruneexp.pruning import Dense

    return made_for(run, Dense())


def finished(store: "Store", reference: str, key: str, takes: str) -> str:
    """The fingerprint of a finished run that is named by its name, folder or fingerprint. Raises
    `Invalid` where there is none, or several.

    Arguments:
        key, takes: the setting that names it, and what that takes.
    """
    candidates = store.search(reference)
    if len(candidates) == 1 and candidates[0].status() == "finished":
        return candidates[0].fingerprint
    why = f"there is no such run in {store.runs}"
    if candidates:
        why = "; ".join(f"{folder.path.name} is {folder.status()}" for folder in candidates)
    raise Invalid([Fault(key, f"takes {takes}, got {reference}: {why}")])


OPTIONS: tuple[type[Start], ...] = (Scratch, FromDense, FromRun, FromFile, FromTorchvision)
