"""What a training loop sees of pruning: a few calls and a little state."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.pruning.attached import NotPrunable, unwrapped
from pruneexp.pruning.settling import MaskSize


class Pruner:
    """Holds a model's masks while it is trained. This base prunes nothing, so that a dense run goes
    through the same loop.

        pruner = pruneexp.Gradual(sparsity=0.9).attach(model, steps=1000)
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        pruner.use(optimiser)                        # refuses one that does not go with masks
        for inputs, labels in loader:
            optimiser.zero_grad()
            loss(model(inputs), labels).backward()
            pruner.after_backward()                  # before gradients are clipped
            if not pruner.skips_step:                # always False in gradual pruning
                optimiser.step()
            pruner.after_step()
        masks = pruner.finish()                      # a plain model with zeros, and its masks

    `follow(optimiser)` lets the optimiser make the calls between `backward` and `finish` itself.

    A method of your own overrides what it needs, `masks` and `finish` at least. Trained parameters
    of its own are handed out by `parameters` and belong into the optimiser without weight decay; a
    `penalty` is added to the loss's gradients once a step, whatever number of parts a batch has.
    """

    gradients_ready: bool = False
    """Whether `after_backward` has been called for the step to come."""

    _hooks: "Sequence[Callable[[], None]]" = ()  # what takes the optimiser's hooks away again

    re_estimates_batch_norm: bool = False
    """Whether running averages of batch-norm were taken under noise, and are to be taken anew
    before a final state is measured."""

    skips_step: bool = False
    """Whether the optimiser must not step this time; asked after each `after_backward`."""

    @property
    def sparsity(self) -> float:
        """The share of the prunable weights that is masked now."""
        return 0.0

    @property
    def settled(self) -> bool:
        """Whether the masks are final. Only such a state may be chosen as the best."""
        return True

    def settle_by(self, size: MaskSize, limit: int) -> None:
        """Let the size of something, such as a file, settle the sparsity at the last update of the
        masks. Call it before the first step.

        Arguments:
            size: from masks by name of tensor (True: kept) to a number.
            limit: that it must not exceed.
        """
        raise NotPrunable(f"{type(self).__name__} has no sparsity that a size could settle")

    def parameters(self) -> Sequence[nn.Parameter]:
        """Parameters of the method itself that the optimiser trains, without weight decay."""
        return []

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        """Take note of the optimiser, whose state of a weight a method may reset. Call it once,
        before the first step."""

    def follow(self, optimiser: torch.optim.Optimizer) -> None:
        """Let every `optimiser.step()` call `after_backward` before it, unless it was called for
        this step, and `after_step` after it, until `finish`. It calls `use` too.

        Where gradients are clipped, call `after_backward` before that yourself, or the norm counts
        gradients of masked weights. A step that a GradScaler leaves out is not counted.
        """
        if isinstance(optimiser, torch.optim.LBFGS):
            raise NotPrunable(
                "LBFGS asks for gradients several times a step; call pruner.after_backward() at "
                "the end of its closure and pruner.after_step() after each step instead"
            )
        self.use(optimiser)

        def before(*_: Any) -> None:
            if not self.gradients_ready:
                self.after_backward()
            self.leave_out(optimiser)

        def after(*_: Any) -> None:
            self.after_step()
            self.gradients_ready = False

        hooks = optimiser.register_step_pre_hook(before), optimiser.register_step_post_hook(after)
        self._hooks = [*self._hooks, *(hook.remove for hook in hooks)]

    def use_data(self, examples: int | None, terms: float = 1.0) -> None:
        """Say how many training examples there are, which a penalty over all of them is divided
        by. Call it before the first step of a method that has one.

        Arguments:
            terms: how many losses of single examples the loss adds up, where it is no mean: of a
                language model whose loss is summed over 20 words, 20.
        """

    def use_examples(self, losses: "Callable[[nn.Module, int], Iterator[Tensor]]") -> None:
        """Give a method that measures weights on training examples their losses. Call it before the
        first step.

        Arguments:
            losses: from the model and a number of examples to the loss of each, one after the
                other, each with a graph of its own.
        """

    def quiet(self) -> AbstractContextManager[None]:
        """Inside, a model in training mode computes what it will after training, for methods that
        draw."""
        return nullcontext()

    def leave_out(self, optimiser: torch.optim.Optimizer) -> None:
        """Let the optimiser's next step move nothing where the method skips it, for loops that make
        it anyway: a weight without a gradient stays, and so does what the optimiser knows of it."""
        if self.skips_step:
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def penalty(self) -> Tensor | None:
        """What is added to the loss at this step; None for nothing."""
        return None

    def after_backward(self) -> None:
        """Once a step, when gradients are complete and unscaled, and before they are clipped; with
        LBFGS, at the end of its closure. A subclass that overrides this calls
        `super().after_backward()` first."""
        self.gradients_ready = True
        penalty = self.penalty()
        if penalty is not None:
            penalty.backward()

    def after_step(self, *, zeros_moved: bool = True) -> None:
        """After the optimiser has moved the weights, or skipped the step. With an optimiser that
        never moves a zero whose gradient is zero, such as SGD without momentum,
        `zeros_moved=False` saves a product."""

    def masks(self) -> dict[str, Tensor]:
        """Copies of the masks as they are now, at any step, by name of tensor (True: kept)."""
        return {}

    @torch.no_grad()
    def apply_to(self, model: nn.Module) -> None:
        """Zero in a network of the same layout what is masked now. Averages of weights (EMA, SWA)
        need it before they are evaluated or kept: they remember what was masked since.

            average = torch.optim.swa_utils.AveragedModel(model)
            pruner.apply_to(average)
        """
        masks = self.masks()
        inner = getattr(model, "module", None)  # of AveragedModel and what other libraries call it
        if isinstance(inner, nn.Module) and not set(masks) <= dict(model.named_parameters()).keys():
            model = inner
        weights = dict(unwrapped(model).named_parameters())
        for name, kept in masks.items():
            if name not in weights or weights[name].shape != kept.shape:
                shape = tuple(kept.shape)
                raise NotPrunable(f"{name} of shape {shape} is masked, and this model has none")
            weights[name].masked_fill_(~kept.to(weights[name].device), 0)

    def finish(self) -> dict[str, Tensor]:
        """The masks by name of tensor (True: kept), after a check that exactly what was planned is
        masked. The model then is a plain one with zeros. Raises where training has not ended.
        A subclass that overrides this calls `super().finish()`."""
        for remove in self._hooks:
            remove()
        self._hooks = ()
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: plain data and tensors, which do not change any more."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave, on the same model and recipe. Raises ValueError for the
        state of another."""
        if state != {}:
            raise ValueError(f"this pruner has no state, got {', '.join(map(str, state))}")

    def __getstate__(self) -> None:
        raise NotPrunable(
            "a pruner holds the tensors of one model and cannot be copied or pickled; attach one "
            "to the copy of the model and give it this one's state_dict()"
        )


