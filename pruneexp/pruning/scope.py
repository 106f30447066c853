"""Which tensors are pruned, and which of them are ranked together.

Meant are the matrices of layers (`layer_matrices`). A tied tensor appears once, under its first
name, and may be named by any of its names.
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
    """What the model's paper prunes, as the network's `prunable()` says; without one, the matrices
    of all layers, as `All`."""

    word: ClassVar[str] = "model"

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        says = getattr(model, "prunable", None)
        return _checked(model, says()) if callable(says) else all_groups(model)


@dataclass(kw_only=True, slots=True)
class All(Scope):
    """The matrices of all layers: linear, convolution, recurrent, embedding, attention.

    Left out is what is no such matrix, whatever its shape:

    - biases, and attention's `bias_k` and `bias_v`;
    - weights of normalisations, also those that lie over several dimensions;
    - parameters that a network holds beside its layers: class tokens, positions, tables of relative
      positions, scales (a network's own parameter counts as a matrix if its name is `weight` or
      ends in `_weight`);
    - frozen tensors (`requires_grad=False`).

    `Named` takes these too where a pattern is their whole name.
    """

    word: ClassVar[str] = "all"

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        return all_groups(model)


@dataclass(kw_only=True, slots=True)
class Named(Scope):
    """The matrices of layers (see `All`) whose names fit a pattern of `include` and none of
    `exclude` (* and ? as in a shell). A pattern that is the whole name of a tensor of two or more
    dimensions takes it, whatever it is.

        Named(include=["encoder.*", "pos_embed"], exclude=["*embedding*"])

    Arguments:
        include: patterns of names; a tensor that fits one is pruned,
        exclude: unless it fits one of these.
    """

    word: ClassVar[str] = "named"
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        Scope.__post_init__(self)
        takes = "a list of patterns of tensor names"
        demand(self, include=(len(self.include) > 0, takes))

    def chosen(self, model: "nn.Module") -> dict[str, list[str]]:
        names = _all_names(model)
        matrices = set(layer_matrices(model))
        for pattern in [*self.include, *self.exclude]:
            if not any(fits(pattern, names[first]) for first in names):
                raise _nothing(model, f"pattern {pattern}")
        wanted = [
            first
            for first, every in names.items()
            if any(
                pattern in every or (first in matrices and fits(pattern, every))
                for pattern in self.include
            )
            and not any(fits(pattern, every) for pattern in self.exclude)
        ]
        if not wanted:
            raise _nothing(model, f"include={self.include} exclude={self.exclude}")
        return _grouped(model, wanted)


def fits(pattern: str, names: list[str]) -> bool:
    """Whether one of a tensor's names fits a pattern with * and ?."""
    return any(fnmatchcase(name, pattern) for name in names)


def all_groups(model: "nn.Module") -> dict[str, list[str]]:
    """The matrices of all layers, a recurrent layer's weights together."""
    groups = _grouped(model, layer_matrices(model))
    if not groups:
        raise _nothing(model, "the matrices of all layers")
    return groups


def layer_matrices(model: "nn.Module") -> list[str]:
    """Names of the tensors that are matrices of layers, as `All` says."""
    return [
        name
        for name, (layer, leaf, weight) in _tensors(model).items()
        if weight.requires_grad and _is_matrix(layer, leaf)
    ]


def _tensors(model: "nn.Module") -> "dict[str, tuple[nn.Module, str, nn.Parameter]]":
    """Layer, name in the layer and tensor, by first name, of all with two or more dimensions. What
    a layer's weight is computed from has that weight's name."""
    layers = dict(model.named_modules(remove_duplicate=False))
    tensors = {}
    for name, weight in model.named_parameters():  # tied tensors once
        if weight.dim() >= 2:
            layer, leaf = _computed(layers, name) or name.rpartition(".")[::2]
            tensors[name] = (layers[layer], leaf, weight)
    return tensors


