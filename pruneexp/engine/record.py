"""Records and plans: plain data that outlives a run, and the names of all files of a run.

Whatever is read back is checked here: each field states its type and its bounds (`engine.typed`).
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar

from pruneexp.engine.typed import FileName, Fingerprint, Longest, Within, typed

RECORD = "record.json"  # the run is finished; never rewritten
FAILURE = "failure.json"  # the run failed, and why
PROGRESS = "progress.json"  # where a running run stands; a display reads it
HISTORY = "history.csv"  # loss, rate, sparsity and validation over steps
WEIGHTS = "weights.safetensors"  # the chosen state, masked, with zeros where masked
MASKS = "masks.safetensors"  # True where a weight was kept; empty for a dense run
USAGE = "usage.json"  # what inputs and outputs of the network mean
BYTES = "bytes.json"  # what it weighs under each encoding and type of values
OUTCOMES = "outcomes.json"  # what came of each item of the test split
LATENCY = "latency.json"  # seconds of a call, dense and sparse, as measured on some machines
CHECKPOINT = "checkpoint.bin"  # the state of an unfinished run
PREVIOUS = "checkpoint.previous.bin"  # the one before, should the newer be damaged
STATE = "state-{:06}.bin"  # all that an unfinished run was after so many steps, where asked for
REOPENED = "reopened"  # a finished run that has to be made again; its record stays until then
LEASE = "lease"  # locked while a process works in the folder

RECORD_VERSION = 2  # of the data in `RECORD`
LATENCY_VERSION = 1  # of the data in `LATENCY`
BYTES_VERSION = 2  # of the data in `BYTES`; older ones are made anew
MEGABYTE = 10**6
BYTES_PER_WEIGHT = 4  # the paper counts 32-bit values
NEAR = 0.01  # sizes of a sparse and a dense model that differ by less are matched
# Names of metrics that are keys, as people write them.
SPELLED = {"bleu": "BLEU", "tokenised_bleu": "tokenised BLEU", "chrf": "chrF"}
LARGEST_VALUE = 1e12  # of a metric; what lies beyond says only that training diverged

Count = Annotated[int, Within(0, 10**15)]  # of weights, steps, examples, bytes
Value = Annotated[float, Within(-LARGEST_VALUE, LARGEST_VALUE)]
Share = Annotated[float, Within(0, 1)]
Seconds = Annotated[float, Within(1e-9, 1e6)]  # of a call, from a nanosecond to eleven days
Line = Annotated[str, Longest(2_000)]
Name = Annotated[str, FileName()]  # of a run's folder or a plan's file
Hash = Annotated[str, Fingerprint()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What a task measures, and how people read it."""

    name: Line  # the key of its values, such as "accuracy"
    unit: Line = ""  # behind a value, such as "%"
    higher_is_better: bool
    digits: Annotated[int, Within(0, 10)] = 2  # decimals that people print

    @property
    def words(self) -> str:
        """The name as people write it."""
        return SPELLED.get(self.name, self.name)

    @property
    def label(self) -> str:
        """Name and unit, as an axis says them."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def points(self) -> str:
        """The word behind a difference."""
        return "points" if self.unit == "%" else self.unit


@dataclass(kw_only=True, slots=True)
class Budget:
    """What training was spent. `total_*` is what the weights have seen: this stage and those of the
    runs whose weights it began with. `spent_*` counts every run that was needed, once: also one
    that gave a mask or was a teacher."""

    steps: Count
    examples: Count
    total_steps: Count
    total_examples: Count
    spent_steps: Count
    spent_examples: Count
    ancestors: dict[str, list[Count]] = field(default_factory=dict)  # fingerprint: steps, examples
    unit: Line = "example"  # what an example is: picture, word
    training_examples: Count | None = None  # how many different ones there are, where that is known

    @property
    def epochs(self) -> float | None:
        """How often the weights have seen each example; None where that is not known."""
        return self.total_examples / self.training_examples if self.training_examples else None


@dataclass(kw_only=True, slots=True)
class GroupCounts:
    """A ranked group of tensors."""

    name: Line
    weights: Count
    masked: Count


@dataclass(kw_only=True, slots=True)
class Counts:
    """Weights and biases as the paper counts them; batch-norm's scale and shift apart."""

    parameters: Count
    prunable: Count
    nonzero: Count
    batch_norm: Count
    groups: list[GroupCounts]
    empty: list[Line] = field(default_factory=list)  # tensors left with nothing
    # Of one example, a picture or a word; `sparse_` where masked weights are skipped. None in
    # records older than these, and where the network cannot be asked.
    multiply_adds: Count | None = None
    sparse_multiply_adds: Count | None = None

    @property
    def megabytes(self) -> float:
        return self.nonzero * BYTES_PER_WEIGHT / MEGABYTE

    def check(self) -> None:
        """Raise TypeError where these numbers cannot be those of one network."""
        for part, whole in (("nonzero", "parameters"), ("prunable", "parameters")):
            if getattr(self, part) > getattr(self, whole):
                raise TypeError(f"counts.{part} is above counts.{whole}")
        for group in self.groups:
            if group.masked > group.weights:
                raise TypeError(f"counts.groups: {group.name} has more masked weights than weights")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileBudgetMet:
    """What became of a budget in bytes.

    Arguments:
        budget: bytes that the file may take.
        values: the type of values in that file.
        folded: whether batch-norm is folded in it.
        bytes: what the file takes.
    """

    budget: Count
    values: Line
    folded: bool
    bytes: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large a model is, in one of its numbers."""

    name: Line  # "width"
    value: Annotated[int | float, Within(0, LARGEST_VALUE)]
    words: Line  # "×0.5", how a label says it
    long_words: Line  # "width 0.5", how a curve's name says it
    heading: Line  # "Width", over a column of such values


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """An example in words.

    Arguments:
        source: what the network was given.
        reference: what was wanted.
        output: what it gave.
    """

    source: Line
    reference: Line
    output: Line

    MOST: ClassVar[int] = 600  # characters of each

    @classmethod
    def of(cls, **words: str) -> "Sample":
        """The same with what is too long cut."""
        return cls(**{key: words[key][: cls.MOST] for key in ("source", "reference", "output")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a network's inputs and outputs mean, for a program that uses it without this package.

    Arguments:
        inputs: how an example becomes what the network takes.
        outputs: the name of each output, in order: classes, or the words of a vocabulary.
        samples: examples of the test split in words, where they are words.
    """

    inputs: Line = ""
    outputs: list[Line] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """One setting that may set a curve apart from others, and how a reader names it."""

    key: Line  # "pruning.criterion"
    group: Line  # model, pruning, training or task
    value: str | bool | int | float | None
    words: Line  # "random"
    full_words: Line  # the same with its part, where two settings have the same name
    is_option: bool = False  # the choice of a part, the best name of a curve
    is_size: bool = False
    # Whether it parts curves always, or only where it differs between models of one size: a large
    # model may have a rate and a dropout of its own.
    goes_with_size: bool = False
    of_data: bool = False  # about the data, which their checksum tells better


