"""Networks that translate: training with masks against dense, against stacks of `nn.LSTM` and
against a plain loop; decoding against one sentence at a time and against reading the prefix again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from turns import table, turns

from pruneexp.data.parallel import ParallelText, Sentences, Split
from pruneexp.data.vocabulary import BEGIN, END, PAD, Words
from pruneexp.decoding.beam_search import BeamSearch
from pruneexp.engine.device import keep_freed_memory
from pruneexp.models import GNMT, Transformer
from pruneexp.models.translators import Translator
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import OneShot
from pruneexp.tasks.loaded import Setting
from pruneexp.tasks.shape import PairShape
from pruneexp.tasks.translation import Translation
from pruneexp.training import Training
from pruneexp.training.fit import Fit
from pruneexp.training.optimiser import Adam

SHAPE = PairShape(vocabulary=4_000)
UNITS, LAYERS, SENTENCES, LENGTH = 256, 4, 64, 12
STEPS, TURNS = 8, 15
CPU = torch.device("cpu")


def translation() -> None:
    """Ratios of times."""
    torch.set_num_threads(1)
    keep_freed_memory()
    training()
    loops()
    decoding()


def pairs(count: int) -> tuple[Tensor, Tensor]:
    """Sentences of one length, drawn at random."""
    generator = torch.Generator().manual_seed(0)
    size = (2, count, LENGTH)
    source, target = torch.randint(4, SHAPE.vocabulary, size, generator=generator)
    return source, target


class Stacks(nn.Module):
    """The same layers without attention: what a decoder costs that waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(SHAPE.vocabulary, UNITS)
        self.target_embedding = nn.Embedding(SHAPE.vocabulary, UNITS)
        self.bottom = nn.LSTM(UNITS, UNITS, bidirectional=True)
        self.second = nn.LSTM(2 * UNITS, UNITS)
        self.upper = nn.LSTM(UNITS, UNITS, num_layers=LAYERS - 2)
        # Fed two vectors a word, as the decoder's layers are.
        self.decoder = nn.ModuleList(nn.LSTM(2 * UNITS, UNITS) for _ in range(LAYERS))
        self.softmax = nn.Linear(UNITS, SHAPE.vocabulary, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        read, _ = self.bottom(self.source_embedding(source.t()))
        read, _ = self.upper(self.second(read)[0])
        features = self.target_embedding(target.t())
        for layer in self.decoder:
            features, _ = layer(torch.cat([features, read], 2))
        return self.softmax(features.transpose(0, 1))


def step(model: nn.Module, pruning: Pruning) -> Callable[[], None]:
    """A training step."""
    source, target = pairs(SENTENCES)
    pruner = pruning.attach(model, steps=1000)
    optimiser = torch.optim.SGD(model.parameters(), 0.01)

    def act() -> None:
        optimiser.zero_grad()
        scores = model(source, target)
        nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten()).backward()
        pruner.after_backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        pruner.after_step(zeros_moved=False)

    return act


def training() -> None:
    """Masks on against dense, and attention against none."""
    masked = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0))
    recipes: list[Translator] = [
        GNMT(units=UNITS, layers=LAYERS, dropout=0.0),
        Transformer(units=UNITS, layers=3, heads=4, dropout=0.0),
    ]
    for recipe in recipes:
        candidates = {
            "dense": step(recipe.build(SHAPE), Dense()),
            "masked, 90 %": step(recipe.build(SHAPE), masked),
        }
        title = f"A training step, {recipe.word} of {UNITS} units, {SENTENCES} sentences"
        table(title, turns(candidates, TURNS), "dense")
    stacks = "nn.LSTM stacks of the same sizes, no attention"
    beside = {
        stacks: step(Stacks(), Dense()),
        "gnmt": step(GNMT(units=UNITS, layers=LAYERS, dropout=0.0).build(SHAPE), Dense()),
    }
    table(f"A training step, {UNITS} units", turns(beside, TURNS), stacks)


