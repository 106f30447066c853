"""Records and plans: plain data that outlives a run, and the names of all files of a run."""

from dataclasses import asdict, dataclass, field
from typing import Any

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
class Counts:
    """Weights and biases as the paper counts them; batch-norm's scale and shift apart."""

    parameters: int
    prunable: int
    nonzero: int
    batch_norm: int
    groups: list[dict[str, Any]]  # name, weights, masked of each ranked group of tensors
    empty: list[str] = field(default_factory=list)  # tensors left with nothing
    # Of one example, a picture or a word; `sparse_` where masked weights are skipped. None in
    # records older than these, and where the network cannot be asked.
    multiply_adds: int | None = None
    sparse_multiply_adds: int | None = None

    @property
    def megabytes(self) -> float:
        return self.nonzero * BYTES_PER_WEIGHT / MEGABYTE


@dataclass(kw_only=True, slots=True)
class Record:
    """What a finished run leaves behind. What may differ between equal runs (seconds, host,
    versions, threads, device) stands under `circumstances` and nowhere else."""

    fingerprint: str
    name: str
    configuration: dict[str, Any]
    parents: dict[str, str]  # the fingerprints of the runs it was made from, by role
    budget: Budget
    metric: dict[str, Any]  # name, unit, higher_is_better of what validation chose by
    metrics: dict[str, Any]  # valid and test of the chosen state, and its step
    counts: Counts
    checksums: dict[str, str]  # data, weights
    circumstances: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Record":
        values = dict(data)
        values["budget"] = Budget(**values["budget"])
        values["counts"] = Counts(**values["counts"])
        return cls(**values)


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
        values = dict(data)
        values["runs"] = [Planned(**run) for run in values["runs"]]
        return cls(**values)


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
