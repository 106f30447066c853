"""execute(run) -> Record: the one place where everything meets.

It finds or makes the parent, loads data, builds and prunes the model in `fit`, checks that exactly
what was planned is masked, measures the chosen state on test once, and writes the record last.
"""

import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import distributed, files, initial_weights
from pruneexp.engine.device import settle
from pruneexp.engine.lineage import parent
from pruneexp.engine.record import BYTES, MASKS, WEIGHTS, Budget, Progress, Record
from pruneexp.engine.store import Folder
from pruneexp.measure import packed
from pruneexp.measure.counts import count_masks, multiply_adds
from pruneexp.pruning.pruner import Pruner
from pruneexp.tasks.loaded import Loaded, Setting
from pruneexp.training.fit import Diverged, Fit, Stopped, unpack

Watch = Callable[[Progress], None]
Stop = Callable[[], bool]
Say = Callable[[str], None]

PATIENCE = 0.5  # seconds between two tries to get a folder that another process holds


class Busy(Exception):
    """Another process has this run."""


def quiet(progress: Progress) -> None:
    """Watch nothing."""


def silent(line: str) -> None:
    """Say nothing."""


def never() -> bool:
    return False


def to_errors(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def execute(
    run: Run, *, watch: Watch = quiet, stop: Stop = never, say: Say = to_errors, wait: bool = True
) -> Record:
    """Train one run to the end, or return its record at once if it is finished.

    An interrupted run goes on where it stood, and a parent that is missing is made first. If
    another process has the run, wait for it and say so, or raise `Busy`.
    """
    distributed.join()
    if not distributed.is_first():
        watch, say = quiet, silent
    folder = run.store.folder(name(run))
    finished = _finished(folder, say)
    if finished is not None:
        return finished
    before = parent(run)
    ancestor = None if before is None else _with_weights(before, watch, stop, say, wait)
    with _held(folder, watch, stop, say, wait):
        finished = _finished(folder, say)  # perhaps by the process that had it
        return finished or _try(run, folder, ancestor, watch, stop, say)


def _finished(folder: Folder, say: Say) -> Record | None:
    return distributed.agree(lambda: _record(folder, say))


def _record(folder: Folder, say: Say) -> Record | None:
    try:
        return folder.record()
    except files.Damaged as error:
        say(f"{error}; the run is made again")
        error.path.unlink(missing_ok=True)
        return None


def _with_weights(run: Run, watch: Watch, stop: Stop, say: Say, wait: bool) -> Record:
    """A finished run whose weights can be loaded. Weights that are gone or damaged are made again:
    the same configuration gives the same bits."""
    if run.store.folder(name(run)).status() != "finished":
        say(f"first the run it starts from: {name(run)}")
    record = execute(run, watch=watch, stop=stop, say=say, wait=wait)
    folder = run.store.folder(record.name)
    if distributed.agree(lambda: folder.weights_are_good(record)):
        return record
    say(f"{folder.path / WEIGHTS} is gone or damaged; the run is made again")
    with _held(folder, watch, stop, say, wait):
        if distributed.is_first() and not folder.weights_are_good(record):
            folder.reopen()
    return execute(run, watch=watch, stop=stop, say=say, wait=wait)


@contextmanager
def _held(folder: Folder, watch: Watch, stop: Stop, say: Say, wait: bool) -> Iterator[None]:
    if not distributed.is_first():  # the first holds it for all
        yield
        return
    said = False
    while True:
        with folder.lease() as mine:
            if mine:
                yield
                return
        if not wait:
            raise Busy(folder.path.name)
        if not said:
            said = True
            say(f"waiting for the process that works on {folder.path.name}")
        watch(Progress(stage="waiting for another process"))
        if stop():
            raise Stopped
        time.sleep(PATIENCE)


def _try(
    run: Run, folder: Folder, ancestor: Record | None, watch: Watch, stop: Stop, say: Say
) -> Record:
    """One stage, with what went wrong kept beside it."""
    if distributed.is_first():
        folder.forget_failure()
    try:
        return _train(run, folder, ancestor, watch, stop, say)
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:  # only noted here; whoever asked for the run gets it
        told = _out_of_memory(run, error) or error
        if distributed.is_first():
            folder.fail(failure(told))
        raise told from (error if told is not error else None)


class OutOfMemory(Exception):
    """The device's memory does not hold the run."""


def _out_of_memory(run: Run, error: Exception) -> OutOfMemory | None:
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    if not (on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)):
        return None
    asked_for = f"training.batch_size={run.training.batch_size}"
    return OutOfMemory(
        f"out of memory at {asked_for}: training.accumulate={2 * run.training.accumulate} halves "
        "what is held at once, training.precision=bf16 too; a smaller batch changes the training"
    )


