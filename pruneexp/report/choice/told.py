"""A choice in sentences, and as a table of budgets."""

import shlex
from collections.abc import Sequence

import pandas as pd

from pruneexp.engine.record import Metric
from pruneexp.report.analysis.comparison import margin_words
from pruneexp.report.analysis.points import Point
from pruneexp.report.choice.candidates import Candidate, megabytes
from pruneexp.report.choice.choose import CERTAIN, Chooser, Recommendation, Step, Stretch
from pruneexp.report.data.rows import Row
from pruneexp.report.format import BLANK, Table, estimate, number

MOST_TIED = 3  # that are named


def quality(point: Point, metric: Metric) -> str:
    """What was measured on test, with its interval: "82.5 ± 0.6 %"."""
    value = estimate(point.test, point.test_half, metric.digits)
    return f"{value} {metric.unit}".rstrip()


def chance(probability: float | None) -> str:
    """A probability as a reader sees it: never quite 0 or 1, which no count of draws can say."""
    if probability is None:
        return BLANK
    if probability > 0.995:
        return "> 0.99"
    return "< 0.01" if probability < 0.005 else f"{probability:.2f}"


def headline(choice: Recommendation, metric: Metric) -> str:
    """The answer in one line."""
    limits = choice.limits.words()
    target = choice.limits.at_least
    if target is not None:
        side = "at least" if metric.higher_is_better else "at most"
        reach = f"{metric.words} {side} {target:g} {metric.unit}".rstrip()
        limits = f"{limits} and {reach}" if limits else reach
    if choice.pick is None:
        return f"For {limits}: no answer." if limits else "No answer."
    pick = choice.pick
    measured = f"test {metric.words} {quality(pick.point, metric)}, {megabytes(pick.bytes)}"
    told = f"{pick.words}: {measured}"
    return f"For {limits}: {told}." if limits else f"{told[0].upper()}{told[1:]}."


def how_sure(choice: Recommendation) -> str:
    """How sure the pick is, in a sentence or two; nothing where there is no pick."""
    if choice.pick is None or choice.certainty is None:
        return ""
    known = choice.certainty
    if choice.limits.at_least is not None:
        sure = f", with probability {chance(known.reaches)}" if known.reaches is not None else ""
        return f"It is the smallest that is believed to reach that{sure}."
    if choice.within == 1:
        return "It is the only one within the limits."
    if known.best is None:  # which `lacking` says
        return ""
    sure = f"It is the best of {choice.within} with probability {chance(known.best)}"
    if known.near is not None and known.best < CERTAIN:
        near = chance(known.near)
        sure += f", and no more than {known.margin} below the best with {near}"
    if not choice.tied:
        return f"{sure}."
    named = ", ".join(each.words for each in choice.tied[:MOST_TIED])
    more = len(choice.tied) - MOST_TIED
    named += f" and {more} more" if more > 0 else ""
    verb = "is" if len(choice.tied) == 1 else "are"
    return f"{sure}. A tie: {named} {verb} not worse beyond chance."


# --- which kind for which budget ----------------------------------------------------------------


def crossover(chooser: Chooser) -> str:
    """For which budgets to prune, in one sentence; nothing where only one kind was made."""
    parts = [f"{_span(each)} {_called(each)}" for each in chooser.stretches()]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _called(stretch: Stretch) -> str:
    if stretch.better == "":
        return "dense and sparse cannot be told apart"
    best = [each for each in stretch.behind if each.kind == stretch.better]
    parents = list(dict.fromkeys(each.point.size for each in best if each.point.size))
    from_ = f" from {parents[0]}" if stretch.better == "sparse" and len(parents) == 1 else ""
    rounded = {each.point.quantised for each in best}
    values = f", {rounded.pop()}," if len(rounded) == 1 and "" not in rounded else ""
    return f"{stretch.better}{from_}{values} is better"


def _span(stretch: Stretch) -> str:
    if stretch.least == stretch.most:
        return f"at {megabytes(stretch.least)}"
    return f"from {megabytes(stretch.least)} to {megabytes(stretch.most)}"


def budgets(chooser: Chooser, steps: Sequence[Step]) -> Table:
    """For each budget what to take: a row where the answer changes."""
    metric = chooser.metric
    margin = margin_words(chooser.beliefs.scale) if chooser.beliefs else ""
    raw, cells = [], []
    for step in steps:
        choice = step.choice
        assert choice.pick is not None and choice.certainty is not None
        point = choice.pick.point
        rival = next((each for kind, each in choice.best.items() if kind != choice.pick.kind), None)
        raw.append(
            [
                step.least,
                step.most,
                choice.pick.kind,
                point.size,
                point.sparsity,
                point.values,
                choice.pick.bytes,
                point.valid,
                point.test,
                choice.certainty.best,
                best_run(point, metric).name,
            ]
        )
        cells.append(
            [
                megabytes(step.least).removesuffix(" MB"),
                choice.pick.words,
                quality(point, metric),
                chance(choice.certainty.best) if choice.within > 1 else BLANK,
                f"{rival.words}, {quality(rival.point, metric)}" if rival else BLANK,
                number(point.nonzero),
            ]
        )
    return Table(
        raw=pd.DataFrame(
            raw,
            columns=[
                *("budget_from_bytes", "budget_below_bytes", "kind", "size", "sparsity", "values"),
                *("bytes", "valid", "test", "probability_best", "run"),
            ],
        ),
        header=["If MB ≥", "then", f"test {metric.label}", "P(best)", "the other kind", "NNZ"],
        cells=cells,
        align="rlrrlr",
        caption="Chosen on validation, drawn towards its curve by as much as seeds leave open; "
        "measured on test. MB: millions of bytes of the packed file. A row where the answer gains"
        + (f" more than {margin}." if margin else "."),
    )


def pack_command(pick: Candidate, metric: Metric, results: str) -> str:
    """What writes the file of a pick.

    Arguments:
        results: the folder of its runs, as a person names it.
    """
    run, values = best_run(pick.point, metric), pick.point.values
    words = ["pruneexp", "pack", run.fingerprint, *results_option(results)]
    words += ["--values", values] if values != "fp32" else []
    return shlex.join([*words, *["--fold"] * pick.folded, "-o", "model.pxp"])


def results_option(results: str) -> list[str]:
    """`--results` for a folder that is not the usual one."""
    return [] if results == "results" else ["--results", results]


def best_run(point: Point, metric: Metric) -> Row:
    """Of a point's seeds the one that validation likes best: the file to ship."""
    sign = 1 if metric.higher_is_better else -1
    return max(point.rows, key=lambda row: sign * row.valid)
