"""Records and plans: plain data that outlives a run, and the names of all files of a run."""

from dataclasses import asdict, dataclass, field
from typing import Any

from pruneexp.engine.typed import typed

RECORD = "record.json"  # the run is finished; never rewritten
FAILURE = "failure.json"  # the run failed, and why
PROGRESS = "progress.json"  # where a running run stands; a display reads it
HISTORY = "history.csv"  # loss, rate, sparsity and validation over steps
WEIGHTS = "weights.safetensors"  # the chosen state, masked, with zeros where masked
MASKS = "masks.safetensors"  # True where a weight was kept; empty for a dense run
BYTES = "bytes.json"  # what it weighs under each encoding and type of values
LATENCY = "latency.json"  # seconds of a call, dense and sparse, as measured on some machines
CHECKPOINT = "checkpoint.bin"  # the state of an unfinished run
PREVIOUS = "checkpoint.previous.bin"  # the one before, should the newer be damaged
STATE = "state-{:06}.bin"  # all that an unfinished run was after so many steps, where asked for
LEASE = "lease"  # locked while a process works in the folder

RECORD_VERSION = 2  # of the data in `RECORD`
LATENCY_VERSION = 1  # of the data in `LATENCY`
BYTES_VERSION = 1  # of the data in `BYTES`; older ones are made anew
MEGABYTE = 10**6
BYTES_PER_WEIGHT = 4  # the paper counts 32-bit values


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What a task measures, and how people read it."""

    name: str  # the key of its values, such as "accuracy"
    unit: str = ""  # behind a value, such as "%"
    higher_is_better: bool
    digits: int = 2  # decimals that people print

    @property
    def label(self) -> str:
        """Name and unit, as an axis says them."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def points(self) -> str:
        """The word behind a difference."""
        return "points" if self.unit == "%" else self.unit


@dataclass(kw_only=True, slots=True)
class Budget:
    """What training was spent. `total_*` is what the weights have seen: this stage and those of the
    runs whose weights it began with. `spent_*` counts every run that was needed, once: also one
    that gave a mask or was a teacher."""

    steps: int
    examples: int
    total_steps: int
    total_examples: int
    spent_steps: int
    spent_examples: int
    ancestors: dict[str, list[int]] = field(default_factory=dict)  # fingerprint: steps, examples


@dataclass(kw_only=True, slots=True)
class GroupCounts:
    """A ranked group of tensors."""

    name: str
    weights: int
    masked: int


@dataclass(kw_only=True, slots=True)
class Counts:
    """Weights and biases as the paper counts them; batch-norm's scale and shift apart."""

    parameters: int
    prunable: int
    nonzero: int
    batch_norm: int
    groups: list[GroupCounts]
    empty: list[str] = field(default_factory=list)  # tensors left with nothing
    # Of one example, a picture or a word; `sparse_` where masked weights are skipped. None in
    # records older than these, and where the network cannot be asked.
    multiply_adds: int | None = None
    sparse_multiply_adds: int | None = None

    @property
    def megabytes(self) -> float:
        return self.nonzero * BYTES_PER_WEIGHT / MEGABYTE


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large a model is, in one of its numbers."""

    name: str  # "width"
    value: int | float
    words: str  # "×0.5", how a label says it
    long_words: str  # "width 0.5", how a curve's name says it
    heading: str  # "Width", over a column of such values


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """One setting that may set a curve apart from others, and how a reader names it."""

    key: str  # "pruning.criterion"
    group: str  # model, pruning, training or task
    value: str | bool | int | float | None
    words: str  # "random"
    full_words: str  # the same with its part, where two settings have the same name
    is_option: bool = False  # the choice of a part, the best name of a curve
    is_size: bool = False
    # Whether it parts curves always, or only where it differs between models of one size: a large
    # model may have a rate and a dropout of its own.
    goes_with_size: bool = False
    of_data: bool = False  # about the data, which their checksum tells better


@dataclass(frozen=True, kw_only=True, slots=True)
class DialValue:
    """The setting that is turned along the curve."""

    name: str  # "sparsity"
    value: float
    words: str  # "90 %"


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Where a run belongs in a report: `config.curve.describe` writes it, the report reads it."""

    kind: str  # dense or sparse
    family: str  # "mobilenet_v1 small"
    sizes: list[Size]
    dial: DialValue | None
    values: str  # the type of values: fp32, int8 and so on
    quantised: str  # "int8 after training"; nothing where values are as they were trained
    start: str  # the word of the start: scratch, dense, run, file or torchvision
    traits: tuple[Trait, ...]  # shared by many runs


@dataclass(kw_only=True, slots=True)
class Record:
    """What a finished run leaves behind. What may differ between equal runs (seconds, host,
    versions, threads, device) stands under `circumstances` and nowhere else."""

    version: int = RECORD_VERSION
    fingerprint: str
    name: str
    configuration: dict[str, Any]
    seed: int
    curve: Curve
    parents: dict[str, str]  # the fingerprints of the runs it was made from, by role
    budget: Budget
    metric: Metric  # what is reported first
    chosen_by: Metric  # what validation chose the state by
    others: list[Metric] = field(default_factory=list)  # what is measured beside it
    references: dict[str, float]  # what the metric could be at best, where that is known
    step: int  # of the chosen state
    valid: dict[str, float]
    test: dict[str, float]
    counts: Counts
    checksums: dict[str, str]  # data, weights
    circumstances: dict[str, Any]

    @property
    def test_value(self) -> float:
        """The reported metric on test."""
        return self.test[self.metric.name]

    def to_plain(self) -> dict[str, Any]:
        """The record as plain data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Record":
        """What `to_plain` gave. Raises TypeError for anything else."""
        if data.get("version") != RECORD_VERSION:
            raise TypeError("another version of pruneexp wrote it; run it again with this one")
        record = typed(cls, data)
        if record.metric.name not in record.test or record.metric.name not in record.valid:
            raise TypeError(f"it holds no {record.metric.name} of valid and test")
        return record


@dataclass(kw_only=True, slots=True)
class Planned:
    """One run of a plan: its name, everything it needs to start, and the runs it waits for."""

    fingerprint: str
    name: str
    run: dict[str, Any]
    parents: dict[str, str] = field(default_factory=dict)  # names of runs it waits for, by role
    wanted: bool = True  # False: only here because another run starts from it


@dataclass(kw_only=True, slots=True)
class Plan:
    """What an experiment asked for, so that what never started is visible."""

    name: str
    title: str
    runs: list[Planned]
    unreadable: list[dict[str, str]] = field(default_factory=list)  # overrides and why

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Plan":
        return typed(cls, data)


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a run stands, written every second or so for whoever looks."""

    step: int = 0
    steps: int = 0
    sparsity: float = 0.0
    loss: float | None = None
    valid: float | None = None
    seconds_left: float | None = None
    stage: str = "starting"
