"""A store whose runs finish at once, for the tests of reports."""

from pathlib import Path
from typing import Any

from pruneexp.config.curve import describe
from pruneexp.config.recipe import asked
from pruneexp.config.run import Run, fingerprint, name
from pruneexp.engine import files
from pruneexp.engine.record import (
    BYTES,
    BYTES_VERSION,
    LATENCY,
    Budget,
    Counts,
    Metric,
    Plan,
    Planned,
    Record,
)
from pruneexp.engine.store import Store
from pruneexp.models import MobileNetV1, Model
from pruneexp.pruning import Dense, Gradual
from pruneexp.quantisation import Quantisation
from pruneexp.report.analysis import findings
from pruneexp.report.data import load
from pruneexp.tasks import Glyphs, Task
from pruneexp.training import Training

ACCURACY = Metric(name="accuracy", unit="%", higher_is_better=True, digits=1)
COUNTED = [f"{whose}{what}" for whose in ("", "total_", "spent_") for what in ("steps", "examples")]
PERPLEXITY = Metric(name="perplexity", higher_is_better=False)


class Results:
    """A store whose runs finish at once, with whatever numbers a test needs."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.plan = Plan(name="mine", title="Nets on glyphs", runs=[])
        self.runs: dict[str, Run] = {}  # by name

    def ask(
        self,
        width: float = 1.0,
        sparsity: float | None = None,
        *,
        seed: int = 0,
        task: Task | None = None,
        model: Model | None = None,
        training: Training | None = None,
        quantisation: Quantisation | None = None,
        **pruning: Any,
    ) -> Planned:
        """A run that is in the plan and did not start."""
        run = Run(
            task=task or Glyphs(),
            model=model or MobileNetV1(width=width, layout="small"),
            training=training or Training(),
            pruning=Dense() if sparsity is None else Gradual(sparsity=sparsity, **pruning),
            quantisation=quantisation or Quantisation(),
            seed=seed,
        )
        planned = Planned(fingerprint=fingerprint(run), name=name(run), run=asked(run))
        self.plan.runs.append(planned)
        self.runs[planned.name] = run
        return planned

    def finish(
        self,
        nonzero: int,
        test: float,
        width: float = 1.0,
        sparsity: float | None = None,
        *,
        data: str = "abcdef0123",
        steps: int = 1000,
        metric: Metric = ACCURACY,
        references: dict[str, float] | None = None,
        work: tuple[int, int] | None = None,
        top5: float | None = None,
        history: list[dict[str, Any]] | None = None,
        weighed: dict[str, Any] | None = None,
        seconds: float | None = None,
        **what: Any,
    ) -> Record:
        return self._finished(
            self.ask(width, sparsity, **what),
            Counts(
                parameters=max(10**6, nonzero),
                prunable=max(10**6, nonzero),
                nonzero=nonzero,
                batch_norm=77,
                groups=[],
                multiply_adds=work and work[0],
                sparse_multiply_adds=work and work[1],
            ),
            {metric.name: test} | ({} if top5 is None else {"top5": top5}),
            data=data,
            steps=steps,
            metric=metric,
            references=references,
            history=history,
            weighed=weighed,
            seconds=seconds,
        )

    def finish_run(
        self,
        run: Run,
        test: float,
        *,
        parameters: int = 10**6,
        weighed: dict[str, Any] | None = None,
    ) -> None:
        """Any run, finished with this accuracy on test and a point more on validation."""
        planned = Planned(fingerprint=fingerprint(run), name=name(run), run=asked(run))
        self.plan.runs.append(planned)
        self.runs[planned.name] = run
        counts = Counts(
            parameters=parameters, prunable=parameters, nonzero=1000, batch_norm=0, groups=[]
        )
        self._finished(planned, counts, {ACCURACY.name: test}, weighed=weighed)

    def _finished(
        self,
        planned: Planned,
        counts: Counts,
        test: dict[str, float],
        *,
        data: str = "abcdef0123",
        steps: int = 1000,
        metric: Metric = ACCURACY,
        references: dict[str, float] | None = None,
        history: list[dict[str, Any]] | None = None,
        weighed: dict[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Record:
        record = Record(
            fingerprint=planned.fingerprint,
            name=planned.name,
            configuration=planned.run,
            parents={},
            budget=Budget(
                steps=1000,
                examples=9000,
                total_steps=steps,
                total_examples=9 * steps,
                spent_steps=steps,
                spent_examples=9 * steps,
            ),
            seed=self.runs[planned.name].seed,
            curve=describe(self.runs[planned.name]),
            metric=metric,
            chosen_by=metric,
            references=references or {},
            step=900,
            valid={metric.name: test[metric.name] + 1},
            test=test,
            counts=counts,
            checksums={"data": data},
            circumstances={"seconds": 30.0, "torch": "2.99", "device": "cpu"},
        )
        folder = self.store.folder(planned.name)
        if history is not None:
            record.checksums["history"] = folder.save_history(history)
        if weighed is not None:
            files.save_json(folder.path / BYTES, weighed)
        if seconds is not None:
            each = {"batch": 1, "threads": 1, "dense": seconds, "sparse": 2 * seconds}
            slower = {**each, "threads": 2, "dense": seconds / 2}
            timed = {"version": 1, "measured": [each, slower]}
            files.save_json(folder.path / LATENCY, timed)
        folder.finish(record)
        return record

    def find(self) -> findings.Findings:
        return findings.find(self.plan, load.load(self.store, self.plan))


ENCODINGS = (
    *("auto", "dense", "bitmask", "runs4", "runs5", "escape4", "escape5", "csr", "golomb"),
    *("rows", "columns"),
)


def weights(
    prunable: int, *, file: int, folded: int | None = None, positions: int = 0, bound: float = 0.0
) -> dict[str, Any]:
    """What a run weighs, in invented numbers: every encoding alike but for fillers; int8 a quarter
    of `file`."""

    def state(size: int) -> dict[str, Any]:
        row = {
            "bytes": size,
            "position_bytes": positions,
            "value_bytes": size - positions,
            "filler_bytes": 0,
            "overhead_bytes": 0,
        }
        kinds = {"fp32": row, "fp16": None, "bf16": row, "int8": {**row, "bytes": size // 4}}
        filled = {**row, "filler_bytes": 3 * positions}
        return {
            "dense_bytes": 4 * prunable,
            "encodings": {word: filled if "runs" in word else row for word in ENCODINGS},
            "values": kinds,
        }

    return {
        "version": BYTES_VERSION,
        "prunable": prunable,
        "kept": prunable,
        "bound_bytes": bound,
        "batch_norm_kept": state(file),
        "batch_norm_folded": None if folded is None else state(folded),
        "refused": {},
    }


def paper(results: Results) -> Results:
    """Table 2 of the paper, seed for seed one."""
    dense = [(0.25, 0.46, 50.6), (0.5, 1.32, 63.7), (0.75, 2.57, 68.4), (1.0, 4.21, 70.6)]
    sparse = [(0.5, 2.13, 69.5), (0.75, 1.09, 67.7), (0.9, 0.46, 61.8), (0.95, 0.25, 53.6)]
    for sparsity, millions, test in sparse:  # in another order than the table's
        results.finish(round(millions * 1e6), test, 1.0, sparsity)
    for width, millions, test in reversed(dense):
        results.finish(round(millions * 1e6), test, width)
    return results
