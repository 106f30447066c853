"""What stays or goes together: single weights, n of m neighbours, blocks.

To add a structure: a class here that says what is ranked and how a choice becomes a mask, an entry
in `OPTIONS`, a YAML in conf/pruning/structure/. Any structure goes with any allocation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, demand
from pruneexp.pruning.group import Group, Shapes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True, slots=True)
class Structure(Recipe):
    """Which weights are bound to each other. This base binds none.

    The pruner asks for the scores of what is ranked (`ranked`), masks the lowest of them, and asks
    for the mask over weights that follows (`mask`). Weights are outputs x inputs x all further
    dimensions, as torch lays out linear layers and convolutions.

        class Rows(Structure):                 # whole rows stay or go
            word: ClassVar[str] = "rows"

            def unit(self, shape): return math.prod(shape[1:])
            def ranked(self, scores): return scores.flatten(1).sum(1)
            def mask(self, kept, shape):
                return kept.view(-1, *[1] * (len(shape) - 1)).expand(shape)
    """

    def unit(self, shape: tuple[int, ...]) -> int:
        """How many weights of a tensor of this shape stay or go together."""
        return 1

    def only_sparsity(self) -> float | None:
        """The one final sparsity that there can be; None where there are others."""
        return None

    def check(self, group: Group, sparsity: float) -> None:
        """Raise `Invalid` where a group cannot have this final sparsity in this structure."""

    def ranked(self, scores: "Tensor") -> "Tensor":
        """A tensor's scores as they are ranked: one for each unit."""
        return scores

    def mask(self, kept: "Tensor", shape: tuple[int, ...]) -> "Tensor":
        """A choice among what was ranked (True: kept) as a mask over weights."""
        return kept


@dataclass(kw_only=True, slots=True)
class Single(Structure):
    """Every weight by itself (the papers' pruning)."""

    word: ClassVar[str] = "single"


@dataclass(kw_only=True, slots=True)
class NOfM(Structure):
    """At most `keep` of each `among` neighbours along the inputs stay. 2 of 4 is what some GPUs
    run faster. On the way there, the lowest of those that will go anyway go first.

    A layer that the allocation leaves dense stays dense; all others end at exactly this share.

        Gradual(sparsity=0.5, structure=NOfM(keep=2, among=4))

    Arguments:
        keep: how many stay,
        among: of so many neighbours.
    """

    word: ClassVar[str] = "n_of_m"
    keep: int = 2
    among: int = 4

    def __post_init__(self) -> None:
        demand(
            self,
            among=(self.among > 1, "a number of neighbours above 1"),
            keep=(0 < self.keep < self.among, f"a number from 1 to {self.among - 1}"),
        )

    def only_sparsity(self) -> float:
        return 1 - self.keep / self.among

    def check(self, group: Group, sparsity: float) -> None:
        share = self.only_sparsity()
        if sparsity == 0:
            return
        if abs(sparsity - share) > 1e-9:
            takes = f"takes {share:g} where {self.keep} of {self.among} stay, got {sparsity:g}"
            raise Invalid([Fault("pruning.sparsity", f"{takes} for {group.name}")])
        _divide(group.shapes, 1, self.among)

    def ranked(self, scores: "Tensor") -> "Tensor":
        from pruneexp.pruning.ranking import lowest_of_each

        return lowest_of_each(scores, self.among, self.among - self.keep)


@dataclass(kw_only=True, slots=True)
class Blocks(Structure):
    """Blocks of `rows` outputs x `columns` inputs that stay or go together; a block's score is the
    sum of its weights' scores.

        Gradual(sparsity=0.9, structure=Blocks(rows=4, columns=4), allocation=Global())

    Arguments:
        rows: outputs of a block.
        columns: inputs of a block.
    """

    word: ClassVar[str] = "blocks"
    rows: int = 1
    columns: int = 4

    def __post_init__(self) -> None:
        takes = "a number of weights above 0"
        demand(self, rows=(self.rows > 0, takes), columns=(self.columns > 0, takes))

    def unit(self, shape: tuple[int, ...]) -> int:
        return self.rows * self.columns

    def check(self, group: Group, sparsity: float) -> None:
        if sparsity > 0:
            _divide(group.shapes, self.rows, self.columns)

    def ranked(self, scores: "Tensor") -> "Tensor":
        from pruneexp.pruning.ranking import block_sums

        return block_sums(scores, self.rows, self.columns)

    def mask(self, kept: "Tensor", shape: tuple[int, ...]) -> "Tensor":
        from pruneexp.pruning.ranking import over_blocks

        return over_blocks(kept, shape, self.rows, self.columns)


def _divide(shapes: Shapes, rows: int, columns: int) -> None:
    """Outputs and inputs (the first two dimensions) must be whole numbers of blocks."""
    for name, shape in shapes.items():
        if shape[0] % rows or shape[1] % columns:
            block = f"{rows} x {columns}" if rows > 1 else str(columns)
            why = f"cuts tensors into {block}, and {name} is {shape}"
            remedy = "leave it out by pruning.scope, or dense by pruning/allocation=per_layer"
            raise Invalid([Fault("pruning.structure", f"{why}; {remedy}")])


OPTIONS: tuple[type[Structure], ...] = (Single, NOfM, Blocks)
