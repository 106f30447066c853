"""Other libraries' loops; each test is skipped where its library is not installed
(`pip install 'pruneexp[integrations]'`)."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneexp import L0, All, Cubic, Gradual, RigL, VariationalDropout
from pruneexp.pruning.pruner import Pruner

RECIPE = Gradual(sparsity=0.75, schedule=Cubic(begin=0.2, end=0.7, interval=1))
STEPS = 10

pytestmark = pytest.mark.filterwarnings("default")  # what other libraries warn of is theirs


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        yield
    torch.set_num_threads(threads)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def epoch() -> list[tuple[Tensor, Tensor]]:
    """Eight batches: four steps of two."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(4, 6, generator=generator), torch.randn(4, 3, generator=generator))
        for _ in range(8)
    ]


def data() -> list[tuple[Tensor, Tensor]]:
    return (epoch() * STEPS)[: 2 * STEPS]


def demand_zeros(model: nn.Module, pruner: Pruner | None) -> None:
    assert pruner is not None
    for name, kept in pruner.masks().items():
        assert not model.get_parameter(name)[~kept].any(), name


def masked_norm(model: nn.Module, pruner: Pruner) -> float:
    """The norm of the gradients that masks let through."""
    masks = pruner.masks()
    squares = [
        float((w.grad * masks[name] if name in masks else w.grad).square().sum())
        for name, w in model.named_parameters()
        if w.grad is not None
    ]
    return sum(squares) ** 0.5


def by_hand(clip: float, accumulate: int = 2) -> list[Tensor]:
    """The loop that docs/library.md shows."""
    model = network()
    pruner = RECIPE.attach(model, steps=STEPS)
    optimiser = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    for number, (inputs, wanted) in enumerate(data(), start=1):
        (nn.functional.mse_loss(model(inputs), wanted) / accumulate).backward()
        if number % accumulate == 0:
            pruner.after_backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimiser.step()
            pruner.after_step()
            optimiser.zero_grad()
    pruner.finish()
    return list(model.parameters())


def test_accelerate_equals_a_loop_by_hand() -> None:
    accelerate = pytest.importorskip("accelerate")
    from pruneexp.integrations.accelerate import prune

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimiser = accelerator.prepare(
        net := network(), torch.optim.SGD(net.parameters(), 0.5, momentum=0.9)
    )
    pruner = prune(accelerator, model, optimiser, RECIPE, steps=STEPS)
    for inputs, wanted in data():
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.mse_loss(model(inputs), wanted))
            if accelerator.sync_gradients:
                expected = masked_norm(model, pruner)
                norm = accelerator.clip_grad_norm_(model.parameters(), 0.3)
                assert float(norm) == pytest.approx(expected)
            optimiser.step()
            optimiser.zero_grad()
        demand_zeros(model, pruner)
    masks = pruner.finish()
    assert [int((~kept).sum()) for kept in masks.values()] == [36, 18]
    pairs = zip(model.parameters(), by_hand(clip=0.3), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_lightning_equals_a_loop_by_hand_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    from pruneexp.integrations.lightning import PruningCallback

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, number: int) -> Tensor:
            inputs, wanted = batch
            return nn.functional.mse_loss(self.net(inputs), wanted)

        def on_train_batch_end(self, *_: Any) -> None:
            demand_zeros(self, pruning.pruner)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.5, momentum=0.9)

    def trainer(*callbacks: Any, accumulate: int) -> Trainer:
        return Trainer(
            max_steps=STEPS,
            callbacks=list(callbacks),
            accelerator="cpu",
            accumulate_grad_batches=accumulate,
            gradient_clip_val=0.3,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )

    def loader(batches: list[Any]) -> Any:
        return torch.utils.data.DataLoader(batches, batch_size=None)

    pruning = PruningCallback(RECIPE)
    trainer(pruning, accumulate=2).fit(module := Module(), loader(epoch()))
    assert [int((~kept).sum()) for kept in pruning.masks.values()] == [36, 18]
    assert all(map(torch.equal, module.parameters(), by_hand(clip=0.3)))

    # One batch again and again: Lightning does not go on within a loader that cannot.
    same = loader(epoch()[:1] * STEPS)
    saves = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=4, save_top_k=-1)
    pruning = PruningCallback(RECIPE)
    trainer(pruning, saves, accumulate=1).fit(whole := Module(), same)
    pruning = PruningCallback(RECIPE)
    trainer(pruning, accumulate=1).fit(again := Module(), same, ckpt_path=tmp_path / "step=4.ckpt")
    assert all(map(torch.equal, again.parameters(), whole.parameters()))


