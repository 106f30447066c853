"""Gradual pruning on live tensors.

Weights are zeroed in place and the values they had are kept beside them. That equals an explicit
weight * mask with frozen masked values bit for bit, for every optimiser that sees masked gradients
and for weight decay that acts on weight * mask (tests/test_pruning.py), and the model stays plain.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pruneexp import seeds
from pruneexp.config.recipe import Fault, Invalid, asked
from pruneexp.pruning.attached import (
    Attached,
    EmptyTensor,
    NotPrunable,
    demand_equal_masks,
    processes,
    sum_over_processes,
    unwrapped,
)
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.pruner import (
    Pruner,
    demand_alike,
    demand_no_average,
    demand_same_pruner,
)
from pruneexp.pruning.ranking import keep_highest
from pruneexp.pruning.settling import MaskSize, Settling, least_sparsity

Losses = Callable[[nn.Module, int], Iterator[Tensor]]


class GradualPruner(Pruner):
    """Raises the sparsity of a model's weights as a `Gradual` recipe says.

    A method that chooses masks in another way may inherit from it and override `choose`.
    """

    def __init__(self, model: nn.Module, recipe: Gradual, *, steps: int, seed: int) -> None:
        if type(steps) is not int or steps < 1:
            raise Invalid([Fault("steps", f"takes a whole number above 0, got {steps!r}")])
        if not recipe.allocation.is_known:
            why = "is measured before a run is trained; in a loop of your own give increases={...}"
            raise Invalid([Fault(f"pruning.allocation={recipe.allocation.word}", why)])
        model = unwrapped(model)
        self.recipe = recipe
        self._asked = json.dumps(asked(recipe), sort_keys=True)
        self._settling: Settling | None = None
        self.steps = steps
        self.seed = seed
        self.step = 0
        self.groups = recipe.ranked_groups(model)
        self.names = [name for group in self.groups for name in group.shapes]
        self.attached = Attached(model, self.names)
        self.weights: list[Tensor] = list(self.attached.weights.values())
        # 1 kept, 0 masked, in the weights' own type and memory order: a product with a boolean
        # takes ten times as long.
        self.kept = [torch.ones_like(weight) for weight in self.weights]
        self.before = [weight.detach().clone() for weight in self.weights]  # values when masked
        self.gradients: list[Tensor | None] = [None] * len(self.weights)
        summed = self.weights if recipe.criterion.sums_up else []
        self.sums = [torch.zeros_like(weight, requires_grad=False) for weight in summed]
        self.masked = 0
        self._losses: Losses | None = None  # of single examples, for a criterion that wants them
        self._lbfgs: torch.optim.LBFGS | None = None
        self._saw_gradient: bool | None = None  # since masks were chosen last; None: not asked
        self._prunable = sum(group.weights for group in self.groups)
        self._numbers = _tensor_numbers([len(group.shapes) for group in self.groups])
        self._updates = set(recipe.allocation.updates(recipe.schedule, self.groups, steps))
        self._last_update = max(self._updates)
        recipe.plan(self.groups, steps)  # refuses a sparsity that masks nothing
        if recipe.criterion.uses_gradients and 0 in self._updates:
            why = "takes a fraction above 0: there is no gradient before the first step, and "
            why += f"criterion {recipe.criterion.word} needs one"
            raise Invalid([Fault("pruning.schedule.begin", why)])
        self._update()

    @property
    def sparsity(self) -> float:
        return self.masked / self._prunable

    @property
    def settled(self) -> bool:
        return self.step >= self._last_update

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        demand_no_average(optimiser)
        self._lbfgs = optimiser if isinstance(optimiser, torch.optim.LBFGS) else None

    def after_backward(self) -> None:
        super().after_backward()
        self._saw_gradient = bool(self._saw_gradient) or any(
            weight.grad is not None for weight in self.weights
        )
        if self.sums:
            self._sum_up()
        elif self.recipe.criterion.uses_gradients and self.step + 1 in self._updates:
            self.gradients = [
                None if weight.grad is None else weight.grad.clone() for weight in self.weights
            ]
        if self.masked:
            pairs = [
                (weight.grad, kept)
                for weight, kept in zip(self.weights, self.kept, strict=True)
                if weight.grad is not None
            ]
            if pairs:  # a step whose loss passes the pruned layers by leaves none
                gradients, masks = zip(*pairs, strict=True)
                torch._foreach_mul_(gradients, masks)

    @torch.no_grad()
    def _sum_up(self) -> None:
        """Add this step to the sums of the criterion."""
        for weight, kept, before, summed in zip(
            self.weights, self.kept, self.before, self.sums, strict=True
        ):
            if weight.grad is not None:
                values = torch.where(kept.bool(), weight, before)
                summed += self.recipe.criterion.added(values, weight.grad)

    def after_step(self, *, zeros_moved: bool = True) -> None:
        if self.masked and not self.gradients_ready:
            self._demand_no_gradient()
        self.gradients_ready = False
        self.step += 1
        # Momentum, or weight decay in an optimiser's own way, may have moved zeros.
        if self.masked and zeros_moved:
            with torch.no_grad():
                try:
                    torch._foreach_mul_(self.weights, self.kept)
                except RuntimeError:
                    self.attached.check()  # names the tensor that has another shape or place now
                    raise
        self._update()

    def _demand_no_gradient(self) -> None:
        """The step was made without `after_backward`; that is no matter if nothing was learned."""
        for name, weight in self.attached.weights.items():
            if weight.grad is not None:
                raise NotPrunable(
                    f"step {self.step + 1} was made without after_backward(), so that {name} got "
                    "gradients of masked weights; call it after backward(), before gradients are "
                    "clipped"
                )

    def _demand_gradient(self) -> None:
        """Raise where tensors that are trained got no gradient since masks were chosen last."""
        trained = [name for name, w in self.attached.weights.items() if w.requires_grad]
        if self._saw_gradient is False and trained:
            raise NotPrunable(
                f"{trained[0]} and all other pruned weights had no gradient since masks were "
                f"chosen last (step {self.step} now): a copy of the model is trained, or a loss "
                "that passes it by; attach the pruner to the model that is trained"
            )

    @torch.no_grad()
    def _update(self) -> None:
        """Choose new masks if this step is one of the schedule's."""
        if self.step not in self._updates:
            return
        measured = self.recipe.criterion.measured_examples
        if measured and self._losses is None and self.step == 0:
            return  # `use_examples` comes before the first step
        self.attached.check()
        self._demand_gradient()
        self._saw_gradient = None
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            before.copy_(torch.where(kept.bool(), weight, before))
        if measured:
            self._measure(measured)
        if self._settling is not None and self.settled:
            self._settle(self._settling)
        for number, mask in self.choose().items():
            self.kept[number].copy_(mask)
        for weight, kept, before in zip(self.weights, self.kept, self.before, strict=True):
            weight.copy_(torch.where(kept.bool(), before, 0))
        demand_equal_masks(self.kept)
        self.gradients = [None] * len(self.weights)
        if self._lbfgs is not None:  # its history would span two sets of masks
            self._lbfgs.state.clear()

    def use_examples(self, losses: "Losses") -> None:
        self._losses = losses
        if self.recipe.criterion.measured_examples and self.step == 0:
            self._update()

    def _measure(self, examples: int) -> None:
        """Mean squares of single examples' gradients, in eval mode and without dropout. Several
        processes share the examples."""
        word = self.recipe.criterion.word
        if self._losses is None:
            raise NotPrunable(
                f"criterion {word} measures weights on single training examples; call "
                "pruner.use_examples(losses) before the first step"
            )
        model, own = self.attached.model, -(-examples // processes())
        count = torch.zeros(1, device=self.weights[0].device)
        squares = [torch.zeros_like(weight, requires_grad=False) for weight in self.weights]
        modes = {layer: layer.training for layer in model.modules()}
        for layer in modes:  # cuDNN differentiates recurrent layers in training mode alone
            layer.training = isinstance(layer, nn.RNNBase) and not layer.dropout
        with torch.enable_grad():
            for loss in self._losses(model, own):
                count += 1
                gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
                for sum_, gradient in zip(squares, gradients, strict=True):
                    if gradient is not None:
                        sum_ += gradient.square()
        for layer, training in modes.items():
            layer.training = training
        sum_over_processes([*squares, count])
        self.gradients = [sum_ / count.clamp(min=1) for sum_ in squares]

    def settle_by(self, size: MaskSize, limit: int) -> None:
        self._settling = Settling(size, limit)
        if self.settled:  # the one update is that before the first step, and is past
            self._update()

    def _settle(self, settling: Settling) -> None:
        before = self.recipe

        def size(sparsity: float) -> int:
            self.recipe = replace(before, sparsity=sparsity)
            chosen = self.choose()
            return settling.size({self.names[n]: mask.bool() for n, mask in chosen.items()})

        # What is masked for good cannot come back.
        lowest = before.schedule.initial
        if self.masked and not before.revive:
            lowest = before.final
        found = least_sparsity(size, settling.limit, start=before.final, lowest=lowest)
        self.recipe = replace(before, sparsity=found)

    def choose(self) -> dict[int, Tensor]:
        """The masks of this step by number of tensor; `self.masked` becomes what they mask."""
        recipe, structure = self.recipe, self.recipe.structure
        pools = recipe.allocation.pools(self.groups)
        counts = recipe.allocation.masked(
            self.groups, recipe.schedule, recipe.final, self.step, self.steps
        )
        self.masked = 0
        chosen: dict[int, Tensor] = {}
        for pool, count in zip(pools, counts, strict=True):
            numbers = [number for group in pool for number in self._numbers[group]]
            self.masked += count * self.groups[pool[0]].unit
            if count == 0:  # what stays dense need not fit the structure
                chosen |= {number: torch.ones_like(self.kept[number]) for number in numbers}
                continue
            scores = [score for group in pool for score in self._scores(group)]
            try:
                kept = keep_highest([structure.ranked(score) for score in scores], count)
            except FloatingPointError:
                bad = [n for n, score in zip(numbers, scores, strict=True) if score.isnan().any()]
                names = ", ".join(self.names[number] for number in bad)
                raise FloatingPointError(
                    f"{names}: scores that are not numbers (NaN) at step {self.step}; a smaller "
                    "learning rate or clipped gradients may help"
                ) from None
            for number, units in zip(numbers, kept, strict=True):
                chosen[number] = structure.mask(units, tuple(self.kept[number].shape))
        return chosen

    def _scores(self, group: int) -> list[Tensor]:
        """What ranks the weights of a group's tensors; without `revive`, masked weights lie below
        all others."""
        numbers = self._numbers[group]
        scores = self.recipe.criterion.scores(
            [self.before[number] for number in numbers],
            [(self.sums or self.gradients)[number] for number in numbers],
            [seeds.generator(self.seed, "random criterion", number) for number in numbers],
        )
        if not self.recipe.revive:
            scores = [
                torch.where(self.kept[number].bool(), score, -torch.inf)
                for number, score in zip(numbers, scores, strict=True)
            ]
        return scores

    def masks(self) -> dict[str, Tensor]:
        return {name: kept.bool() for name, kept in zip(self.names, self.kept, strict=True)}

    def finish(self) -> dict[str, Tensor]:
        if not self.settled:
            raise NotPrunable(
                f"this is step {self.step}, and the masks are final at step {self._last_update} of "
                f"{self.steps}; call finish() then, or attach with fewer steps. Steps are counted "
                "by after_step()"
            )
        self.attached.check()
        self._demand_gradient()
        masks = self.masks()
        self._demand_as_planned(masks)
        with torch.no_grad():  # a negative weight times 0 is -0.0, which a file would keep
            for weight, name in zip(self.weights, self.names, strict=True):
                weight.masked_fill_(~masks[name], 0)
        self.attached.release()
        super().finish()
        if empty := [name for name, kept in masks.items() if not kept.any()]:
            warnings.warn(
                f"no weight of {', '.join(empty)} is left, so that nothing passes through; "
                "allocation=PerLayer(at_most={...}) keeps more of a layer, scope=Named(exclude="
                "[...]) all",
                EmptyTensor,
                stacklevel=2,
            )
        return masks

    def _demand_as_planned(self, masks: dict[str, Tensor]) -> None:
        """Raise `NotPrunable` where another number is masked than planned, or is not zero."""
        counts = self.recipe.allocation.masked(
            self.groups, self.recipe.schedule, self.recipe.final, self.steps, self.steps
        )
        pools = self.recipe.allocation.pools(self.groups)
        for pool, count in zip(pools, counts, strict=True):
            planned = count * self.groups[pool[0]].unit
            numbers = [number for group in pool for number in self._numbers[group]]
            names = [self.names[number] for number in numbers]
            achieved = sum(int((~masks[name]).sum()) for name in names)
            moved = sum(
                int(torch.count_nonzero(self.weights[number][~masks[self.names[number]]]))
                for number in numbers
            )
            if achieved != planned:
                raise NotPrunable(f"{', '.join(names)}: {achieved} masked, {planned} planned")
            if moved:
                raise NotPrunable(
                    f"{', '.join(names)}: {moved} masked weights are not zero; call after_step() "
                    "after each step of the optimiser, and change no weights by other means"
                )

    def _demand_zeros(self, masks: dict[str, Tensor]) -> None:
        """Raise `NotPrunable` where a masked weight is not zero."""
        for name, weight in zip(self.names, self.weights, strict=True):
            if weight[~masks[name]].any():
                raise NotPrunable(
                    f"{name}: masked weights are not zero; call after_step() after each step of "
                    "the optimiser, and change no weights by other means"
                )

    def state_dict(self) -> dict[str, Any]:
        return {
            "recipe": self._asked,
            "steps": self.steps,
            "seed": self.seed,
            "step": self.step,
            "kept": self.masks(),
            "before": {
                name: before.clone() for name, before in zip(self.names, self.before, strict=True)
            },
            **({"sparsity": self.recipe.final} if self._settling else {}),
            **({"sums": self._sums()} if self.sums else {}),
        }

    def _sums(self) -> dict[str, Tensor]:
        return {n: summed.clone() for n, summed in zip(self.names, self.sums, strict=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = self.state_dict()
        demand_same_pruner(state, own, "recipe", "steps", "seed")
        for key in own.keys() & {"kept", "before", "sums"}:
            demand_alike(key, state[key], own[key])
        self.step = state["step"]
        if self._settling:
            self.recipe = replace(self.recipe, sparsity=state["sparsity"])
        for name, kept, before in zip(self.names, self.kept, self.before, strict=True):
            kept.copy_(state["kept"][name])
            before.copy_(state["before"][name])
        for name, summed in zip(self.names if self.sums else [], self.sums, strict=True):
            summed.copy_(state["sums"][name])
        self.masked = sum(int((~state["kept"][name]).sum()) for name in self.names)
        self._saw_gradient = None


def _tensor_numbers(sizes: list[int]) -> list[list[int]]:
    """The numbers of each group's tensors, where tensors are numbered through all groups."""
    numbers, first = [], 0
    for size in sizes:
        numbers.append(list(range(first, first + size)))
        first += size
    return numbers
