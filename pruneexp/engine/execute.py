"""execute(run) -> Record: the one place where everything meets.

It finds or makes the runs that this one is made from, loads data, builds and prunes the network in
`Fit`, checks that exactly what was planned is masked, measures the chosen state on test once, and
writes the record last.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import save
from torch import Tensor

from pruneexp.config.curve import describe
from pruneexp.config.factory import demand_own_python
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import circumstances, distributed, file_budget, files
from pruneexp.engine.data_identity import DataIdentity
from pruneexp.engine.device import caller_state_kept
from pruneexp.engine.device import settle as settle_device
from pruneexp.engine.failure import explained, failure
from pruneexp.engine.following import following
from pruneexp.engine.lineage import Ancestor, budget, demand_vocabulary, parents, settle
from pruneexp.engine.network import build, setting
from pruneexp.engine.record import MASKS, RECORD, WEIGHTS, Progress, Record
from pruneexp.engine.run_folder import RunFolder
from pruneexp.measure import packed, sensitivity
from pruneexp.measure.counts import count_masks, multiply_adds
from pruneexp.printable import printable
from pruneexp.tasks.loaded import LoadedTask
from pruneexp.tasks.shape import check_model
from pruneexp.training.checkpoint import unpack
from pruneexp.training.fit import Fit, Stopped

PATIENCE = 0.5  # seconds between two tries to get a folder that another process holds


class Busy(Exception):
    """Another process has this run."""


def ignore_progress(progress: Progress) -> None:
    """Watch nothing."""


def never() -> bool:
    """Never stop."""
    return False


def to_errors(line: str) -> None:
    """Say a line on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asked for the run: what they are told, and how they ask it to stop."""

    watch: Callable[[Progress], None] = ignore_progress
    stop: Callable[[], bool] = never
    say: Callable[[str], None] = to_errors
    wait: bool = True  # for another process that has the run; else `Busy`


def execute(
    run: Run,
    *,
    watch: Callable[[Progress], None] = ignore_progress,
    stop: Callable[[], bool] = never,
    say: Callable[[str], None] = to_errors,
    wait: bool = True,
) -> Record:
    """Train one run to the end, or return its record at once if it is finished.

        record = pruneexp.execute(run)
        print(record.test["accuracy"])

    An interrupted run goes on where it stood, and runs that it is made from are trained first if
    they are missing.

    Arguments:
        run: what to train, and the results folder it belongs to.
        watch: called with a `Progress` about twice a second.
        stop: asked after each step; once it is true, the run writes a checkpoint and raises
            `Stopped`.
        say: called with a line to show, such as that a run goes on from a checkpoint.
        wait: for another process that has the run; otherwise `Busy` is raised.

    Raises `Invalid` for what cannot be trained, `Diverged`, `Stopped`, `Busy`, `files.Damaged` and
    `files.CannotWrite`.
    """
    with caller_state_kept():
        return _execute(run, watch, stop, say, wait)


def _execute(
    run: Run,
    watch: Callable[[Progress], None],
    stop: Callable[[], bool],
    say: Callable[[str], None],
    wait: bool,
) -> Record:
    distributed.join()
    caller = Caller(watch=watch, stop=stop, say=say, wait=wait)
    if not distributed.is_first():
        caller = Caller(stop=stop, say=lambda line: None, wait=wait)
    return Execution(settle(run), caller).record()


class Execution:
    """One run on its way from its parents to its record. The methods follow in running order."""

    def __init__(self, run: Run, caller: Caller) -> None:
        self.run = run
        self.caller = caller
        self.folder = run.store.folder(name(run))

    def record(self) -> Record:
        """The finished run's record, after whatever is left to do."""
        finished = self._finished()
        if finished is not None:
            return finished
        ancestors = {role: self._ancestor(parent) for role, parent in parents(self.run).items()}
        with self._held():
            finished = self._finished()  # perhaps by the process that had it
            return finished or self._attempt(ancestors)

    def _finished(self) -> Record | None:
        return distributed.agree(self._read_record)

    def _read_record(self) -> Record | None:
        """None also where the run has to be made again; its record is replaced only then."""
        if self.folder.status() != "finished":
            return None
        try:
            record = self.folder.record()
            if record is not None and record.fingerprint != fingerprint(self.run):
                why = f"it is the record of another run, {record.name}"
                raise files.Damaged(self.folder.path / RECORD, why)
            if record is not None:
                DataIdentity(self.run.store).demand_same(self.run, record)
            return record
        except files.Damaged as error:
            self.caller.say(f"{error}; the run is made again")
            return None

    def _ancestor(self, parent: Run) -> Ancestor:
        """A finished run with all that it was to keep. What is gone or damaged is made again: the
        same configuration gives the same bits."""
        execution = Execution(settle(parent), self.caller)
        if execution.folder.status() != "finished":
            self.caller.say(f"first the run it starts from: {execution.folder.path.name}")
        ancestor = Ancestor(run=parent, record=execution.record(), folder=execution.folder)
        if distributed.agree(ancestor.is_complete):
            return ancestor
        demand_own_python(parent)
        self.caller.say(
            f"weights or states in {execution.folder.path} are gone or damaged; the run is made "
            "again"
        )
        with execution._held():
            if distributed.is_first() and not ancestor.is_complete():
                execution.folder.reopen()
        return Ancestor(run=parent, record=execution.record(), folder=execution.folder)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Inside, no other process works in the run's folder."""
        if not distributed.is_first():  # the first rank holds it for all
            yield
            return
        said = False
        while True:
            with self.folder.lease() as is_ours:
                if is_ours:
                    yield
                    return
            if not self.caller.wait:
                raise Busy(self.folder.path.name)
            if not said:
                said = True
                self.caller.say(f"waiting for the process that works on {self.folder.path.name}")
            self.caller.watch(Progress(stage="waiting for another process"))
            if self.caller.stop():
                raise Stopped
            time.sleep(PATIENCE)

    def _attempt(self, ancestors: dict[str, Ancestor]) -> Record:
        """Train; what goes wrong is kept in the run's folder, and raised."""
        if distributed.is_first():
            self.folder.forget_failure()
        try:
            return Stage(self.run, self.folder, ancestors, self.caller).record()
        except (Stopped, KeyboardInterrupt):
            raise
        except Exception as error:  # noted here, and raised to the caller
            told = explained(error, self.run)
            if distributed.is_first():
                self.folder.fail(failure(told))
            raise told from (error if told is not error else None)


