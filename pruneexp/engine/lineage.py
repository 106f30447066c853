"""The runs that a run is made from: looked up, by role, and found finished."""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pruneexp.config.read import restore
from pruneexp.config.recipe import Fault, Invalid, Recipe
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.record import MASKS, RECORD, WEIGHTS, Budget, Record
from pruneexp.engine.run_folder import RunFolder
from pruneexp.loggers import demand_installed
from pruneexp.pruning.start import WEIGHTS_OF

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruneexp.tasks.loaded import LoadedTask


def settle(run: Run) -> Run:
    """The run with everything looked up that its name depends on: the checksum of a file of
    weights, the fingerprint of a run, the number of classes or words that was left to count, and
    what a budget makes of its sparsity or, of a dense run, of its model's size. Reading a
    configuration looks up nothing, so this is the one step between a configuration and a name.
    Raises `Invalid` for what is not there.

        run = settle(read(composed))
        print(name(run))
    """
    run = replace(
        run,
        task=run.task.settled(),
        pruning=run.pruning.settled(run.store),
        distillation=run.distillation.settled(run.store),
    )
    if run.budget or run.nonzero:
        from pruneexp.measure.fitting import fitted  # imports torch

        run = fitted(run)
    return run


def demand_ready(run: Run) -> None:
    """Raise `Invalid` with all that a run lacks: data, modules, what its task needs of training.
    torch is not imported."""
    faults = list(run.task.misfits(run.training.unroll))
    for demanded in (run.task.ready, run.model.ready, partial(demand_installed, run.logger)):
        try:
            demanded()
        except Invalid as invalid:
            faults += invalid.faults
    if faults:
        raise Invalid(faults)


def parents(run: Run) -> dict[str, Run]:
    """The runs that must be finished before this one, by role: "weights" is the one whose weights
    it begins with, "teacher" one that it learns from; a method may know others, such as a mask."""

    def find(reference: str) -> Run:
        folder = run.store.find(reference)
        configuration = folder.record_or_fail().configuration
        parent = restore(configuration, trust=run.trust, origin=folder.path / RECORD)
        return replace(
            parent,
            results=run.results,
            device=run.device,
            trust=run.trust,
            task=_where(parent.task, run.task),
            training=_where(parent.training, run.training),
        )

    if run.quantisation.active:
        return run.quantisation.parents(run, find)
    return {**run.pruning.parents(run, find), **run.distillation.parents(run, find)}


def _where(recipe: Any, given: Recipe) -> Any:
    """`recipe`, where and as fast as `given` says: a record does not hold that."""
    if type(recipe) is not type(given):
        return recipe
    names = [item.name for item in fields(recipe) if item.metadata.get("here")]
    return replace(recipe, **{name: getattr(given, name) for name in names})


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestor:
    """A finished run that another one is made from."""

    run: Run
    record: Record
    folder: RunFolder

    def is_complete(self) -> bool:
        """Whether weights, masks and the states that it was to keep are there and undamaged."""
        states = [self.folder.state_path(step) for step in self.run.keep_steps]
        return self.folder.weights_are_good(self.record) and all(map(_is_good, states))

    def masks(self) -> "dict[str, Tensor]":
        """True where a weight is kept; none of a dense run."""
        from safetensors.torch import load_file

        return load_file(self.folder.path / MASKS)

    def load(self, network: "nn.Module", step: int | None = None) -> None:
        """Put the run's weights into a network: its chosen state, or that after `step` steps."""
        from pruneexp.engine import initial_weights

        if step is None:
            initial_weights.load(network, self.folder.path / WEIGHTS)
        else:
            state = self.state(step)
            initial_weights.load_state(network, state["model"], f"{self.folder.path} step {step}")

    def load_first(self, network: "nn.Module", purpose: str, key: str) -> None:
        """Put fresh weights into a network, drawn for a purpose from this run's seed: "initial
        weights" are those that it began with itself. Raises `Invalid`, under this key, for another
        network."""
        import torch

        from pruneexp import seeds
        from pruneexp.engine import initial_weights

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.draw(self.run.seed, purpose))
            fresh = self.run.model.build(self.run.task.shape())
        source = f"{purpose} of {self.folder.path}"
        initial_weights.load_state(network, fresh.state_dict(), source, key)

    def state(self, step: int) -> dict[str, Any]:
        """All that the run was after `step` steps: model, optimiser, pruner and so on."""
        from pruneexp.training.checkpoint import unpack

        return unpack(self.folder.state(step))

    def network(self) -> "nn.Module":
        """The trained network, in eval mode, on the CPU."""
        import torch

        with torch.random.fork_rng(devices=[]):
            network = self.run.model.build(self.run.task.shape())
        self.load(network)
        return network.eval()


def demand_vocabulary(record: Record, checksums: dict[str, str], role: str) -> None:
    """Raise `Invalid` where a network was trained with another vocabulary than that of the data at
    hand, so that its numbers of pieces mean other words.

    Arguments:
        record: of the run that trained it.
        checksums: of the data at hand (`LoadedTask.checksums`).
        role: what the network is wanted for.
    """
    trained, found = record.checksums.get("vocabulary"), checksums.get("vocabulary")
    if trained != found:
        why = f"has the vocabulary {str(found)[:8]}, but {record.name} ({role}) was trained with "
        why += f"{str(trained)[:8]}; its numbers mean other words. Give the data that it was "
        raise Invalid([Fault("task", why + "trained on")])


def _is_good(path: Any) -> bool:
    try:
        files.load_checked(path)
    except (OSError, files.Damaged):
        return False
    return True


def budget(steps: int, task: "LoadedTask", unit: str, ancestors: dict[str, Ancestor]) -> Budget:
    """What the run's weights have seen, and what was spent on it and on all that it needed."""
    examples = steps * task.examples_a_step()
    spent: dict[str, list[int]] = {}
    for ancestor in ancestors.values():
        before = ancestor.record.budget
        spent |= before.ancestors
        spent[ancestor.record.fingerprint] = [before.steps, before.examples]
    weights = ancestors.get(WEIGHTS_OF)
    return Budget(
        steps=steps,
        examples=examples,
        total_steps=steps + (weights.record.budget.total_steps if weights else 0),
        total_examples=examples + (weights.record.budget.total_examples if weights else 0),
        spent_steps=steps + sum(each[0] for each in spent.values()),
        spent_examples=examples + sum(each[1] for each in spent.values()),
        ancestors=spent,
        unit=unit,
        training_examples=task.training_examples(),
    )