def _computed(layers: "dict[str, nn.Module]", name: str) -> tuple[str, str] | None:
    """The names of the layer and of its weight that is computed from the tensor of this name (a
    torch parametrisation, old or new); None for a tensor that is a weight itself."""
    if match := re.fullmatch(r"(?:(.*)\.)?parametrizations\.(\w+)\.original\d*", name):
        return match[1] or "", match[2]
    layer, _, leaf = name.rpartition(".")
    if match := re.fullmatch(r"(\w+)_(g|v|orig)", leaf):  # weight_norm, spectral_norm, prune
        whole = vars(layers[layer]).get(match[1])
        if whole is not None or match[1] in layers[layer]._buffers:
            return layer, match[1]
    return None


def _is_matrix(layer: "nn.Module", leaf: str) -> bool:
    """Whether a layer's tensor of two or more dimensions is what its inputs are multiplied by."""
    from torch import nn

    if "Norm" in type(layer).__name__:
        return False
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return leaf.startswith("weight_")
    return leaf == "weight" or leaf.endswith("_weight")


def _grouped(model: "nn.Module", names: list[str]) -> dict[str, list[str]]:
    """Each tensor a group of its own, a recurrent layer's weights together."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(RECURRENT.sub(r"weights_\1", name), []).append(name)
    _demand_own(model, groups)
    return groups


def _demand_own(model: "nn.Module", groups: dict[str, list[str]]) -> None:
    """Raise `Invalid` where a weight is computed from the tensor that would be pruned."""
    layers = dict(model.named_modules(remove_duplicate=False))
    for name in (name for group in groups.values() for name in group):
        if whole := _computed(layers, name):
            weight = ".".join(filter(None, whole))
            why = f"would prune {name}, from which {weight} is computed: a zero of one is none of "
            why += "the other. Make it a plain weight (torch.nn.utils.parametrize."
            why += "remove_parametrizations, or remove_weight_norm and the like), or leave it out: "
            why += f"Named(exclude=[{name!r}])"
            raise Invalid([Fault("pruning.scope", why)])


def _all_names(model: "nn.Module") -> dict[str, list[str]]:
    """Every name of each tensor with two or more dimensions, by the first of them."""
    first: dict[int, str] = {}
    names: dict[str, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if weight.dim() >= 2:
            names.setdefault(first.setdefault(id(weight), name), []).append(name)
    return names


def _checked(model: "nn.Module", said: object) -> dict[str, list[str]]:
    """What a network's own prunable() says, if that can be, with each tensor's first name."""
    if not isinstance(said, dict) or not all(isinstance(group, list) for group in said.values()):
        why = f"prunable() must return names of groups with lists of tensor names, got {said!r}"
        raise Invalid([Fault("model", why)])
    first: dict[int, str] = {}
    names = {
        name: first.setdefault(id(weight), name)
        for name, weight in model.named_parameters(remove_duplicate=False)
    }
    unknown = [name for group in said.values() for name in group if name not in names]
    if unknown:
        raise Invalid([Fault("model", f"prunable() names {', '.join(unknown)}: no such tensor")])
    groups = {group: [names[name] for name in tensors] for group, tensors in said.items()}
    every = [name for tensors in groups.values() for name in tensors]
    if twice := [name for name in dict.fromkeys(every) if every.count(name) > 1]:
        why = f"prunable() names {', '.join(twice)} twice; a tensor is ranked in one group"
        raise Invalid([Fault("model", why)])
    if not every:
        raise _nothing(model, "prunable()")
    _demand_own(model, groups)
    return groups


def _nothing(model: "nn.Module", asked: str) -> Invalid:
    matrices = layer_matrices(model)
    known = ", ".join(matrices[:6]) + (f" and {len(matrices) - 6} more" if matrices[6:] else "")
    others = [name for name in _tensors(model) if name not in matrices]
    beside = f"; by their whole names also {', '.join(others[:4])}" if others else ""
    why = f"matches no tensor ({asked}); the model has {known or 'none'}{beside}"
    return Invalid([Fault("pruning.scope", why)])


OPTIONS: tuple[type[Scope], ...] = (ModelScope, All, Named)
