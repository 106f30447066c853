"""All run folders and plans under one results folder: find them, save them."""

import os
from pathlib import Path

from pruneexp.engine import files
from pruneexp.engine.record import LEASE, Plan
from pruneexp.engine.run_folder import RunFolder

MOST_BYTES_OF_A_PLAN = 10**9
LONGEST_PART = 255  # bytes of a folder's name
LONGEST_PATH = 4_000  # characters of a path that is looked up


class Store:
    """All runs and plans under one results folder.

        Store(Path("results")).find("0123456789ab").record()

    Arguments:
        results: the folder; it need not exist before something is written.
    """

    def __init__(self, results: Path) -> None:
        if any(len(part.encode(errors="replace")) > LONGEST_PART for part in results.parts):
            raise files.CannotWrite(Path(f"{str(results)[:40]}..."), "the name is too long")
        self.results = results
        self.runs = results / "runs"
        self.plans = results / "plans"
        self.reports = results / "reports"
        self.cache = results / "cache"

    def folder(self, name: str) -> RunFolder:
        """The folder of a run of this name, which need not exist. A name that would lead out of the
        runs' folder is a ValueError; names in records and plans are checked when they are read."""
        if name in ("", ".", "..") or name != Path(name).name:
            raise ValueError(f"{name!r} is no name of a run")
        return RunFolder(self.runs / name)

    def folders(self) -> list[RunFolder]:
        """Of all runs, by name."""
        if not self.runs.is_dir():
            return []
        return [RunFolder(path) for path in sorted(self.runs.iterdir()) if path.is_dir()]

    def search(self, text: str) -> list[RunFolder]:
        """The runs that are meant by a path, a name, a fingerprint or its beginning, also behind
        some words of the name, as `pruneexp status` prints it."""
        if len(text) > LONGEST_PATH or "\0" in text:
            return []
        if text.strip(".") and text == Path(text).name and (self.runs / text).is_dir():
            return [RunFolder(self.runs / text)]
        if (Path(text) / LEASE).exists():
            return [RunFolder(Path(text))]
        if not text or not self.runs.is_dir():
            return []
        return [  # names first: a sweep asks this for every point, perhaps among thousands of runs
            RunFolder(self.runs / name)
            for name in sorted(os.listdir(self.runs))
            if (name == text or _means(text, name)) and (self.runs / name).is_dir()
        ]

    def find(self, text: str) -> RunFolder:
        """The one run that a person means. Raises `NotFound` where there is none, or several."""
        folders = self.search(text)
        if len(folders) == 1:
            return folders[0]
        if folders:
            names = "\n  ".join(folder.path.name for folder in folders)
            raise files.NotFound(f"{text!r} could be any of\n  {names}")
        raise files.NotFound(f"no run {text!r} in {self.runs}; `pruneexp status` lists them")

    def save_plan(self, plan: Plan) -> Path:
        """Write a plan under its name, and return its file."""
        path = self.plans / f"{plan.name}.json"
        files.save_json(path, plan.to_plain())
        return path

    def find_plan(self, text: str) -> Plan:
        """A plan by its name or its file. Raises `NotFound`, or `Damaged` naming the file."""
        path = Path(text) if text.endswith(".json") else self.plans / f"{text}.json"
        if len(text) > LONGEST_PATH or not path.exists():
            known = ", ".join(self.plan_names()) or "none yet"
            raise files.NotFound(f"no plan {text!r} in {self.plans}; there is {known}")
        try:
            return Plan.from_plain(files.load_json(path, most_bytes=MOST_BYTES_OF_A_PLAN))
        except TypeError as error:
            raise files.Damaged(path, str(error)) from error

    def plan_names(self) -> list[str]:
        """The latest first."""
        paths = [path for path in self.plans.glob("*.json") if path.is_file()]
        return [path.stem for path in sorted(paths, key=_changed, reverse=True)]


def _means(text: str, name: str) -> bool:
    """Whether a text is the beginning of a name's fingerprint, perhaps behind words of the name."""
    *words, beginning = text.split("-")
    *own, fingerprint = name.split("-")
    if text.startswith("…"):  # a name that was cut to fit; its first word may be half
        words = words[1:]
    return bool(beginning) and fingerprint.startswith(beginning) and set(words) <= set(own)


def _changed(path: Path) -> float:
    """When a file was written; one that has just gone is the oldest."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
