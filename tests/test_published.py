"""What is published can be recomputed by someone else: every interval of a comparison from its
`runs.csv` and the committed outcomes, by plain arithmetic that shares no code with the package."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pruneexp.engine.record import RECORD
from pruneexp.engine.store import Store
from pruneexp.engine.transfer import take
from pruneexp.report import report

PUBLISHED = Path(__file__).parent.parent / "results" / "published"
WITH_RUNS = sorted(path.parent.name for path in PUBLISHED.glob("*/plan.json"))


def matched(folder: Path) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The runs, a column each for point and value on the scale, and pairs of points of one size,
    the smallest first."""
    runs = pd.read_csv(folder / "runs.csv")
    accuracy = "accuracy" in (folder / "table.md").read_text().partition("\n")[0]
    runs["value"] = -np.log(100 - runs["test"] if accuracy else runs["test"])
    runs["at"] = runs["series"] + " " + runs["nonzero"].round().astype(int).astype(str)
    sizes = runs.groupby(["kind", "at"])["nonzero"].mean().reset_index()
    sparse, dense = (sizes[sizes["kind"] == kind] for kind in ("sparse", "dense"))
    pairs = [
        (ours["at"], theirs["at"])
        for _, ours in sparse.sort_values("nonzero").iterrows()
        for _, theirs in dense.iterrows()
        if abs(theirs["nonzero"] / ours["nonzero"] - 1) < 0.01
    ]
    return runs, pairs


def standard_error(table: pd.DataFrame, weights: dict[str, float]) -> tuple[float, float, float]:
    """Of a weighted sum of points: gain, standard error and degrees of freedom."""
    points = table[list(weights)]
    gain = sum(weight * points[at].mean() for at, weight in weights.items())
    seeds = len(table)
    if stats.bartlett(*(table[at] for at in table)).pvalue < 0.05:
        parts = [weights[at] ** 2 * points[at].var() / seeds for at in weights]
        total = sum(parts)
        return gain, math.sqrt(total), total**2 / sum(part**2 / (seeds - 1) for part in parts)
    left = table.sub(table.mean(), axis=1).sub(table.mean(axis=1) - table.mean().mean(), axis=0)
    freedom = (len(table.columns) - 1) * (seeds - 1)
    variance = float((left**2).to_numpy().sum()) / freedom
    return gain, math.sqrt(variance * sum(w**2 for w in weights.values()) / seeds), freedom


@pytest.mark.parametrize("name", WITH_RUNS)
def test_intervals_follow_from_the_runs(name: str) -> None:
    folder = PUBLISHED / name
    runs, pairs = matched(folder)
    printed = pd.read_csv(folder / "comparison.csv")
    if not pairs or len(pairs) < len(printed) or runs.groupby("at")["seed"].nunique().nunique() > 1:
        pytest.skip("not at matched sizes with equal seeds: recomputed for those that are")
    used = [at for pair in pairs for at in pair]
    table = runs.pivot(index="seed", columns="at", values="value")[used]
    level = 0.95 ** (1 / len(pairs))
    for (ours, theirs), row in zip(pairs, printed.itertuples(), strict=True):
        gain, error, freedom = standard_error(table, {ours: 1.0, theirs: -1.0})
        assert (gain, error) == pytest.approx((row.gain_on_scale, row.standard_error), rel=1e-6)
        assert freedom == pytest.approx(row.degrees_of_freedom, rel=1e-6)
        half = stats.t.ppf((1 + level) / 2, freedom) * error
        base = math.exp(-table[theirs].mean())
        ends = sorted(base * math.exp(-gain + each) - base for each in (-half, half))
        if "accuracy" in (folder / "table.md").read_text().partition("\n")[0]:
            ends = sorted(-end for end in ends)
        assert ends == pytest.approx([row.low_95, row.high_95], rel=1e-6)