@dataclass(frozen=True, kw_only=True, slots=True)
class DialValue:
    """The setting that is turned along the curve."""

    name: Line  # "sparsity"
    value: Value
    words: Line  # "90 %"


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Where a run belongs in a report: `config.curve.describe` writes it, the report reads it."""

    kind: Line  # dense or sparse
    family: Line  # "mobilenet_v1 small"
    sizes: list[Size]
    dial: DialValue | None
    values: Line  # the type of values: fp32, int8 and so on
    quantised: Line  # "int8 after training"; nothing where values are as they were trained
    start: Line  # the word of the start: scratch, dense, run, file or torchvision
    traits: tuple[Trait, ...]  # shared by many runs


@dataclass(kw_only=True, slots=True)
class Record:
    """What a finished run leaves behind. What may differ between equal runs (seconds, host,
    versions, threads, device) stands under `circumstances` and nowhere else."""

    version: int = RECORD_VERSION
    fingerprint: Hash
    name: Name
    configuration: dict[str, Any]
    seed: Count
    curve: Curve
    parents: dict[str, Hash]  # the fingerprints of the runs it was made from, by role
    budget: Budget
    metric: Metric  # what is reported first
    chosen_by: Metric  # what validation chose the state by
    baselines: dict[str, Value] = field(default_factory=dict)  # of the metric, without a network
    others: list[Metric] = field(default_factory=list)  # what is measured beside it
    references: dict[str, Value]  # what the metric could be at best, where that is known
    step: Count  # of the chosen state
    valid: dict[str, Value]
    test: dict[str, Value]
    counts: Counts
    file_budget: FileBudgetMet | None = None  # where a budget settled the sparsity
    checksums: dict[str, Line]  # data, weights, masks, history
    circumstances: dict[str, str | int | float | None]

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
        return typed(cls, data)

    def check(self) -> None:
        """Raise TypeError where the fields do not go together."""
        if not self.name.endswith(f"-{self.fingerprint}"):
            raise TypeError(f"its name does not end in its fingerprint {self.fingerprint}")
        if self.metric.name not in self.test or self.metric.name not in self.valid:
            raise TypeError(f"it holds no {self.metric.name} of valid and test")


@dataclass(kw_only=True, slots=True)
class Planned:
    """One run of a plan: its name, everything it needs to start, and the runs it waits for."""

    fingerprint: Hash
    name: Name
    run: dict[str, Any]
    parents: dict[str, Name] = field(default_factory=dict)  # names of runs it waits for, by role
    wanted: bool = True  # False: only here because another run starts from it
    chosen: list[Line] = field(default_factory=list)  # keys that validation chose for its point
    trial_of: Line = ""  # the point that chooses between this run and others, until it has
    as_it_is: bool = False  # whether it is also asked for with these values, by another point


COSTS = ("seconds_a_step", "own_parameters", "peak_bytes")  # of training, among circumstances


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run that was made to choose a setting of a point on validation.

    Arguments:
        point: the point's overrides, those that are chosen left out.
        values: what was tried, such as {"training.learning_rate": "0.1"}.
        name: of the run.
        valid: what validation chose by; None where the run failed.
        chosen: whether the point's other seeds have these values.
    """

    point: Line
    values: dict[str, Line]
    name: Name
    valid: Value | None
    chosen: bool


