"""How many weights runs will keep, each question asked once, and answers kept for the next time."""

from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING

from pruneexp.cli.imports import import_torch
from pruneexp.cli.messages import complain
from pruneexp.config.location import PACKAGE
from pruneexp.config.recipe import Recipe, asked, digest
from pruneexp.config.run import Run
from pruneexp.engine import files
from pruneexp.engine.store import Store

if TYPE_CHECKING:
    from torch import nn

SIZES = "sizes.json"  # in the cache of a results folder


class Sizes:
    """How many weights runs will keep.

    Runs that differ in their seed or their learning rate keep the same number, and runs of one
    model and one shape of task share a network, which is built once. Where there is a results
    folder, `save` keeps the answers in its cache, so that the next dry run needs no torch; answers
    of other code, and of recipes that are not the package's own, are never taken from there::

        sizes = Sizes(run.store)
        sizes.nonzero(run)
        sizes.save()
    """

    def __init__(self, store: Store) -> None:
        self._path = store.cache / SIZES
        self._keep = store.results.is_dir()
        self._code = _code()
        self._kept: dict[str, int | None] = self._load() if self._keep else {}
        self._known = dict(self._kept)
        self._networks: dict[str, nn.Module] = {}

    def nonzero(self, run: Run) -> int | None:
        """The weights and biases that a run will keep; None where only training tells. Raises
        `Invalid` where the network cannot be built or pruned as asked."""
        of_network = [asked(run.model), repr(run.task.shape())]
        key = digest([*of_network, asked(run.pruning), run.training.steps])
        if key not in self._known:
            import_torch()
            from pruneexp.measure.planned import network, nonzero

            built = digest(of_network)
            if built not in self._networks:
                self._networks[built] = network(run)
            self._known[key] = nonzero(run, self._networks[built])
            if _is_ours(run.model) and _is_ours(run.pruning) and _is_ours(run.task):
                self._kept[key] = self._known[key]
        return self._known[key]

    def save(self) -> None:
        """Keep the answers for the next time, if there is a results folder and something new."""
        if not self._keep or not self._networks:
            return
        try:
            files.save_json(self._path, {"code": self._code, "nonzero": self._kept})
        except files.CannotWrite as error:
            complain([str(error)])

    def _load(self) -> dict[str, int | None]:
        if not self._path.exists():
            return {}
        try:
            data = files.load_json(self._path)
        except files.Damaged as error:
            complain([f"{error}; sizes are counted anew"])
            return {}
        return dict(data["nonzero"]) if data.get("code") == self._code else {}


def _code() -> str:
    """Changes with any file of the package, as it does while it is worked on."""
    stats = [(str(path), path.stat()) for path in sorted(PACKAGE.rglob("*.py"))]
    times = [[path, stat.st_mtime_ns, stat.st_size] for path, stat in stats]
    return digest([version("pruneexp"), times])


def _is_ours(recipe: Recipe) -> bool:
    """Whether a recipe and all its parts are classes of the package that call no code of the
    user's."""
    parts = [getattr(recipe, item.name) for item in fields(recipe)]
    return (
        type(recipe).__module__.partition(".")[0] == "pruneexp"
        and not hasattr(recipe, "factory")
        and all(_is_ours(part) for part in parts if isinstance(part, Recipe))
    )
