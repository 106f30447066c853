"""The results that are committed: what each is made by, what of it is there, and what is missing.

    python -m scripts.results               # a table
    python -m scripts.results table3_small  # make it, going on from the runs that are committed

Every finished run's record, history and outcomes lie under results/published/NAME/runs; they are
taken as finished before anything is trained, so that nothing is trained twice on another machine.
"""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pruneexp.engine import files
from pruneexp.engine.record import RECORD, Plan
from pruneexp.engine.store import Store
from pruneexp.engine.transfer import PLAN, RUNS, give_runs

PUBLISHED = Path(__file__).parent.parent / "results" / "published"


@dataclass(frozen=True, slots=True)
class Result:
    """One published report.

    Arguments:
        name: of its folder and of its experiment.
        words: behind `pruneexp run experiment=NAME`.
        hours: on two cores, about, from nothing.
        data: that PRUNEEXP_DATA must hold; nothing for what the package makes itself.
    """

    name: str
    words: str
    hours: float
    data: str = ""

    @property
    def command(self) -> str:
        """What makes it."""
        return f"pruneexp run experiment={self.name} {self.words}".strip()

    @property
    def plan(self) -> str:
        """The plan's name."""
        return "+".join([self.name, *self.words.split()])


RESULTS = [
    Result("table3_small", "", 5.0),
    Result("rivals_small", "", 5.0),
    Result("table2_small_long", "", 6.0),
    Result("ablation_interval_small", "", 0.6),
    Result("ablation_scope_small", "", 1.0),
    Result("ablation_schedule_small", "", 0.5),
    Result("ablation_start_small", "", 1.0),
    Result("figure2_small", "", 0.5),
    Result("parents_small", "", 3.0),
    Result("table4_small", "", 1.5),
    Result("ablation_allocation_small", "", 0.5),
    Result("transformer_magnitude_small", "", 0.4),
    Result("state_of_sparsity_transformer_small", "", 2.0),
    Result("tatoeba_small", "", 8.0, data="tatoeba_en_de"),
    Result("quantised_lstm_small", "", 1.5),
    Result("quantised_small", "seed=0,1,2", 0.5),
    Result("budget_language", "", 4.0),
    Result("budget", "", 8.0),
    Result("methods_lstm_90", "", 2.0),
    Result("methods_lstm_small", "", 12.0),
    Result("state_of_sparsity_resnet50_small", "", 20.0),
    Result("ptb_small", "", 30.0, "the Penn Treebank"),
    Result("fashion_mnist", "", 4.0, "Fashion-MNIST"),
]


def standing(result: Result, folder: Path) -> tuple[int, int]:
    """How many of the runs that its committed plan wants are committed, and how many it wants: 0
    where it has not come to its end."""
    try:
        plan = Plan.from_plain(files.load_json(folder / PLAN))
    except (OSError, files.Damaged, TypeError):
        return len(list(folder.glob(f"{RUNS}/*/{RECORD}"))), 0
    wanted = {run.name for run in plan.runs if run.wanted}
    wanted |= {trial.name for trial in plan.trials}
    return sum((folder / RUNS / name / RECORD).is_file() for name in wanted), len(wanted)


def table() -> list[str]:
    """A line for each result."""
    lines = []
    for result in RESULTS:
        there, wanted = standing(result, PUBLISHED / result.name)
        state = f"{there} of {wanted} runs" if wanted else f"{there or 'no'} runs so far"
        left = "" if wanted and there == wanted else f"  {result.hours:g} hours from nothing"
        needs = f", needs {result.data}" if result.data and left else ""
        lines.append(f"{result.name:<24} {state:<16}{left}{needs}")
        if left:
            lines.append(f"    make results NAME={result.name}   # {result.command}")
    return lines


def make(result: Result, results: str = "results") -> int:
    """Take what is committed, run the rest, and write the report with its runs; if that does not
    come to its end, the runs that did. Returns the exit status of the first command that failed."""
    here = [sys.executable, "-m", "pruneexp"]
    folder = PUBLISHED / result.name
    if (folder / RUNS).is_dir():
        subprocess.run([*here, "take", str(folder), "--results", results], check=True)
    words = [f"experiment={result.name}", *result.words.split(), f"results={results}"]
    started = subprocess.Popen([*here, "run", *words])
    try:
        done = started.wait()
    except KeyboardInterrupt:  # which the sweep has been told too
        done = started.wait() or 130
    if done:
        store = Store(Path(results))
        given = give_runs(store, store.find_plan(result.plan), folder)
        print(f"{given} finished runs kept in {folder / RUNS}; the same command goes on")
        return done
    words = [result.plan, "--out", str(folder), "--runs", "--results", results]
    return subprocess.run([*here, "report", *words], check=False).returncode


def main() -> int:
    """Say where all stand, or make those that are named."""
    names = sys.argv[1:]
    if not names:
        print("\n".join(table()))
        return 0
    known = {result.name: result for result in RESULTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no result {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    return max(make(known[name]) for name in names)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # into `head` as well
    sys.exit(main())
