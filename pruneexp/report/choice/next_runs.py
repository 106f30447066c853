"""The next runs worth making: what each would settle, as changes of a run that is there."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pruneexp.config import amounts
from pruneexp.engine.record import Metric
from pruneexp.report.choice.candidates import Candidate, megabytes
from pruneexp.report.choice.choose import KINDS, Chooser, Recommendation
from pruneexp.report.choice.told import best_run

MOST = 3  # that are named
PARENT = 3.0  # times the weights of a dense model; the papers' parents are larger still
SMALL_TYPE = "int8"


@dataclass(frozen=True, kw_only=True, slots=True)
class NextRun:
    """A run that is not there yet.

    Arguments:
        like: the name of the run that it is made from.
        changes: of its settings, as overrides.
        left_out: settings of that run which are not repeated.
        settles: what it would tell, in words.
    """

    like: str
    changes: dict[str, str]
    left_out: tuple[str, ...] = field(default=())
    settles: str


def next_runs(chooser: Chooser, choice: Recommendation) -> list[NextRun]:
    """What would change or secure a choice, the cheapest and most telling first."""
    return [
        *_smaller_types(chooser, choice),
        *_seeds(chooser, choice),
        *_other_kind(chooser, choice),
    ][:MOST]


def _smaller_types(chooser: Chooser, choice: Recommendation) -> Iterator[NextRun]:
    """A better model that would fit with smaller values, whose quality was not measured so."""
    limit, known = choice.limits.bytes, chooser.beliefs
    if limit is None or known is None:
        return
    there = {_without_values(each) for each in chooser.found if each.point.values == SMALL_TYPE}
    least = known.mean(choice.pick) if choice.pick else float("-inf")
    better = [
        each
        for each in chooser.found
        if not each.point.quantised
        and _without_values(each) not in there
        and known.mean(each) > least
        and (file := each.point.file(folded=each.folded, values=SMALL_TYPE)) is not None
        and file.bytes <= limit < each.bytes
    ]
    if not better:
        return
    best = max(better, key=known.mean)
    file = best.point.file(folded=best.folded, values=SMALL_TYPE)
    assert file is not None
    yield NextRun(
        like=best_run(best.point, chooser.metric).name,
        changes={"quantisation": "rounding", "quantisation.values": SMALL_TYPE},
        settles=f"whether {best.words} in {SMALL_TYPE}, {megabytes(file.bytes)}, is better",
    )


def _without_values(candidate: Candidate) -> tuple[object, ...]:
    """The same for a model and its rounded child."""
    point = candidate.point
    return point.kind, point.family, point.size, round(point.sparsity, 4), point.parameters


def _seeds(chooser: Chooser, choice: Recommendation) -> Iterator[NextRun]:
    """One more seed for those that cannot be told apart."""
    if choice.pick is None:
        return
    unknown = choice.certainty is not None and choice.certainty.best is None and choice.within > 1
    if not choice.tied and not unknown:
        return
    rival = choice.tied[0] if choice.tied else choice.runner_up
    for each in sorted(filter(None, (choice.pick, rival)), key=lambda each: each.point.n):
        other = rival if each is choice.pick else choice.pick
        yield _one_more(each, other, chooser.metric)


def _one_more(candidate: Candidate, other: Candidate | None, metric: Metric) -> NextRun:
    seed = max(row.seed for row in candidate.point.rows) + 1
    against = f" or {other.words}" if other else ""
    return NextRun(
        like=best_run(candidate.point, metric).name,
        changes={"seed": str(seed)},
        settles=f"with one more seed, whether {candidate.words}{against} is better",
    )


def _other_kind(chooser: Chooser, choice: Recommendation) -> Iterator[NextRun]:
    """A rival of the kind that is not there."""
    if choice.pick is None or len(choice.best) == len(KINDS):
        return
    pick = choice.pick
    budget = {"budget": amounts.bytes_in_words(int(choice.limits.bytes or pick.bytes))}
    like = best_run(pick.point, chooser.metric).name
    if pick.kind == "sparse":
        yield NextRun(
            like=like,
            changes={"pruning": "none", **budget},
            left_out=("pruning", "model.width", "model.hidden_size"),
            settles="how good the dense model of this size is",
        )
        return
    yield NextRun(
        like=like,
        changes={"pruning": "gradual", **budget, **_larger(pick)},
        left_out=("pruning",),
        settles="whether a larger model, pruned to this size, is better",
    )


def _larger(pick: Candidate) -> dict[str, str]:
    """The parent's size, three times the weights: its number grows by the root of that."""
    changes = {}
    for name, value in pick.point.sizes.items():
        grown = value * PARENT**0.5
        whole = float(value).is_integer() and value > 1  # a number of units, no width
        changes[f"model.{name}"] = f"{round(grown)}" if whole else f"{grown:.3f}"
    return changes
