"""A run whose sparsity is settled by the bytes of its packed file: masks are chosen by how large
that file would be, and the record says what it came to."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, name
from pruneexp.engine.record import FileBudgetMet
from pruneexp.measure.expected import expected, values_of
from pruneexp.measure.file_size import FileSize
from pruneexp.measure.packed_sizes import PackedSizes
from pruneexp.pruning import Pruning
from pruneexp.pruning.pruner import Pruner
from pruneexp.quantisation import Quantisation
from pruneexp.storage.pack import longest_notes

if TYPE_CHECKING:
    from pruneexp.engine.lineage import Ancestor
    from pruneexp.tasks.loaded import LoadedTask

CHILD = 96  # bytes that the notes of a quantised child may take beyond those of its parent
NEAR = 0.01  # below the budget; a file that is smaller still is told


def attached(
    run: Run,
    model: nn.Module,
    ancestors: "Mapping[str, Ancestor]",
    notes: Callable[[], int],
    last: Pruning | Quantisation,
) -> Pruner:
    """What prunes or rounds the network in the run's own stage.

    Arguments:
        model: with its first weights.
        ancestors: the runs that it is made from, by role.
        notes: gives the bytes that the notes of its file may take, once masks are settled.
        last: what the run's own stage does, with what was measured for it.
    """
    budget = run.pruning.file_budget()
    by_budget = budget is not None and not run.quantisation.active
    if by_budget:
        last = expected(run, model)
    pruner = last.attach(model, steps=run.steps, seed=run.seed, ancestors=ancestors)
    if budget is None or not by_budget:
        return pruner
    tensors = [name for names in run.pruning.groups(model).values() for name in names]
    values = values_of(run, budget)
    room = CHILD if budget.values else 0

    @cache  # folding is looked at once
    def file() -> FileSize:
        shape = run.task.shape()
        return FileSize(model, shape, tensors, values=values, notes=notes() + room)

    def size(masks: Mapping[str, Tensor]) -> int:
        return file().of_masks({name: mask.cpu().numpy() for name, mask in masks.items()})

    pruner.settle_by(size, budget.bytes)
    return pruner


def notes_room(
    run: Run, task: "LoadedTask", model: nn.Module, history: Sequence[Mapping[str, float]]
) -> int:
    """Bytes that the notes of a run's file may take, before it is measured.

    Arguments:
        history: of the run so far, which tells the names of what is measured.
    """
    valid = "valid_"
    measured = [k.removeprefix(valid) for row in history for k in row if k.startswith(valid)]
    measured = measured or [*task.evaluate(model, "valid")]
    return longest_notes(
        name(run),
        asked(run),
        task.metric,
        task.references(),
        run.steps,
        sorted({*measured, *task.measured_once, task.metric.name, task.chosen_by.name}),
    )


def met(run: Run, sizes: PackedSizes | None) -> FileBudgetMet | None:
    """What became of a run's budget; None where there is none, or where no file can be written."""
    budget = run.pruning.file_budget()
    if budget is None or sizes is None:
        return None
    values = values_of(run, budget)
    file = sizes.shipped(values)
    if file is None:
        return None
    return FileBudgetMet(budget=budget.bytes, values=values, folded=sizes.folds, bytes=file.bytes)


def told(run: Run, met: FileBudgetMet | None) -> str:
    """What there is to say of a file that is not as near to its budget as it could be; nothing
    where all is well."""
    if met is None:
        return ""
    if met.bytes > met.budget:
        return f"the file of {met.bytes:,} bytes is above its budget of {met.budget:,}"
    below = 1 - met.bytes / met.budget
    if below <= NEAR:
        return ""
    why = "pruning cannot be set more finely"
    structure = getattr(run.pruning, "structure", None)
    if structure is not None and structure.word != "single":
        why = f"weights go in {structure.word}"
    return f"the file of {met.bytes:,} bytes is {below:.1%} below its budget: {why}"
