"""The Transformer of Vaswani et al. 2017, with normalisation before each part.

While it decodes, keys and values of the words before are kept, so that a step reads one word.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from pruneexp.data.vocabulary import PAD
from pruneexp.decoding.translates import Decoded, Memory
from pruneexp.tasks.shape import PairShape

LONGEST_WAVE = 10_000.0


class HeadAttention(nn.Module):
    """Several heads of scaled dot products."""

    def __init__(self, units: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(units, units, bias=False)
        self.keys = nn.Linear(units, units, bias=False)
        self.values = nn.Linear(units, units, bias=False)
        self.outputs = nn.Linear(units, units, bias=False)
        self.dropout = dropout

    def split(self, features: Tensor) -> Tensor:
        """(sentences, words, units) by head: (sentences, heads, words, units of a head)."""
        return features.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what can be found."""
        return self.split(self.keys(features)), self.split(self.values(features))

    def forward(
        self,
        features: Tensor,
        keys: Tensor,
        values: Tensor,
        allowed: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """What each word finds among keys and values, where it may look."""
        found = scaled_dot_product_attention(
            self.split(self.queries(features)),
            keys,
            values,
            attn_mask=allowed,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.outputs(found.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a rectifier between them."""

    def __init__(self, units: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(units, inner)
        self.outer = nn.Linear(inner, units)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        return self.outer(self.dropout(torch.relu(self.inner(features))))


class EncoderLayer(nn.Module):
    """Attention to the sentence itself, then a feed-forward layer."""

    def __init__(self, units: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(units)
        self.attention = HeadAttention(units, heads, dropout)
        self.forward_norm = nn.LayerNorm(units)
        self.feed_forward = FeedForward(units, inner, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, allowed: Tensor) -> Tensor:
        normed = self.attention_norm(features)
        found = self.attention(normed, *self.attention.read(normed), allowed)
        features = features + self.dropout(found)
        return features + self.dropout(self.feed_forward(self.forward_norm(features)))


class DecoderLayer(nn.Module):
    """Attention to the words before, attention to the source, then a feed-forward layer."""

    def __init__(self, units: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.own_norm = nn.LayerNorm(units)
        self.own_attention = HeadAttention(units, heads, dropout)
        self.source_norm = nn.LayerNorm(units)
        self.source_attention = HeadAttention(units, heads, dropout)
        self.forward_norm = nn.LayerNorm(units)
        self.feed_forward = FeedForward(units, inner, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, features: Tensor, source: tuple[Tensor, Tensor, Tensor], before: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Features after the layer, and keys and values of all words so far.

        Arguments:
            features: of several words at once, which see those before them; or of one word for
                each beam, (sentences * beams, 1, units).
            source: keys, values and where a word may look.
            before: keys and values of the words before; None where all words are here.
        """
        normed = self.own_norm(features)
        keys, values = self.own_attention.read(normed)
        if before is not None:
            keys = torch.cat([before[0], keys], 2)
            values = torch.cat([before[1], values], 2)
        own = self.own_attention(normed, keys, values, causal=before is None)
        features = features + self.dropout(own)
        normed, sentences = self.source_norm(features), len(source[0])
        if before is not None:  # the beams of a sentence look at the source together
            normed = normed.view(sentences, -1, normed.shape[2])
        found = self.source_attention(normed, *source)
        features = features + self.dropout(found.view(features.shape))
        features = features + self.dropout(self.feed_forward(self.forward_norm(features)))
        return features, [keys, values]


class TransformerNetwork(nn.Module):
    """Scores of each word of the target, given the source and the words before it."""

    def __init__(
        self,
        shape: PairShape,
        *,
        units: int,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.units = units
        self.embedding = nn.Embedding(shape.vocabulary, units)
        sizes = (units, heads, inner * units, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(units)
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(units)
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Linear(units, shape.vocabulary, bias=False)
        self.softmax.weight = self.embedding.weight
        for name, parameter in self.named_parameters():
            if name == "embedding.weight":
                nn.init.normal_(parameter, std=units**-0.5)
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (sentences, words, vocabulary) of the word after each word of the target.

        Arguments:
            source: (sentences, words), 0 where a sentence has ended.
            target: the same of the words before those that are scored, from <s> on.
        """
        memory, _ = self.encode(source)
        features = self._placed(target, 0)
        for layer, read in zip(self.decoder, _by_layer(memory), strict=True):
            features, _ = layer(features, read, None)
        return self.softmax(self.decoder_norm(features))

    def encode(self, source: Tensor) -> tuple[Memory, list[Tensor]]:
        """Keys and values of each decoder layer's attention to the source, and an empty state."""
        allowed = (source != PAD)[:, None, None]
        features = self._placed(source, 0)
        for layer in self.encoder:
            features = layer(features, allowed)
        features = self.encoder_norm(features)
        read: list[Tensor] = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            read += layer.source_attention.read(features)
        nothing = read[0][:, :, :0]
        return (*read, allowed), [nothing] * len(read)

    def step(self, words: Tensor, memory: Memory, state: list[Tensor]) -> Decoded:
        """Scores (sentences, beams, vocabulary) of the next word, and the state after.

        Arguments:
            words: the last ones, (sentences, beams).
            memory: of each sentence.
            state: of each beam: keys and values of the words before, (sentences * beams, ...).
        """
        features = self._placed(words.view(-1, 1), state[0].shape[2])
        after: list[Tensor] = []
        before = zip(state[::2], state[1::2], strict=True)
        for layer, read, kept in zip(self.decoder, _by_layer(memory), before, strict=True):
            features, now = layer(features, read, list(kept))
            after += now
        scores = self.softmax(self.decoder_norm(features[:, 0]))
        return scores.view(*words.shape, -1), after

    def _placed(self, words: Tensor, first: int) -> Tensor:
        """Vectors of words and of their places."""
        vectors = self.embedding(words) * math.sqrt(self.units)
        places = waves(first, words.shape[1], self.units, vectors)
        return self.dropout(vectors + places)

    def prunable(self) -> dict[str, list[str]]:
        """The shared embedding, and the matrices of attention and of feed-forward layers."""
        layers = [
            f"{name}.weight"
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Linear) and layer is not self.softmax
        ]
        return {name: [name] for name in ["embedding.weight", *layers]}


def _by_layer(memory: Memory) -> list[tuple[Tensor, Tensor, Tensor]]:
    *read, allowed = memory
    return [(keys, values, allowed) for keys, values in zip(read[::2], read[1::2], strict=True)]


def waves(first: int, count: int, units: int, like: Tensor) -> Tensor:
    """Sines and cosines of places, from `first` on: (count, units)."""
    places = torch.arange(first, first + count, device=like.device, dtype=torch.float32)
    half = units // 2
    steps = torch.arange(half, device=like.device, dtype=torch.float32) / max(half - 1, 1)
    angles = places[:, None] * torch.exp(-math.log(LONGEST_WAVE) * steps)
    return torch.cat([angles.sin(), angles.cos()], 1).to(like.dtype)
