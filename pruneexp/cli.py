"""The commands. `run` and `size` compose a configuration and take Hydra overrides; the others work
on what is finished or planned and take paths and --options. Nothing here imports torch before a
command needs it."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from pruneexp import files
from pruneexp.recipe import Invalid, digest
from pruneexp.record import FAILURE
from pruneexp.stopping import stopping

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
WIDE = 160  # columns where no terminal says how many there are

COMMANDS = {
    "run": "train and prune one configuration, or a sweep (-m, or experiment=...)",
    "size": "what a configuration would weigh; no data, no training",
    "report": "curves, tables and a page from a plan's finished runs",
    "status": "where the runs of a plan stand, or which plans there are",
    "show": "everything about one run",
    "clean": "list what takes space and is no longer needed; --yes removes it",
}
ASIDE = (  # what is no part of a run's name is none of a plan's
    *("experiment", "results", "workers", "device", "dry_run", "format", "keep", "title"),
    *("training.threads", "training.workers", "training.checkpoint_seconds", "task.root"),
)
HYDRA_HELP = """\
  pruneexp run                                  the small MobileNet on glyphs at 80 %
  pruneexp run pruning=none model.width=0.5     a small dense one
  pruneexp run -m pruning.sparsity=0.5,0.9      a sweep
  pruneexp run experiment=table2_small          a whole figure
  pruneexp run --cfg job ...                    all keys, and their values with these overrides
  pruneexp run --help                           all groups and their options
  pruneexp run dry_run=true ...                 what would run, and what it weighs

TAB completes: eval "$(pruneexp -sc install=bash)" """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_dispatch(given))
    except Invalid as invalid:
        _complain(str(fault) for fault in invalid.faults)
        sys.exit(BAD_INPUT)
    except (files.NotFound, files.Damaged, files.CannotWrite) as error:
        _complain([str(error)])
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"pruneexp: {line}", file=sys.stderr)


def _dispatch(given: list[str]) -> int:
    if given and given[0].startswith(("-sc", "--shell-completion", "--shell_completion")):
        return _complete(given)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if given else BAD_INPUT
    if given[0] == "--version":
        from importlib.metadata import version

        print(f"pruneexp {version('pruneexp')}")
        return 0
    command, rest = given[0], given[1:]
    if command in ("run", "size"):
        return _with_hydra(command, rest)
    if command in ("report", "status", "show", "clean", "work"):
        from pruneexp import desk

        return desk.do(command, rest)
    near = get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(COMMANDS)}."
    if "=" in command:
        hint = f"overrides follow a command: pruneexp run {' '.join(given)}"
    _complain([f"no command {command}; {hint}"])
    return BAD_INPUT


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {word:<{width}}  {does}" for word, does in COMMANDS.items())
    return (
        "Train a small dense model or prune a large one? Measured at equal memory.\n\n"
        f"usage: pruneexp COMMAND ...\n\n{commands}\n\n{HYDRA_HELP}"
    )


# --- run and size ------------------------------------------------------------------------------


def _with_hydra(command: str, given: list[str]) -> int:
    """Let Hydra compose; a sweep leaves from within, one configuration is acted on here."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from pruneexp import config, explain

    if any(word in ("-h", "--help") for word in given):
        print(_help_of_options(config.CONF))
        return 0
    other = [word for word in given if re.match(r"--config-(name|path)|-c[np]\b", word)]
    if other:
        _complain([f"{other[0]} is not for a person; --config-dir FOLDER adds your own YAML"])
        return BAD_INPUT
    sweeping = any(word in ("-m", "--multirun") for word in given)
    if command == "size" and sweeping:
        return _one_only()
    config.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # we say what went wrong, with the key
    composed: list[Any] = []  # empty after --cfg and the like
    weighs_a_sweep = False

    def task(configuration: Any) -> None:
        nonlocal weighs_a_sweep
        sweeper = HydraConfig.get().sweeper
        weighs_a_sweep = command == "size" and bool(sweeper.get("union"))
        composed.append(configuration)

    before, sys.argv = sys.argv, ["pruneexp", *_flags_first(given)]
    if command == "size":
        sys.argv.append("hydra.mode=RUN")
    try:
        hydra.main(version_base="1.3", config_path=str(config.CONF), config_name="run")(task)()
    except Invalid:
        raise
    except explain.EXPECTED as error:
        overrides = [word for word in given if "=" in word and not word.startswith("--")]
        several = sweeping and any("," in word for word in overrides)
        found = [] if several else explain.faults(overrides, _config_dir(given))
        _complain([str(fault).strip() for fault in found] or [explain.plainly(error)])
        return BAD_INPUT
    finally:
        sys.argv = before
    if weighs_a_sweep:
        return _one_only()
    act = _size if command == "size" else _run
    return max([act(config.read(configuration)) for configuration in composed], default=0)