@dataclass(kw_only=True, slots=True)
class Plan:
    """What an experiment asked for, so that what never started is visible."""

    name: Name
    title: str
    runs: list[Planned]
    trials: list[Trial] = field(default_factory=list)  # of searches, where they are done
    unreadable: list[dict[str, str]] = field(default_factory=list)  # overrides and why
    left_out: list[str] = field(default_factory=list)  # what was not made, and why not

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Plan":
        return typed(cls, data)

    def check(self) -> None:
        """Raise TypeError where a run stands twice or before one that it waits for, or where an
        unreadable point does not say what it is."""
        earlier: set[str] = set()
        for planned in self.runs:
            if planned.name in earlier:
                raise TypeError(f"the run {planned.name} stands in it twice")
            for parent in planned.parents.values():
                if parent not in earlier:
                    raise TypeError(f"{planned.name} waits for {parent}, which is not before it")
            earlier.add(planned.name)
        for point in self.unreadable:
            if point.keys() != {"overrides", "error"}:
                raise TypeError("unreadable takes points with their overrides and their error")


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a run stands, written every second or so for other processes."""

    step: Count = 0
    steps: Count = 0
    sparsity: Share = 0.0
    loss: Value | None = None
    valid: Value | None = None
    seconds_left: Annotated[float, Within(0, 1e9)] | None = None
    stage: Line = "starting"


@dataclass(kw_only=True, slots=True)
class Failure:
    """What is kept of an error that ended a run, for `show` and the report."""

    error: Line  # its kind
    message: str
    step: Count | None = None
    traceback: str = ""
