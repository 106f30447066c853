"""Which of all finished runs can be compared: those on the same data, by the same metric."""

from collections.abc import Iterator
from dataclasses import dataclass

from pruneexp.engine import files
from pruneexp.engine.record import Plan, Planned
from pruneexp.engine.store import Store
from pruneexp.report.data.facts import Facts
from pruneexp.report.data.index import Index


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """Finished runs of one task.

    Arguments:
        plan: of these runs, as if one sweep had asked for them.
        task: their task, such as "glyphs".
        others: how many runs are on other data or measured otherwise, by their task.
        damaged: lines about runs that cannot be read.
    """

    plan: Plan
    task: str
    others: dict[str, int]
    damaged: list[str]


def comparable(store: Store, task: str = "") -> Comparable:
    """The largest group of finished runs that can be compared, of one task where it is named.
    Raises `NotFound` where there is none."""
    damaged: list[str] = []
    groups: dict[tuple[str, str, str], list[Facts]] = {}
    for facts in _finished(store, damaged):
        groups.setdefault((_task(facts), facts.data, facts.metric.name), []).append(facts)
    known = {key: group for key, group in groups.items() if not task or key[0] == task}
    if not known:
        there = ", ".join(sorted({key[0] for key in groups})) or "none"
        what = f"no finished run of task {task} in {store.runs}; there are runs of: {there}"
        if not groups:
            what = f"no finished run in {store.runs}; `pruneexp run` makes one"
        raise files.NotFound(what)
    chosen = max(known, key=lambda key: len(known[key]))
    others: dict[str, int] = {}
    for key, group in groups.items():
        if key != chosen:
            others[key[0]] = others.get(key[0], 0) + len(group)
    runs = [
        Planned(fingerprint=facts.fingerprint, name=facts.name, run={}) for facts in known[chosen]
    ]
    plan = Plan(name=f"all {chosen[0]} runs", title=f"All runs of {chosen[0]}", runs=runs)
    return Comparable(plan=plan, task=chosen[0], others=others, damaged=damaged)


def _finished(store: Store, damaged: list[str]) -> Iterator[Facts]:
    index = Index(store)
    for folder in store.folders():
        try:
            facts = index.facts(folder, damaged)
        except (files.Damaged, OSError) as error:
            damaged.append(str(error))
            continue
        if facts is not None:
            yield facts
    index.save()


def _task(facts: Facts) -> str:
    """The word of the run's task."""
    words = [trait.value for trait in facts.curve.traits if trait.key == "task"]
    return str(words[0]) if words else "unknown"