def _one_only() -> int:
    _complain(["size takes one configuration; `pruneexp run ... dry_run=true` weighs a sweep"])
    return BAD_INPUT


def _flags_first(given: list[str]) -> list[str]:
    """Hydra's own parser takes no override after a flag that follows one."""
    flags = [word for word in given if word in ("-m", "--multirun")]
    return [*flags, *(word for word in given if word not in flags)]


def _help_of_options(conf: Path) -> str:
    """Every group with its options, as they lie in conf/."""
    groups: dict[str, list[str]] = {}
    for path in sorted(conf.rglob("*/*.yaml")):
        groups.setdefault(str(path.parent.relative_to(conf)), []).append(path.stem)
    width = max(map(len, groups))
    listed = "\n".join(f"  {group:<{width}}  {', '.join(o)}" for group, o in groups.items())
    return f"{HYDRA_HELP}\n\ngroups and their options:\n{listed}"


def _config_dir(given: list[str]) -> str | None:
    for index, word in enumerate(given):
        if word in ("--config-dir", "-cd") and index + 1 < len(given):
            return os.path.abspath(given[index + 1])
        if word.startswith("--config-dir="):
            return os.path.abspath(word.partition("=")[2])
    return None


def _size(run: Any) -> int:
    from pruneexp import terminal
    from pruneexp.size import size

    weighed = size(run)
    console = Console()
    if run.format == "json":
        print(json.dumps(weighed.to_plain()))
    elif console.is_terminal or "COLUMNS" in os.environ:
        console.print(terminal.size(weighed, console.width))
    else:  # a file or a pipe has room for every column
        Console(width=WIDE).print(terminal.size(weighed, WIDE))
    return 0


def _run(run: Any) -> int:
    """One configuration, in this process, with a display of its own."""
    from pruneexp.config import name
    from pruneexp.display import Display, Row

    if run.dry_run:
        return _dry_run([run], [])
    folder = run.store.folder(name(run))
    if folder.status() == "finished" and not folder.is_damaged():
        return _outcome(run, folder.record_or_fail())
    with stopping() as stop, Display(name(run), Console(stderr=True)) as display:
        from pruneexp.execute import execute, failure
        from pruneexp.training.fit import Stopped

        display.show([Row(name(run), "running")])
        try:
            record = execute(
                run,
                watch=lambda progress: display.show([Row(name(run), "running", progress)]),
                stop=stop,
                say=display.say,
            )
        except Stopped:
            display.say("stopped; the same command goes on from here")
            return INTERRUPTED
        except (Invalid, files.Damaged, files.CannotWrite):
            raise
        except Exception as error:  # kept in the run's folder, with its traceback
            display.say(f"{name(run)} failed: {failure(error)['message']}")
            display.say(f"the traceback is in {folder.path / FAILURE}")
            return FAILED
    return _outcome(run, record)


def _outcome(run: Any, record: Any) -> int:
    from pruneexp import terminal

    if run.format == "json":
        print(json.dumps(record.to_plain()))
    else:
        Console().print(terminal.outcome(record))
    return 0


