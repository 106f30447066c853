"""The loop: steps, masks, validations, checkpoints. It knows no model and no task by name."""

import io
import time
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, isnan, nan
from typing import Any, cast

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.engine import distributed
from pruneexp.engine.outcomes import Outcomes
from pruneexp.engine.record import LARGEST_VALUE, Progress
from pruneexp.pruning.attached import EmptyTensor
from pruneexp.pruning.pruner import Pruner
from pruneexp.tasks.loaded import Carry, LoadedTask
from pruneexp.training import Training, batch_norm
from pruneexp.training.average import averaged
from pruneexp.training.checkpoint import VERSION, moved
from pruneexp.training.parameter_groups import parameter_groups
from pruneexp.training.precision import Precision
from pruneexp.training.teacher import Teacher

SHOW_SECONDS = 0.5  # between two looks at where a run stands
HISTORY_ROWS = 100  # of the loss over a run, beside the validations


class Diverged(Exception):
    """The training led to values that are no numbers, or to none that say anything.

    Arguments:
        step: at which that was noticed.
        what: the loss of training, or a metric with its split.
        value: what it was.
    """

    def __init__(self, step: int, what: str = "the training loss", value: float = nan) -> None:
        self.step = step
        super().__init__(
            f"{what} turned {_words(value)} at step {step}; a smaller training.learning_rate or a "
            "training.clip may help"
        )


def _words(value: float) -> str:
    if isfinite(value):
        return f"{value:.3g}"
    return "NaN" if isnan(value) else "infinite"


class Stopped(Exception):
    """Someone asked the run to stop; its checkpoint is written."""


@dataclass(slots=True)
class State:
    """All that a run needs to go on as if never stopped, apart from the live objects' own states.
    No generator is among it: every draw follows from (seed, purpose, position)."""

    step: int = 0
    best: dict[str, Any] | None = None  # step, metrics and the model's state
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # since the last row of the history
    carry: Carry = None


