"""A plan of runs, parents first and each run once, and where each stands."""

from dataclasses import dataclass

from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.lineage import parents
from pruneexp.engine.record import Plan, Planned, Progress
from pruneexp.engine.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one run of a plan stands."""

    planned: Planned
    state: str  # finished, running, failed, interrupted, waiting
    progress: Progress | None = None
    test: str = ""  # the finished run's test metric, with its unit
    error: str = ""


def plan(title: str, called: str, runs: list[Run], unreadable: list[dict[str, str]]) -> Plan:
    """Every run once, each after those it is made from. A run that others are made from keeps its
    weights, and the states that any of them begins with."""
    planned: dict[str, Planned] = {}

    def add(run: Run, wanted: bool) -> str:
        key = name(run)
        names = {role: add(parent, False) for role, parent in parents(run).items()}
        if key not in planned:
            planned[key] = Planned(
                fingerprint=fingerprint(run),
                name=key,
                run=asked(run, everything=True),
                parents=names,
                wanted=wanted,
            )
        one = planned[key]
        one.wanted |= wanted
        one.run["keep_steps"] = sorted({*one.run["keep_steps"], *run.keep_steps})
        if not wanted:
            one.run["keep"] = "weights"
        return key

    for run in runs:
        add(run, True)
    return Plan(name=called, title=title, runs=list(planned.values()), unreadable=unreadable)


def standings(store: Store, made: Plan) -> list[Standing]:
    return [_standing(store, planned) for planned in made.runs]


def _standing(store: Store, planned: Planned) -> Standing:
    folder = store.folder(planned.name)
    state = folder.status()
    try:
        if state == "finished":
            record = folder.record_or_fail()
            test = f"{record.test_value:.2f} {record.metric.unit}".strip()
            return Standing(planned, state, test=test)
        if state == "failed":
            failure = folder.failure() or {}
            return Standing(planned, state, error=str(failure.get("message", "")))
    except files.Damaged as error:
        return Standing(planned, "damaged", error=str(error))
    return Standing(planned, state, folder.progress())