def sweep(
    experiment: str | None, overrides: list[str], runs: list[Any], unreadable: list[dict[str, str]]
) -> int:
    """A whole sweep: plan it, let workers run it, report it. Returns the exit status."""
    from pruneexp.sweep import plan

    for point in unreadable:
        _complain([f"{point['overrides']}: {line}" for line in point["error"].splitlines()])
    if not runs:
        return BAD_INPUT
    first = runs[0]
    if first.dry_run:
        return _dry_run(runs, unreadable)
    made = plan(
        first.title or experiment or "sweep", plan_name(experiment, overrides), runs, unreadable
    )
    stopped = _conduct(first, made)
    from pruneexp.report import report
    from pruneexp.sweep import standings

    console = Console()
    ended = standings(first.store, made)
    report_ = report(first.store, made)
    if first.format == "json":
        print(json.dumps({"plan": made.name, "states": {s.planned.name: s.state for s in ended}}))
    else:
        report_.print(console)
    if stopped:
        _complain(["stopped; the same command goes on from here"])
        return INTERRUPTED
    return FAILED if unreadable or any(s.state != "finished" for s in ended) else 0


def _conduct(first: Any, made: Any) -> bool:
    """Start workers over the plan and show where it stands until they leave."""
    import time

    from pruneexp.display import Display, Row
    from pruneexp.sweep import Pool, standings, workers_that_pay

    store = first.store
    path = store.save_plan(made)
    for planned in made.runs:  # an error of an earlier start is tried again
        folder = store.folder(planned.name)
        if folder.status() == "failed":
            folder.forget_failure()
    left = sum(s.state != "finished" for s in standings(store, made))
    if not left:
        return False
    workers = workers_that_pay(first, left)
    title = f"{made.title} on {workers} worker{'s' if workers > 1 else ''}"
    with stopping() as stop, Display(title, Console(stderr=True)) as display:
        pool = Pool(store, path, workers)
        try:
            while pool.tend():
                if stop() and not pool.stopping:
                    pool.stop()
                for line in pool.said():
                    display.say(line)
                rows = [
                    Row(s.planned.name, s.state, s.progress, s.test, s.error)
                    for s in standings(store, made)
                ]
                display.show(rows, workers)
                time.sleep(0.25)
        except BaseException:  # a second Ctrl-C, a closed pipe: nothing may go on behind our back
            pool.kill()
            raise
        for line in pool.said():
            display.say(line)
    return pool.stopping


def plan_name(experiment: str | None, overrides: list[str]) -> str:
    """The experiment's, and what the command line changed in it that is part of a run's name."""
    rest = [word for word in overrides if re.split(r"[=@]", word)[0].lstrip("+~") not in ASIDE]
    words = "+".join([experiment or "sweep", *rest])
    safe = re.sub(r"[^\w.,=+-]+", "_", words)
    return safe if len(safe) <= 100 else f"{safe[:87]}-{digest(rest)}"


def _dry_run(runs: list[Any], unreadable: list[dict[str, str]]) -> int:
    from pruneexp import terminal
    from pruneexp.config import restore
    from pruneexp.size import size
    from pruneexp.sweep import plan, standings

    made = plan("", "dry run", runs, unreadable)
    store = runs[0].store
    rows = []
    for standing in standings(store, made):
        run = restore(standing.planned.run)
        try:
            rows.append((standing, run, size(run).counts))
        except Invalid as invalid:
            unreadable = [*unreadable, {"overrides": standing.planned.name, "error": str(invalid)}]
            _complain([f"{standing.planned.name}: {fault}" for fault in invalid.faults])
    if runs[0].format == "json":
        print(
            json.dumps(
                [
                    {
                        "name": standing.planned.name,
                        "state": standing.state,
                        "steps": run.steps,
                        "nonzero": counts.nonzero,
                        "megabytes": counts.megabytes,
                        "parent": standing.planned.parent,
                    }
                    for standing, run, counts in rows
                ]
            )
        )
    else:
        Console().print(terminal.dry_run(rows, Console().width))
    return BAD_INPUT if unreadable else 0


# --- completion --------------------------------------------------------------------------------


def _complete(given: list[str]) -> int:
    """Hydra's completion knows no commands: complete those here and hide them from it."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    query = any("query=" in word for word in given)
    if query and (len(words) < 2 or (len(words) == 2 and not line.endswith(" "))):
        typed = words[1] if len(words) == 2 else ""
        print(" ".join(word for word in COMMANDS if word.startswith(typed)))
        return 0
    if query and words[1] not in ("run", "size"):
        return 0
    if query:
        hidden = line.replace(f" {words[1]}", "", 1)
        os.environ["COMP_POINT"] = str(len(hidden))
        os.environ["COMP_LINE"] = hidden
    return _with_hydra("run", given)
