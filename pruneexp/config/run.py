"""One configuration, whole, as a typed `Run`; its fingerprint and its name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pruneexp import loggers, models, tasks, training
from pruneexp.config import amounts
from pruneexp.config.recipe import Fault, Recipe, added, asked, demand, digest, either, here
from pruneexp.distillation import Distillation
from pruneexp.engine.store import Store
from pruneexp.pruning import Pruning
from pruneexp.quantisation import Quantisation

NO_TEACHER = Distillation()  # what runs had before there was a choice
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(kw_only=True, slots=True)
class Run(Recipe):
    """One configuration, whole: everything that a run is named by, and where it happens.

        run = Run(task=Glyphs(), model=MobileNetV1(), training=Training(), pruning=Gradual())
        record = pruneexp.execute(run)

    Arguments:
        task, model, training, pruning: what is learned by which network, how long and how fast,
            and how it is pruned.
        quantisation: a last stage with fewer bits a value; none by default.
        distillation: a teacher beside the labels; none by default.
        budget: what the packed file may take, such as 200kB, instead of a sparsity or, for a dense
            run, of a width or hidden size.
        nonzero: how many weights may be kept, such as 50k, likewise.
        seed: governs first weights, order of examples and all other draws.
        title: of the experiment's report.
        keep: weights or none, once the run is finished.
        keep_steps: after which steps the whole state is kept.
        logger: programs that show the run while it trains: tensorboard, wandb, mlflow, trackio.
        device: auto, cpu, cuda, cuda:N or mps.
        results: the folder of all runs, plans and reports.
        trust: whether the runs that this one starts from may import Python that their records name.
        workers: runs of a sweep side by side; 0 is as many as pay.
        hours: after which a sweep stops, to go on with the same command; 0 is as long as it takes.
        dry_run: say what would run and what it weighs, and run nothing.
        format: table or json, of what the command line prints.
    """

    task: tasks.Task
    model: models.Model
    training: training.Training
    pruning: Pruning
    quantisation: Quantisation = field(default_factory=Quantisation)
    distillation: Distillation = field(
        default_factory=Distillation, metadata={"before": NO_TEACHER}
    )
    # Both are taken up by `engine.lineage.settle`; a settled run has neither.
    budget: str = added(default="", before="")
    nonzero: str = added(default="", before="")
    seed: int = 0
    title: str = here("")  # of the experiment's report
    keep: str = here("weights")  # weights or none, once the run is finished
    # Steps of the stage after which the whole state is kept, for runs that begin there.
    keep_steps: list[int] = field(default_factory=list, compare=False, metadata={"here": True})
    # Programs that show the run while it trains (`loggers.LOGGERS`).
    logger: list[str] = field(default_factory=list, compare=False, metadata={"here": True})
    device: str = here("auto")
    results: str = here("results")
    trust: bool = here(False)  # Python that the records of parents name
    workers: int = here(0)  # runs of a sweep side by side; 0: as many as pay
    hours: float = here(0.0)  # after which a sweep stops; 0: as long as it takes
    dry_run: bool = here(False)
    format: str = here("table")

    def __post_init__(self) -> None:
        demand(
            self,
            *_misfits(self.model, self.task, self.pruning, self.distillation),
            *_unrounded(self.quantisation, self.training),
            *_amounts(self.budget, self.nonzero),
            model=(_fits(self.model, self.task), f"{_networks(self.task)} with this task"),
            seed=(self.seed >= 0, "a whole number of 0 or more"),
            results=(self.results != "", "the name of a folder"),
            keep=(self.keep in ("weights", "none"), "weights or none"),
            device=(
                DEVICE.fullmatch(self.device) is not None,
                "auto, cpu, cuda, cuda:N or mps",
            ),
            keep_steps=self._keep_steps_rule(),
            logger=loggers.takes(self.logger),
            workers=(self.workers >= 0, "a number of processes, 0 for as many as pay"),
            hours=(0 <= self.hours < 1e6, "a number of hours, 0 for as long as it takes"),
            format=(self.format in ("table", "json"), "table or json"),
        )

    def _keep_steps_rule(self) -> tuple[bool, str]:
        most = self.steps if self.training and self.pruning else 0
        whole = all(type(step) is int and step >= 0 for step in self.keep_steps)
        within = not most or all(step <= most for step in self.keep_steps)
        return whole and within, f"a list of steps from 0 to {most}"

    def untaught(self) -> "Run":
        """The same run without a teacher."""
        return replace(self, distillation=Distillation())

    @property
    def store(self) -> Store:
        """The run folders, plans and reports under `results`."""
        return Store(Path(self.results).expanduser())

    @property
    def last(self) -> Pruning | Quantisation:
        """What the run's own stage does: it quantises, or else prunes (or leaves dense)."""
        return self.quantisation if self.quantisation.active else self.pruning

    @property
    def stage(self) -> tuple[int, float]:
        """Steps of this run's own stage and the factor on its learning rate."""
        return self.last.stage(self.training.steps)

    @property
    def steps(self) -> int:
        """Optimiser steps of this run's own stage."""
        return self.stage[0]


def _fits(model: models.Model | None, task: tasks.Task | None) -> bool:
    """Whether the network takes what the task gives; not asked where one of them is at fault."""
    return model is None or task is None or model.fits(task.shape())


def _misfits(
    model: models.Model | None,
    task: tasks.Task | None,
    pruned: Pruning | None,
    taught: Distillation | None,
) -> Iterator[Fault]:
    """What the parts, each right by itself, cannot be together."""
    if model is None or task is None or not _fits(model, task):
        return
    shape = task.shape()
    yield from (fault.under("model") for fault in model.misfits(shape))
    if pruned is not None:
        yield from (fault.under("pruning") for fault in pruned.misfits(model, shape))
    if taught is not None:
        yield from (fault.under("distillation") for fault in taught.misfits(model, shape))


def _amounts(budget: str, nonzero: str) -> Iterator[Fault]:
    """What is wrong with the words of a budget."""
    if budget and nonzero:
        yield Fault("nonzero", f"takes nothing beside budget={budget}; give one of them")
    readers = (("budget", budget, amounts.bytes_of), ("nonzero", nonzero, amounts.count_of))
    for key, text, read in readers:
        try:
            if text:
                read(text)
        except ValueError as error:
            yield Fault(key, str(error))


def _unrounded(last: Quantisation | None, given: training.Training | None) -> Iterator[Fault]:
    if last is None or given is None or given.average is None:
        return
    if last.word == "aware":
        why = f"takes null with quantisation=aware, got {given.average:g}"
        yield Fault("training.average", f"{why}: an average of rounded weights is not rounded")


def _networks(task: tasks.Task | None) -> str:
    fitting = [] if task is None else [m.word for m in models.OPTIONS if m.fits(task.shape())]
    return either(fitting)


def fingerprint(run: Run) -> str:
    """Twelve hex digits over what is asked for, and nothing of where or how fast."""
    return digest(asked(run))


def name(run: Run) -> str:
    """A run's folder: words for people, the fingerprint for everything else. Only a settled run
    has one (`engine.lineage.settle`)."""
    if not run.pruning.starts_from.is_settled:
        raise ValueError("the run has no name yet: engine.lineage.settle(run) looks up its start")
    last = f"-{run.quantisation.label()}" if run.quantisation.active else ""
    taught = f"-{run.distillation.label()}" if run.distillation.active else ""
    method = f"{run.pruning.label()}{taught}{last}"
    words = f"{run.model.label()}-{run.task.label()}-{method}-seed{run.seed}"
    return re.sub(r"[^\w.-]+", "_", words)[:150] + f"-{fingerprint(run)}"
