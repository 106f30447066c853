"""Recipes of training: how long, how fast, on how much at once."""

from dataclasses import dataclass, field
from typing import ClassVar

from pruneexp.config.recipe import Recipe, added, demand, here
from pruneexp.training.decay import Cosine, Decay
from pruneexp.training.optimiser import SGD, Optimiser

PRECISIONS = ("fp32", "bf16", "fp16")
MOST_THREADS = 256  # far more than pay; torch falls over at thousands
MOST_WORKERS = 64  # processes of one run that load data; each holds some 400 MB


@dataclass(kw_only=True, slots=True)
class Training(Recipe):
    """How a network is trained: length, rates, batches and validations. The comments beside the
    fields are what `pruneexp run --help` says of them.

        Training(steps=2000, learning_rate=0.05, batch_size=64)
    """

    word: ClassVar[str] = "standard"
    steps: int = 1000  # of the optimiser, in a run of one stage
    batch_size: int = 128  # examples, or streams of a text
    learning_rate: float = 0.1  # of the first step, before warm-up and decay
    # Of a batch of how many examples; other batches get it in proportion. null: of any batch.
    learning_rate_per: int | None = None
    # The rate rises in equal steps over this fraction of the stage, times the decay's factor.
    warm_up: float = 0.0
    optimiser: Optimiser = field(default_factory=SGD)
    decay: Decay = field(default_factory=Cosine)
    clip: float | None = None  # the gradients' norm is cut to this, after masking
    unroll: int = 0  # words a step goes along each stream of a text
    label_smoothing: float = 0.0  # the share of a label that is spread over all classes
    channels_last: bool = True  # pictures in the memory order that is faster on most devices
    evaluations: int = 8  # validations, evenly spaced, the last at the end
    # The best state on validation is chosen among those after this fraction of the run, and under
    # the final mask: the same number of chances for a dense and a sparse run.
    choose_after: float = 0.7
    # Decay of a moving average over the weights, which is then what is measured and kept, under the
    # mask. null: none.
    average: float | None = None
    # Or the mean of the states at so many last validations, of those under the final mask. 0: none.
    average_states: int = added(default=0, before=0)
    accumulate: int = 1  # parts of a batch, one after the other
    precision: str = "fp32"  # of forward and backward passes
    compile: bool = False  # by torch.compile
    threads: int = here(1)  # fixed when a run starts: more threads are other bits
    workers: int = here(0)  # processes that load data; the same bits at any number
    checkpoint_seconds: float = here(30.0)  # between two checkpoints

    def __post_init__(self) -> None:
        demand(
            self,
            steps=(self.steps > 0, "a number of steps above 0"),
            learning_rate_per=(
                self.learning_rate_per is None or self.learning_rate_per > 0,
                "a number of examples above 0, or null",
            ),
            warm_up=(0 <= self.warm_up < 1, "a fraction of the stage in [0, 1)"),
            average=(
                self.average is None or 0 <= self.average < 1,
                "a decay in [0, 1), or null",
            ),
            accumulate=(
                self.accumulate > 0 and self.batch_size % self.accumulate == 0,
                f"a number of equal parts of training.batch_size={self.batch_size}",
            ),
            precision=(self.precision in PRECISIONS, "fp32, bf16 or fp16"),
            average_states=(
                self.average_states == 0 or (self.average_states > 0 and self.average is None),
                "a number of states, 0 for none, and 0 beside training.average",
            ),
            batch_size=(self.batch_size > 0, "a number of examples above 0"),
            learning_rate=(self.learning_rate > 0, "a number above 0"),
            clip=(self.clip is None or self.clip > 0, "a number above 0, or null"),
            unroll=(self.unroll >= 0, "a number of words, 0 for pictures"),
            label_smoothing=(0 <= self.label_smoothing < 1, "a number in [0, 1)"),
            evaluations=(self.evaluations > 0, "a number of evaluations above 0"),
            choose_after=(0 <= self.choose_after <= 1, "a fraction of the run in [0, 1]"),
            threads=(0 < self.threads <= MOST_THREADS, f"a number from 1 to {MOST_THREADS}"),
            workers=(0 <= self.workers <= MOST_WORKERS, f"a number from 0 to {MOST_WORKERS}"),
            checkpoint_seconds=(self.checkpoint_seconds >= 0, "a number of seconds, 0 or more"),
        )

    @property
    def revision(self) -> int:  # type: ignore[override]
        """2 where weights are averaged: before, sparse runs' averages began at the last update."""
        return 1 if self.average is None else 2

    @property
    def rate(self) -> float:
        """The learning rate for this batch size."""
        return self.learning_rate * self.batch_size / (self.learning_rate_per or self.batch_size)

    def factor(self, step: int, steps: int) -> float:
        """On the rate, at a step of a stage."""
        warm = round(self.warm_up * steps)
        return min(1.0, (step + 1) / max(warm, 1)) * self.decay.factor_in(
            step / steps, steps / self.steps
        )


OPTIONS: tuple[type[Training], ...] = (Training,)
