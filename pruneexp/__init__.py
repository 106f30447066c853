"""For a given memory budget: train a small dense model or prune a large one?

    pruner = pruneexp.Gradual(sparsity=0.9).attach(model, steps=1000)   # in a loop of your own
    record = pruneexp.execute(run)                                      # a whole run
    model = pruneexp.load("model.pxp", sparse=True)                     # a finished one

Names are imported when first used, so that `import pruneexp` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruneexp.config.recipe import Invalid as Invalid
    from pruneexp.config.run import Run as Run
    from pruneexp.engine.execute import execute as execute
    from pruneexp.engine.record import Metric as Metric
    from pruneexp.measure.planned import size as size
    from pruneexp.pruning import L0 as L0
    from pruneexp.pruning import SET as SET
    from pruneexp.pruning import Dense as Dense
    from pruneexp.pruning import Gradual as Gradual
    from pruneexp.pruning import Pruning as Pruning
    from pruneexp.pruning import RigL as RigL
    from pruneexp.pruning import VariationalDropout as VariationalDropout
    from pruneexp.pruning.allocation import Allocation as Allocation
    from pruneexp.pruning.allocation import Erk as Erk
    from pruneexp.pruning.allocation import Global as Global
    from pruneexp.pruning.allocation import LayerwiseConstant as LayerwiseConstant
    from pruneexp.pruning.allocation import PerLayer as PerLayer
    from pruneexp.pruning.allocation import Uniform as Uniform
    from pruneexp.pruning.attached import EmptyTensor as EmptyTensor
    from pruneexp.pruning.attached import NotPrunable as NotPrunable
    from pruneexp.pruning.criterion import Criterion as Criterion
    from pruneexp.pruning.criterion import Magnitude as Magnitude
    from pruneexp.pruning.criterion import Movement as Movement
    from pruneexp.pruning.criterion import Random as Random
    from pruneexp.pruning.criterion import RootMeanSquare as RootMeanSquare
    from pruneexp.pruning.criterion import SecondOrder as SecondOrder
    from pruneexp.pruning.pruner import Pruner as Pruner
    from pruneexp.pruning.schedule import Cubic as Cubic
    from pruneexp.pruning.schedule import Linear as Linear
    from pruneexp.pruning.schedule import OneShot as OneShot
    from pruneexp.pruning.schedule import Rounds as Rounds
    from pruneexp.pruning.schedule import Schedule as Schedule
    from pruneexp.pruning.scope import All as All
    from pruneexp.pruning.scope import ModelScope as ModelScope
    from pruneexp.pruning.scope import Named as Named
    from pruneexp.pruning.scope import Scope as Scope
    from pruneexp.pruning.structure import Blocks as Blocks
    from pruneexp.pruning.structure import NOfM as NOfM
    from pruneexp.pruning.structure import Single as Single
    from pruneexp.pruning.structure import Structure as Structure
    from pruneexp.report.choice.answer import choose as choose
    from pruneexp.report.data.all_runs import runs as runs
    from pruneexp.running.load import load as load
    from pruneexp.tasks.images import Classification as Classification
    from pruneexp.tasks.loaded import LoadedTask as LoadedTask
    from pruneexp.tasks.shape import ArrayShape as ArrayShape
    from pruneexp.tasks.shape import ImageShape as ImageShape
    from pruneexp.tasks.shape import TextShape as TextShape
    from pruneexp.tasks.supervised import Supervised as Supervised

_MODULES = {
    "Invalid": "config.recipe",
    "Run": "config.run",
    "execute": "engine.execute",
    "size": "measure.planned",
    "Dense": "pruning",
    "Gradual": "pruning",
    "Pruning": "pruning",
    "Allocation": "pruning.allocation",
    "Global": "pruning.allocation",
    "LayerwiseConstant": "pruning.allocation",
    "PerLayer": "pruning.allocation",
    "Uniform": "pruning.allocation",
    "EmptyTensor": "pruning.attached",
    "NotPrunable": "pruning.attached",
    "Criterion": "pruning.criterion",
    "Magnitude": "pruning.criterion",
    "Random": "pruning.criterion",
    "Pruner": "pruning.pruner",
    "Cubic": "pruning.schedule",
    "Linear": "pruning.schedule",
    "OneShot": "pruning.schedule",
    "Schedule": "pruning.schedule",
    "All": "pruning.scope",
    "ModelScope": "pruning.scope",
    "Named": "pruning.scope",
    "Scope": "pruning.scope",
    "Blocks": "pruning.structure",
    "NOfM": "pruning.structure",
    "Single": "pruning.structure",
    "Structure": "pruning.structure",
    "Erk": "pruning.allocation",
    "L0": "pruning",
    "Movement": "pruning.criterion",
    "RigL": "pruning",
    "RootMeanSquare": "pruning.criterion",
    "Rounds": "pruning.schedule",
    "SET": "pruning",
    "SecondOrder": "pruning.criterion",
    "VariationalDropout": "pruning",
    "choose": "report.choice.answer",
    "runs": "report.data.all_runs",
    "load": "running.load",
    "Classification": "tasks.images",
    "LoadedTask": "tasks.loaded",
    "Supervised": "tasks.supervised",
    "ArrayShape": "tasks.shape",
    "ImageShape": "tasks.shape",
    "TextShape": "tasks.shape",
    "Metric": "engine.record",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"pruneexp has {', '.join(_MODULES)}; not {name}")
    return getattr(import_module(f"pruneexp.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
