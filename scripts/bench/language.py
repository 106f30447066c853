"""The paper's language models: masks on against dense, our loop against a plain one."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from turns import table, turns

from pruneexp.engine.device import keep_freed_memory
from pruneexp.models.lstm_lm import LanguageModel
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import OneShot
from pruneexp.tasks.language import LanguageModelling
from pruneexp.tasks.loaded import Setting
from pruneexp.tasks.shape import TextShape
from pruneexp.training import Training
from pruneexp.training.fit import Fit
from pruneexp.training.optimiser import SGD

# Units, unrolled words, dropout, clip and turns of the paper's three language models.
LANGUAGE_MODELS = {
    "small": (200, 20, 0.0, 5.0, 40),
    "medium": (650, 35, 0.5, 5.0, 12),
    "large": (1500, 35, 0.65, 10.0, 6),
}
WORDS = TextShape(vocabulary=10_000)
STREAMS = 20


LOOP_STEPS = 30


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
            model = LanguageModel(
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


def our_loop() -> Callable[[], None]:
    """Steps through `Fit`, as `pruneexp run` takes them, the validation at the end included."""
    units, unroll, _, clip, _ = LANGUAGE_MODELS["small"]
    model = LanguageModel(WORDS, hidden_size=units, layers=2, dropout=0.0, initial=0.1, tied=False)
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
