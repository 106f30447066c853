"""Tables for a terminal: what a configuration weighs, how a run ended, what a sweep would do,
what is in a packed file, how large a run is when packed."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pruneexp.cli.live import COLOURS, table_of
from pruneexp.cli.names import fitted
from pruneexp.config.amounts import bytes_in_words, bytes_of
from pruneexp.engine.record import BYTES_PER_WEIGHT, MEGABYTE, SPELLED, Record
from pruneexp.storage.layout import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pruneexp.config.run import Run
    from pruneexp.engine.plan import Standing
    from pruneexp.measure.packed_sizes import PackedFile, PackedSizes, PackedState
    from pruneexp.measure.planned import Layer, PlannedSize
    from pruneexp.running.latency import Latency

WIDE = 100  # columns from which on every detail fits
SHORT = 2.0  # epochs below which a run says little
MOST_SHOWN = 150  # characters of each thing that an untrusted file says


def size(weighed: "PlannedSize", width: int) -> Table:
    """A line a tensor. A narrow terminal gets the columns that differ most between layers."""
    counts = weighed.counts
    shown = table_of()
    shown.add_column("tensor", overflow="fold", footer="parameters")
    if width >= WIDE:
        shown.add_column("shape")
    shown.add_column("weights", justify="right", footer=f"{counts.parameters:,}")
    if width >= WIDE:
        shown.add_column("rule")
    shown.add_column("sparsity", justify="right")
    shown.add_column("non-zero", justify="right", footer=_number(weighed.nonzero))
    if width >= WIDE:
        shown.add_column("multiply-adds", justify="right", footer=f"{weighed.multiply_adds:,}")
        shown.add_column("sparse", justify="right", footer=_number(weighed.sparse_multiply_adds))
    for layer in weighed.layers:
        shown.add_row(*_layer(layer, width))
    shown.show_footer = True
    shown.caption_justify = "left"
    shown.caption = (
        f"{counts.prunable:,} prunable · biases count, batch-norm's {counts.batch_norm:,} do not · "
        f"{_megabytes(weighed.nonzero)} MB at 4 bytes a non-zero"
    )
    if width < WIDE:
        shown.caption += f" · {WIDE} columns or format=json also tell shapes, rules, multiply-adds"
    return shown


def _layer(layer: "Layer", width: int) -> list[str]:
    pruned = layer.rule.startswith("pruned")
    sparsity = "by training" if pruned else "-"
    if pruned and layer.sparsity is not None:
        sparsity = f"{layer.sparsity:.2%}"
    nonzero = _number(layer.nonzero)
    if width < WIDE:
        return [layer.name, f"{layer.weights:,}", sparsity, nonzero]
    return [
        layer.name,
        "x".join(map(str, layer.shape)),
        f"{layer.weights:,}",
        layer.rule,
        sparsity,
        nonzero,
        _number(layer.multiply_adds),
        _number(layer.sparse_multiply_adds),
    ]


def _seconds(record: Record) -> str:
    seconds = record.circumstances.get("seconds")
    return f"{seconds:,.0f} s" if isinstance(seconds, int | float) else "not known"


def outcome(record: Record, sizes: "PackedSizes | None" = None, asked: str = "") -> Table:
    """A finished run in a few lines.

    Arguments:
        sizes: of its packed file.
        asked: the budget that the file was to fit, as it was typed.
    """
    metric, unit = record.metric.name, record.metric.unit
    counts, budget = record.counts, record.budget
    shown = table_of()
    shown.show_header = False
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    shown.add_row("run", record.name)
    shown.add_row(f"test {record.metric.words}", f"{record.test[metric]:.2f} {unit}".rstrip())
    valid = f"{record.valid[metric]:.2f} {unit}".rstrip()
    by = "" if record.chosen_by.name == metric else f" by {record.chosen_by.words}"
    shown.add_row(f"valid {record.metric.words}", f"{valid}, chosen at step {record.step}{by}")
    if len(record.test) > 2:
        beside = [
            f"{SPELLED.get(name, name)} {value:.4g}"
            for name, value in record.test.items()
            if name != metric
        ]
        shown.add_row("also on test", ", ".join(beside))
    masked = sum(group.masked for group in counts.groups)
    share = f", {masked / counts.prunable:.2%} of the prunable masked" if counts.prunable else ""
    shown.add_row("non-zero", f"{counts.nonzero:,} of {counts.parameters:,}{share}")
    shown.add_row("size", f"{counts.megabytes:.3f} MB at 4 bytes a non-zero weight")
    if sizes is not None and (words := _file(record, sizes, asked)):
        shown.add_row("file", words)
    if counts.empty:
        shown.add_row("left with nothing", Text(", ".join(counts.empty), "yellow"))
    total = f"{budget.total_steps:,} steps, {budget.total_examples:,} {budget.unit}s"
    if budget.epochs is not None:
        total += f", each {budget.epochs:.1f} times"
    own = "" if budget.steps == budget.total_steps else f" ({budget.steps:,} in this stage)"
    shown.add_row("trained for", total + own)
    shown.add_row("took", _seconds(record))
    for note in _notes(record):
        shown.add_row("note", Text(note, "yellow"))
    return shown


def packed_as(record: Record, sizes: "PackedSizes | None") -> str:
    """Options of `pruneexp pack` that write the file which `outcome` speaks of."""
    met = record.file_budget
    values = met.values if met else record.curve.values
    folds = sizes is not None and sizes.folds
    return f" --values {values}" * (values != "fp32") + " --fold" * folds


def _file(record: Record, sizes: "PackedSizes", asked: str) -> str:
    """What the packed file takes, and how near that is to its budget; nothing where it cannot be
    written."""
    met = record.file_budget
    values = met.values if met else record.curve.values
    file = sizes.shipped(values)
    if file is None:
        return ""
    words = f"{file.bytes:,} bytes packed as {values}" + ", batch-norm folded" * sizes.folds
    limit = met.budget if met else bytes_of(asked) if asked else None
    if limit is not None:
        side = "below" if file.bytes <= limit else "above"
        words += f"; {abs(1 - file.bytes / limit):.1%} {side} the budget of {bytes_in_words(limit)}"
    return words


def _notes(record: Record) -> "Iterator[str]":
    """What a reader of a run's figures should know first."""
    epochs, metric = record.budget.epochs, record.metric
    if epochs is not None and epochs < SHORT:
        yield (
            f"the weights saw each {record.budget.unit} {epochs:.1f} times; which model is better "
            "may be another one after more steps"
        )
    sign = 1 if metric.higher_is_better else -1
    for name, value in record.baselines.items():
        if sign * record.test[metric.name] <= sign * value:
            yield f"no better than {name} ({value:.{metric.digits}f})"


