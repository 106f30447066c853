"""What the interactive part of a page knows: points with their measurements, runs, and the answer
for every budget. Plain data, each thing once."""

from typing import Any

from pruneexp.engine import files
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.analysis.points import Point
from pruneexp.report.choice import told
from pruneexp.report.choice.candidates import Candidate, Limits
from pruneexp.report.choice.choose import Chooser, Recommendation
from pruneexp.report.data.rows import Row

VALUES = ("fp32", "fp16", "bf16", "int8")
MOST_HISTORIES = 200  # runs whose validations over steps are on the page
MOST_STEPS = 40  # of one history


def page_data(found: Findings, chooser: Chooser | None) -> dict[str, Any]:
    """Everything that the page's script reads, as plain data.

    Arguments:
        found: what the report knows.
        chooser: answers for budgets; None where no file was measured.
    """
    metric = found.metric
    number = {point.key: place for place, point in enumerate(found.points)}
    answers = [] if chooser is None else _answers(found, chooser, number)
    rows = [(row, number[point.key]) for point in found.points for row in point.rows]
    return {
        "metric": {
            "name": metric.name,
            "unit": metric.unit,
            "label": metric.label,
            "higher": metric.higher_is_better,
            "digits": found.digits,
        },
        "values": [kind for kind in VALUES if any(_file(p, kind) for p in found.points)],
        "series": list(found.curves),
        "points": [_point(found, point) for point in found.points],
        "runs": [_run(found, row, place, len(rows)) for row, place in rows],
        "answers": answers,
        "files": {
            pick: _layers(found, told.best_run(found.points[pick], metric))
            for pick in dict.fromkeys(answer["pick"] for answer in answers)
        },
    }


def _point(found: Findings, point: Point) -> dict[str, Any]:
    return {
        "series": list(found.curves).index(point.series),
        "kind": point.kind,
        "label": point.label,
        "size": point.size,
        "n": point.n,
        "valid": point.valid,
        "test": point.test,
        "half": point.test_half,
        "weights": point.nonzero,
        "trained": point.trained_nonzero,
        "work": point.sparse_multiply_adds,
        "ms": point.milliseconds,
        "own": point.values,
        "bytes": {
            state: {
                kind: file.bytes
                for kind in VALUES
                if (file := point.file(folded=state == "folded", values=kind)) is not None
            }
            for state in ("kept", "folded")
        },
    }


def _file(point: Point, kind: str) -> object:
    return point.file(folded=False, values=kind) or point.file(folded=True, values=kind)


def _run(found: Findings, row: Row, point: int, runs: int) -> dict[str, Any]:
    return {
        "point": point,
        "name": row.name,
        "fingerprint": row.fingerprint,
        "seed": row.seed,
        "valid": row.valid,
        "test": row.test,
        "steps": row.total_steps,
        "seconds": row.seconds,
        "history": _history(found, row) if runs <= MOST_HISTORIES else [],
    }


def _history(found: Findings, row: Row) -> list[list[float]]:
    """Steps and validations of one run, of very many some."""
    try:
        steps = found.runs.store.folder(row.name).history()
    except (files.Damaged, OSError):
        return []
    key = f"valid_{found.metric.name}"
    known = [[each["step"], each[key]] for each in steps if key in each and "step" in each]
    return known[:: -(-len(known) // MOST_STEPS) or 1]


def _answers(found: Findings, chooser: Chooser, number: dict[str, int]) -> list[dict[str, Any]]:
    """The answer for every budget, from the size of one file up to the next."""
    sizes = sorted({each.bytes for each in chooser.found})
    choices = [(size, chooser.choose(Limits(bytes=size))) for size in sizes]
    return [_answer(found, choice, size, number) for size, choice in choices if choice.pick]


def _answer(
    found: Findings, choice: Recommendation, size: float, number: dict[str, int]
) -> dict[str, Any]:
    pick = choice.pick
    assert pick is not None

    def place(candidate: Candidate | None) -> int | None:
        return None if candidate is None else number[candidate.key]

    # A page may be published, so that it names no folder of this machine.
    results = "results" if str(found.runs.store.results) == "results" else "RESULTS"
    return {
        "from": size,
        "pick": place(pick),
        "words": told.headline(choice, found.metric).partition(": ")[2],
        "sure": told.how_sure(choice),
        "lacking": list(choice.lacking),
        "best": choice.certainty.best if choice.certainty else None,
        "tied": [place(each) for each in choice.tied],
        "dense": place(choice.best.get("dense")),
        "sparse": place(choice.best.get("sparse")),
        "pack": told.pack_command(pick, found.metric, results),
    }


def _layers(found: Findings, run: Row) -> list[list[Any]]:
    """Of a run's matrices the name, the weights, those that are kept, and bytes of positions; none
    where that was not measured."""
    try:
        sizes = found.runs.store.folder(run.name).packed_sizes()
    except (files.Damaged, OSError):
        return []
    every = sizes.layers if sizes else []
    return [[each.name, each.weights, each.kept, each.position_bytes] for each in every]
