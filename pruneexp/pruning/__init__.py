"""Recipes of pruning: what is removed, when, how much of each tensor, and by which score.

`Gradual` holds its parts, so a dense run has no schedule to forget. Recipes are arithmetic over
names and numbers; the pruners, in the files whose names end so, do the work on tensors.
"""

from pruneexp.pruning.criterion import Criterion, Magnitude, Random
from pruneexp.pruning.found_mask import Lottery, NewWeights
from pruneexp.pruning.gradual import Gradual
from pruneexp.pruning.method import NO_ANCESTORS, Dense, FileBudget, Groups, Pruning
from pruneexp.pruning.sparse_training import SET, RigL
from pruneexp.pruning.stochastic import L0, VariationalDropout
from pruneexp.pruning.two_phase import TwoPhase

__all__ = [
    "L0",
    "NO_ANCESTORS",
    "OPTIONS",
    "SET",
    "Criterion",
    "Dense",
    "FileBudget",
    "Gradual",
    "Groups",
    "Lottery",
    "Magnitude",
    "NewWeights",
    "Pruning",
    "Random",
    "RigL",
    "TwoPhase",
    "VariationalDropout",
]

OPTIONS: tuple[type[Pruning], ...] = (
    *(Dense, Gradual, TwoPhase, RigL, SET, Lottery, NewWeights),
    *(VariationalDropout, L0),
)
