"""What a run is called in a report: `describe(run)` is written into its record.

The recipes know it: a model says how large it is, a method which setting is turned along its curve,
and every field of a recipe is a setting that may set one curve apart from another. The report
compares these facts and needs no configuration.
"""

from collections.abc import Iterator
from typing import Any

from pruneexp.config.recipe import asked, write
from pruneexp.config.run import Run
from pruneexp.engine.record import Curve, DialValue, Size, Trait

# Parts whose options say nothing without the part's name: "scope all".
NEED_THEIR_NAME = ("scope",)
# What takes the place of a sparsity, and the sparsity that it leaves open: points of one curve.
SETTLED = ("pruning.budget", "pruning.sparsity")
TAUGHT = {"dense": "taught by a dense model", "run": "taught by another run"}
ROUNDED = {"rounding": "after training"}  # words that a reader understands better


def describe(run: Run) -> Curve:
    """Where a run belongs: dense or sparse, its family, size and dial, and its other settings.

    A stage in which nothing is pruned, which is a dense model's share of what a sparse one was
    given, is a dense run with a start, a length and a rate.
    """
    dial = None if _is_dense(run) else run.pruning.dial()
    sizes = run.model.sizes()
    values, quantised = _values(run)
    return Curve(
        kind="dense" if _is_dense(run) else "sparse",
        family=_family(run),
        sizes=sizes,
        dial=None
        if dial is None
        else DialValue(name=dial.name, value=dial.value, words=dial.words),
        values=values,
        quantised=quantised,
        start=run.pruning.starts_from.word,
        traits=tuple(_traits(run, sizes, quantised)),
    )


def _is_dense(run: Run) -> bool:
    """No pruning at all, or a stage from trained weights in which nothing is pruned."""
    if run.pruning.prunes:
        return False
    return run.pruning.dial() is None or run.pruning.starts_from.word != "scratch"


def _family(run: Run) -> str:
    """The model without its numbers: "mobilenet_v1 small", "lstm_lm", "lstm_lm tied"."""
    words = [
        value if isinstance(value, str) else write(key.rpartition(".")[2], value)
        for key, value, _ in _settings("model", asked(run.model))
        if not _is_number(value) and value not in (None, False) and key != "model.dial"
    ]
    return " ".join(words)


def _values(run: Run) -> tuple[str, str]:
    """The type of values, and how they got it: ("int8", "int8 after training")."""
    if not run.quantisation.active:
        return "fp32", ""
    plain = asked(run.quantisation)
    values = str(plain["values"])
    # With fp32 nothing is rounded: the control that is given the same steps.
    how = "trained on" if values == "fp32" else ROUNDED.get(plain["option"], plain["option"])
    return values, f"{values} {how}"


def _traits(run: Run, sizes: list[Size], quantised: str) -> Iterator[Trait]:
    dial = None if _is_dense(run) else run.pruning.dial()
    turned = [f"pruning.{dial.name}"] if dial else []
    if turned and turned[0] in SETTLED:
        turned = [*SETTLED]
    size_keys = {f"model.{size.name}": size for size in sizes}
    for key, value, is_option in _settings("model", asked(run.model)):
        size = size_keys.get(key)
        yield _trait(
            *(key, "model", value, is_option),
            words=size.long_words if size and size.heading else None,
            is_size=size is not None,
            goes_with_size=_is_number(value),
        )
    for key, value, is_option in _settings("pruning", _asked_of_pruning(run)):
        if key in turned:
            continue
        words = None
        if key == "pruning.start" and _is_dense(run):
            words = "trained on"
        elif key == "pruning.start":
            words = f"from {value}"
        yield _trait(key, "pruning", value, is_option, words=words)
    if quantised:
        yield _trait("quantisation", "quantisation", quantised, True, words=quantised)
        for key, value, is_option in _settings("quantisation", asked(run.quantisation)):
            if key not in ("quantisation", "quantisation.values"):
                yield _trait(key, "quantisation", value, is_option)
    if run.distillation.active:
        for key, value, is_option in _settings("distillation", asked(run.distillation)):
            words = TAUGHT[value] if is_option else None
            yield _trait(key, "distillation", value, is_option, words=words)
    for key, value, is_option in _settings("training", asked(run.training)):
        yield _trait(key, "training", value, is_option, goes_with_size=True)
    for key, value, is_option in _settings("task", asked(run.task)):
        yield _trait(key, "task", value, is_option, of_data=True)


def _asked_of_pruning(run: Run) -> dict[str, Any]:
    if not _is_dense(run):
        return asked(run.pruning)
    if run.pruning.starts_from.word == "scratch":
        return {"option": "none"}
    return {"option": "none", "start": asked(run.pruning.starts_from)}


def _trait(
    key: str,
    group: str,
    value: Any,
    is_option: bool,
    *,
    words: str | None = None,
    is_size: bool = False,
    goes_with_size: bool = False,
    of_data: bool = False,
) -> Trait:
    above, _, leaf = key.rpartition(".")
    speaks = is_option and group in ("model", "pruning") and leaf not in NEED_THEIR_NAME
    own = str(value) if speaks else write(leaf, value)
    return Trait(
        key=key,
        group=group,
        value=value,
        words=own if words is None else words,
        full_words=(write(key, value) if above else own) if words is None else words,
        is_option=is_option,
        is_size=is_size,
        goes_with_size=goes_with_size,
        of_data=of_data,
    )


def _settings(prefix: str, plain: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Full key, value and whether it is the choice of a part, of nested plain data."""
    for name, value in plain.items():
        key = f"{prefix}.{name}"
        if name == "option":
            yield prefix, value, True
        elif isinstance(value, dict):
            yield from _settings(key, value)
        elif isinstance(value, list):
            yield key, ", ".join(map(str, value)), False
        else:
            yield key, value, False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