class Fit:
    """One stage of training. `run` goes from wherever the state stands to the end.

    Arguments:
        model, task, pruner, recipe: what is trained on what, and how.
        steps, rate: of the stage; the rate is that of the first step.
        facts: what must be the same when the run goes on, kept in its checkpoints.
        save: takes a checkpoint's bytes.
        keep_steps, keep: the steps after which the whole state is kept, and what takes it.
        watch, stop: told where the run stands; asked whether it should stop.
        teacher: whose scores count beside the labels.
        cycles: how often the rate's decay is gone through.
    """

    def __init__(
        self,
        model: nn.Module,
        task: LoadedTask,
        pruner: Pruner,
        recipe: Training,
        *,
        steps: int,
        rate: float,
        facts: dict[str, Any] | None = None,
        save: Callable[[bytes], None] = lambda payload: None,
        keep_steps: Iterable[int] = (),
        keep: Callable[[int, bytes], None] = lambda step, payload: None,
        watch: Callable[[Progress], None] = lambda progress: None,
        stop: Callable[[], bool] = lambda: False,
        teacher: Teacher | None = None,
        cycles: int = 1,
    ) -> None:
        self.model, self.task, self.pruner, self.recipe = model, task, pruner, recipe
        self.teacher = teacher
        self.steps = steps
        self.save, self.watch, self.stop = save, watch, stop
        self.keep_steps, self.keep = set(keep_steps), keep
        self.rate, self.cycle = rate, -(-steps // cycles)
        self.optimiser = recipe.optimiser.build(
            parameter_groups(model, recipe.optimiser, undecayed=pruner.parameters()), rate
        )
        pruner.use(self.optimiser)
        pruner.use_data(task.training_examples(), 1 / task.shown(1.0))
        pruner.use_examples(task.example_losses)
        self.precision = Precision(recipe.precision, task.setting.device)
        self.average = averaged(model, recipe)
        # What the batches go through; `model` is the plain network inside.
        self.network = distributed.share(model)
        if recipe.compile:
            self.network = cast(nn.Module, torch.compile(self.network))
        self.state = State()
        self._began, self._seconds_before = time.monotonic(), 0.0
        self.facts = facts or {}
        self._validations: list[float] = []  # seconds of each
        # Losses stay on the device between these steps, since reading one waits for it.
        self._look_every = 1 if task.setting.device.type == "cpu" else 20

    def run(self) -> dict[str, Any]:
        """Train to the end; the model then holds the chosen state. Returns its step and metrics."""
        self.model.train()
        began, first = time.monotonic(), self.state.step
        shown = saved = began
        waiting: list[tuple[int, Tensor]] = []  # steps and their losses
        if first == 0:
            self._show("training", None)
            self._keep_state()
        for batch in self.task.batches(first, self.steps):
            step = self.state.step + 1
            try:
                waiting.append((step, self._step(batch)))
            except FloatingPointError:  # masks cannot be chosen among weights that are no numbers
                self._take(waiting)
                raise Diverged(step) from None
            state = self.state
            if state.step in self.keep_steps:
                self._take(waiting)
                self._keep_state()
            if len(waiting) < self._look_every and not self._marks(state.step):
                continue
            self._take(waiting)
            if self._marks(state.step):
                self._write_row()
            if self._due(state.step):
                self._show("validating", self._seconds_left(began, first))
                before = time.monotonic()
                self._validate()
                self._validations.append(time.monotonic() - before)
            now = time.monotonic()
            if now - shown > SHOW_SECONDS:
                self._show("training", self._seconds_left(began, first))
                shown = now
            stopping = distributed.agree(lambda: self.state.step < self.steps and self.stop())
            if stopping or now - saved > self.recipe.checkpoint_seconds:
                self._save()
                saved = now
            if stopping:
                raise Stopped
        if self.steps == 0:  # a stage that only measures
            self.state.history.append({"step": 0, "sparsity": self.pruner.sparsity})
            self._validate()
        assert self.state.best is not None
        self.model.load_state_dict(self.state.best["model"])
        return {key: value for key, value in self.state.best.items() if key != "model"}

    def _step(self, batch: Any) -> Tensor:
        """One optimiser step. Returns the loss, still on the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate_at(self.state.step)
        self.optimiser.zero_grad()
        scaler = self.precision.scaler
        loss = self._backward(batch)
        scaler.unscale_(self.optimiser)
        self.pruner.after_backward()
        if not self.pruner.skips_step:
            if self.recipe.clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            scaler.step(self.optimiser)
        scaler.update()
        self.state.step += 1
        self.pruner.after_step(zeros_moved=self.recipe.optimiser.moves_zeros)
        if self.average is not None:
            self.average.take()
        return loss

    def _backward(self, batch: Any) -> Tensor:
        """Gradients of a batch, in as many parts as asked for. Returns its loss."""
        losses = []
        parts = self.task.parts(batch, self.recipe.accumulate)
        for number, part in enumerate(parts):
            self._reseed(number)
            with distributed.alone(self.network, last=number == len(parts) - 1):
                with self.precision():
                    loss = self._loss(part)
                loss = loss / len(parts)
                self.precision.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return sum(losses[1:], losses[0])

    def _loss(self, batch: Any) -> Tensor:
        """The loss of a batch; the state is then what the next one starts from."""
        told = self.task.loss if self.teacher is None else partial(self.teacher.loss, self.task)
        loss, self.state.carry = told(self.network, batch, self.state.carry)
        return loss

    def _reseed(self, part: int) -> None:
        """Dropout and the like follow from where they are drawn: step, rank and part."""
        place = [distributed.rank(), part] if distributed.rank() or part else []
        torch.manual_seed(seeds.draw(self.task.setting.seed, "step", self.state.step, *place))

    def _rate_at(self, step: int) -> float:
        return self.rate * self.recipe.factor(step % max(1, self.cycle), self.cycle)

    def _take(self, waiting: list[tuple[int, Tensor]]) -> None:
        """Read the losses that wait on the device, and stop at the first that is no number."""
        if not waiting:
            return
        steps, held = zip(*waiting, strict=True)
        losses = (distributed.total(torch.stack(held)) / distributed.count()).tolist()
        for step, loss in zip(steps, losses, strict=True):
            if not isfinite(loss):
                raise Diverged(step, value=loss)
        self.state.losses += [self.task.shown(loss) for loss in losses]
        waiting.clear()

    def _marks(self, step: int) -> bool:
        """Whether the history gets a row at this step: evenly spaced, and at validations."""
        rows = min(HISTORY_ROWS, self.steps)
        return step * rows // self.steps > (step - 1) * rows // self.steps or self._due(step)

    def _due(self, step: int) -> bool:
        """Whether a validation falls on this step."""
        times = self.recipe.evaluations
        return step * times // self.steps > (step - 1) * times // self.steps

    def _write_row(self) -> None:
        state = self.state
        mean = sum(state.losses) / len(state.losses)
        state.history.append(
            {
                "step": state.step,
                "rate": self._rate_at(state.step - 1),
                "loss": mean,
                "sparsity": self.pruner.sparsity,
            }
        )
        state.losses = []

    def _validate(self) -> None:
        """Measure on validation; keep the state if it may be chosen and is the best so far."""
        if self.pruner.settled and self.pruner.re_estimates_batch_norm:
            with self.pruner.quiet():
                batch_norm.estimate(self.model, self.task)
        distributed.level(self.model.buffers())  # each rank's batch-norm has seen its own pictures
        if self.average is None:
            self._measure_and_choose()
            return
        self.average.note(settled=self.pruner.settled)
        with self.average.in_place():
            self.pruner.apply_to(self.model)
            self._measure_and_choose()

    def finish(self) -> dict[str, Tensor]:
        """The masks, checked. A record says which tensors lost all weights, so no warning does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmptyTensor)
            return {name: mask.cpu() for name, mask in self.pruner.finish().items()}

    def measure_once(self, split: str) -> dict[str, float]:
        """What is too dear to be measured at each validation."""
        with self.precision():
            return self._numbers(self.task.measure_once(self.model, split), split)

    def measure(self, split: str) -> dict[str, float]:
        """The metrics of the model as it is."""
        with self.precision():
            return self._numbers(self.task.evaluate(self.model, split), split)

    def outcomes(self) -> Outcomes | None:
        """What came of each item of the test split, of the model as it is."""
        with self.precision():
            return self.task.outcomes(self.model)

    def _numbers(self, metrics: dict[str, float], split: str) -> dict[str, float]:
        """The metrics, if all of them say something."""
        for name, value in metrics.items():
            if not abs(value) <= LARGEST_VALUE:
                raise Diverged(self.state.step, f"{name} on {split}", value)
        return metrics

    def _measure_and_choose(self) -> None:
        state, name = self.state, self.task.chosen_by.name
        metrics = self.measure("valid")
        state.history[-1] |= {f"valid_{key}": value for key, value in metrics.items()}
        may = state.step >= self.recipe.choose_after * self.steps and self.pruner.settled
        if not may and state.step < self.steps:
            return
        sign = 1 if self.task.chosen_by.higher_is_better else -1
        best = state.best["valid"][name] if state.best else None
        if best is None or sign * metrics[name] > sign * best:
            weights = {key: value.cpu() for key, value in self.model.state_dict().items()}
            state.best = {"step": state.step, "valid": metrics, "model": deepcopy(weights)}

    def seconds(self) -> float:
        """Spent on this stage, before it was stopped too."""
        return self._seconds_before + time.monotonic() - self._began

    def _seconds_left(self, began: float, first: int) -> float:
        """Of the steps that are left, of the validations among them, and of the test at the end,
        which takes as long as one."""
        done, left = self.state.step - first, self.steps - self.state.step
        validating = sum(self._validations)
        a_step = (time.monotonic() - began - validating) / max(done, 1)
        a_validation = validating / len(self._validations) if self._validations else 0.0
        validations = sum(self._due(step) for step in range(self.state.step + 1, self.steps + 1))
        return a_step * left + a_validation * (validations + 1)

    def _show(self, stage: str, seconds_left: float | None) -> None:
        history = self.state.history
        key = f"valid_{self.task.chosen_by.name}"
        self.watch(
            Progress(
                step=self.state.step,
                steps=self.steps,
                sparsity=self.pruner.sparsity,
                loss=self.state.losses[-1] if self.state.losses else _last(history, "loss"),
                valid=_last(history, key),
                seconds_left=seconds_left,
                stage=stage,
            )
        )

    def _keep_state(self) -> None:
        if self.state.step in self.keep_steps and distributed.is_first():
            self.keep(self.state.step, self._pack())

    def _save(self) -> None:
        if distributed.is_first():
            self.save(self._pack())

    def _pack(self) -> bytes:
        file = io.BytesIO()
        torch.save(
            {
                "version": VERSION,
                "facts": self.facts,
                "seconds": self.seconds(),
                "step": self.state.step,
                "best": self.state.best,
                "history": self.state.history,
                "losses": self.state.losses,
                "carry": self.state.carry,
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.precision.scaler.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "pruner": self.pruner.state_dict(),
                "teacher": self.teacher.carry if self.teacher else None,
            },
            file,
        )
        return file.getvalue()

    def begin_with(self, state: dict[str, Any] | None) -> None:
        """Go on from the state of another run: its optimiser, its step and its place in the data.
        Network and pruner stay as they are. None begins at step 0."""
        if state is not None:
            own = {"model": self.model.state_dict(), "pruner": self.pruner.state_dict()}
            self.go_on_from({**state, **own, "best": None, "history": [], "seconds": 0.0})

    def go_on_from(self, saved: dict[str, Any]) -> None:
        """Take up a checkpoint that `unpack` read."""
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.precision.scaler.load_state_dict(saved["scaler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.pruner.load_state_dict(saved["pruner"])
        self._seconds_before = saved["seconds"]
        names = ("step", "best", "history", "losses", "carry")
        self.state = State(**{name: saved[name] for name in names})
        self.state.carry = moved(self.state.carry, self.task.setting.device)
        if self.teacher is not None:
            self.teacher.carry = moved(saved.get("teacher"), self.task.setting.device)


def _last(history: list[dict[str, float]], key: str) -> float | None:
    return next((row[key] for row in reversed(history) if key in row), None)