def dry_run(rows: "list[tuple[Standing, Run, int | None]]", width: int) -> Table:
    """What would run, what is done, and what each weighs."""
    shown = table_of()
    shown.add_column("run", overflow="fold")
    shown.add_column("state")
    shown.add_column("steps", justify="right")
    shown.add_column("non-zero", justify="right")
    shown.add_column("MB", justify="right")
    cells = [(f"{run.steps:,}", _number(n), _megabytes(n)) for _, run, n in rows]
    taken = 4 * 2 + 11 + sum(max(map(len, column)) for column in zip(*cells, strict=True))
    names, shared = fitted([standing.planned.name for standing, _, _ in rows], width - taken)
    for called, (standing, run, nonzero) in zip(names, rows, strict=True):
        shown.add_row(
            called,
            Text(standing.state, COLOURS.get(standing.state, "")),
            f"{run.steps:,}",
            _number(nonzero),
            _megabytes(nonzero),
        )
    open_ = sum(standing.state != "finished" for standing, _, _ in rows)
    note = f"; all: {shared}" if shared else ""
    shown.caption = Text(f"{open_} of {len(rows)} would run{note}")
    return shown


def record(whole: Record) -> Table:
    """All of a record: how the run ended, then what was asked for, then the groups."""
    shown = outcome(whole)
    for key, value in flat(whole.configuration).items():
        shown.add_row(key, str(value))
    for group in whole.counts.groups:
        share = group.masked / group.weights
        words = f"{group.masked:,} of {group.weights:,} masked, {share:.2%}"
        shown.add_row(group.name, words)
    for role, fingerprint in whole.parents.items():
        shown.add_row(f"{role} from", fingerprint)
    for title in ("checksums", "circumstances"):
        for key, value in getattr(whole, title).items():
            shown.add_row(key, str(value))
    return shown


