"""Pruning in the Trainer of Hugging Face transformers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pruneexp.integrations import attach, examples, finished, mask_before_clipping
from pruneexp.pruning import Pruning
from pruneexp.pruning.attached import NotPrunable
from pruneexp.pruning.pruner import Pruner

if TYPE_CHECKING:
    from transformers import Trainer

STATE = "pruner.pt"  # in each of the Trainer's checkpoints


def prune(trainer: "Trainer", recipe: Pruning, *, seed: int = 0) -> "TrainerPruning":
    """Let a Trainer prune its model; `masks` of what is returned hold them after `train()`.

        trainer = Trainer(model, arguments, train_dataset=...)
        pruning = prune(trainer, Gradual(sparsity=0.9))
        trainer.train()
        pruning.masks

    Gradients are masked before the Trainer clips them, with accumulation too. Checkpoints hold the
    masks, so that `train(resume_from_checkpoint=True)` goes on where it was.

    Arguments:
        trainer: before `train()`.
        recipe: what is pruned when, such as a `Gradual`.
        seed: governs whatever is drawn.
    """
    callback = TrainerPruning(trainer, recipe, seed)
    trainer.add_callback(callback)
    return callback


class TrainerPruning(TrainerCallback):
    """What `prune` adds to a Trainer."""

    def __init__(self, trainer: "Trainer", recipe: Pruning, seed: int) -> None:
        self.trainer, self.recipe, self.seed = trainer, recipe, seed
        self.pruner: Pruner | None = None
        self.masks: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.pruner = None  # lets go of the weights
        saved = _saved(args, state.global_step) if state.global_step else None
        self.pruner = attach(
            self.recipe, kwargs["model"], steps=state.max_steps, seed=self.seed, state=saved
        )
        self.pruner.use(getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"]))
        self.pruner.use_data(examples(kwargs.get("train_dataloader")))
        mask_before_clipping(self.trainer.accelerator, self.pruner)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.pruner is not None
        if not self.pruner.gradients_ready:
            self.pruner.after_backward()
        optimiser = kwargs["optimizer"]
        self.pruner.leave_out(getattr(optimiser, "optimizer", optimiser))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.pruner is not None
        self.pruner.after_step()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.pruner is not None
        if state.is_world_process_zero:
            torch.save(self.pruner.state_dict(), _folder(args, state.global_step) / STATE)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.pruner is not None
        self.masks = finished(self.pruner)


def _folder(args: Any, step: int) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def _saved(args: Any, step: int) -> dict[str, Any]:
    path = _folder(args, step) / STATE
    if not path.exists():
        raise NotPrunable(f"{path} is missing: that checkpoint was made without pruning")
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return saved
