"""What variational dropout and L0 regularisation share: a parameter beside each weight, layers that
draw while they are trained, a penalty, and a threshold that can be moved."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.pruning.allocation import count
from pruneexp.pruning.attached import (
    Attached,
    NotPrunable,
    processes,
    sum_over_processes,
    unwrapped,
)
from pruneexp.pruning.pruner import (
    Pruner,
    demand_alike,
    demand_no_average,
    demand_same_pruner,
)
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.replaced_forward import Replaced
from pruneexp.pruning.stochastic import Stochastic


class StochasticPruner(Pruner):
    """A subclass defines the parameters (`_first`), how much a weight is worth (`_worth`, above 0
    where it stays), the penalty of a tensor (`_cost`), the weights that are used without noise
    (`_quiet`), and what layers compute (`_cover`)."""

    re_estimates_batch_norm = True

    def __init__(self, model: nn.Module, recipe: Stochastic, *, steps: int, seed: int) -> None:
        model = unwrapped(model)
        self.model, self.recipe, self.steps, self.seed = model, recipe, steps, seed
        self.step = 0
        self._asked = json.dumps(asked(recipe), sort_keys=True)
        names = [name for group in recipe.groups(model).values() for name in group]
        self.attached = Attached(model, names)
        self.weights = self.attached.weights
        self.own: dict[str, nn.Parameter] = {
            name: nn.Parameter(self._first(number, weight))
            for number, (name, weight) in enumerate(self.weights.items())
        }
        self._moved: dict[str, Tensor] | None = None  # masks after the threshold has been moved
        self._is_quiet = False
        self._examples: int | None = None
        self._terms = 1.0
        self._replaced: list[Replaced] = []
        try:
            self._cover_all()
        except BaseException:
            self._uncover()
            raise

    # --- what a subclass defines ---------------------------------------------------------------

    def _first(self, number: int, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def _worth(self, name: str) -> Tensor:
        raise NotImplementedError

    def _cost(self, name: str) -> Tensor:
        raise NotImplementedError

    def _quiet(self, name: str) -> Tensor:
        raise NotImplementedError

    def _cover(self, layer: nn.Module, tensors: dict[str, str]) -> Replaced:
        """Let a layer draw. Raises `NotPrunable` for one that has no such form.

        Arguments:
            tensors: the pruned ones, by their names within the layer.
        """
        raise NotImplementedError

    # --- layers --------------------------------------------------------------------------------

    def _cover_all(self) -> None:
        by_tensor: dict[int, str] = {id(weight): name for name, weight in self.weights.items()}
        found: dict[str, None] = {}
        for path, layer in self.model.named_modules():
            if isinstance(layer, nn.MultiheadAttention):
                tensors = {
                    name: by_tensor[id(weight)]
                    for name, weight in layer.named_parameters()
                    if id(weight) in by_tensor
                }
            elif self._is_inside_attention(path):
                continue
            else:
                tensors = {
                    leaf: by_tensor[id(weight)]
                    for leaf, weight in layer.named_parameters(recurse=False)
                    if id(weight) in by_tensor
                }
            if tensors:
                self._replaced.append(self._cover(layer, tensors))
                found |= dict.fromkeys(tensors.values())
        if missing := [name for name in self.weights if name not in found]:
            raise NotPrunable(
                f"{missing[0]} belongs to no layer, so that {self.recipe.word} cannot draw it; "
                "leave it out with scope=Named(exclude=[...])"
            )

    def _is_inside_attention(self, path: str) -> bool:
        above = path.rpartition(".")[0]
        return bool(path) and isinstance(self.model.get_submodule(above), nn.MultiheadAttention)

    def _uncover(self) -> None:
        for replaced in self._replaced:
            replaced.undo()
        self._replaced = []
        self.attached.release()

    def draws(self, layer: nn.Module) -> bool:
        """Whether a layer draws now: in training, unless it is asked to be quiet."""
        return layer.training and not self._is_quiet

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, layers in training mode compute what they will after training."""
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False

    # --- the loop ------------------------------------------------------------------------------

    def parameters(self) -> Sequence[nn.Parameter]:
        return list(self.own.values())

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        """Give the optimiser the method's own parameters, unless it has them: in a group without
        weight decay if there is one, whose rate a scheduler may follow, else in a group of their
        own."""
        demand_no_average(optimiser)
        known = {id(each) for group in optimiser.param_groups for each in group["params"]}
        missing = [own for own in self.own.values() if id(own) not in known]
        if not missing:
            return
        free = [group for group in optimiser.param_groups if not group.get("weight_decay", 0)]
        if free:
            free[-1]["params"] += missing
        else:
            optimiser.add_param_group({"params": missing, "weight_decay": 0.0})

    def use_data(self, examples: int | None, terms: float = 1.0) -> None:
        self._examples, self._terms = examples, terms

    @property
    def sparsity(self) -> float:
        masks = self.masks().values()
        return sum(int((~m).sum()) for m in masks) / max(1, sum(m.numel() for m in masks))

    @property
    def settled(self) -> bool:
        return self.step >= self.steps

    def penalty(self) -> Tensor | None:
        share = self.recipe.penalty * self.recipe.share_at(self.step, self.steps)
        if not share:
            return None
        if self._examples is None:
            raise NotPrunable(
                f"{self.recipe.word} divides its penalty by the number of training examples; call "
                "pruner.use_data(examples=...) before the first step"
            )
        total = torch.stack([self._cost(name) for name in self.own]).sum()
        return share * self._terms / self._examples * total

    def after_backward(self) -> None:
        # DistributedDataParallel knows nothing of these parameters.
        gradients = [own.grad for own in self.own.values() if own.grad is not None]
        sum_over_processes(gradients)
        for gradient in gradients:
            gradient /= processes()
        super().after_backward()

    def after_step(self, *, zeros_moved: bool = True) -> None:
        self.gradients_ready = False
        self.step += 1

    # --- masks ---------------------------------------------------------------------------------

    @torch.no_grad()
    def masks(self) -> dict[str, Tensor]:
        if self._moved is not None:
            return {name: mask.clone() for name, mask in self._moved.items()}
        return {name: self._worth(name) > 0 for name in self.weights}

    @torch.no_grad()
    def move_threshold(self, sparsity: float) -> None:
        """Remove this share of all weights, those that are least worth keeping, with one threshold
        over all tensors. Raises `Invalid` where more is gone already and cannot come back."""
        worth = [self._worth(name) for name in self.weights]
        masked = count(sparsity, sum(each.numel() for each in worth))
        if self.recipe.gone_for_good:
            gone = sum(int((each <= 0).sum()) for each in worth)
            if gone > masked:
                reached = gone / sum(each.numel() for each in worth)
                why = f"takes a share not below the {reached:.4f} that training removed, got "
                raise Invalid([Fault("pruning.sparsity", f"{why}{sparsity:g}")])
        self._moved = dict(zip(self.weights, keep_highest(worth, masked), strict=True))

    @torch.no_grad()
    def finish(self) -> dict[str, Tensor]:
        if not self.settled:
            raise NotPrunable(
                f"this is step {self.step} of {self.steps}; {self.recipe.word} removes weights "
                "when training has ended. Steps are counted by after_step()"
            )
        self.attached.check()
        masks = self.masks()
        if not any(mask.any() for mask in masks.values()):
            raise NotPrunable(
                f"the threshold of {self.recipe.word} removes every weight; a smaller penalty "
                "(pruning.penalty) keeps some"
            )
        for name, weight in self.weights.items():
            weight.copy_(self._quiet(name))
            weight.masked_fill_(~masks[name], 0)
        self._uncover()
        super().finish()
        return masks

    # --- states --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        own = {name: value.detach().clone() for name, value in self.own.items()}
        return {"recipe": self._asked, "steps": self.steps, "step": self.step, "own": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = self.state_dict()
        demand_same_pruner(state, own, "recipe", "steps")
        self.take(state)
        self.step = state["step"]

    @torch.no_grad()
    def take(self, state: dict[str, Any]) -> None:
        """Take the method's own parameters from the state of another pruner of the same model."""
        mine = {name: value.detach() for name, value in self.own.items()}
        demand_alike("own", state.get("own"), mine)
        for name, value in self.own.items():
            value.copy_(state["own"][name])