def test_the_trainer_of_transformers_masks_before_it_clips_and_resumes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from pruneexp.integrations.transformers import prune

    def trainer(folder: Path) -> Any:
        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=13, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0
        )
        words = torch.randint(13, (STEPS * 8, 8), generator=torch.Generator().manual_seed(2))
        arguments = transformers.TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            max_grad_norm=0.1,
            learning_rate=0.01,
            save_steps=4,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        )
        rows = [{"input_ids": row, "labels": row} for row in words]
        return transformers.Trainer(
            transformers.GPT2LMHeadModel(config), arguments, train_dataset=rows
        )

    def watched(made: Any, pruning: Any) -> list[float]:
        """The norms that were clipped, each compared with that of the masked gradients."""
        norms = []

        class Watch(transformers.TrainerCallback):  # type: ignore[misc]
            def on_pre_optimizer_step(self, args: Any, *_: Any, **kwargs: Any) -> None:
                norm = masked_norm(kwargs["model"], pruning.pruner)
                norms.append(norm)
                assert norm <= 0.1 + 1e-6

            def on_step_end(self, args: Any, *_: Any, **kwargs: Any) -> None:
                demand_zeros(kwargs["model"], pruning.pruner)

        made.add_callback(Watch())
        return norms

    pruning = prune(whole := trainer(tmp_path / "whole"), RECIPE)
    norms = watched(whole, pruning)
    whole.train()
    assert len(norms) == STEPS and max(norms) == pytest.approx(0.1, rel=1e-4)
    assert "lm_head.weight" not in pruning.masks  # tied to the embedding, counted once
    assert all(not whole.model.get_parameter(n)[~kept].any() for n, kept in pruning.masks.items())
    share = sum(int((~k).sum()) for k in pruning.masks.values())
    assert share / sum(k.numel() for k in pruning.masks.values()) == pytest.approx(0.75, abs=0.01)

    resumed = trainer(tmp_path / "whole")
    pruning = prune(resumed, RECIPE)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    for mine, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


METHODS = [
    RigL(sparsity=0.75, interval=2, end=0.8),
    L0(penalty=1e-3, scope=All()),
    VariationalDropout(penalty=1e-3, scope=All()),
]


@pytest.mark.parametrize("recipe", METHODS, ids=lambda recipe: recipe.word)
def test_other_methods_in_lightning(recipe: Any, tmp_path: Path) -> None:
    """As in a loop by hand: steps that a move replaces move nothing, and the optimiser trains the
    method's own parameters."""
    pytest.importorskip("lightning")
    from lightning.pytorch import LightningModule, Trainer

    from pruneexp.integrations.lightning import PruningCallback

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, number: int) -> Tensor:
            torch.manual_seed(number)  # of what is drawn
            inputs, wanted = batch
            return nn.functional.mse_loss(self.net(inputs), wanted)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.5, momentum=0.9)

    batches = torch.utils.data.DataLoader(epoch(), batch_size=None)
    pruning = PruningCallback(recipe)
    Trainer(
        max_steps=STEPS,
        callbacks=[pruning],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    ).fit(module := Module(), batches)

    model = network()
    pruner = recipe.attach(model, steps=STEPS)
    optimiser = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    pruner.use(optimiser)
    pruner.use_data(examples=8)
    for step in range(STEPS):
        inputs, wanted = epoch()[step % 8]
        torch.manual_seed(step % 8)
        optimiser.zero_grad()
        nn.functional.mse_loss(model(inputs), wanted).backward()
        pruner.after_backward()
        if not pruner.skips_step:
            optimiser.step()
        pruner.after_step()
    masks = pruner.finish()
    theirs = {name.removeprefix("net."): mask for name, mask in pruning.masks.items()}
    assert all(torch.equal(theirs[name], masks[name]) for name in masks)
    assert all(map(torch.equal, module.parameters(), model.parameters()))


@pytest.mark.parametrize("recipe", METHODS[:2], ids=lambda recipe: recipe.word)
def test_other_methods_in_the_trainer_of_transformers(recipe: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from pruneexp.integrations.transformers import prune

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=13, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0
    )
    words = torch.randint(13, (80, 8), generator=torch.Generator().manual_seed(2))
    arguments = transformers.TrainingArguments(
        tmp_path,
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=0.01,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    rows = [{"input_ids": row, "labels": row} for row in words]
    trainer = transformers.Trainer(
        transformers.GPT2LMHeadModel(config), arguments, train_dataset=rows
    )
    pruning = prune(trainer, recipe)
    trainer.train()
    assert pruning.masks
    weights = dict(trainer.model.named_parameters())
    assert all(not weights[name][~kept].any() for name, kept in pruning.masks.items())
    if recipe.word == "rigl":
        masked = sum(int((~kept).sum()) for kept in pruning.masks.values())
        every = sum(kept.numel() for kept in pruning.masks.values())
        assert masked / every == pytest.approx(0.75, abs=0.01)
