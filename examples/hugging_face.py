"""Pruning a transformer with Hugging Face's Trainer.

pip install 'pruneexp[integrations]'
python examples/hugging_face.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import pruneexp
from pruneexp.integrations.transformers import prune


class Parity(Dataset):
    """Whether a sequence of tokens holds more of the upper half of the vocabulary."""

    def __init__(self, size: int, seed: int) -> None:
        drawn = torch.randint(100, (size, 16), generator=torch.Generator().manual_seed(seed))
        self.tokens, self.labels = drawn, (drawn >= 50).float().mean(1).round().long()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[number], "labels": self.labels[number]}


def main(steps: int = 200) -> float:
    """Train a small BERT to 80 % sparsity. Returns the share of its matrices that is zero."""
    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    model = BertForSequenceClassification(config)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=str(Path(folder)),
            max_steps=steps,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
        )
        trainer = Trainer(model, arguments, train_dataset=Parity(2000, 0))
        pruning = prune(trainer, pruneexp.Gradual(sparsity=0.8))
        trainer.train()
    weights = [model.get_parameter(name) for name in pruning.masks]
    zero = sum(int((weight == 0).sum()) for weight in weights) / sum(w.numel() for w in weights)
    print(f"{zero:.1%} of the pruned matrices are zero")
    return zero


if __name__ == "__main__":
    main()