def outcomes(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and counts of a run's items, as docs/architecture.md tells to read them."""
    plain: dict[str, Any] = json.loads((folder / "runs" / name / "outcomes.json").read_text())
    if plain["bits"] is not None:
        import base64

        bits = np.frombuffer(base64.b64decode(plain["bits"]), np.uint8)
        return 1 - np.unpackbits(bits)[: plain["items"]].astype(float), np.ones(plain["items"])
    return tuple(np.array(plain[key].split(), float) for key in ("values", "counts"))


@pytest.mark.parametrize("name", WITH_RUNS)
def test_intervals_on_new_data_follow_from_the_outcomes(name: str) -> None:
    folder = PUBLISHED / name
    runs, pairs = matched(folder)
    uneven = runs.groupby("at")["seed"].nunique().nunique() > 1
    if not pairs or uneven or runs["seed"].nunique() < 2:
        pytest.skip("not at matched sizes with equal seeds: recomputed for those that are")
    printed = next(pd.read_csv(folder / "overall.csv").itertuples())
    assert printed.measured_at_both
    places = np.log([runs[runs["at"] == ours]["nonzero"].mean() for ours, _ in pairs])
    weights = np.ones(1)
    if len(places) > 1:
        weights = np.convolve(np.diff(places), [0.5, 0.5])
        weights /= weights.sum()
    pulls = []
    for at, sign in [(at, sign) for pair in pairs for at, sign in zip(pair, (1, -1), strict=True)]:
        weight = sign * weights[[at in pair for pair in pairs].index(True)]
        each = []
        for run in runs[runs["at"] == at]["name"]:
            values, counts = outcomes(folder, run)
            mean = values.sum() / counts.sum()
            # Perplexity is e to the mean, so its logarithm moves as the mean does; an error is
            # the mean itself.
            scale = 1.0 if (counts != 1).any() else mean
            each.append(-(values - mean * counts) / counts.mean() / scale)
        pulls.append(weight * np.mean(each, axis=0))
    pull = np.sum(pulls, axis=0)
    if (counts != 1).any():
        pull = pull[: len(pull) // 20 * 20].reshape(-1, 20).mean(axis=1)
    items = pull.var(ddof=1) / len(pull)
    table = runs.pivot(index="seed", columns="at", values="value")
    table = table[[at for pair in pairs for at in pair]]
    contrast = {}
    for (ours, theirs), weight in zip(pairs, weights, strict=True):
        contrast |= {ours: weight, theirs: -weight}
    gain, error, freedom = standard_error(table, contrast)
    total = error**2 + items
    freedom = total**2 / (error**4 / freedom + items**2 / (len(pull) - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(total)
    ends = [math.exp(-gain - half), math.exp(-gain + half)]
    assert ends == pytest.approx([printed.new_data_low_95, printed.new_data_high_95], rel=1e-4)


@pytest.mark.parametrize("name", WITH_RUNS)
def test_what_is_committed_gives_the_report_that_is_committed(name: str, tmp_path: Path) -> None:
    """Without training anything, and every run that the plan wants is there or is named missing."""
    folder = PUBLISHED / name
    store = Store(tmp_path / "results")
    found = take(store, folder)
    assert not found.refused
    (plan,) = [store.find_plan(each) for each in store.plan_names()]
    made = report(store, plan, tmp_path / "report")
    for file in ("runs.csv", "comparison.csv", "overall.csv", "trials.csv"):
        if (folder / file).exists():
            assert (made.folder / file).read_text() == (folder / file).read_text(), file
    wanted = {run.name for run in plan.runs if run.wanted}
    there = {path.parent.name for path in folder.glob(f"runs/*/{RECORD}")}
    assert len(made.missing) == len(wanted - there)


def test_nothing_large_is_committed() -> None:
    for path in PUBLISHED.rglob("*"):
        if path.is_file() and path.suffix != ".html":  # which is not committed
            assert path.stat().st_size < 10**6, path