class Stage:
    """The run's own stage, while its folder is held. The methods follow in running order."""

    def __init__(
        self, run: Run, folder: RunFolder, ancestors: dict[str, Ancestor], caller: Caller
    ) -> None:
        self.run = run
        self.folder = folder
        self.ancestors = ancestors
        self.caller = caller
        self.steps, self.factor = run.stage

    def record(self) -> Record:
        """Train from the start, or from the checkpoint, to the record."""
        with following(self.run, self.folder, self.caller.say) as self.follower:
            return self._made()

    def _made(self) -> Record:
        self._watch(Progress(steps=self.steps))
        self.saved = distributed.agree(self._checkpoint)
        self.device, self.threads = settle_device(self.run, self.saved)
        circumstances.forget_peak(self.device)
        self.task = self._task()
        self.model = build(self.run, self.device)
        check_model(self.model, self.run.task.shape(), self.run.training.batch_size)
        self.run.last.load(self.model, self.run.model, self.ancestors)
        last = sensitivity.prepared(self.run.last, self.ancestors, self.task)
        self.pruner = file_budget.attached(
            self.run, self.model, self.ancestors, self._notes_room, last
        )
        self.fit = self._fit()
        chosen = self.fit.run()
        testing = Progress(step=self.steps, steps=self.steps, stage="testing")
        testing.sparsity = self.pruner.sparsity
        self._watch(testing)
        masks = self.fit.finish()
        chosen["valid"] = {**chosen["valid"], **self.fit.measure_once("valid")}
        chosen["test"] = {**self.fit.measure("test"), **self.fit.measure_once("test")}
        record = self._record(chosen, masks)
        if distributed.is_first():
            self._write(record, masks)
        return distributed.agree(lambda: record)

    def _watch(self, progress: Progress) -> None:
        self.caller.watch(progress)
        self.folder.show(progress)
        if hasattr(self, "fit"):
            self.follower.look(self.fit.state.history)

    def _checkpoint(self) -> dict[str, Any] | None:
        """The newest good checkpoint. A damaged one is named, and the one before it serves."""
        for path in self.folder.checkpoints():
            try:
                return unpack(files.load_checked(path))
            except files.Damaged as error:
                self.caller.say(f"{error}; going on from the state before it")
                path.unlink()
            except ValueError as error:
                self.caller.say(f"{path} cannot be used: {error}; the run goes on without it")
                path.unlink()
        return None

    def _task(self) -> LoadedTask:
        """The data. Where it must be drawn or fetched, the first rank does so before the others."""
        cache = self.run.store.cache
        if distributed.is_first():
            task = self.run.task.load(cache)
        distributed.agree(lambda: None)
        if not distributed.is_first():
            task = self.run.task.load(cache)
        if not isinstance(task, LoadedTask):
            kind = type(task).__name__
            takes = "must return a Classification, a Supervised or another LoadedTask"
            raise Invalid([Fault("task.factory", f"{takes}, got {kind}")])
        if distributed.is_first():
            DataIdentity(self.run.store).remember(self.run.task, task.checksum)
        for role, ancestor in self.ancestors.items():
            demand_vocabulary(ancestor.record, task.checksums(), role)
        task.settle(setting(self.run, self.device))
        return task

    def _fit(self) -> Fit:
        """The loop, where the checkpoint left it."""
        fit = Fit(
            self.model,
            self.task,
            self.pruner,
            self.run.training,
            steps=self.steps,
            rate=self.run.training.rate * self.factor,
            facts={
                "device": self.device.type,
                "threads": self.threads,
                "ranks": distributed.count(),
                "data": self.task.checksum,
            },
            save=self.folder.save_checkpoint,
            keep_steps={*self.run.keep_steps, *self.run.last.kept_steps(self.steps)},
            keep=self.folder.save_state,
            watch=self._watch,
            stop=self.caller.stop,
            teacher=self.run.distillation.teacher(self.ancestors, self.device),
            cycles=self.run.last.cycles,
        )
        if self.saved is None and self.run.last is self.run.pruning:
            fit.begin_with(self.run.pruning.first_state(self.ancestors))
        if self.saved is not None:
            if self.saved["facts"]["data"] != self.task.checksum:
                raise ValueError(
                    f"the data of {self.run.task.word} is not what {self.folder.path.name} began "
                    "with; bring it back, or remove that folder to begin anew"
                )
            fit.go_on_from(self.saved)
            step = self.saved["step"]
            self.caller.say(f"{self.folder.path.name} goes on at step {step} of {self.steps}")
        return fit

    def _notes_room(self) -> int:
        fit = getattr(self, "fit", None)  # masks may be settled before there is one
        rows = fit.state.history if fit else []
        return file_budget.notes_room(self.run, self.task, self.model, rows)

    def _record(self, chosen: dict[str, Any], masks: dict[str, Tensor]) -> Record:
        groups = self.run.pruning.groups(self.model)
        return Record(
            fingerprint=fingerprint(self.run),
            name=name(self.run),
            configuration=asked(self.run),
            seed=self.run.seed,
            curve=describe(self.run),
            parents={role: one.record.fingerprint for role, one in self.ancestors.items()},
            budget=budget(self.steps, self.task, self.run.task.shape().unit, self.ancestors),
            metric=self.task.metric,
            chosen_by=self.task.chosen_by,
            references=self.task.references(),
            baselines=self.task.baselines(),
            step=chosen["step"],
            valid=chosen["valid"],
            test=chosen["test"],
            counts=count_masks(self.model, groups, masks, self._work()),
            checksums=self.task.checksums(),
            circumstances=self._circumstances(),
        )

    def _work(self) -> dict[str, int] | None:
        """The multiply-adds of one example. A network of a user's own may refuse the example; that
        must not cost the finished training."""
        try:
            return multiply_adds(self.model, self.run.task.shape())
        except Exception as error:  # anything that a user's forward may raise
            why = f"{type(error).__name__}: {error}"
            self.caller.say(f"multiply-adds of {self.run.model.word} are not known ({why})")
            return None

    def _circumstances(self) -> circumstances.Circumstances:
        return circumstances.circumstances(
            self.fit,
            self.pruner,
            resumed_at=self.saved["step"] if self.saved else 0,
            threads=self.threads,
            ancestors=self.ancestors,
        )

    def _write(self, record: Record, masks: dict[str, Tensor]) -> None:
        """History, weights, masks, what they weigh, what came of each test item, and last the
        record that marks the run as finished."""
        weights = self.model.state_dict()
        state = {key: value.cpu().contiguous().clone() for key, value in weights.items()}
        record.checksums["history"] = self.folder.save_history(self.fit.state.history)
        outcomes = self.fit.outcomes()
        if outcomes is not None:
            record.checksums["outcomes"] = self.folder.save_outcomes(outcomes)
        for file, tensors in ((WEIGHTS, state), (MASKS, masks)):
            payload = save({key: value.contiguous() for key, value in tensors.items()})
            record.checksums[file.partition(".")[0]] = files.checksum(payload)
            if self.run.keep == "weights":
                files.save_bytes(self.folder.path / file, payload)
        shape, say = self.run.task.shape(), self.caller.say
        sizes = packed.packed_sizes(self.model, shape, masks, say, record)
        if sizes is not None:
            self.folder.save_packed_sizes(sizes)
        record.file_budget = file_budget.met(self.run, sizes)
        if words := file_budget.told(self.run, record.file_budget):
            say(f"{record.name}: {words}")
        samples = self.task.samples(self.model)
        self.folder.save_usage(replace(self.task.usage(), samples=samples))
        self.folder.finish(record)
        metrics = {f"test/{name}": value for name, value in record.test.items()}
        self.follower.finish(self.fit.state.history, metrics, [self.folder.path / RECORD])
