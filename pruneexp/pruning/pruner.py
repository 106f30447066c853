"""What a training loop sees of pruning: four calls and a little state.

    pruner = pruning.attach(model, steps=1000)      # before the optimiser is made
    ...
    loss.backward()
    pruner.after_backward()                         # before gradients are clipped
    optimiser.step()
    pruner.after_step()
    ...
    masks = pruner.finish()                         # a plain model with zeros, and its masks

This base prunes nothing, so that a dense run goes through the same loop.
"""

from typing import Any

from torch import Tensor


class Pruner:
    @property
    def sparsity(self) -> float:
        """The share of the prunable weights that is masked now."""
        return 0.0

    @property
    def settled(self) -> bool:
        """Whether the masks are final. Only such a state may be chosen as the best."""
        return True

    def after_backward(self) -> None:
        """Once per optimiser step: gradients complete, unscaled and not yet clipped."""

    def after_step(self, *, zeros_moved: bool = True) -> None:
        """After the optimiser has moved the weights. One that never moves a zero whose gradient
        is zero, such as SGD without momentum, spares a product by `zeros_moved=False`."""

    def finish(self) -> dict[str, Tensor]:
        """Check that exactly what was planned is masked, and hand over the masks (True: kept)."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}, state