def contents(facts: dict[str, Any], width: int, *, vectors: bool = False) -> Table:
    """A packed file, a line a tensor, and one for all vectors (biases, batch-norm) unless each is
    asked for. A narrow terminal leaves out shapes and types of values."""
    shown = table_of()
    shown.add_column("tensor", overflow="fold", footer="all")
    if width >= WIDE:
        shown.add_column("shape")
        shown.add_column("values")
    shown.add_column("sparsity", justify="right")
    shown.add_column("encoding")
    shown.add_column("positions", justify="right", footer=f"{facts['position_bytes']:,}")
    shown.add_column("bytes", justify="right", footer=f"{facts['bytes']:,}")
    shown.add_column("of bound", justify="right", footer=_share(facts))
    together = [row for row in facts["tensors"] if len(row["shape"]) < 2 and not vectors]
    for row in facts["tensors"]:
        if row in together:
            continue
        wide = ["x".join(map(str, row["shape"])), row["values"]] if width >= WIDE else []
        shown.add_row(
            row["name"],
            *wide,
            f"{row['sparsity']:.2%}",
            row["encoding"],
            f"{row['position_bytes']:,}",
            f"{row['position_bytes'] + row['value_bytes']:,}",
            _share(row),
        )
    if together:
        total = sum(row["position_bytes"] + row["value_bytes"] for row in together)
        name = f"{len(together)} vectors (--all lists them)"
        wide = ["", ""] if width >= WIDE else []
        shown.add_row(name, *wide, "", "", "", f"{total:,}", "", style="dim")
    shown.show_footer = True
    shown.caption_justify = "left"
    shown.caption = (
        f"{facts['value_bytes']:,} bytes of values, {facts['overhead_bytes']:,} of header, notes "
        "and alignment · of bound: positions against log2 C(n, k), below 100 % where masks have "
        "structure"
    )
    if origin := _origin(facts["notes"]):
        shown.caption = f"{origin}\n{shown.caption}"
    return shown


def packed_sizes(name: str, sizes: "PackedSizes") -> Table:
    """How large a run is when packed: each encoding with fp32 values, then the other types of
    values."""
    kept, folded = sizes.batch_norm_kept, sizes.batch_norm_folded
    shown = table_of(name)
    shown.add_column("file")
    for title in ("positions", "fillers", "bytes", "of dense"):
        shown.add_column(title, justify="right")
    if folded:
        shown.add_column("batch-norm folded", justify="right")
    smallest = "auto" if sizes.prunable else "dense"

    def rows(state: "PackedState") -> "dict[str, PackedFile | None]":
        encodings = state.encodings if sizes.prunable else {"dense": state.encodings["dense"]}
        others = {word: file for word, file in state.values.items() if word != "fp32"}
        return {**encodings, **{f"{smallest}, {word}": file for word, file in others.items()}}

    folded_rows = rows(folded) if folded else {}
    for title, file in rows(kept).items():
        if file is None:
            shown.add_row(title, *["-"] * (4 + bool(folded)))
            continue
        other = folded_rows.get(title)
        shown.add_row(
            title,
            f"{file.position_bytes:,}",
            f"{file.filler_bytes:,}",
            f"{file.bytes:,}",
            f"{file.bytes / kept.dense_bytes:.1%}" if kept.dense_bytes else "-",
            *([f"{other.bytes:,}" if other else "-"] if folded else []),
        )
    shown.caption_justify = "left"
    shown.caption = "nothing is masked"
    if sizes.prunable:
        shown.caption = (
            f"{sizes.kept:,} of {sizes.prunable:,} kept where there is a mask · log2 C(n, k): "
            f"{sizes.bound_bytes:,.0f} bytes"
        )
    return shown


