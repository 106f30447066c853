"""The translation network of Wu et al. 2016, as `gnmt_v2` of TensorFlow's tutorial has it.

One step of the decoder waits for the one before in its bottom layer alone, since that layer is fed
what attention found with its own last output. So there is one loop over time, over the bottom
layer and attention; everything else runs over whole sentences at once. Padding is never fed to the
encoder: sentences of one length are read together.
"""

import torch
from torch import Tensor, nn

from pruneexp.decoding.translates import Decoded, Memory
from pruneexp.models.grouping import grouped, joined
from pruneexp.tasks.shape import PairShape

State = tuple[Tensor, Tensor]  # hidden and cell, (1, sentences, units)


class BahdanauAttention(nn.Module):
    """Normed Bahdanau attention: additive, its vector of unit length times a gain, with a bias."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.of_query = nn.Linear(units, units, bias=False)
        self.of_memory = nn.Linear(units, units, bias=False)
        self.vector = nn.Parameter(torch.empty(units))
        self.gain = nn.Parameter(torch.empty(()))
        self.bias = nn.Parameter(torch.empty(units))

    def forward(self, queries: Tensor, values: Tensor, keys: Tensor, padded: Tensor) -> Tensor:
        """What each query finds, (sentences, queries, units).

        Arguments:
            queries: (sentences, queries, units).
            values: what was read, (sentences, places, units).
            keys: `of_memory` of the values.
            padded: (sentences, places), where nothing was read.
        """
        wanted = self.of_query(queries)[:, :, None] + (keys + self.bias)[:, None]
        direction = self.vector * (self.gain / self.vector.norm())
        scores = torch.tanh(wanted) @ direction
        scores = scores.masked_fill(padded[:, None], float("-inf"))
        return torch.softmax(scores, 2) @ values


class Encoder(nn.Module):
    """A bidirectional layer, then layers in one direction, the top two with residuals."""

    def __init__(self, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.forwards = nn.LSTM(units, units)
        self.backwards = nn.LSTM(units, units)
        above = [
            nn.LSTM(2 * units if number == 0 else units, units) for number in range(layers - 1)
        ]
        self.above = nn.ModuleList(above)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, list[State]]:
        """What was read at each place of (time, sentences, units), and the decoder's first states:
        of the backward half, and of each layer above."""
        given = self.dropout(features)
        ahead, _ = self.forwards(given)
        back, state = self.backwards(given.flip(0))
        features = torch.cat([ahead, back.flip(0)], 2)
        states = [state]
        for number, layer in enumerate(self.above):
            outputs, state = layer(self.dropout(features))
            residual = number >= max(1, len(self.above) - 2)  # the first of them changes the width
            features = outputs + features if residual else outputs
            states.append(state)
        return features, states


class Decoder(nn.Module):
    """Layers that are each fed the layer below and what attention found."""

    def __init__(self, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.bottom = nn.LSTM(2 * units, units)
        self.above = nn.ModuleList(nn.LSTM(2 * units, units) for _ in range(layers - 1))
        self.attention = BahdanauAttention(units)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, words: Tensor, memory: Memory, context: Tensor, states: list[State]
    ) -> tuple[Tensor, Tensor, list[State]]:
        """The top layer's outputs for words, the last context and the states after.

        Arguments:
            words: vectors, (time, sentences, units); of several sequences a sentence in turn.
            memory: what was read, by sentence.
            context: what attention found last, (sequences, units).
            states: of each layer.
        """
        values, keys, padded = memory
        below, contexts, state = [], [], states[0]
        for word in words:  # the one loop over time: attention waits for the bottom layer
            given = self.dropout(torch.cat([word, context], 1))
            output, state = self.bottom(given[None], state)
            queries = output[0].view(len(values), -1, output.shape[2])
            context = self.attention(queries, values, keys, padded).flatten(0, 1)
            below.append(output[0])
            contexts.append(context)
        features, found = torch.stack(below), torch.stack(contexts)
        after = [state]
        for number, layer in enumerate(self.above):
            given = self.dropout(torch.cat([features, found], 2))
            outputs, state = layer(given, states[number + 1])
            residual = number >= len(self.above) - 2
            features = outputs + features if residual else outputs
            after.append(state)
        return features, context, after


class GNMTNetwork(nn.Module):
    """Scores of each word of the target, given the source and the words before it."""

    def __init__(
        self,
        shape: PairShape,
        *,
        units: int,
        layers: int,
        dropout: float,
        initial: float,
        forget: float,
    ) -> None:
        super().__init__()
        self.units = units
        self.source_embedding = nn.Embedding(shape.vocabulary, units)
        self.encoder = Encoder(units, layers, dropout)
        self.target_embedding = nn.Embedding(shape.vocabulary, units)
        self.decoder = Decoder(units, layers, dropout)
        self.softmax = nn.Linear(units, shape.vocabulary, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -initial, initial)
        for layer in self.modules():
            if isinstance(layer, nn.LSTM):
                _start_biases(layer, forget)
        with torch.no_grad():
            self.decoder.attention.bias.zero_()
            self.decoder.attention.gain.fill_(units**-0.5)

    def prunable(self) -> dict[str, list[str]]:
        """Embeddings, LSTMs and softmax; not attention."""
        groups: dict[str, list[str]] = {}
        for name, layer in self.named_modules():
            if isinstance(layer, nn.LSTM):
                groups[f"{name}.weights_l0"] = [f"{name}.weight_ih_l0", f"{name}.weight_hh_l0"]
            elif isinstance(layer, nn.Embedding) or layer is self.softmax:
                groups[f"{name}.weight"] = [f"{name}.weight"]
        return groups

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (sentences, words, vocabulary) of the word after each word of the target.

        Arguments:
            source: (sentences, words), 0 where a sentence has ended.
            target: the same of the words before those that are scored, from <s> on.
        """
        memory, state = self.encode(source)
        vectors = self.target_embedding(target.t())
        features, _, _ = self.decoder(vectors, memory, *_unpacked(state))
        return self.softmax(features.transpose(0, 1))

    def encode(self, source: Tensor) -> tuple[Memory, list[Tensor]]:
        """What was read of each sentence, and the decoder's first state, (sentences, ...)."""
        parts = []
        for rows, words in grouped(source):
            features, states = self.encoder(self.source_embedding(words.t()))
            values = features.transpose(0, 1)
            flat = [part[0] for state in states for part in state]
            parts.append((rows, [values, self.decoder.attention.of_memory(values)], flat))
        memory, state = joined(parts)
        lengths = [(rows, values.shape[1]) for rows, (values, _), _ in parts]
        padded = source.new_zeros(memory[0].shape[:2], dtype=torch.bool)
        for rows, length in lengths:
            padded[rows, length:] = True
        context = state[0].new_zeros(state[0].shape)
        return (memory[0], memory[1], padded), [context, *state]

    def step(self, words: Tensor, memory: Memory, state: list[Tensor]) -> Decoded:
        """Scores (sentences, beams, vocabulary) of the next word, and the state after.

        Arguments:
            words: the last ones, (sentences, beams).
            memory: of each sentence.
            state: of each beam, (sentences * beams, ...).
        """
        vectors = self.target_embedding(words.flatten())[None]
        features, context, after = self.decoder(vectors, memory, *_unpacked(state))
        flat = [part[0] for pair in after for part in pair]
        scores = self.softmax(features[0]).view(*words.shape, -1)
        return scores, [context, *flat]


def _unpacked(state: list[Tensor]) -> tuple[Tensor, list[State]]:
    """Context and the states of the layers as they are fed."""
    context, *flat = state
    parts = [part[None].contiguous() for part in flat]
    return context, list(zip(parts[::2], parts[1::2], strict=True))


def _start_biases(layer: nn.LSTM, forget: float) -> None:
    """Zero, but for the forget gate's; of torch's two biases one holds it all."""
    with torch.no_grad():
        for name, bias in layer.named_parameters():
            if name.startswith("bias"):
                bias.zero_()
            if name == "bias_ih_l0":
                bias.chunk(4)[1].fill_(forget)