def failure(error: Exception) -> dict[str, Any]:
    """What is kept of an error, for `show` and the report."""
    kind, message = type(error).__name__, str(error)
    for_a_person = Invalid | Diverged | OutOfMemory | OSError | files.Damaged
    told = isinstance(error, for_a_person)
    return {
        "error": kind,
        "message": message if told and message else f"{kind}: {message}",
        "step": getattr(error, "step", None),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _train(
    run: Run, folder: Folder, ancestor: Record | None, watch: Watch, stop: Stop, say: Say
) -> Record:
    watch(Progress(steps=run.steps))
    saved = distributed.agree(lambda: _checkpoint(folder, say))
    device, threads = settle(run, saved)
    task = _load(run)
    if not isinstance(task, Loaded):
        kind = type(task).__name__
        raise Invalid([Fault("task.factory", f"must return a Classification, got {kind}")])
    task.settle(setting(run, device))
    model = build(run, device)
    if ancestor is not None:
        initial_weights.load(model, run.store.folder(ancestor.name).path / WEIGHTS)
    elif run.pruning.starts_from.startswith("file:"):
        initial_weights.load(model, initial_weights.stated_file(run))
    elif run.pruning.starts_from.startswith("torchvision:"):
        initial_weights.load(
            model, distributed.agree(lambda: initial_weights.torchvision_file(run))
        )
    steps, factor = run.stage
    pruner: Pruner
    if run.quantisation and ancestor is not None:
        kept = initial_weights.masks(run.store.folder(ancestor.name))
        pruner = run.quantisation.attach(model, kept)
    else:
        pruner = run.pruning.attach(model, steps=steps, seed=run.seed)
    fit = Fit(
        model,
        task,
        pruner,
        run.training,
        steps=steps,
        rate=run.training.rate * factor,
        save=folder.save_checkpoint,
        watch=_both(watch, folder.show),
        stop=stop,
    )
    fit.facts = {
        "device": device.type,
        "threads": threads,
        "ranks": distributed.count(),
        "data": task.checksum,
    }
    if saved is not None:
        if saved["facts"]["data"] != task.checksum:
            raise ValueError(
                f"the data of {run.task.word} is not what {folder.path.name} began with; bring it "
                "back, or remove that folder to begin anew"
            )
        fit.go_on_from(saved)
        say(f"{folder.path.name} goes on at step {saved['step']} of {steps}")
    chosen = fit.run()
    watch(Progress(step=steps, steps=steps, sparsity=pruner.sparsity, stage="testing"))
    masks = {key: mask.cpu() for key, mask in pruner.finish().items()}
    chosen["test"] = fit.measure("test")
    record = Record(
        fingerprint=fingerprint(run),
        name=name(run),
        configuration=asked(run),
        parent=ancestor.fingerprint if ancestor else None,
        budget=_budget(steps, steps * task.examples_a_step(), ancestor),
        metric={**asdict(task.metric), "references": task.references()},
        metrics=chosen,
        counts=count_masks(model, run.pruning.groups(model), masks, _work(run, model, say)),
        checksums={"data": task.checksum},
        circumstances=_circumstances(device, threads, fit.seconds(), saved),
    )
    if distributed.is_first():
        _write(folder, run, model, masks, record, fit, say)
    return distributed.agree(lambda: record)


def _load(run: Run) -> Any:
    """The data. Where it must be drawn or fetched, the first rank does so before the others."""
    if distributed.is_first():
        task = run.task.load(run.store.cache)
    distributed.agree(lambda: None)
    return task if distributed.is_first() else run.task.load(run.store.cache)


def build(run: Run, device: torch.device) -> nn.Module:
    """The run's network with the fresh weights that follow from its seed."""
    torch.manual_seed(seeds.draw(run.seed, "initial weights"))
    model = run.model.build(run.task.shape())
    return model.to(device).to(memory_format=setting(run, device).memory_format)


def setting(run: Run, device: torch.device) -> Setting:
    last = run.training.channels_last
    return Setting(
        device=device,
        shape=run.task.shape(),
        seed=run.seed,
        batch_size=run.training.batch_size,
        unroll=run.training.unroll,
        label_smoothing=run.training.label_smoothing,
        memory_format=torch.channels_last if last else torch.contiguous_format,
        workers=run.training.workers,
    )


def _write(
    folder: Folder,
    run: Run,
    model: nn.Module,
    masks: dict[str, torch.Tensor],
    record: Record,
    fit: Fit,
    say: Say,
) -> None:
    """History, weights, masks, what they weigh, and last the record that marks the run as
    finished."""
    state = {key: value.cpu().contiguous().clone() for key, value in model.state_dict().items()}
    folder.save_history(fit.state.history)
    for file, tensors in ((WEIGHTS, state), (MASKS, masks)):
        payload = save({key: value.contiguous() for key, value in tensors.items()})
        record.checksums[file.partition(".")[0]] = files.checksum(payload)
        if run.keep == "weights":
            files.save_bytes(folder.path / file, payload)
    weighed = packed.weighed(model, run.task.shape(), masks, say)
    if weighed is not None:
        files.save_json(folder.path / BYTES, weighed)
    folder.finish(record)


def _work(run: Run, model: nn.Module, say: Say) -> dict[str, int] | None:
    """The multiply-adds of one example. A network of somebody's own may refuse the example; that
    must not cost the finished training."""
    try:
        return multiply_adds(model, run.task.shape())
    except Exception as error:  # anything a forward of somebody's own may raise
        say(f"multiply-adds of {run.model.word} are not known ({type(error).__name__}: {error})")
        return None


def _budget(steps: int, examples: int, ancestor: Record | None) -> Budget:
    before = (
        ancestor.budget
        if ancestor
        else Budget(steps=0, examples=0, total_steps=0, total_examples=0)
    )
    return Budget(
        steps=steps,
        examples=examples,
        total_steps=steps + before.total_steps,
        total_examples=examples + before.total_examples,
    )


def _both(watch: Watch, show: Watch) -> Watch:
    def watcher(progress: Progress) -> None:
        watch(progress)
        show(progress)

    return watcher


def _checkpoint(folder: Folder, say: Say) -> dict[str, Any] | None:
    """The newest good checkpoint. A damaged one is named, and the one before it serves."""
    for path in folder.checkpoints():
        try:
            return unpack(files.load_checked(path))
        except files.Damaged as error:
            say(f"{error}; going on from the state before it")
            path.unlink()
        except ValueError as error:
            say(f"{path} cannot be used: {error}; the run goes on without it")
            path.unlink()
    return None


def _circumstances(
    device: torch.device, threads: int, seconds: float, saved: dict[str, Any] | None
) -> dict[str, Any]:
    """What may differ between equal runs."""
    on_gpu = device.type == "cuda"
    return {
        "seconds": round(seconds, 2),
        "resumed_at": saved["step"] if saved else 0,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "threads": threads,
        "ranks": distributed.count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pruneexp": version("pruneexp"),
    }
