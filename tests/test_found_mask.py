"""Lottery tickets, and masks that were found under new weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pruneexp.config.recipe import Invalid
from pruneexp.engine.execute import execute
from pruneexp.engine.lineage import Ancestor, parents, settle
from pruneexp.engine.record import MASKS, WEIGHTS
from pruneexp.models import MobileNetV1
from pruneexp.pruning import L0, Gradual, Lottery, NewWeights, Pruning
from pruneexp.pruning.found_mask_pruner import FoundMaskPruner
from pruneexp.pruning.schedule import Cubic
from pruneexp.pruning.scope import All
from tests.conftest import After, Make, outcome, silent

SCHEDULE = Cubic(begin=0.5, end=0.8, interval=2)


def masks_of(run: Any, record: Any) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.store.folder(record.name).path / MASKS)


def finder(run: Any) -> Any:
    """The run that finds the mask, made."""
    return parents(settle(run))["mask"]


@pytest.mark.parametrize(
    "method",
    [
        Lottery(sparsity=0.8, schedule=SCHEDULE),
        Lottery(sparsity=0.8, schedule=SCHEDULE, rewind=4),
        NewWeights(sparsity=0.8, schedule=SCHEDULE),
        NewWeights(sparsity=0.8, schedule=SCHEDULE, times=2),
    ],
    ids=["lottery", "rewound", "scratch", "twice"],
)
class TestRuns:
    def test_the_mask_is_that_of_the_other_run(self, tiny: Make, method: Pruning) -> None:
        run = tiny(method)
        record = execute(run, say=silent)
        found = execute(finder(run), say=silent)
        assert record.parents == {"mask": found.fingerprint}
        own, theirs = masks_of(run, record), masks_of(run, found)
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[name], theirs[name]) for name in own)
        assert record.counts.groups == found.counts.groups
        assert isinstance(finder(run).pruning, Gradual)

    def test_the_search_of_the_mask_is_spent(self, tiny: Make, method: Pruning) -> None:
        budget = execute(tiny(method), say=silent).budget
        steps = 24 if getattr(method, "times", 1) == 2 else 12
        assert (budget.steps, budget.total_steps, budget.spent_steps) == (steps, steps, steps + 12)

    def test_a_run_that_was_stopped_goes_on_bit_for_bit(
        self, tiny: Make, tmp_path: Any, method: Pruning
    ) -> None:
        whole = execute(replace(tiny(method), results=str(tmp_path / "a")), say=silent)
        stopped = replace(tiny(method), results=str(tmp_path / "b"))
        execute(replace(finder(stopped), results=str(tmp_path / "b")), say=silent)
        with pytest.raises(Exception, match=r"^$"):
            execute(stopped, stop=After(5), say=silent)
        assert outcome(execute(stopped, say=silent)) == outcome(whole)


class TestFirstWeights:
    def first(self, run: Any) -> dict[str, torch.Tensor]:
        """The weights that a run begins with, before its mask."""
        own = execute(finder(run), say=silent)
        folder = run.store.folder(own.name)
        ancestor = Ancestor(run=finder(run), record=own, folder=folder)
        network = run.model.build(run.task.shape())
        run.pruning.load(network, run.model, {"mask": ancestor})
        return network.state_dict()

    def test_a_ticket_has_those_of_the_run_that_found_it(self, tiny: Make) -> None:
        from pruneexp.engine.network import build

        run = tiny(Lottery(sparsity=0.8, schedule=SCHEDULE), seed=3)
        own, device = self.first(run), torch.device("cpu")
        original = build(finder(run), device).state_dict()
        assert all(torch.equal(own[name], original[name]) for name in original)

    def test_new_weights_are_others(self, tiny: Make) -> None:
        old = self.first(tiny(Lottery(sparsity=0.8, schedule=SCHEDULE)))
        new = self.first(tiny(NewWeights(sparsity=0.8, schedule=SCHEDULE)))
        assert not torch.equal(old["classifier.weight"], new["classifier.weight"])

    def test_a_rewound_ticket_has_those_after_so_many_steps(self, tiny: Make) -> None:
        """Its own training then goes on as that run's did: with a mask that removes nothing of what
        was trained, the result is the same."""
        run = tiny(Lottery(sparsity=0.8, schedule=SCHEDULE, rewind=4))
        own = self.first(run)
        state = run.store.folder(execute(finder(run), say=silent).name).state(4)
        from pruneexp.training.checkpoint import unpack

        kept = unpack(state)["model"]
        assert all(torch.equal(own[name], kept[name]) for name in kept)

    def test_rewinding_takes_optimiser_and_data_too(self, tiny: Make) -> None:
        """Under the mask that the run itself had from that step on, the ticket repeats it."""
        at_once = Cubic(begin=0.25, end=0.25)
        run = tiny(Lottery(sparsity=0.8, schedule=at_once, rewind=3), optimiser=_momentum())
        record, found = execute(run, say=silent), execute(finder(run), say=silent)
        assert record.test == found.test and record.valid == found.valid


def _momentum() -> Any:
    from pruneexp.training.optimiser import SGD

    return SGD(momentum=0.9)


class TestAnotherRun:
    def test_any_finished_run_can_give_its_mask(self, tiny: Make) -> None:
        source = execute(tiny(Gradual(sparsity=0.6, schedule=SCHEDULE), seed=5), say=silent)
        run = tiny(Lottery(mask=source.name))
        record = execute(run, say=silent)
        assert record.parents == {"mask": source.fingerprint}
        assert record.counts.groups == source.counts.groups
        assert record.name.startswith(
            f"mobilenet_v1_small-w0.1-glyphs-{source.fingerprint[:6]}-lot"
        )

    def test_one_that_is_not_there_is_refused(self, tiny: Make) -> None:
        with pytest.raises(Invalid, match=r"pruning.mask takes a finished run, got nothing"):
            settle(tiny(Lottery(mask="nothing")))

    def test_a_dense_one_is_refused(self, tiny: Make) -> None:
        source = execute(tiny(), say=silent)
        with pytest.raises(Invalid, match="is a dense run, which has no mask"):
            parents(settle(tiny(NewWeights(mask=source.name))))

    def test_one_of_another_network_is_refused(self) -> None:
        torch.manual_seed(0)
        masks = {"0.weight": torch.ones(3, 4, dtype=torch.bool)}
        recipe = Gradual(sparsity=0.5, scope=All())
        with pytest.raises(Invalid, match=r"mask of shape \(3, 4\) there and \(3, 5\) here"):
            FoundMaskPruner(nn.Sequential(nn.Linear(5, 3)), recipe, masks, steps=1)
        with pytest.raises(Invalid, match=r"0\.weight has a mask of shape none there"):
            FoundMaskPruner(nn.Sequential(nn.Linear(4, 3)), recipe, {}, steps=1)

    def test_a_run_of_another_architecture_is_refused_before_training(self, tiny: Make) -> None:
        source = execute(tiny(Gradual(sparsity=0.6, schedule=SCHEDULE)), say=silent)
        for method in (Lottery(mask=source.name), NewWeights(mask=source.name)):
            run = tiny(method, model=MobileNetV1(width=0.2, layout="small"))
            with pytest.raises(Invalid, match=r"pruning.mask=.* does not fit the model"):
                execute(run, say=silent)

    def test_a_mask_that_was_taken_itself_is_refused(self, tiny: Make) -> None:
        """Its run began with other weights than those that its mask was found for."""
        source = execute(tiny(NewWeights(sparsity=0.6, schedule=SCHEDULE)), say=silent)
        with pytest.raises(Invalid, match="has its mask from another run; take that one"):
            parents(settle(tiny(Lottery(mask=source.name))))

    def test_a_threshold_that_was_moved_gives_its_mask(self, tiny: Make) -> None:
        source = execute(tiny(L0(sparsity=0.6)), say=silent)
        record = execute(tiny(Lottery(mask=source.name)), say=silent)
        assert record.counts.groups == source.counts.groups

    def test_a_ticket_needs_first_weights(self, tiny: Make) -> None:
        from pruneexp.pruning.start import FromDense

        trained = Gradual(sparsity=0.6, schedule=SCHEDULE, start=FromDense(steps=4))
        source = execute(tiny(trained), say=silent)
        with pytest.raises(Invalid, match="began with trained weights"):
            parents(settle(tiny(Lottery(mask=source.name))))

    def test_rewinding_beyond_its_end_is_refused(self, tiny: Make) -> None:
        with pytest.raises(Invalid, match=r"pruning.rewind takes fewer steps than the 12 of"):
            parents(tiny(Lottery(rewind=12)))


def test_the_run_of_weights_is_there(tiny: Make) -> None:
    run = tiny(NewWeights(sparsity=0.8, schedule=SCHEDULE))
    record = execute(run, say=silent)
    assert (run.store.folder(record.name).path / WEIGHTS).is_file()


@pytest.mark.parametrize("method", [Lottery, NewWeights])
def test_a_sparsity_or_a_run_is_needed(method: Any) -> None:
    with pytest.raises(Invalid, match=r"takes null only with pruning\.mask=RUN"):
        method(sparsity=None)
    assert method(mask="x").sparsity is None
    with pytest.raises(Invalid, match="sparsity"):
        method(sparsity=1.5)
