"""Every point of a sweep as a typed run. Hydra takes a tenth of a second to compose a point from
the YAML of its groups; here each set of group choices is composed once, and the values of a point
are applied to a copy, by the same function of Hydra's.
"""

import copy
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from pruneexp.cli import hydra_errors
from pruneexp.cli.grids import Grids, Search
from pruneexp.cli.search import Tried, words
from pruneexp.config.read import read
from pruneexp.config.recipe import Fault, Invalid
from pruneexp.config.run import Run, name
from pruneexp.config.short_forms import BUDGETS, SETTLED_BY_A_BUDGET, SIZES
from pruneexp.engine.lineage import settle
from pruneexp.engine.record import Trial

MANY = 10_000  # points; reading so many takes half a minute
A_SECOND = 300  # points that are read in a second, about
OF_HYDRA = re.compile(r"\$\{[\s.]*hydra\b")  # an interpolation of Hydra's own node


def read_points(grids: Grids, *, ask_first: bool) -> tuple[list[Run], list[dict[str, str]]]:
    """Every point of the grids: the runs, and the points that are none, each as its `overrides` and
    its `error`. A point that cannot be read fails alone.

    Arguments:
        ask_first: refuse more than `MANY` points before expanding them.

    Raises `Invalid` where the grids themselves cannot be read.
    """
    try:
        number = grids.count()
        if ask_first and number > MANY:
            minutes = f"about {round(number / A_SECOND / 60) or 1:,} minutes"
            why = f"{number:,} points, {minutes} to read; add --yes to go on"
            raise Invalid([Fault("", why)])
        points = grids.points()
    except Invalid:
        raise
    except hydra_errors.EXPECTED as error:
        raise Invalid([Fault("", hydra_errors.plainly(error))]) from error
    composer = Composer(grids.loader, grids.config)
    runs: dict[str, Run] = {}  # by name: points may say the same in other words
    unreadable: list[dict[str, str]] = []
    for point in points:
        try:
            run = read_point(composer, point)
            runs.setdefault(name(run), run)
        except Invalid as invalid:
            unreadable.append({"overrides": " ".join(point), "error": str(invalid)})
    return list(runs.values()), unreadable


def read_trials(grids: Grids, searches: Sequence[Search]) -> list[Tried]:
    """Every trial of these searches that can be read, at the first seed of its point."""
    composer = Composer(grids.loader, grids.config)
    tried: list[Tried] = []
    for search in searches:
        for values in search.trials():
            with suppress(Invalid):  # told among the points that cannot be read
                run = read_point(composer, search.overrides(values, search.seeds[0]))
                tried.append(Tried(search, values, run))
    return tried


def read_seeds(grids: Grids, searches: Sequence[Search]) -> list[Run]:
    """Every trial at every seed: all that may be run of these searches. Points that cannot be read
    are left out."""
    composer = Composer(grids.loader, grids.config)
    runs: list[Run] = []
    for search in searches:
        for values in search.trials():
            for seed in search.seeds:
                with suppress(Invalid):  # told among the points that cannot be read
                    runs.append(read_point(composer, search.overrides(values, seed)))
    return runs


def read_chosen(grids: Grids, searches: Sequence[Search], trials: Sequence[Trial]) -> list[Run]:
    """Every point at all of its seeds, with the values that were chosen for it."""
    composer = Composer(grids.loader, grids.config)
    chosen = {trial.point: trial.values for trial in trials if trial.chosen}
    return [
        read_point(composer, search.overrides(chosen[words(search)], seed))
        for search in searches
        if words(search) in chosen
        for seed in search.seeds
    ]


def read_point(composer: "Composer", point: list[str]) -> Run:
    """One point, given as overrides. Raises `Invalid`."""
    demand_one_size(point)
    try:
        run = settle(read(composer.compose(point)))
        run.model.ready()
        return run
    except Invalid:
        raise
    except hydra_errors.EXPECTED as error:
        fault, _ = hydra_errors.fault(error)
        raise Invalid([fault or Fault("sweep", str(error))]) from error


