"""From YAML and overrides to a typed `Run`, and from a `Run` to its name, its folder, its parent.

`OPTIONS` is the one table of everything that can be chosen; Hydra's schemas, the reader and
`restore` all come from it. Nothing passes beyond `read` but plain dataclasses.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_origin

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from pruneexp import files, models, pruning, quantisation, tasks, training
from pruneexp.pruning import allocation, schedule, scope
from pruneexp.quantisation import Quantisation
from pruneexp.recipe import (
    Fault,
    Invalid,
    Recipe,
    asked,
    demand,
    digest,
    either,
    filled,
    finite,
    here,
    is_part,
    no_key,
    show,
)
from pruneexp.store import Store
from pruneexp.training import decay, optimiser

# A checkout keeps the YAML beside the package, a wheel inside it.
CONF = next(
    folder
    for folder in (Path(__file__).parent / "conf", Path(__file__).parent.parent / "conf")
    if folder.is_dir()
)

OPTIONS: dict[str, tuple[type[Recipe], ...]] = {
    "task": tasks.OPTIONS,
    "model": models.OPTIONS,
    "training": training.OPTIONS,
    "training/optimiser": optimiser.OPTIONS,
    "training/decay": decay.OPTIONS,
    "pruning": pruning.OPTIONS,
    "pruning/schedule": schedule.OPTIONS,
    "pruning/scope": scope.OPTIONS,
    "pruning/criterion": pruning.CRITERIA,
    "pruning/allocation": allocation.OPTIONS,
    "quantisation": quantisation.OPTIONS,
}

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
# A start that names its weights already.
SETTLED = re.compile(r"scratch|dense|run:[0-9a-f]{12}|file:[0-9a-f]{16}|torchvision:.*")


@dataclass(kw_only=True, slots=True)
class Run(Recipe):
    """One configuration, whole: everything a run is named by, and where it happens."""

    task: tasks.Task
    model: models.Model
    training: training.Training
    pruning: pruning.Pruning
    # As of a field that was `added`: runs made before it rounded nothing.
    quantisation: Quantisation = field(
        default_factory=Quantisation, metadata={"before": Quantisation()}
    )
    seed: int = 0
    title: str = here("")  # of the experiment's report
    keep: str = here("weights")  # weights or none, once the run is finished
    device: str = here("auto")
    results: str = here("results")
    workers: int = here(0)  # runs of a sweep side by side; 0: as many as pay
    dry_run: bool = here(False)
    format: str = here("table")

    def __post_init__(self) -> None:
        demand(
            self,
            *_misfits(self.model, self.task, self.pruning),
            *_unrounded(self.quantisation, self.training),
            model=(_fits(self.model, self.task), f"{_networks(self.task)} with this task"),
            seed=(self.seed >= 0, "a whole number of 0 or more"),
            keep=(self.keep in ("weights", "none"), "weights or none"),
            device=(
                DEVICE.fullmatch(self.device) is not None,
                "auto, cpu, cuda, cuda:N or mps",
            ),
            workers=(self.workers >= 0, "a number of processes, 0 for as many as pay"),
            format=(self.format in ("table", "json"), "table or json"),
        )

    @property
    def store(self) -> Store:
        return Store(Path(self.results))

    @property
    def stage(self) -> tuple[int, float]:
        """Steps of this run's own stage and the factor on its learning rate."""
        return (self.quantisation or self.pruning).stage(self.training.steps)

    @property
    def steps(self) -> int:
        return self.stage[0]


def _fits(model: models.Model | None, task: tasks.Task | None) -> bool:
    """Whether the network takes what the task gives; not asked where one of them is at fault."""
    return model is None or task is None or _kind(task) in model.takes


def _misfits(
    model: models.Model | None, task: tasks.Task | None, pruned: pruning.Pruning | None
) -> Iterator[Fault]:
    """What the parts, each right by itself, cannot be together."""
    if model is None or task is None or not _fits(model, task):
        return
    shape = task.shape()
    yield from (fault.under("model") for fault in model.misfits(shape))
    start, _, weights = (pruned.starts_from if pruned else "").partition(":")
    why = model.unlike_torchvision(weights, shape) if start == "torchvision" else ""
    if why:
        yield Fault("pruning.start", f"=torchvision:{weights}: {why}")


def _unrounded(last: Quantisation | None, given: training.Training | None) -> Iterator[Fault]:
    if last and given and last.word == "aware" and given.average is not None:
        why = f"takes null with quantisation=aware, got {given.average:g}"
        yield Fault("training.average", f"{why}: an average of rounded weights is not rounded")


def _networks(task: tasks.Task | None) -> str:
    fitting = [] if task is None else [m.word for m in models.OPTIONS if _kind(task) in m.takes]
    return either(fitting)


def _kind(task: tasks.Task) -> type:
    return type(task.shape())


def fingerprint(run: Run) -> str:
    return digest(asked(run))


def name(run: Run) -> str:
    """A run's folder: words for people, the fingerprint for everything else."""
    last = f"-{run.quantisation.label()}" if run.quantisation else ""
    words = f"{run.model.label()}-{run.task.word}-{run.pruning.label()}{last}-seed{run.seed}"
    return re.sub(r"[^\w.-]+", "_", words)[:150] + f"-{fingerprint(run)}"


