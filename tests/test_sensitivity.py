"""Levels by layer from what each was measured to tolerate: the choice by hand and against all
choices there are, the measurement, whole runs, and the heat map."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import parents
from pruneexp.engine.record import Plan, Planned
from pruneexp.measure import layer_losses
from pruneexp.measure.sensitivity import _shares, layer_seconds, measure
from pruneexp.pruning import Gradual, RigL
from pruneexp.pruning.group import Group
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.sensitivity import Sensitivity, interpolated, least
from pruneexp.report import figures
from pruneexp.report.analysis import findings
from pruneexp.report.data import load
from pruneexp.tasks.shape import ArrayShape
from tests.conftest import Make, silent

GROUPS = [Group("thin", {"thin": (10, 10)}), Group("wide", {"wide": (10, 90)})]


def test_the_layer_that_loses_less_gives_more() -> None:
    """A total of 14 lets one of two layers keep all of its 10."""
    assert least([[0, 1], [0, 5]], [[10, 4], [10, 4]], 14) == [1, 0]
    assert least([[0, 5], [0, 1]], [[10, 4], [10, 4]], 14) == [0, 1]
    assert least([[0, 5], [0, 1]], [[10, 4], [10, 4]], 20) == [0, 0]


@given(st.data())
def test_no_choice_is_better(data: st.DataObject) -> None:
    layers = data.draw(st.integers(1, 4))
    rows = st.lists(st.floats(0, 10), min_size=3, max_size=3)
    losses = [data.draw(rows) for _ in range(layers)]
    costs = [sorted(data.draw(st.lists(st.integers(1, 50), min_size=3, max_size=3)))[::-1]] * layers
    total = data.draw(st.integers(layers * costs[0][-1], layers * costs[0][0]))
    chosen = least(losses, costs, total)
    assert sum(c[n] for c, n in zip(costs, chosen, strict=True)) <= total

    def loss(choice: Any) -> float:
        return sum(row[n] for row, n in zip(losses, choice, strict=True))

    every = [
        choice
        for choice in itertools.product(range(3), repeat=layers)
        if sum(c[n] for c, n in zip(costs, choice, strict=True)) <= total
    ]
    assert all(loss(chosen) <= loss(choice) + 1e-9 for choice in every)


class TestAllocation:
    def informed(self, **changes: Any) -> Sensitivity:
        """The thin layer tolerates nothing, the wide one everything."""
        increases = {"thin": [9.0, 9.0, 9.0], "wide": [0.0, 0.0, 0.1]}
        return Sensitivity(tried=[0.5, 0.8, 0.95], increases=increases, **changes)

    def test_the_total_of_weights_is_exact(self) -> None:
        """Of 1,000 weights 300 stay: all 100 of the thin layer, and 200 of the wide one."""
        masked = self.informed().masked(GROUPS, Cubic(), 0.7, 100, 100)
        assert masked == [0, 700]

    @pytest.mark.parametrize("final", [0.5, 0.6, 0.66, 0.9, 0.95])
    def test_of_any_sparsity(self, final: float) -> None:
        masked = self.informed().masked(GROUPS, Cubic(), final, 100, 100)
        assert sum(masked) == round(1000 * final)
        assert all(0 <= m < g.weights for m, g in zip(masked, GROUPS, strict=True))

    def test_a_total_of_bytes_is_not_exceeded(self) -> None:
        allocation = self.informed(of="bytes")
        levels = allocation.levels(GROUPS, 0.7)
        spent = sum(allocation._cost(s, g) for s, g in zip(levels, GROUPS, strict=True))
        uniform = sum(allocation._cost(0.7, group) for group in GROUPS)
        assert uniform * 0.8 < spent <= uniform

    def test_a_total_of_milliseconds_by_hand(self) -> None:
        """At 80 % both would take 4 + 20. The thin layer tolerates nothing and takes 10 dense, so
        the wide one has 14 and goes to 95 %, where it takes 9."""
        seconds = {"thin": [10.0, 6.0, 4.0, 3.0], "wide": [90.0, 50.0, 20.0, 9.0]}
        allocation = self.informed(of="milliseconds", seconds=seconds)
        assert allocation.levels(GROUPS, 0.8) == [0.0, 1 - 45 / 900]
        assert not allocation.keeps_total
        assert Gradual(sparsity=0.8, allocation=allocation).plan(GROUPS, 10).total is None

    def test_between_two_levels_times_are_read_off(self) -> None:
        assert interpolated(0.65, [0.0, 0.5, 0.8], [10.0, 6.0, 4.0]) == pytest.approx(5.0)
        assert interpolated(0.0, [0.0, 0.5, 0.8], [10.0, 6.0, 4.0]) == 10.0
        assert interpolated(0.8, [0.0, 0.5, 0.8], [10.0, 6.0, 4.0]) == pytest.approx(4.0)

    def test_a_network_in_which_nothing_is_timed_is_refused(self) -> None:
        seconds = {"thin": [0.0] * 4, "wide": [0.0] * 4}
        with pytest.raises(Invalid, match="no layer of this network runs faster sparse"):
            self.informed(of="milliseconds", seconds=seconds).levels(GROUPS, 0.7)

    def test_before_it_is_measured_the_total_alone_is_known(self) -> None:
        recipe = Gradual(sparsity=0.7, allocation=Sensitivity())
        plan = recipe.plan(GROUPS, 100)
        assert plan.total == 700 and set(plan.by_group.values()) == {None}
        with pytest.raises(Invalid, match="is measured before a run is trained"):
            recipe.attach(nn.Linear(9, 9), steps=10)

    @pytest.mark.parametrize("wrong", [{"tried": []}, {"tried": [0.9, 0.5]}, {"of": "grams"}])
    def test_what_cannot_be_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(Invalid):
            Sensitivity(**wrong)

    def test_a_sparsity_beyond_all_levels_is_refused(self) -> None:
        with pytest.raises(
            Invalid, match=r"tried takes a level of pruning.sparsity=0.995 or above"
        ):
            Sensitivity().levels(GROUPS, 0.995)

    def test_methods_that_begin_sparse_do_not_take_it(self) -> None:
        with pytest.raises(Invalid, match="known before training"):
            RigL(allocation=Sensitivity())

    def test_a_file_budget_does_not_go_with_it(self) -> None:
        with pytest.raises(Invalid, match="measured before training"):
            Gradual(budget="100kB", allocation=Sensitivity())


class Task:
    """Its loss is the sum of what is zero, so that a layer of larger weights costs more."""

    chosen_by = None

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        assert split == "valid"
        return {"loss": float(sum((w == 0).sum() * n for n, w in enumerate(model.parameters(), 1)))}


def test_each_layer_is_pruned_alone_and_comes_back() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(2, 2, bias=False))
    before = [weight.clone() for weight in model.parameters()]
    groups = [Group("0.weight", {"0.weight": (1, 4)}), Group("1.weight", {"1.weight": (2, 2)})]
    found = measure(model, Task(), groups, [0.5, 0.75])  # type: ignore[arg-type]
    assert (found.dense, found.losses) == (0.0, {"0.weight": [2, 3], "1.weight": [4, 6]})
    assert all(map(torch.equal, model.parameters(), before))


class TestSeconds:
    def test_of_layers_and_of_groups_that_share_one(self) -> None:
        network = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8), nn.PReLU(8))
        weights = {name: tuple(w.shape) for name, w in network.named_parameters() if w.dim() > 1}
        groups = [Group(name, {name: size}) for name, size in weights.items()]
        shape = ArrayShape(inputs=((256,),), outputs=(8,))
        before = [weight.clone() for weight in network.parameters()]
        found = layer_seconds(network, shape, groups, [0.5, 0.99])
        assert all(map(torch.equal, network.parameters(), before))
        assert {*found} == {*weights} and all(len(each) == 3 for each in found.values())
        assert all(each == sorted(each, reverse=True) and each[-1] > 0 for each in found.values())
        assert found["0.weight"][0] > found["2.weight"][0]

    def test_an_lstm_of_two_matrices_is_shared_by_its_weights(self) -> None:
        shapes = {"weight_ih": (64, 4), "weight_hh": (64, 16)}
        groups = [Group(name, {f"lstm.{name}": size}) for name, size in shapes.items()]
        assert _shares(groups) == {"weight_ih": {"lstm": 0.2}, "weight_hh": {"lstm": 0.8}}


class TestRuns:
    def run(self, tiny: Make, **changes: Any) -> Any:
        allocation = Sensitivity(tried=[0.5, 0.8, 0.95], **changes)
        return tiny(Gradual(sparsity=0.7, schedule=Cubic(interval=2), allocation=allocation))

    def test_it_is_measured_once_beside_the_dense_run(self, tiny: Make) -> None:
        run = self.run(tiny)
        record = execute(run, say=silent)
        dense = execute(parents(run)["sensitivity"], say=silent)
        assert record.parents == {"sensitivity": dense.fingerprint}
        masked = sum(group.masked for group in record.counts.groups)
        assert masked == round(0.7 * record.counts.prunable)
        path = run.store.folder(dense.name).path / layer_losses.FILE
        before = path.stat().st_mtime_ns
        other = replace(run, pruning=replace(run.pruning, sparsity=0.6))
        assert execute(other, say=silent).parents == record.parents
        assert path.stat().st_mtime_ns == before

    @pytest.mark.parametrize(
        "forged",
        [
            *({"version": 9}, {"levels": [0.1]}, {"losses": {"a": ["x"]}}, {"losses": {"a": []}}),
            *({"seconds": {"a": [1.0]}}, None),
        ],
    )
    def test_a_forged_file_is_measured_again(self, tiny: Make, forged: Any) -> None:
        run = self.run(tiny)
        execute(dense := parents(run)["sensitivity"], say=silent)
        folder = run.store.folder(execute(dense, say=silent).name).path
        sound = {"version": 1, "weights": "", "levels": [0.5], "dense": 1.0, "losses": {}}
        text = "{" if forged is None else json.dumps({**sound, **forged})
        (folder / layer_losses.FILE).write_text(text)
        execute(run, say=silent)
        found = layer_losses.load(folder)
        assert found is not None and found.levels == [0.5, 0.8, 0.95]

    def test_a_network_that_is_never_faster_sparse_is_refused(
        self, tiny: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def alike(network: Any, shape: Any, groups: list[Group], levels: Any) -> Any:
            return {group.name: [1.0] * 4 for group in groups}

        monkeypatch.setattr("pruneexp.measure.sensitivity.layer_seconds", alike)
        with pytest.raises(Invalid, match="no layer of this network runs faster sparse on this"):
            execute(self.run(tiny, of="milliseconds"), say=silent)

    @pytest.mark.parametrize("of", ["bytes", "milliseconds"])
    def test_totals_of_other_units(
        self, tiny: Make, of: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the weights come to is told by training; times are taken once. Layers of a network
        as tiny as this are never faster sparse, so their times are made up."""

        def made_up(network: Any, shape: Any, groups: list[Group], levels: Any) -> Any:
            return {group.name: [8.0, 4.0, 2.0, 1.0] for group in groups}

        monkeypatch.setattr("pruneexp.measure.sensitivity.layer_seconds", made_up)
        execute(self.run(tiny), say=silent)  # measured without times
        run = self.run(tiny, of=of)
        record = execute(run, say=silent)
        masked = sum(group.masked for group in record.counts.groups)
        assert 0 < masked < record.counts.prunable
        folder = run.store.folder(execute(parents(run)["sensitivity"], say=silent).name).path
        found = layer_losses.load(folder)
        assert found is not None and bool(found.seconds) == (of == "milliseconds")
        before = (folder / layer_losses.FILE).stat().st_mtime_ns
        execute(replace(run, pruning=replace(run.pruning, sparsity=0.6)), say=silent)
        assert (folder / layer_losses.FILE).stat().st_mtime_ns == before

    def test_a_report_draws_it(self, tiny: Make, tmp_path: Path) -> None:
        run = self.run(tiny)
        record = execute(run, say=silent)
        planned = Planned(
            fingerprint=record.fingerprint, name=record.name, run=record.configuration
        )
        plan = Plan(name="layers", title="Layers", runs=[planned])
        found = findings.find(plan, load.load(run.store, plan))
        assert figures.draw("sensitivity", found, ["png"])["png"][:4] == b"\x89PNG"
        told = figures.alternative("sensitivity", found)
        assert "At 95 %, " in told and " costs most and " in told
