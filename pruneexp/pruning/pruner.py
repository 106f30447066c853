"""What a training loop sees of pruning: a few calls and a little state."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Pruner:
    """Holds a model's masks while it is trained. This base prunes nothing, so that a dense run goes
    through the same loop.

        pruner = pruneexp.Gradual(sparsity=0.9).attach(model, steps=1000)
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        pruner.use(optimiser)                        # optional: methods that reset its momentum
        for inputs, labels in loader:
            optimiser.zero_grad()
            loss(model(inputs), labels).backward()
            pruner.after_backward()                  # before gradients are clipped
            if not pruner.skips_step:                # always False in gradual pruning
                optimiser.step()
            pruner.after_step()
        masks = pruner.finish()                      # a plain model with zeros, and its masks

    A method of your own overrides what it needs. Trained parameters of its own are handed out by
    `parameters` and belong into the optimiser without weight decay; a `penalty` is added to the
    loss's gradients once a step, whatever number of parts a batch has.
    """

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

    def parameters(self) -> Sequence[nn.Parameter]:
        """Parameters of the method itself that the optimiser trains, without weight decay."""
        return []

    def use(self, optimiser: torch.optim.Optimizer) -> None:
        """Take note of the optimiser, whose state of a weight a method may reset. Call it once,
        before the first step."""

    def penalty(self) -> Tensor | None:
        """What is added to the loss at this step; None for nothing."""
        return None

    def after_backward(self) -> None:
        """Once a step, when gradients are complete and unscaled, and before they are clipped.
        A subclass that overrides this calls `super().after_backward()` first."""
        penalty = self.penalty()
        if penalty is not None:
            penalty.backward()

    def after_step(self, *, zeros_moved: bool = True) -> None:
        """After the optimiser has moved the weights, or skipped the step. With an optimiser that
        never moves a zero whose gradient is zero, such as SGD without momentum,
        `zeros_moved=False` saves a product."""

    def finish(self) -> dict[str, Tensor]:
        """The masks by name of tensor (True: kept), after a check that exactly what was planned is
        masked. The model then is a plain one with zeros. Raises where training has not ended."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: plain data and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave, on the same model and recipe."""
        assert state == {}, state