def parent(run: Run) -> Run | None:
    """The run whose weights this one starts from: the same question without its last stage."""
    if run.quantisation:
        return replace(run, quantisation=Quantisation(), keep="weights")
    start, _, reference = run.pruning.starts_from.partition(":")
    if start == "dense":
        return replace(run, pruning=pruning.Dense(), keep="weights")
    if start == "run":
        found = restore(run.store.find(reference).record_or_fail().configuration)
        return replace(
            found,
            results=run.results,
            device=run.device,
            task=_there(found.task, run.task),
            training=_there(found.training, run.training),
        )
    return None


def _there(found: Any, given: Recipe) -> Any:
    """`found`, where and as fast as `given` says: a record does not hold that."""
    if type(found) is not type(given):
        return found
    names = [item.name for item in fields(found) if item.metadata.get("here")]
    return replace(found, **{name: getattr(given, name) for name in names})


# --- reading -----------------------------------------------------------------------------------


def register() -> None:
    """Tell Hydra the type of every option: base_<word> in its group."""
    configurations = ConfigStore.instance()
    configurations.store(name="base_run", node=_schema(Run))
    for group, options in OPTIONS.items():
        for option in options:
            configurations.store(group=group, name=f"base_{option.word}", node=_schema(option))


def _schema(recipe: type[Recipe]) -> DictConfig:
    """A recipe's fields and types. Parts stay open: the defaults list chooses them. A part with a
    default would leave its keys behind when another option is merged over it. A dictionary takes
    any key, so that `at_most={fc.weight: 0.8}` needs no plus sign."""
    node = OmegaConf.structured(recipe)
    for item in fields(recipe):
        if is_part(item.type):
            node.__dict__["_content"][item.name] = DictConfig("???", key=item.name, parent=node)
        elif get_origin(item.type) is dict:
            OmegaConf.set_struct(node._get_node(item.name), False)
    return node


def read(node: DictConfig) -> Run:
    """The composed configuration as a `Run`. Raises `Invalid` with all faults at once."""
    faults: list[Fault] = []
    run = _read(node, "", faults)
    if faults:
        raise Invalid(faults)
    assert isinstance(run, Run)
    return _settle_start(run)


def _read(node: DictConfig, prefix: str, faults: list[Fault]) -> Recipe | None:
    """A recipe and its parts, or None with its faults added. Where a part is at fault, a stand-in
    lets the recipe's own fields be checked all the same."""
    recipe: Any = OmegaConf.get_type(node)
    if not is_part(recipe) or (prefix and not recipe.word):
        faults.append(Fault(prefix, "takes one of the options of its group; this YAML names none"))
        return None
    values: dict[str, Any] = {}
    before = len(faults)
    known = [item.name for item in fields(recipe)]
    full = {name: f"{prefix}.{name}" if prefix else name for name in [*known, *map(str, node)]}
    faults += [no_key(full[str(name)], known) for name in node if name not in [*known, "hydra"]]
    for item in fields(recipe):
        key = full[item.name]
        if OmegaConf.is_missing(node, item.name):
            faults.append(Fault(key, "must be given"))
            continue
        value = node[item.name]
        if is_part(item.type):
            values[item.name] = _read(value, key, faults) or _stand_in(item)
        elif isinstance(value, DictConfig | ListConfig):
            values[item.name] = OmegaConf.to_container(value, resolve=True)
        else:
            faults += finite(key, value)
            values[item.name] = value
    complete = len(faults) == before
    try:
        made: Recipe = recipe(**values)
    except Invalid as invalid:
        faults.extend(fault.under(prefix) for fault in invalid.faults)
        return None
    except TypeError:
        if complete:
            raise
        return None  # a field that must be given is not there, and that has been said
    return made if complete else None


def _stand_in(item: Field[Any]) -> Any:
    return None if item.default_factory is MISSING else item.default_factory()


def _settle_start(run: Run) -> Run:
    """Turn a file or a run that pruning starts from into what names it: checksum, fingerprint."""
    if not isinstance(run.pruning, pruning.Gradual):
        return run
    start = run.pruning.start
    if SETTLED.fullmatch(start):
        return run
    path = Path(start)
    if path.is_file():
        settled = f"file:{files.checksum_of(path)[:16]}"
        return replace(run, pruning=replace(run.pruning, start=settled, start_path=start))
    found = run.store.search(start.removeprefix("run:"))
    if len(found) == 1 and found[0].status() == "finished":
        start = f"run:{found[0].fingerprint}"
        return replace(run, pruning=replace(run.pruning, start=start))
    why = f"there is no such file, and no such run in {run.store.runs}"
    if found:
        why = "; ".join(f"{folder.path.name} is {folder.status()}" for folder in found)
    raise Invalid([Fault("pruning.start", f"takes {pruning.STARTS}, got {show(start)}: {why}")])


def restore(data: dict[str, Any]) -> Run:
    """The run that `asked` wrote down, with what an old record could not know filled in."""
    made = _restore(Run, "", data)
    assert isinstance(made, Run)
    return made


def _restore(recipe: type[Recipe], group: str, data: dict[str, Any]) -> Recipe:
    values = filled(recipe, data)
    for item in fields(recipe):
        if is_part(item.type) and item.name in data:
            part = data[item.name]
            inner = f"{group}/{item.name}" if group else item.name
            values[item.name] = _restore(_option(inner, part["option"]), inner, part)
    return recipe(**values)


def _option(group: str, word: str) -> type[Recipe]:
    return next(option for option in OPTIONS[group] if option.word == word)
