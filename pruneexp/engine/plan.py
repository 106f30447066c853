"""A plan of runs, parents first and each run once, and where each of them stands."""

from dataclasses import dataclass

from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.lineage import parents
from pruneexp.engine.record import Plan, Planned, Progress
from pruneexp.engine.run_folder import RunFolder
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
    """A plan with every run once, each after those it is made from. A run that others are made from
    keeps its weights, and the states that any of them begins with.

    Arguments:
        title: of the report.
        called: the plan's name, which is the name of its file.
        runs: what was asked for; the runs that they are made from are added.
        unreadable: points of the sweep that are no run, each its overrides and its error.
    """
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


def parents_of(planned: Planned) -> list[str]:
    """The names of all runs that this one waits for, each once."""
    return list(dict.fromkeys(planned.parents.values()))


class Standings:
    """Where the runs of one plan stand, asked again and again while they go on.

    The record of a finished run is read once, since no record is ever rewritten.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._finished: dict[str, Standing] = {}

    def now(self) -> list[Standing]:
        """The standing of every run, in the plan's order."""
        return [self._standing(planned) for planned in self.plan.runs]

    def _standing(self, planned: Planned) -> Standing:
        folder = self.store.folder(planned.name)
        state = folder.status()
        if state == "finished" and planned.name in self._finished:
            return self._finished[planned.name]
        standing = _standing(planned, folder, state)
        if standing.state == "finished":
            self._finished[planned.name] = standing
        return standing


def standings(store: Store, plan: Plan) -> list[Standing]:
    """Where every run of the plan stands now, in the plan's order."""
    return Standings(store, plan).now()


def _standing(planned: Planned, folder: RunFolder, state: str) -> Standing:
    try:
        if state == "finished":
            record = folder.record_or_fail()
            test = f"{record.test_value:.2f} {record.metric.unit}".strip()
            return Standing(planned, state, test=test)
        if state == "failed":
            failure = folder.failure()
            return Standing(planned, state, error=failure.message if failure else "")
    except files.Damaged as error:
        return Standing(planned, "damaged", error=str(error))
    return Standing(planned, state, folder.progress())
