"""Learning from a teacher: its loss by hand, who teaches whom, and what goes on as if never
stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from pruneexp.cli.compose import compose
from pruneexp.config.curve import describe
from pruneexp.config.read import read, restore
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.distillation import TEACHER, DenseTeacher, Distillation, RunTeacher
from pruneexp.engine.execute import Stopped, execute
from pruneexp.engine.lineage import parents, settle
from pruneexp.engine.record import Metric
from pruneexp.models import LSTMLanguageModel
from pruneexp.pruning import Dense, Lottery, Pruning
from pruneexp.pruning.start import FromDense
from pruneexp.quantisation import Aware
from pruneexp.tasks import Grammar
from pruneexp.tasks.loaded import LoadedTask
from pruneexp.tasks.shape import ArrayShape, TextShape
from pruneexp.training.teacher import Teacher, divergence
from tests.conftest import After, Make, outcome, silent, tiny_gradual


def language(results: Path, **changes: Any) -> Run:
    words = [
        *("task=grammar", "model=lstm_lm", "training=grammar", "model.hidden_size=8"),
        *("task.train=3000", "task.valid=400", "task.test=400", "training.steps=12"),
        *("training.batch_size=4", "training.unroll=6", "training.evaluations=2", "device=cpu"),
        *("pruning.schedule.interval=2", f"results={results}"),
    ]
    (composed,) = compose(words).configurations
    return replace(read(composed), **changes)


class TestLoss:
    def test_the_divergence_by_hand(self) -> None:
        ours = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]])
        theirs = torch.tensor([[0.0, 2.0, 0.0], [1.0, -1.0, 1.0]])
        p, q = log_softmax(theirs.numpy() / 3, 1), log_softmax(ours.numpy() / 3, 1)
        expected = 9 * (np.exp(p) * (p - q)).sum(1).mean()
        assert divergence(ours, theirs, 3.0).item() == pytest.approx(expected, rel=1e-5)
        assert divergence(ours[:, None], theirs[:, None], 3.0).item() == pytest.approx(expected)

    def test_at_a_high_temperature_gradients_match_the_scores(self) -> None:
        # Hinton et al. 2015, equation 4: (z - v) / (N T^2) for scores of mean 0, here times T^2
        ours = torch.tensor([[0.3, -0.1, -0.2]], requires_grad=True)
        theirs = torch.tensor([[0.1, 0.1, -0.2]])
        divergence(ours, theirs, 1000.0).backward()
        assert torch.allclose(ours.grad, (ours - theirs) / 3, atol=1e-3)  # type: ignore[arg-type]

    @pytest.mark.parametrize("share", [0.25, 1.0])
    def test_labels_and_teacher_share_the_loss_of_a_text(
        self, tmp_path: Path, share: float
    ) -> None:
        run = language(tmp_path)
        task, networks = prepared(run)
        batch = next(iter(task.batches(0, 1)))
        teacher = Teacher(networks[1], temperature=2.0, share=share)
        loss, _ = teacher.loss(task, networks[0], batch, None)
        own, _ = task.loss(networks[0], batch, None)
        words, _, _ = batch
        scores = [network(words, None)[0].flatten(0, 1) for network in networks]
        far = divergence(scores[0], scores[1], 2.0)
        # As `loss` is: the mean over words, times the words of a stream in a step.
        assert loss.item() == pytest.approx(((1 - share) * own + share * 6 * far).item(), rel=1e-5)

    def test_a_teacher_keeps_its_own_state_and_gets_no_gradients(self, tmp_path: Path) -> None:
        task, networks = prepared(language(tmp_path))
        teacher = Teacher(networks[1], temperature=2.0, share=0.5)
        batches = iter(task.batches(0, 2))
        loss, carry = teacher.loss(task, networks[0], next(batches), None)
        loss.backward()
        first = teacher.carry
        assert not torch.equal(carry[0][0], first[0][0])
        teacher.loss(task, networks[0], next(batches), carry)
        assert not torch.equal(teacher.carry[0][0], first[0][0])
        assert all(parameter.grad is None for parameter in networks[1].parameters())
        assert not networks[1].training

    def test_pictures_with_auxiliary_scores(self, tiny: Make) -> None:
        class Two(nn.Module):
            auxiliary = 0.4

            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, pictures: torch.Tensor) -> Any:
                scores = self.network(pictures)
                return (scores, 2 * scores) if self.training else scores

        task, (network, other) = prepared(tiny())
        batch = next(iter(task.batches(0, 1)))
        taught, _ = Teacher(other, temperature=1.0, share=0.5).loss(
            task, Two(network).train(), batch, None
        )
        own, _ = task.loss(Two(network).train(), batch, None)
        far = divergence(network(batch[0]), other.eval()(batch[0]), 1.0)
        assert taught.item() == pytest.approx((0.5 * own + 0.5 * far).item(), rel=1e-4)

    def test_of_one_taught_by_itself_nothing_is_left(self, tmp_path: Path) -> None:
        task, (network, _) = prepared(language(tmp_path))
        teacher = Teacher(network, temperature=2.0, share=1.0)
        loss, _ = teacher.loss(task, network, next(iter(task.batches(0, 1))), None)
        assert abs(loss.item()) < 1e-5


def prepared(run: Run) -> tuple[LoadedTask, list[nn.Module]]:
    """The data, and two networks of other first weights."""
    from pruneexp.engine.network import build, setting

    device = torch.device("cpu")
    run = settle(run)
    task = run.task.load(run.store.cache)
    task.settle(setting(run, device))
    return task, [build(replace(run, seed=seed), device) for seed in (0, 1)]


class TestRuns:
    def test_without_a_teacher_a_run_has_the_name_that_it_had(self, tiny: Make) -> None:
        run = tiny(tiny_gradual())
        assert "distillation" not in asked(run)
        restored = restore(asked(run), trust=False, origin="record.json")
        assert restored.distillation == Distillation()
        assert fingerprint(replace(run, distillation=DenseTeacher())) != fingerprint(run)

    @pytest.mark.parametrize("pruning", [tiny_gradual(), Dense()])
    def test_dense_and_sparse_learn_from_a_larger_model(self, tiny: Make, pruning: Pruning) -> None:
        run = tiny(pruning, distillation=DenseTeacher(size=0.2))
        record = execute(run, say=silent)
        teacher = run.store.find(record.parents[TEACHER]).record_or_fail()
        assert teacher.curve.kind == "dense" and teacher.configuration["model"]["width"] == 0.2
        assert "distillation" not in teacher.configuration
        assert (record.budget.total_steps, record.budget.spent_steps) == (12, 24)
        assert "taught0.2" in record.name
        other = execute(replace(run, distillation=Distillation()), say=silent)
        assert other.checksums["weights"] != record.checksums["weights"]
        words = [trait.words for trait in record.curve.traits if trait.group == "distillation"]
        assert words[0] == "taught by a dense model"
        again = restore(record.configuration, trust=False, origin="record.json")
        assert name(settle(replace(again, results=run.results))) == record.name

    def test_one_that_begins_with_its_teacher_needs_one_run(self, tiny: Make) -> None:
        run = tiny(tiny_gradual(start=FromDense()), distillation=DenseTeacher())
        needed = parents(settle(run))
        assert fingerprint(needed["weights"]) == fingerprint(needed[TEACHER])
        assert execute(run, say=silent).budget.spent_steps == 24

    def test_runs_that_a_method_needs_are_not_taught(self, tiny: Make) -> None:
        needed = parents(settle(tiny(Lottery(sparsity=0.5), distillation=DenseTeacher())))
        assert not needed["mask"].distillation.active

    def test_a_rounded_child_is_of_a_taught_run(self, tiny: Make) -> None:
        run = tiny(tiny_gradual(), distillation=DenseTeacher(), quantisation=Aware(steps=4))
        needed = parents(settle(run))
        assert list(needed) == ["weights"] and needed["weights"].distillation.active
        record = execute(run, say=silent)
        assert record.curve == describe(settle(run))

    @pytest.mark.parametrize("kind", ["pictures", "text"])
    def test_a_run_that_was_stopped_goes_on_bit_for_bit(
        self, tiny: Make, tmp_path: Path, kind: str
    ) -> None:
        def made(folder: str) -> Run:
            results = tmp_path / folder
            if kind == "text":
                return language(results, distillation=DenseTeacher(size=12))
            run = tiny(tiny_gradual(), distillation=DenseTeacher())
            return replace(run, results=str(results))

        whole = execute(made("a"), say=silent)
        execute(parents(settle(made("b")))[TEACHER], say=silent)
        with pytest.raises(Stopped):
            execute(made("b"), stop=After(5), say=silent)
        assert outcome(execute(made("b"), say=silent)) == outcome(whole)

    def test_with_accumulated_gradients(self, tiny: Make) -> None:
        record = execute(tiny(distillation=DenseTeacher(), accumulate=2), say=silent)
        assert record.test["accuracy"] >= 0

    def test_of_a_finished_run(self, tiny: Make) -> None:
        teacher = execute(tiny(tiny_gradual(), seed=7), say=silent)
        run = tiny(seed=1, distillation=RunTeacher(run=teacher.name))
        record = execute(run, say=silent)
        assert record.parents == {TEACHER: teacher.fingerprint}
        by_digits = tiny(seed=1, distillation=RunTeacher(run=teacher.fingerprint[:8]))
        assert fingerprint(settle(by_digits)) == record.fingerprint


class TestRefused:
    def faults(self, run: Any) -> list[Fault]:
        with pytest.raises(Invalid) as invalid:
            execute(run(), say=silent)
        return invalid.value.faults

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"temperature": 0.0}, "temperature takes a number above 0, at most 1000, got 0.0"),
            ({"share": 1.5}, "share takes a number above 0, at most 1, got 1.5"),
            ({"share": float("nan")}, "share takes a finite number, got nan"),
            ({"size": -1.0}, "size takes a number above 0, or null, got -1.0"),
        ],
    )
    def test_numbers_out_of_range(self, words: dict[str, Any], message: str) -> None:
        with pytest.raises(Invalid, match="^" + message.replace(".", r"\.") + "$"):
            DenseTeacher(**words)

    def test_a_size_that_is_none(self) -> None:
        model, shape = LSTMLanguageModel(hidden_size=8), TextShape(vocabulary=10)
        found = [str(fault) for fault in DenseTeacher(size=1.5).misfits(model, shape)]
        assert found == ["size takes a whole number of at most 16384, got 1.5"]

    def test_a_task_without_classes(self) -> None:
        shape = ArrayShape(inputs=((4,),), outputs=(1,))
        (fault,) = DenseTeacher().misfits(LSTMLanguageModel(hidden_size=8), shape)
        assert str(fault.under("distillation")).startswith("distillation needs a task of classes")

    def test_a_task_of_ones_own_that_gives_no_scores(self) -> None:
        class Own(LoadedTask):
            metric = Metric(name="own", higher_is_better=True)

        with pytest.raises(Invalid, match="distillation needs the scores of classes"):
            Own().scores(nn.Identity(), None, None)

    def test_no_such_run(self, tiny: Make) -> None:
        (fault,) = self.faults(lambda: tiny(distillation=RunTeacher(run="nobody")))
        assert fault.key == "distillation.run" and "there is no such run" in fault.message

    def test_a_run_of_another_task(self, tiny: Make) -> None:
        run = tiny()
        record = execute(language(Path(run.results), pruning=Dense()), say=silent)
        (fault,) = self.faults(lambda: tiny(distillation=RunTeacher(run=record.name)))
        assert "was trained on another task" in fault.message

    def test_another_vocabulary(self, tmp_path: Path) -> None:
        first = execute(language(tmp_path, pruning=Dense()), say=silent)
        other = language(tmp_path, pruning=Dense(), distillation=RunTeacher(run=first.name))
        assert isinstance(other.task, Grammar)
        assert execute(other, say=silent).parents[TEACHER] == first.fingerprint