def _origin(notes: dict[str, Any]) -> str:
    """What a file's notes say about its origin, in one line. They are untrusted: any of it may be
    missing, and control characters may not reach the terminal."""
    note = flat(notes)
    name, unit = note.get("metric.name"), note.get("metric.unit") or ""
    test = note.get(f"metrics.test.{name}")
    words = [
        note.get("run"),
        test is not None and f"test {name} {test} {unit}".strip(),
        "package.name" in note and f"{note['package.name']} {note.get('package.version')}",
        note.get("folded") is True and "batch-norm folded",
    ]
    text = " · ".join(str(word)[:MOST_SHOWN] for word in words if word)
    return "".join(sign if is_name(sign) else "?" for sign in text)


def _share(row: dict[str, Any]) -> str:
    bound = row["bound_bytes"]
    return f"{row['position_bytes'] / bound:.1%}" if bound else "-"


def latency(name: str, times: "Latency") -> Table:
    """Each layer both ways, then the whole model."""
    threads = f"{times.threads} thread{'s' if times.threads > 1 else ''}"
    dense_bytes, bytes_as_chosen = (f"{each / MEGABYTE:.3f}" for each in times.touched)
    shown = table_of(f"{name}\nbatch {times.batch}, {threads}")
    shown.add_column("layer", overflow="fold", footer="as chosen")
    shown.add_column("sparsity", justify="right")
    for title in ("dense ms", "sparse ms", "faster"):
        shown.add_column(title, justify="right")
    shown.add_column("dense MB", justify="right", footer=dense_bytes)
    shown.add_column("sparse MB", justify="right", footer=bytes_as_chosen)
    shown.add_column("runs")
    for each in times.layers:
        shown.add_row(
            each.layer,
            f"{each.sparsity:.1%}",
            f"{1000 * each.dense:.3f}",
            f"{1000 * each.sparse:.3f}",
            f"x{each.dense / each.sparse:.2f}",
            f"{each.dense_bytes / MEGABYTE:.3f}",
            f"{each.sparse_bytes / MEGABYTE:.3f}",
            "sparse" if each.layer in times.running_sparse else Text("dense", "dim"),
        )
    shown.show_footer = bool(times.layers)
    shown.caption = "\n".join(_whole_model(times))
    return shown


def _whole_model(times: "Latency") -> "Iterator[str]":
    paying = sum(each.pays for each in times.layers)
    both = f"{1000 * times.dense:.3f} ms dense, {1000 * times.sparse:.3f} ms sparse"
    if not times.layers:
        yield f"Sparse does not pay here: no layer has a sparse kernel. {1000 * times.dense:.3f} ms"
    elif not paying:
        yield f"Sparse does not pay here: every layer is faster dense. {1000 * times.dense:.3f} ms"
    elif not times.pays:
        yield (
            f"Sparse does not pay here: {paying} of {len(times.layers)} layers are faster sparse, "
            f"the whole model is not: {both}"
        )
    else:
        gain = f"x{times.faster:.2f}, at most x{times.limit:.2f} by Amdahl"
        yield f"whole model: {both}: {gain}"
    if times.batch > 1:
        each = (f"{1000 * seconds / times.batch:.3f} ms" for seconds in (times.dense, times.sparse))
        yield f"a {times.example}: {' dense, '.join(each)} sparse"


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested plain data with full keys, an option's word under the key of its group."""
    lines: dict[str, Any] = {}
    for key, value in data.items():
        if key == "option":
            lines[prefix.rstrip(".")] = value
        elif isinstance(value, dict):
            lines |= flat(value, f"{prefix}{key}.")
        else:
            lines[f"{prefix}{key}"] = value
    return lines


def megabytes(nonzero: int | None) -> float | None:
    """At four bytes a non-zero weight, as the paper counts."""
    return None if nonzero is None else nonzero * BYTES_PER_WEIGHT / MEGABYTE


def _megabytes(nonzero: int | None) -> str:
    size = megabytes(nonzero)
    return "-" if size is None else f"{size:.3f}"


def _number(value: int | None) -> str:
    return "by training" if value is None else f"{value:,}"
