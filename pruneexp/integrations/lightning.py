"""Pruning in a Lightning trainer."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from pruneexp.integrations import attach, examples, finished
from pruneexp.pruning import Pruning
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.pruner import Pruner


class PruningCallback(Callback):
    """Prunes the module that a trainer fits.

        pruning = PruningCallback(Gradual(sparsity=0.9))
        Trainer(max_steps=1000, callbacks=[pruning]).fit(module, loader)
        pruning.masks

    Gradients are masked before Lightning clips them; checkpoints hold the masks, so that a run goes
    on where it was.

    Arguments:
        recipe: what is pruned when, such as a `Gradual`.
        seed: governs whatever is drawn.
    """

    def __init__(self, recipe: Pruning, seed: int = 0) -> None:
        self.recipe = recipe
        self.seed = seed
        self.pruner: Pruner | None = None
        self.masks: dict[str, Tensor] = {}
        self._state: dict[str, Any] | None = None
        self._steps = 0  # that the pruner has seen

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = trainer.estimated_stepping_batches
        if len(trainer.optimizers) != 1:
            raise NotPrunable(f"one optimiser is pruned with, not {len(trainer.optimizers)}")
        if steps == float("inf"):
            raise NotPrunable("give the Trainer max_steps or max_epochs: a schedule has an end")
        self.pruner = None  # lets go of the weights
        self.pruner = attach(
            self.recipe, pl_module, steps=int(steps), seed=self.seed, state=self._state
        )
        self.pruner.use(trainer.optimizers[0])
        self.pruner.use_data(examples(trainer.train_dataloader))
        self._state, self._steps = None, trainer.global_step

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert self.pruner is not None
        self.pruner.after_backward()
        self.pruner.leave_out(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        assert self.pruner is not None
        if trainer.global_step > self._steps:  # and not between accumulated batches
            self._steps = trainer.global_step
            self.pruner.after_step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.pruner is not None
        self.masks = finished(self.pruner)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.pruner is None else {"pruner": self.pruner.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict.get("pruner")
