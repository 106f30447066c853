"""What a method may do beyond gradual pruning: scores of its own, ancestors by role, kept states,
parameters and a penalty of its own, a skipped step, sparsity as an outcome."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from pruneexp.cli.commands import COMMANDS
from pruneexp.config.options import OPTIONS
from pruneexp.config.read import restore
from pruneexp.config.recipe import Dial, Invalid, asked
from pruneexp.config.run import Run, name
from pruneexp.engine import files
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import Ancestor, parents, settle
from pruneexp.engine.network import build
from pruneexp.engine.plan import plan, standings
from pruneexp.engine.record import WEIGHTS
from pruneexp.engine.work import work
from pruneexp.measure.planned import size
from pruneexp.pruning import Criterion, Dense, Gradual, Groups, Pruning
from pruneexp.pruning.allocation import Global, PerLayer
from pruneexp.pruning.attached import EmptyTensor
from pruneexp.pruning.group import Group, MaskPlan
from pruneexp.pruning.pruner import Pruner
from pruneexp.pruning.schedule import Linear, OneShot
from pruneexp.pruning.scope import All, ModelScope
from pruneexp.pruning.start import FromDense, FromRun
from pruneexp.pruning.structure import Blocks, NOfM
from pruneexp.training.checkpoint import unpack
from pruneexp.training.fit import Stopped
from pruneexp.training.optimiser import SGD
from tests.conftest import After, Make, silent, tiny_gradual


@dataclass(kw_only=True, slots=True)
class Undefined(Criterion):
    word: ClassVar[str] = "undefined"


@dataclass(kw_only=True, slots=True)
class Taylor(Criterion):
    """|weight x gradient|."""

    word: ClassVar[str] = "taylor"
    uses_gradients: ClassVar[bool] = True

    def scores(self, weights: Any, gradients: Any, generators: Any) -> list[Tensor]:
        return [
            (weight * gradient).abs() for weight, gradient in zip(weights, gradients, strict=True)
        ]


class TestCriterion:
    def test_one_without_scores_is_an_error_and_never_magnitude(self) -> None:
        recipe = Gradual(sparsity=0.5, criterion=Undefined(), schedule=OneShot(begin=0.0))
        with pytest.raises(NotImplementedError, match="Undefined defines no scores"):
            recipe.attach(nn.Linear(4, 1), steps=1)

    def test_it_sees_the_dense_gradients_of_the_last_step(self) -> None:
        layer = nn.Linear(4, 1, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        schedule = Linear(begin=0.25, end=0.5, interval=1)
        recipe = Gradual(sparsity=0.5, criterion=Taylor(), schedule=schedule)
        pruner = recipe.attach(layer, steps=8)
        for gradient in ([9, 9, 9, 9], [9, 9, 0.1, 9], [1, 9, 5, 0.1], [1, 0.1, 1, 1]):
            layer.weight.grad = torch.tensor([gradient], dtype=torch.float32)
            pruner.after_backward()
            pruner.after_step()
        # Planned are 0, 1 and 2 masked at steps 2, 3 and 4. At step 3 the products are 1, 18, 15
        # and 0.4: the last goes. At step 4 they are 1, 0.2, 3 and, though it is masked, 4.
        assert pruner.finish()["weight"].tolist() == [[False, False, True, True]]
        assert layer.weight.tolist() == [[0, 0, 3, 4]]

    def test_one_that_needs_gradients_cannot_prune_before_the_first_step(self) -> None:
        recipe = Gradual(criterion=Taylor(), schedule=OneShot(begin=0.0))
        with pytest.raises(Invalid, match=r"begin takes a fraction above 0.*taylor"):
            recipe.attach(nn.Linear(10, 10), steps=4)


class TestStructureAndAllocation:
    """Two choices that go together in any pair."""

    def masks(self, **parts: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False))
        with torch.no_grad():
            model[0].weight.mul_(100)  # all of these are larger than any of the second layer
        recipe = Gradual(scope=All(), schedule=OneShot(begin=0.0), **parts)
        return recipe.attach(model, steps=1).finish()

    def test_blocks_with_one_threshold_over_all_layers(self) -> None:
        masks = self.masks(sparsity=0.25, structure=Blocks(columns=4), allocation=Global())
        # 96 weights are 24 blocks, of which 6 go: all from the layer of small weights.
        assert bool(masks["0.weight"].all())
        blocks = masks["1.weight"].view(4, 2, 4).sum(2).flatten()
        assert sorted(blocks.tolist()) == [0] * 6 + [4] * 2

    def test_n_of_m_with_a_layer_that_stays_dense(self) -> None:
        allocation = PerLayer(at_most={"1.*": 0.0})
        masks = self.masks(sparsity=0.5, structure=NOfM(), allocation=allocation)
        assert (masks["0.weight"].view(-1, 4).sum(1) == 2).all()
        assert bool(masks["1.weight"].all())

    def test_n_of_m_with_one_threshold_is_the_pattern_in_every_layer(self) -> None:
        masks = self.masks(sparsity=0.5, structure=NOfM(), allocation=Global())
        for mask in masks.values():
            assert (mask.view(-1, 4).sum(1) == 2).all()

    def test_a_share_that_the_structure_cannot_have_names_the_layer(self) -> None:
        with pytest.raises(Invalid, match=r"takes 0.5 where 2 of 4 stay, got 0.25 for 1.weight"):
            self.masks(
                sparsity=0.5, structure=NOfM(), allocation=PerLayer(at_most={"1.weight": 0.25})
            )

    def test_what_stays_dense_need_not_divide_into_blocks(self) -> None:
        model = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 4))
        recipe = Gradual(
            sparsity=0.5,
            structure=Blocks(columns=4),
            allocation=PerLayer(at_most={"0.weight": 0.0}),
            scope=All(),
        )
        assert recipe.plan(recipe.ranked_groups(model), 10).by_group == {
            "0.weight": 0,
            "1.weight": 16,
        }

    def test_an_allocation_sees_shapes(self) -> None:
        seen: list[Group] = []

        @dataclass(kw_only=True, slots=True)
        class Looks(Global):
            word: ClassVar[str] = "looks"

            def levels(self, groups: Sequence[Group], final: float) -> list[float]:
                seen.extend(groups)
                return [final] * len(groups)

        with pytest.warns(EmptyTensor, match=r"^no weight of 1\.weight is left"):
            self.masks(sparsity=0.5, allocation=Looks())
        assert seen[0] == Group("0.weight", {"0.weight": (8, 8)})


@dataclass(kw_only=True, slots=True)
class Borrowed(Pruning):
    """The mask of one run on the early weights of another."""

    word: ClassVar[str] = "borrowed"
    sparsity: float = 0.8
    step: int = 3

    def parents(self, run: Run, find: Callable[[str], Run]) -> dict[str, Run]:
        dense = replace(run, pruning=Dense(), keep_steps=[self.step])
        pruned = replace(run, pruning=Gradual(sparsity=self.sparsity), keep_steps=[])
        return {"weights": dense, "mask": pruned}

    def load(self, network: nn.Module, model: Any, ancestors: Mapping[str, Ancestor]) -> None:
        ancestors["weights"].load(network, self.step)

    def dial(self) -> Dial:
        return Dial("sparsity", self.sparsity, f"{self.sparsity:.0%}")

    def groups(self, model: nn.Module) -> Groups:
        return ModelScope().groups(model)

    def attach(
        self,
        model: nn.Module,
        *,
        steps: int,
        seed: int = 0,
        ancestors: Mapping[str, Ancestor] | None = None,
    ) -> Pruner:
        assert ancestors is not None
        return Fixed(model, ancestors["mask"].masks())

    def label(self) -> str:
        return f"borrowed-s{self.sparsity:g}"


class Fixed(Pruner):
    def __init__(self, model: nn.Module, masks: dict[str, Tensor]) -> None:
        self.fixed = masks
        self.weights = {name: model.get_parameter(name) for name in masks}
        self.after_step()

    def after_backward(self) -> None:
        super().after_backward()
        for key, weight in self.weights.items():
            assert weight.grad is not None
            weight.grad.mul_(self.fixed[key])

    @torch.no_grad()
    def after_step(self, *, zeros_moved: bool = True) -> None:
        for key, weight in self.weights.items():
            weight.mul_(self.fixed[key])

    def finish(self) -> dict[str, Tensor]:
        return self.fixed


@pytest.fixture
def borrowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(OPTIONS, "pruning", (*OPTIONS["pruning"], Borrowed))
    yield


@pytest.mark.usefixtures("borrowed")
class TestAncestorsByRole:
    def test_a_plan_has_them_first_and_workers_wait_for_all(self, tiny: Make) -> None:
        run = tiny(Borrowed())
        made = plan("", "mine", [run, tiny()], [])
        roles = {role: name(parent) for role, parent in parents(run).items()}
        assert list(roles) == ["weights", "mask"]
        assert [one.name for one in made.runs] == [*roles.values(), name(run)]
        assert made.runs[-1].parents == roles
        # The dense run is wanted for itself too, and keeps the state that the other begins with.
        dense = made.runs[0]
        assert dense.wanted and dense.run["keep_steps"] == [3] and dense.run["keep"] == "weights"
        lines: list[str] = []
        work(run.store, made, say=lines.append)
        assert [one.state for one in standings(run.store, made)] == ["finished"] * 3
        record = run.store.folder(name(run)).record_or_fail()
        fingerprints = {one.name: one.fingerprint for one in made.runs}
        assert record.parents == {role: fingerprints[one] for role, one in roles.items()}
        assert restore(made.runs[-1].run, trust=True, origin="here") == run

    def test_the_budget_tells_what_weights_saw_and_what_was_spent(self, tiny: Make) -> None:
        record = execute(tiny(Borrowed()), say=silent)
        assert record.budget.steps == 12
        assert record.budget.total_steps == 24  # this stage and the dense run's
        assert record.budget.spent_steps == 36  # and the run that found the mask
        assert record.budget.spent_examples == 36 * 16
        child = tiny(replace(tiny_gradual(), start=FromRun(fingerprint=record.fingerprint)))
        again = execute(child, say=silent)
        assert again.budget.total_steps == 36
        assert again.budget.spent_steps == 48  # each run once

    def test_mask_and_weights_are_those_of_the_runs(self, tiny: Make) -> None:
        run = tiny(Borrowed())
        record = execute(run, say=silent)
        mask = parents(run)["mask"]
        theirs = mask.store.folder(name(mask)).record_or_fail()
        assert record.checksums["masks"] == theirs.checksums["masks"]
        assert record.counts.nonzero == theirs.counts.nonzero

    def test_a_kept_state_is_that_of_a_shorter_run(self, tiny: Make) -> None:
        """State 3 of a dense run of 12 steps, seen from a run that begins there."""
        dense = tiny()
        kept = replace(dense, keep_steps=[0, 3])
        assert name(kept) == name(dense)
        record = execute(kept, say=silent)
        ancestor = Ancestor(run=kept, record=record, folder=kept.store.folder(name(kept)))
        assert [ancestor.state(step)["step"] for step in (0, 3)] == [0, 3]
        network = ancestor.network()
        ancestor.load(network, 3)
        early = {key: value.clone() for key, value in network.state_dict().items()}
        ancestor.load(network)
        assert any(not torch.equal(early[k], v) for k, v in network.state_dict().items())
        child = tiny(tiny_gradual(start=FromRun(fingerprint=record.fingerprint, step=3, steps=4)))
        assert execute(child, say=silent).parents == {"weights": record.fingerprint}

    def test_a_parent_that_kept_no_state_is_trained_again(self, tiny: Make) -> None:
        dense = tiny()
        before = execute(dense, say=silent)
        lines: list[str] = []
        execute(tiny(Borrowed()), say=lines.append)
        folder = dense.store.folder(name(dense))
        assert any("made again" in line and str(folder.path) in line for line in lines)
        assert folder.record_or_fail().checksums == before.checksums
        files.load_checked(folder.state_path(3))

    def test_states_survive_an_interruption(self, tiny: Make, tmp_path: Any) -> None:
        whole = replace(tiny(keep_steps=[2, 9]), results=str(tmp_path / "whole"))
        cut = tiny(keep_steps=[2, 9], checkpoint_seconds=0.0)
        execute(whole, say=silent)
        with pytest.raises(Stopped):
            execute(cut, say=silent, stop=After(5))
        execute(cut, say=silent)
        for step in (2, 9):
            paths = [run.store.folder(name(run)).state_path(step) for run in (whole, cut)]
            expected, state = (unpack(files.load_checked(path))["model"] for path in paths)
            assert all(torch.equal(expected[key], state[key]) for key in expected)

    def test_clean_keeps_the_weights_of_every_role(self, tiny: Make, capsys: Any) -> None:
        run = tiny(Borrowed())
        made = plan("", "mine", [run], [])
        run.store.save_plan(made)
        ancestors = parents(run)
        for parent in ancestors.values():
            execute(parent, say=silent)
        COMMANDS["clean"](["--results", run.results, "--keep", "none", "--yes"])
        for parent in ancestors.values():
            assert (parent.store.folder(name(parent)).path / WEIGHTS).exists()


@dataclass(kw_only=True, slots=True)
class Penalised(Pruning):
    """An L1 penalty, and a trained threshold below which weights go at the end."""

    word: ClassVar[str] = "penalised"
    strength: float = 0.01
    skips: int = 0  # every so many steps the optimiser must not step

    def groups(self, model: nn.Module) -> Groups:
        return ModelScope().groups(model)

    def dial(self) -> Dial:
        return Dial("strength", self.strength, f"strength {self.strength:g}")

    def attach(
        self, model: nn.Module, *, steps: int, seed: int = 0, ancestors: Any = None
    ) -> Pruner:
        return Threshold(model, self)

    def label(self) -> str:
        return f"penalised-{self.strength:g}"


class Threshold(Pruner):
    def __init__(self, model: nn.Module, recipe: Penalised) -> None:
        self.recipe = recipe
        names = [name for group in recipe.groups(model).values() for name in group]
        self.weights = {name: model.get_parameter(name) for name in names}
        self.threshold = nn.Parameter(torch.tensor(0.01))
        self.optimiser: torch.optim.Optimizer | None = None
        self.step = 0

    @property
    def skips_step(self) -> bool:  # type: ignore[override]
        return bool(self.recipe.skips) and self.step % self.recipe.skips == 0

    def parameters(self) -> Sequence[nn.Parameter]:
        return [self.threshold]

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser = optimiser

    def penalty(self) -> Tensor:
        sizes = torch.stack([weight.abs().mean() for weight in self.weights.values()])
        return self.recipe.strength * (sizes.sum() - self.threshold)

    def after_step(self, *, zeros_moved: bool = True) -> None:
        self.step += 1

    @torch.no_grad()
    def finish(self) -> dict[str, Tensor]:
        masks = {key: weight.abs() > self.threshold for key, weight in self.weights.items()}
        for key, weight in self.weights.items():
            weight.mul_(masks[key])
        return masks

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "threshold": self.threshold.detach().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        with torch.no_grad():
            self.threshold.copy_(state["threshold"])


class TestOwnParameters:
    def test_sparsity_is_an_outcome(self, tiny: Make) -> None:
        run = tiny(Penalised())
        planned = size(run)
        assert planned.nonzero is None and planned.to_plain()["megabytes"] is None
        assert planned.sparse_multiply_adds is None
        groups = run.pruning.ranked_groups(run.model.build(run.task.shape()))
        assert run.pruning.plan(groups, 12) == MaskPlan(None, {g.name: None for g in groups})
        record = execute(run, say=silent)
        masked = sum(group.masked for group in record.counts.groups)
        assert 0 < masked < record.counts.prunable
        assert record.counts.nonzero == record.counts.parameters - masked

    def test_the_threshold_is_trained_without_weight_decay_and_resumes(
        self, tiny: Make, tmp_path: Any
    ) -> None:
        decay = {"optimiser": SGD(momentum=0.0, weight_decay=0.5), "learning_rate": 0.1}
        whole = replace(tiny(Penalised(strength=0.1), **decay), results=str(tmp_path / "whole"))
        cut = tiny(Penalised(strength=0.1), checkpoint_seconds=0.0, **decay)
        expected = execute(whole, say=silent)
        with pytest.raises(Stopped):
            execute(cut, say=silent, stop=After(5))
        record = execute(cut, say=silent)
        assert record.checksums == expected.checksums

    def test_weight_decay_leaves_it_alone(self) -> None:
        from pruneexp.training.parameter_groups import parameter_groups

        model = nn.Linear(4, 3)
        pruner = Threshold(_with_prunable(model), Penalised())
        recipe = SGD(momentum=0.0, weight_decay=0.5)
        groups = parameter_groups(model, recipe, undecayed=pruner.parameters())
        optimiser = recipe.build(groups, 0.1)
        pruner.after_backward()
        before = pruner.threshold.item()
        optimiser.step()
        # Its gradient is -strength, and nothing else moves it.
        assert pruner.threshold.item() == pytest.approx(before + 0.1 * 0.01)

    def test_a_skipped_step_moves_nothing(self, tiny: Make) -> None:
        still = execute(tiny(Penalised(strength=0.0, skips=1)), say=silent)
        moving = execute(tiny(Penalised(strength=0.0)), say=silent)
        assert still.checksums["weights"] != moving.checksums["weights"]
        run = tiny(Penalised(strength=0.0, skips=1), seed=0)
        network = Ancestor(run=run, record=still, folder=run.store.folder(name(run))).network()
        fresh = dict(build(run, torch.device("cpu")).named_parameters())
        for key, weight in network.named_parameters():
            kept = weight != 0
            assert torch.equal(weight[kept], fresh[key][kept]), key


def _with_prunable(model: nn.Module) -> nn.Module:
    model.prunable = lambda: {"weight": ["weight"]}
    return model


def test_a_run_has_no_name_before_it_is_settled(tiny: Make) -> None:
    dense = tiny()
    record = execute(dense, say=silent)
    child = tiny(tiny_gradual(start=FromRun(run=record.name)))
    with pytest.raises(ValueError, match="settle"):
        name(child)
    assert settle(child).pruning.starts_from.fingerprint == record.fingerprint
    assert asked(settle(child)) == asked(
        tiny(tiny_gradual(start=FromRun(fingerprint=record.fingerprint)))
    )
    with pytest.raises(Invalid, match=r"pruning.start takes .* got nothing: there is no such"):
        settle(tiny(tiny_gradual(start=FromRun(run="nothing"))))


def test_a_start_is_a_recipe_with_its_own_steps_and_rate() -> None:
    assert FromDense(steps=5, rate=0.1).stage(100) == (5, 0.1)
    assert FromDense().stage(100) == (100, 0.1)
    assert Gradual().stage(100) == (100, 1.0)
    for wrong in ({"steps": 0}, {"rate": 0.0}):
        with pytest.raises(Invalid, match=next(iter(wrong))):
            FromDense(**wrong)
