"""Speed, side by side in one run, as ratios against named alternatives.

    make bench                           all of it, some minutes on two cores
    python scripts/bench.py update       one part: step, language, update, threads or sweep

Absolute seconds depend on the machine; the ratios are what is claimed. Each figure is the median of
several turns in which all candidates take part one after the other.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from pruneexp.masks import keep_highest
from pruneexp.models.lstm_lm import LSTMLanguageModel
from pruneexp.models.mobilenet_v1 import MobileNet
from pruneexp.place import keep_freed_memory
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import OneShot
from pruneexp.recipe import ImageShape, TextShape
from pruneexp.tasks.language import LanguageModelling
from pruneexp.tasks.loaded import Setting
from pruneexp.training import Training
from pruneexp.training.fit import Fit
from pruneexp.training.optimiser import SGD

LARGE = 66_000_000  # weights of the paper's largest language model


def turns(
    candidates: dict[str, Callable[[], object]], times: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of several turns; the first ones are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(times + warm_up):
        for name, act in candidates.items():
            began = time.perf_counter()
            act()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def table(title: str, seconds: dict[str, list[float]], base: str) -> None:
    """Median seconds, and the median over turns of the ratio to `base`."""
    print(f"\n{title}")
    for name, values in seconds.items():
        ratios = [value / other for value, other in zip(values, seconds[base], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name:<44} {median(values):9.4f} s   x{median(ratios):<6.2f} ({spread})")


def step() -> None:
    """A training step with masks on against the same step dense; the network is the demo's."""
    torch.set_num_threads(1)
    keep_freed_memory()
    images = torch.randn(128, 1, 24, 24).to(memory_format=torch.channels_last)
    labels = torch.randint(47, (128,))

    def candidate(pruning: Pruning) -> Callable[[], None]:
        torch.manual_seed(0)
        model = MobileNet(ImageShape(1, 24, 47), width=1.0, layout="small")
        model = model.to(memory_format=torch.channels_last)
        pruner = pruning.attach(model, steps=1000)
        optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

        def act() -> None:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            pruner.after_backward()
            optimiser.step()
            pruner.after_step()

        return act

    masked = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0))
    candidates = {"dense": candidate(Dense()), "masked, 90 %": candidate(masked)}
    table("A training step, small MobileNet, batch 128", turns(candidates, 60), "dense")


# Units, unrolled words, dropout, clip and turns of the paper's three language models.
LANGUAGE_MODELS = {
    "small": (200, 20, 0.0, 5.0, 40),
    "medium": (650, 35, 0.5, 5.0, 12),
    "large": (1500, 35, 0.65, 10.0, 6),
}
WORDS = TextShape(vocabulary=10_000)
STREAMS = 20


def language() -> None:
    """A language model's training step with masks on against the same step dense, and this
    package's loop against a plain one around `torch.nn.LSTM`."""
    torch.set_num_threads(1)
    keep_freed_memory()
    for name, (units, unroll, dropout, clip, times) in LANGUAGE_MODELS.items():
        text = torch.randint(WORDS.vocabulary, (unroll + 1, STREAMS))

        def candidate(
            pruning: Pruning,
            *,
            units: int = units,
            dropout: float = dropout,
            clip: float = clip,
            text: torch.Tensor = text,
        ) -> Callable[[], None]:
            model = LSTMLanguageModel(
                WORDS, hidden_size=units, layers=2, dropout=dropout, initial=0.05, tied=False
            )
            pruner = pruning.attach(model, steps=1000)
            optimiser = torch.optim.SGD(model.parameters(), 1.0)

            def act() -> None:
                optimiser.zero_grad()
                scores, _ = model(text[:-1])
                loss = nn.functional.cross_entropy(scores.flatten(0, 1), text[1:].flatten())
                (loss * (len(text) - 1)).backward()
                pruner.after_backward()
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimiser.step()
                pruner.after_step(zeros_moved=False)  # as in `Fit`, for SGD without momentum

            return act

        masked = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0))
        candidates = {"dense": candidate(Dense()), "masked, 90 %": candidate(masked)}
        table(f"A training step, {name} LSTM ({units} units)", turns(candidates, times), "dense")
    loops = {"a plain loop around torch.nn.LSTM": plain_loop(), "pruneexp's loop": our_loop()}
    seconds = turns(loops, 8)
    table(
        f"{LOOP_STEPS} steps of the small LSTM, dense", seconds, "a plain loop around torch.nn.LSTM"
    )


LOOP_STEPS = 30


def our_loop() -> Callable[[], None]:
    """Steps through `Fit`, as `pruneexp run` takes them, the validation at the end included."""
    units, unroll, _, clip, _ = LANGUAGE_MODELS["small"]
    model = LSTMLanguageModel(
        WORDS, hidden_size=units, layers=2, dropout=0.0, initial=0.1, tied=False
    )
    recipe = Training(
        steps=LOOP_STEPS,
        batch_size=STREAMS,
        unroll=unroll,
        learning_rate=1.0,
        optimiser=SGD(momentum=0.0),
        clip=clip,
        evaluations=1,
    )
    words = np.random.default_rng(0).integers(WORDS.vocabulary, size=STREAMS * unroll * 50)
    task = LanguageModelling({"train": words, "valid": words[:100]}, first=0)
    task.settle(
        Setting(
            device=torch.device("cpu"),
            shape=WORDS,
            seed=0,
            batch_size=STREAMS,
            unroll=unroll,
            label_smoothing=0.0,
            memory_format=torch.contiguous_format,
            workers=0,
        )
    )
    pruner = Dense().attach(model, steps=LOOP_STEPS)

    def act() -> None:
        Fit(model, task, pruner, recipe, steps=LOOP_STEPS, rate=1.0).run()

    return act


