"""From YAML and overrides to a typed `Run`, and from a `Run` to its name, its folder, its parent.

`OPTIONS` is the one table of everything that can be chosen; Hydra's schemas, the reader and
`restore` all come from it. Nothing passes beyond `read` but plain dataclasses.
"""

import re
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from pruneexp import files, models, pruning, tasks, training
from pruneexp.pruning import allocation, schedule, scope
from pruneexp.recipe import Fault, Invalid, Recipe, asked, demand, digest, filled, here, show
from pruneexp.store import Store

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
    "training/optimiser": training.OPTIMISERS,
    "training/decay": training.DECAYS,
    "pruning": pruning.OPTIONS,
    "pruning/schedule": schedule.OPTIONS,
    "pruning/scope": scope.OPTIONS,
    "pruning/criterion": pruning.CRITERIA,
    "pruning/allocation": allocation.OPTIONS,
}

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(kw_only=True, slots=True)
class Run(Recipe):
    """One configuration, whole: everything a run is named by, and where it happens."""

    task: tasks.Task
    model: models.Model
    training: training.Training
    pruning: pruning.Pruning
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
    def steps(self) -> int:
        """Of this run's own stage."""
        return self.pruning.stage(self.training.steps)[0]


def fingerprint(run: Run) -> str:
    return digest(asked(run))


def name(run: Run) -> str:
    """A run's folder: words for people, the fingerprint for everything else."""
    words = f"{run.model.label()}-{run.task.word}-{run.pruning.label()}-seed{run.seed}"
    return re.sub(r"[^\w.-]+", "_", words) + f"-{fingerprint(run)}"


def parent(run: Run) -> Run | None:
    """The run whose weights this one starts from: the same question without its last stage."""
    start, _, reference = run.pruning.starts_from.partition(":")
    if start == "dense":
        return replace(run, pruning=pruning.Dense(), keep="weights")
    if start == "run":
        found = restore(run.store.find(reference).record_or_fail().configuration)
        return replace(found, results=run.results, device=run.device, training=_as_fast(found, run))
    return None


def _as_fast(found: Run, run: Run) -> training.Training:
    given = {
        item.name: getattr(run.training, item.name)
        for item in fields(training.Training)
        if item.metadata.get("here")
    }
    return replace(found.training, **given)


# --- reading -----------------------------------------------------------------------------------


def register() -> None:
    """Tell Hydra the type of every option: base_<word> in its group."""
    configurations = ConfigStore.instance()
    configurations.store(name="base_run", node=_schema(Run))
    for group, options in OPTIONS.items():
        for option in options:
            configurations.store(group=group, name=f"base_{option.word}", node=_schema(option))


def _schema(recipe: type[Recipe]) -> DictConfig:
    """A recipe's fields and types. Parts stay open: the defaults list chooses them."""
    node = OmegaConf.structured(recipe)
    for item in fields(recipe):
        if isinstance(item.type, type) and issubclass(item.type, Recipe):
            node[item.name] = "???"
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
    recipe = OmegaConf.get_type(node)
    assert isinstance(recipe, type) and issubclass(recipe, Recipe), (prefix, recipe)
    values: dict[str, Any] = {}
    before = len(faults)
    for item in fields(recipe):
        key = f"{prefix}.{item.name}" if prefix else item.name
        if OmegaConf.is_missing(node, item.name):
            faults.append(Fault(key, "must be given"))
            continue
        value = node[item.name]
        if isinstance(value, DictConfig) and OmegaConf.get_type(value) is not dict:
            values[item.name] = _read(value, key, faults)
        elif isinstance(value, DictConfig | ListConfig):
            values[item.name] = OmegaConf.to_container(value, resolve=True)
        else:
            values[item.name] = value
    if len(faults) > before and (_holds_parts(recipe) or None in values.values()):
        return _without_parts(recipe, values, prefix, faults)
    return _make(recipe, values, prefix, faults)


def _make(
    recipe: type[Recipe], values: dict[str, Any], prefix: str, faults: list[Fault]
) -> Recipe | None:
    try:
        return recipe(**values)
    except Invalid as invalid:
        faults.extend(fault.under(prefix) for fault in invalid.faults)
    except TypeError:  # a field that must be given is not there, and has been said
        assert faults, recipe
    return None


def _holds_parts(recipe: type[Recipe]) -> bool:
    return any(isinstance(f.type, type) and issubclass(f.type, Recipe) for f in fields(recipe))


def _without_parts(
    recipe: type[Recipe], values: dict[str, Any], prefix: str, faults: list[Fault]
) -> None:
    """A part is at fault; check the recipe's own fields all the same, with its default parts."""
    for item in fields(recipe):
        if isinstance(item.type, type) and issubclass(item.type, Recipe):
            if item.default_factory is not MISSING:
                values[item.name] = item.default_factory()
            else:
                values.setdefault(item.name, None)
    _make(recipe, values, prefix, faults)


def _settle_start(run: Run) -> Run:
    """Turn a file or a run that pruning starts from into what names it: a checksum, a fingerprint."""
    if not isinstance(run.pruning, pruning.Gradual):
        return run
    start = run.pruning.start
    if start in ("scratch", "dense") or re.fullmatch(r"(file|run):[0-9a-f]+", start):
        return run
    path = Path(start)
    if path.is_file():
        settled = f"file:{files.checksum_of(path)[:16]}"
        return replace(run, pruning=replace(run.pruning, start=settled, start_path=start))
    found = run.store.search(start)
    if len(found) == 1 and found[0].status() == "finished":
        start = f"run:{found[0].fingerprint}"
        return replace(run, pruning=replace(run.pruning, start=start))
    takes = "takes scratch, dense, a finished run or a file of weights"
    says = (
        "no such file" if not found else f"{len(found)} runs fit, of which none or several end it"
    )
    if len(found) == 1:
        says = f"that run is {found[0].status()}"
    where = f"and no such run in {run.store.runs}" if not found else ""
    raise Invalid([Fault("pruning.start", f"{takes}, got {show(start)}: {says} {where}".rstrip())])


def restore(data: dict[str, Any]) -> Run:
    """The run that `asked` wrote down, with what an old record could not know filled in."""
    made = _restore(Run, "", data)
    assert isinstance(made, Run)
    return made


def _restore(recipe: type[Recipe], group: str, data: dict[str, Any]) -> Recipe:
    values = filled(recipe, data)
    for item in fields(recipe):
        part = values.get(item.name)
        if isinstance(part, dict) and isinstance(item.type, type):
            if not issubclass(item.type, Recipe):
                continue
            inner = f"{group}/{item.name}" if group else item.name
            values[item.name] = _restore(_option(inner, part["option"]), inner, part)
    return recipe(**values)


def _option(group: str, word: str) -> type[Recipe]:
    return next(option for option in OPTIONS[group] if option.word == word)