def demand_no_average(optimiser: torch.optim.Optimizer) -> None:
    """Raise `NotPrunable` for an optimiser that evaluates an average of its own."""
    if all(callable(getattr(optimiser, name, None)) for name in ("train", "eval")):
        raise NotPrunable(
            f"{type(optimiser).__name__} is schedule-free: it evaluates an average of weights that "
            "masks do not reach; use the same optimiser with a schedule"
        )


def demand_same_pruner(state: dict[str, Any], own: dict[str, Any], *facts: str) -> None:
    """Raise ValueError for a state with other parts than `own`, of a pruner for which other facts
    hold, or with a step that there cannot be."""
    if state.keys() != own.keys():
        raise ValueError(f"a pruner's state holds {', '.join(own)}; got {', '.join(state)}")
    for key in facts:
        if state[key] != own[key]:
            raise ValueError(
                f"the state is of a pruner with {key} {state[key]}, and this one was attached "
                f"with {own[key]}; attach it as that one was"
            )
    step, steps = state["step"], own["steps"]
    if type(step) is not int or not 0 <= step <= steps:
        raise ValueError(f"step takes a whole number from 0 to {steps}, got {step!r}")


def demand_alike(key: str, given: Any, own: dict[str, Tensor]) -> None:
    """Raise ValueError where these are not the same names with tensors of the same kind."""
    if not isinstance(given, dict) or given.keys() != own.keys():
        raise ValueError(f"{key} takes tensors for {', '.join(own)}")
    for name, tensor in own.items():
        other = given[name]
        kind = f"a tensor of {tensor.dtype} and shape {tuple(tensor.shape)}"
        if not isinstance(other, Tensor):
            raise ValueError(f"{key} of {name} takes {kind}, got {type(other).__name__}")
        if (other.dtype, other.shape) != (tensor.dtype, tensor.shape):
            got = f"{other.dtype} and {tuple(other.shape)}"
            raise ValueError(f"{key} of {name} takes {kind}, got {got}")
