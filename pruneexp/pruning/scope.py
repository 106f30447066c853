"""Which tensors are pruned, and which of them are ranked together.

A tied tensor appears once; biases and normalisation, which are vectors, never do.
"""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from pruneexp.config.recipe import Fault, Invalid, Recipe, demand

if TYPE_CHECKING:
    from torch import nn

# torch's recurrent layers keep the input and the recurrent weights of a layer apart; the authors'
# implementation has them in one kernel and ranks them together.
RECURRENT = re.compile(r"weight_[ih]h_(l\d+(_reverse)?)$")


@dataclass(kw_only=True, slots=True)
class Scope(Recipe):
    """Which tensors of a network are pruned, and which of them are ranked together.

        Named(include=["encoder.*"], exclude=["*.bias"]).groups(model)

    A subclass defines `chosen`.

    Arguments:
        recurrent: a recurrent layer's input and recurrent weights are ranked together or apart.
    """

    recurrent: str = "together"

    def __post_init__(self) -> None:
        demand(self, recurrent=(self.recurrent in ("together", "apart"), "together or apart"))

    def groups(self, model: "nn.Module") -> dict[str, list[str]]:
        """The name of each ranked group and the names of its tensors."""
        together = self.chosen(model)
        if self.recurrent == "together":
            return together
        apart: dict[str, list[str]] = {}
        for group, names in together.items():
            if all(map(RECURRENT.search, names)):
                apart |= {name: [name] for name in names}
            else:
                apart[group] = names
        return apart

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        """The groups, a layer's recurrent weights together."""
        raise NotImplementedError(f"{type(self).__name__} chooses no tensors")


@dataclass(kw_only=True, slots=True)
class ModelScope(Scope):
    """What the model's paper prunes, as the network's `prunable()` says; all without one."""

    word: ClassVar[str] = "model"

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        says = getattr(model, "prunable", None)
        return _checked(model, says()) if callable(says) else all_groups(model)


@dataclass(kw_only=True, slots=True)
class All(Scope):
    """Every tensor with two or more dimensions."""

    word: ClassVar[str] = "all"

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        return all_groups(model)


@dataclass(kw_only=True, slots=True)
class Named(Scope):
    """Tensors with two or more dimensions whose names fit a pattern of `include` and none of
    `exclude` (* and ? as in a shell).

        Named(include=["encoder.*"], exclude=["*embedding*"])
    """

    word: ClassVar[str] = "named"
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        Scope.__post_init__(self)
        takes = "a list of patterns of tensor names"
        demand(
            self,
            include=(isinstance(self.include, list) and len(self.include) > 0, takes),
            exclude=(isinstance(self.exclude, list), takes),
        )

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        def wanted(name: str) -> bool:
            hit = any(fnmatchcase(name, pattern) for pattern in self.include)
            return hit and not any(fnmatchcase(name, pattern) for pattern in self.exclude)

        every = [name for _, tensors in _all(model) for name in tensors]
        for pattern in [*self.include, *self.exclude]:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise _nothing(model, f"pattern {pattern}")
        names = {name: [n for n in tensors if wanted(n)] for name, tensors in _all(model)}
        groups = {name: tensors for name, tensors in names.items() if tensors}
        if not groups:
            raise _nothing(model, f"include={self.include} exclude={self.exclude}")
        return groups


def all_groups(model: "nn.Module") -> dict[str, list[str]]:
    """Every tensor with two or more dimensions, a recurrent layer's weights together."""
    groups = dict(_all(model))
    if not groups:
        raise _nothing(model, "all tensors with two or more dimensions")
    return groups


def _all(model: "nn.Module") -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():  # tied tensors once
        if parameter.dim() >= 2:
            groups.setdefault(RECURRENT.sub(r"weights_\1", name), []).append(name)
    return list(groups.items())


def _checked(model: "nn.Module", said: object) -> dict[str, list[str]]:
    """What a network's own prunable() says, if that can be."""
    names = {name for name, _ in model.named_parameters()}
    if not isinstance(said, dict) or not all(isinstance(group, list) for group in said.values()):
        why = f"prunable() must return names of groups with lists of tensor names, got {said!r}"
        raise Invalid([Fault("model", why)])
    unknown = [name for group in said.values() for name in group if name not in names]
    if unknown:
        raise Invalid([Fault("model", f"prunable() names {', '.join(unknown)}: no such tensor")])
    if not any(said.values()):
        raise _nothing(model, "prunable()")
    return said


def _nothing(model: "nn.Module", asked: str) -> Invalid:
    names = [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]
    known = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return Invalid(
        [Fault("pruning.scope", f"matches no tensor ({asked}); the model has {known or 'none'}")]
    )


OPTIONS: tuple[type[Scope], ...] = (ModelScope, All, Named)
