"""What a trained network weighs in packed files, with batch-norm kept and with it folded."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from pruneexp.measure.folding import folded_state
from pruneexp.storage.archive import Array
from pruneexp.storage.weigh import weigh
from pruneexp.tasks.shape import Shape


def weighed(
    model: nn.Module, shape: Shape, masks: Mapping[str, Tensor], say: Callable[[str], None]
) -> dict[str, Any] | None:
    """What `storage.weigh` says of it. What a network of somebody's own does not bear is said and
    left out, since that must not cost a finished training; None if nothing is left."""
    try:
        state = folded(model, shape)
    except Exception as error:  # anything a forward of somebody's own may raise
        say(f"bytes with batch-norm folded are not known ({_why(error)})")
        state = None
    try:
        found = weigh(arrays(model.state_dict()), arrays(masks), state)
    except Exception as error:  # such as a type of numbers that numpy does not have
        say(f"bytes of the packed model are not known ({_why(error)})")
        return None
    for file, why in found["refused"].items():
        say(f"bytes as {file} are not known ({why})")
    return found


def folded(model: nn.Module, shape: Shape) -> dict[str, Array] | None:
    """The state with batch-norm folded; None where there is nothing to fold."""
    state = folded_state(model, *shape.example())
    return None if state is None else arrays(state)


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
