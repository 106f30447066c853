"""The commands. `run` and `size` compose a configuration and take Hydra overrides; the others work
on what is finished or planned and take paths and --options. Nothing here imports torch before a
command needs it."""

import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from pruneexp.cli.messages import BAD_INPUT, INTERRUPTED, complain
from pruneexp.config.recipe import Invalid
from pruneexp.engine import files

COMMANDS = {
    "run": "train and prune one configuration, or a sweep (-m, or experiment=...)",
    "size": "what a configuration would weigh; no data, no training",
    "report": "curves, tables and a page from a plan's finished runs",
    "status": "where the runs of a plan stand, or which plans there are",
    "show": "everything about one run",
    "bytes": "what a finished run, or a plan's runs, weigh in each encoding",
    "pack": "a finished run's weights and masks as one small file (.pxp)",
    "unpack": "such a file as safetensors",
    "inspect": "what is in such a file, tensor by tensor",
    "latency": "how fast finished models are on this CPU, dense against sparse",
    "export": "a finished run or such a file as dense safetensors or ONNX",
    "clean": "list what takes space and is no longer needed; --yes removes it",
}
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
        complain(str(fault) for fault in invalid.faults)
        sys.exit(BAD_INPUT)
    except (files.NotFound, files.Damaged, files.CannotWrite) as error:
        complain([str(error)])
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


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
    if command in (*COMMANDS, "work"):
        from pruneexp.cli import runs

        return runs.do(command, rest)
    near = get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(COMMANDS)}."
    if "=" in command:
        hint = f"overrides follow a command: pruneexp run {' '.join(given)}"
    complain([f"no command {command}; {hint}"])
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

    from pruneexp.cli import hydra_errors, run
    from pruneexp.config import options, read
    from pruneexp.engine import lineage

    if any(word in ("-h", "--help") for word in given):
        print(_help_of_options(options.CONF))
        return 0
    other = [word for word in given if re.match(r"--config-(name|path)|-c[np]\b", word)]
    if other:
        complain([f"{other[0]} is not for a person; --config-dir FOLDER adds your own YAML"])
        return BAD_INPUT
    sweeping = any(word in ("-m", "--multirun") for word in given)
    if command == "size" and sweeping:
        return _one_only()
    options.register()
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
        hydra.main(version_base="1.3", config_path=str(options.CONF), config_name="run")(task)()
    except Invalid:
        raise
    except hydra_errors.EXPECTED as error:
        overrides = [word for word in given if "=" in word and not word.startswith("--")]
        several = sweeping and any("," in word for word in overrides)
        found = [] if several else hydra_errors.faults(overrides, _config_dir(given))
        complain([str(fault).strip() for fault in found] or [hydra_errors.plainly(error)])
        return BAD_INPUT
    finally:
        sys.argv = before
    if weighs_a_sweep:
        return _one_only()
    act = run.weigh if command == "size" else run.run
    return max(
        [act(lineage.settle(read.read(configuration))) for configuration in composed], default=0
    )


def _one_only() -> int:
    complain(["size takes one configuration; `pruneexp run ... dry_run=true` weighs a sweep"])
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