def loops() -> None:
    """This package's loop against a plain one of the same network and data."""
    shape = (STEPS * SENTENCES, LENGTH)
    words = np.random.default_rng(0).integers(4, SHAPE.vocabulary, size=shape)
    sentences = Sentences.of(list(words))
    split = Split(sentences, sentences)
    valid = Split(Sentences.of(list(words[:2])), Sentences.of(list(words[:2])))
    names = [f"w{number}" for number in range(SHAPE.vocabulary - 4)]
    text = ParallelText(
        splits={"train": split, "valid": valid, "test": valid}, vocabulary=Words(names)
    )
    task = Translation(text)
    task.settle(
        Setting(
            device=CPU,
            shape=SHAPE,
            seed=0,
            batch_size=SENTENCES,
            unroll=0,
            label_smoothing=0.0,
            memory_format=torch.contiguous_format,
            workers=0,
        )
    )
    recipe = Training(steps=STEPS, batch_size=SENTENCES, optimiser=Adam(), clip=5.0, evaluations=1)
    model = GNMT(units=UNITS, layers=LAYERS, dropout=0.0).build(SHAPE)
    pruner = Dense().attach(model, steps=STEPS)
    other = GNMT(units=UNITS, layers=LAYERS, dropout=0.0).build(SHAPE)
    optimiser = torch.optim.Adam(other.parameters(), 1e-3)
    whole = torch.from_numpy(words)

    def ours() -> None:
        Fit(model, task, pruner, recipe, steps=STEPS, rate=1e-3).run()

    def plain() -> None:
        begin = torch.full((SENTENCES, 1), BEGIN)
        end = torch.full((SENTENCES, 1), END)
        for number in range(STEPS):
            batch = whole[number * SENTENCES : (number + 1) * SENTENCES]
            scores = other(batch, torch.cat([begin, batch], 1))
            after = torch.cat([batch, end], 1)
            loss = nn.functional.cross_entropy(
                scores.flatten(0, 1), after.flatten(), reduction="sum", ignore_index=PAD
            )
            optimiser.zero_grad()
            (loss / SENTENCES).backward()
            nn.utils.clip_grad_norm_(other.parameters(), 5.0)
            optimiser.step()

    base = "a plain loop of the same network"
    seconds = turns({base: plain, "pruneexp's loop": ours}, TURNS)
    table(f"{STEPS} steps of gnmt, {UNITS} units, dense", seconds, base)


class Rereading:
    """A Transformer that reads the whole prefix again for each word."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def encode(self, source: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """The sentence itself, and nothing written."""
        return (source,), [source.new_empty((len(source), 0))]

    def step(
        self, words: Tensor, memory: tuple[Tensor, ...], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """All of it anew."""
        prefix = torch.cat([state[0], words.view(-1, 1)], 1)
        source = memory[0].repeat_interleave(words.shape[1], 0)
        scores = self.network(source, prefix)[:, -1]
        return scores.view(*words.shape, -1), [prefix]


def decoding() -> None:
    """Sentences of twelve words, translated to the same length."""
    sources = pairs(32)[0].tolist()
    gnmt: Any = GNMT(units=UNITS, layers=LAYERS).build(SHAPE).eval()
    transformer: Any = Transformer(units=UNITS, layers=3, heads=4).build(SHAPE).eval()
    rereading: Any = Rereading(transformer)
    for beams in (1, 4):
        search = BeamSearch(beams=beams, most=1.0, more=0, ends=False)

        def together(network: Any, search: BeamSearch = search) -> Callable[[], object]:
            return lambda: search.translate(network, sources, CPU)

        def one_by_one(search: BeamSearch = search) -> Callable[[], object]:
            return lambda: [search.translate(gnmt, [source], CPU) for source in sources]

        how = "greedy" if beams == 1 else f"{beams} beams"
        base = "one sentence at a time, its state carried"
        seconds = turns({base: one_by_one(), "all together": together(gnmt)}, 4)
        table(f"32 sentences decoded by gnmt, {how}", seconds, base)
        base = "the prefix read again for each word"
        seconds = turns(
            {base: together(rereading), "what was read is kept": together(transformer)}, 4
        )
        table(f"32 sentences decoded by the Transformer, {how}", seconds, base)