def plain_loop() -> Callable[[], None]:
    """The same training as anyone would write it, with torch alone."""
    units, unroll, _, clip, _ = LANGUAGE_MODELS["small"]
    embedding = nn.Embedding(WORDS.vocabulary, units)
    lstm = nn.LSTM(units, units, num_layers=2)
    softmax = nn.Linear(units, WORDS.vocabulary)
    parameters = [p for part in (embedding, lstm, softmax) for p in part.parameters()]
    optimiser = torch.optim.SGD(parameters, 1.0)
    text = torch.randint(WORDS.vocabulary, (unroll * 50, STREAMS))

    def act() -> None:
        state = None
        for step in range(LOOP_STEPS):
            words = text[step * unroll : (step + 1) * unroll]
            after = text[step * unroll + 1 : (step + 1) * unroll + 1]
            features, (hidden, cell) = lstm(embedding(words), state)
            state = (hidden.detach(), cell.detach())
            loss = nn.functional.cross_entropy(softmax(features).flatten(0, 1), after.flatten())
            optimiser.zero_grad()
            (loss * unroll).backward()
            nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()

    return act


def update() -> None:
    """A mask update over 66 million weights. The others choose the same threshold."""
    torch.set_num_threads(1)
    keep_freed_memory()
    weights = torch.randn(LARGE)
    masked = int(0.9 * LARGE)

    def by_sort() -> object:
        return weights.abs() > weights.abs().sort().values[masked - 1]

    def by_kthvalue() -> object:
        return weights.abs() > weights.abs().kthvalue(masked).values

    def by_torch_prune() -> object:
        from torch.nn.utils import prune

        return prune.L1Unstructured(amount=masked).compute_mask(weights, torch.ones(LARGE))

    candidates: dict[str, Callable[[], object]] = {
        "pruneexp.masks.keep_highest": lambda: keep_highest([weights.abs()], masked),
        "one pass of abs": weights.abs,
        "torch.kthvalue": by_kthvalue,
        "torch.sort": by_sort,
        "torch.nn.utils.prune.L1Unstructured": by_torch_prune,
    }
    sparsifier = _ao_sparsifier(weights)
    if sparsifier is not None:
        candidates["torch.ao.pruning.WeightNormSparsifier"] = sparsifier
    seconds = turns(candidates, 3)
    table("A mask update over 66 million weights, 90 %", seconds, "pruneexp.masks.keep_highest")


def _ao_sparsifier(weights: torch.Tensor) -> Callable[[], object] | None:
    """Gone from torch in some versions; then it is left out."""
    try:
        from torch.ao.pruning import WeightNormSparsifier
    except ImportError:
        print("  (this torch has no torch.ao.pruning)")
        return None
    layer = nn.Linear(11_000, 6_000, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights.view(6_000, 11_000))
    sparsifier = WeightNormSparsifier(
        sparsity_level=0.9, sparse_block_shape=(1, 1), zeros_per_block=1
    )
    model = nn.Sequential(layer)
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
    return sparsifier.step


def threads() -> None:
    """Two one-thread runs side by side against one two-thread run, in runs per second."""
    one = [*_run(), "training.threads=1"]
    two = [*_run(), "training.threads=2"]

    def side_by_side() -> None:
        with tempfile.TemporaryDirectory() as folder:
            both = [_start(one, Path(folder) / str(index)) for index in range(2)]
            assert [process.wait() for process in both] == [0, 0]

    def one_after_another() -> None:
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                assert _start(two, Path(folder)).wait() == 0

    candidates = {
        "two runs, one thread each, side by side": side_by_side,
        "two runs, two threads, one after the other": one_after_another,
    }
    base = "two runs, one thread each, side by side"
    table("Threads: two runs of 150 steps", turns(candidates, 3, 0), base)


def sweep() -> None:
    """The demo's sweep, cut to 50 steps, against the same runs through Hydra's basic launcher."""
    runs = ["experiment=table2_small", "training.steps=50", "format=json"]
    # The basic sweeper knows no union: the same eight runs as two plain sweeps.
    plain = ["hydra/sweeper=basic", "hydra/launcher=basic", "training.steps=50", "-m"]
    sparse = [*plain, "pruning.sparsity=0.5,0.75,0.9,0.95", "pruning.schedule.interval=20"]
    dense = [*plain, "pruning=none", "model.width=1.0,0.75,0.5,0.25"]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert _start(runs, Path(folder)).wait() == 0

    def basic() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for part in (sparse, dense):
                assert _start(part, Path(folder)).wait() == 0

    candidates = {"pruneexp's plan and workers": ours, "Hydra's basic launcher": basic}
    table(
        "The demo's eight runs, 50 steps each",
        turns(candidates, 1, 0),
        "pruneexp's plan and workers",
    )


def _run() -> list[str]:
    return ["training.steps=150", "training.evaluations=1", "task.train=2000", "task.test=100"]


def _start(overrides: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pruneexp", "run", *overrides, f"results={folder}"]
    command.append(f"hydra.sweep.dir={folder}")  # where Hydra's own sweeper leaves its notes
    environment = {key: text for key, text in os.environ.items() if key != "OMP_NUM_THREADS"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


PARTS = {"step": step, "language": language, "update": update, "threads": threads, "sweep": sweep}

if __name__ == "__main__":
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        sys.exit(f"no part {', '.join(unknown)}; there is {', '.join(PARTS)}")
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    for name in chosen:
        PARTS[name]()
