"""The language model of Zaremba et al. 2014: embedding, LSTM layers, softmax.

Dropout lies on the embedding's output, between the layers and before the softmax, as modules
between one-layer LSTMs: `nn.LSTM(dropout=...)` keeps a state in cuDNN that no reseeding reaches.
"""

from torch import Tensor, nn

from pruneexp.tasks.shape import TextShape

State = list[tuple[Tensor, Tensor]]


class LanguageModel(nn.Module):
    def __init__(
        self,
        shape: TextShape,
        *,
        hidden_size: int,
        layers: int,
        dropout: float,
        initial: float,
        tied: bool,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, hidden_size)
        self.layers = nn.ModuleList(nn.LSTM(hidden_size, hidden_size) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Linear(hidden_size, shape.vocabulary)
        for parameter in self.parameters():  # biases too
            nn.init.uniform_(parameter, -initial, initial)
        if tied:
            self.softmax.weight = self.embedding.weight

    def forward(self, words: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Scores of the next word at every place of (time, streams), and the state after."""
        features = self.dropout(self.embedding(words))
        after: State = []
        for number, layer in enumerate(self.layers):
            features, last = layer(features, None if state is None else state[number])
            features = self.dropout(features)
            after.append(last)
        return self.softmax(features), after
