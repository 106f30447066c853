"""Every figure in the results of README is that of a committed file (docs/figures.yaml)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pruneexp.engine.typed import typed

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"(?<![\w.-])[−+]?\d[\d,]*(?:\.\d+)?")
LINK = re.compile(r"\]\([^)]*\)")


@dataclass(kw_only=True)
class Figure:
    """A number as it is printed, and the cell of a table that it is of."""

    printed: str
    file: str
    column: str
    where: dict[str, str | float] = field(default_factory=dict)
    times: float = 1.0  # printed in another unit


@dataclass(kw_only=True)
class Passage:
    """Words of a document with the figures in them; `plain` are numbers that no run gave."""

    document: str
    says: str
    figures: list[Figure] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)


PASSAGES = [
    typed(Passage, each) for each in yaml.safe_load((ROOT / "docs" / "figures.yaml").read_text())
]


def cell(figure: Figure) -> float:
    table = pd.read_csv(ROOT / figure.file)
    for column, value in figure.where.items():
        near = table[column] == value
        if isinstance(value, float):
            near = (table[column] - value).abs() < 1e-9
        table = table[near]
    assert len(table) == 1, f"{len(table)} rows of {figure.file} are where {figure.where}"
    return float(table[figure.column].iloc[0])


def number(printed: str) -> float:
    return float(printed.replace(",", "").replace("−", "-"))


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda passage: passage.says[:40])
def test_what_is_said_is_what_files_hold(passage: Passage) -> None:
    text = " ".join((ROOT / passage.document).read_text().split())
    assert passage.says in text, f"{passage.document} no longer says {passage.says!r}"
    for figure in passage.figures:
        decimals = len(figure.printed.partition(".")[2])
        held = figure.times * cell(figure)
        assert number(figure.printed) == pytest.approx(held, abs=0.5001 * 10**-decimals), figure


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda passage: passage.says[:40])
def test_every_number_of_a_passage_is_accounted_for(passage: Passage) -> None:
    known = [figure.printed for figure in passage.figures] + passage.plain
    there = NUMBER.findall(LINK.sub("]", passage.says))
    left: list[Any] = list(there)
    for each in known:
        assert each in left, f"{each} is not in {passage.says!r}"
        left.remove(each)
    assert not left, f"{left} of {passage.says!r} come from no file"


def test_every_number_among_the_results_is_in_a_passage() -> None:
    text = (ROOT / "README.md").read_text()
    results = text.partition("## What was found")[2].partition("\n## ")[0]
    results = results.partition("\n- ")[2]  # after what ± means
    flat = LINK.sub("]", " ".join(results.split()))
    for passage in PASSAGES:
        flat = flat.replace(LINK.sub("]", passage.says), "")
    assert NUMBER.findall(flat) == []