def without(point: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    """A point without what it says of these keys."""
    return tuple(word for word in point if word.partition("=")[0] not in keys)


def demand_one_size(overrides: Sequence[str]) -> None:
    """Raise `Invalid` where a budget and what it settles are both given."""
    given = dict(word.lstrip("+").partition("=")[::2] for word in overrides)
    budget = next((key for key in BUDGETS if given.get(key)), None)
    if budget is None:
        return
    dense = given.get("pruning") == "none"
    settled = SIZES if dense else (SETTLED_BY_A_BUDGET,)
    for key in settled:
        if given.get(key) not in (None, "null"):
            why = f"={given[key]}: {budget}={given[budget]} settles it; leave one of them out"
            raise Invalid([Fault(key, why)])


class Composer:
    """Composes the points of one sweep.

    `compose(point)` gives what `loader.load_sweep_config(config, point)` gives, though perhaps
    without the node `hydra`, and raises what that raises. The two are compared over all experiments
    in `tests/test_points.py`.

    It rests on the order in which Hydra composes: groups first, whose choice does not depend on
    values; then the values, one after the other (`ConfigLoaderImpl._load_configuration_impl`).
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self.loader, self.config = loader, config
        self.parser = OverridesParser.create(config_loader=loader)
        assert isinstance(loader, ConfigLoaderImpl), loader
        _, self.repository = loader._parse_overrides_and_create_caching_repo(
            config.hydra.job.config_name, list(config.hydra.overrides.hydra)
        )
        self.parsed: dict[str, Override] = {}
        self.bases: dict[tuple[str, ...], DictConfig | None] = {}  # by the choices of groups
        # What does not sweep is in `config` already. Assigning the same plain values again changes
        # nothing, so `config` serves as the base of points that make the same choices of groups and
        # hold all of these values.
        fixed = [self._parse(text) for text in config.hydra.overrides.task]
        fixed = [override for override in fixed if not override.is_sweep_override()]
        self.given = {o.input_line for o in fixed if self._is_value(o)}
        self.choices = tuple(str(o.input_line) for o in fixed if not self._is_value(o))
        self.whole = _without_hydra(copy.deepcopy(config))
        self.serves = (
            all(_is_plain(override) for override in fixed if self._is_value(override))
            and "???" not in config.hydra.runtime.choices.values()  # a choice left to the points
            and not OF_HYDRA.search(OmegaConf.to_yaml(self.whole))
        )

    def compose(self, point: list[str]) -> DictConfig:
        """The configuration of one point, given as overrides without sweeps."""
        try:
            groups: list[str] = []
            values: list[Override] = []
            for text in point:
                override = self._parse(text)
                if self._is_value(override):
                    values.append(override)
                else:
                    groups.append(text)
            base = self._base(groups, point)
            if base is None or any(map(_reaches_hydra, values)):
                return self._whole(point)
            composed = copy.deepcopy(base)
            ConfigLoaderImpl._apply_overrides_to_config(values, composed)
            OmegaConf.copy_cache(from_config=self.config, to_config=composed)
        except hydra_errors.EXPECTED:
            return self._whole(point)  # which raises the error that Hydra has for this point
        return composed

    def _whole(self, point: list[str]) -> DictConfig:
        return self.loader.load_sweep_config(self.config, point)

    def _base(self, groups: list[str], point: list[str]) -> DictConfig | None:
        """What the choices of groups compose, or None where a point must be composed as a whole:
        the choices are at fault, or something in them depends on the node `hydra`."""
        key = tuple(groups)
        if self.serves and key == self.choices and self.given <= set(point):
            return self.whole
        if key not in self.bases:
            try:
                base = _without_hydra(self._whole(groups))
            except hydra_errors.EXPECTED:  # which composing a point as a whole raises again
                self.bases[key] = None
            else:
                self.bases[key] = None if OF_HYDRA.search(OmegaConf.to_yaml(base)) else base
        return self.bases[key]

    def _parse(self, text: str) -> Override:
        if text not in self.parsed:
            self.parsed[text] = self.parser.parse_override(text)
        return self.parsed[text]

    def _is_value(self, override: Override) -> bool:
        """Hydra's own question (`defaults_list.Overrides`): is this a value, or an option of a
        group?"""
        return isinstance(override.value(), dict) or not self.repository.group_exists(
            override.key_or_group
        )


def _is_plain(override: Override) -> bool:
    """Whether it assigns a single value, as `key=value` does."""
    signed = override.is_add() or override.is_force_add() or override.is_delete()
    return not signed and not isinstance(override.value(), dict | list)


def _reaches_hydra(override: Override) -> bool:
    return override.is_hydra_override() or bool(OF_HYDRA.search(override.input_line or ""))


def _without_hydra(config: DictConfig) -> DictConfig:
    """A configuration without the node `hydra`, which no run is read from."""
    content: Any = config._content
    content.pop("hydra", None)
    return config
