"""For a given memory budget: train a small dense model or prune a large one? The library's face.

    pruner = pruneexp.Gradual(sparsity=0.9).attach(model, steps=1000)

Names are imported when first used, so that `import pruneexp` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruneexp.config.run import Run as Run
    from pruneexp.engine.execute import execute as execute
    from pruneexp.measure.planned import size as size
    from pruneexp.pruning import Dense as Dense
    from pruneexp.pruning import Gradual as Gradual
    from pruneexp.pruning import Magnitude as Magnitude
    from pruneexp.pruning import Random as Random
    from pruneexp.pruning.allocation import Global as Global
    from pruneexp.pruning.allocation import LayerwiseConstant as LayerwiseConstant
    from pruneexp.pruning.allocation import Uniform as Uniform
    from pruneexp.pruning.schedule import Cubic as Cubic
    from pruneexp.pruning.schedule import Linear as Linear
    from pruneexp.pruning.schedule import OneShot as OneShot
    from pruneexp.pruning.scope import All as All
    from pruneexp.pruning.scope import ModelScope as ModelScope
    from pruneexp.pruning.scope import Named as Named
    from pruneexp.running.load import load as load
    from pruneexp.tasks.images import Classification as Classification

_HOMES = {
    "Run": "config",
    "execute": "execute",
    "Dense": "pruning",
    "Gradual": "pruning",
    "Magnitude": "pruning",
    "Random": "pruning",
    "Global": "pruning.allocation",
    "LayerwiseConstant": "pruning.allocation",
    "Uniform": "pruning.allocation",
    "Cubic": "pruning.schedule",
    "Linear": "pruning.schedule",
    "OneShot": "pruning.schedule",
    "All": "pruning.scope",
    "ModelScope": "pruning.scope",
    "Named": "pruning.scope",
    "load": "running.load",
    "size": "size",
    "Classification": "tasks.images",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"pruneexp has {', '.join(_HOMES)}; not {name}")
    return getattr(import_module(f"pruneexp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
