"""Speed, side by side in one run, as ratios against named alternatives.

    make bench                        all of it, some minutes on two cores
    python scripts/bench update       one part: step, vision, language, translation, update,
                                      storage, latency, threads, sweep, dry_run or report

Absolute seconds depend on the machine; the ratios are what is claimed. Each figure is the median of
several turns in which all candidates take part one after the other.
"""

import os
import sys

import torch
from dry_run import dry_run
from language import language
from latency import latency
from masks import step, update
from processes import sweep, threads
from report import report
from storage import storage
from translation import translation
from vision import vision

PARTS = {
    "step": step,
    "vision": vision,
    "language": language,
    "translation": translation,
    "update": update,
    "storage": storage,
    "latency": latency,
    "threads": threads,
    "sweep": sweep,
    "dry_run": dry_run,
    "report": report,
}

if __name__ == "__main__":
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        sys.exit(f"no part {', '.join(unknown)}; there is {', '.join(PARTS)}")
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    for name in chosen:
        PARTS[name]()
