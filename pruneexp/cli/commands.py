"""The one table of commands. Dispatch, help, completion and the tests come from it.

To add a command, write a function that takes its options and the store and returns an exit status,
and add one entry to `COMMANDS`.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from pruneexp.cli import arguments
from pruneexp.cli.words import for_parser
from pruneexp.engine import files
from pruneexp.engine.record import BYTES
from pruneexp.engine.store import Store

if TYPE_CHECKING:
    from pruneexp.cli.keys import Key


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One command, as `pruneexp NAME ...` calls it.

    The function that does the work is named, not given, so that its module, and torch, rich or
    hydra with it, is imported when the command is used and not for its help::

        Command(
            name="count",
            line="how many runs there are",
            act="runs:count_command",  # def count_command(options: Namespace, store: Store) -> int
        )
    """

    name: str
    line: str  # beside the name in `pruneexp --help`
    act: str  # module:function in pruneexp.cli; gets options and store, or the words behind
    # the command if it composes; returns the exit status
    description: str = ""  # above the arguments in `pruneexp NAME --help`; else `line`
    arguments: Callable[[ArgumentParser], None] = lambda parser: None  # beside --results
    composes: bool = False  # whether Hydra composes a configuration from the words behind it
    options: dict[str, str] = field(default_factory=dict)  # then, what it takes besides overrides
    hidden: bool = False  # whether help and completion leave it out, as it is for other programs

    def __call__(self, words: list[str]) -> int:
        """Do what the words behind the command ask for. Returns the exit status."""
        if self.composes:
            if any(word in ("-h", "--help") for word in words):
                print(help_of_overrides(self))
                return 0
            return self.load()(words)
        parser = self.parser()
        options = parser.parse_args(for_parser(words, parser._option_string_actions))
        try:
            return self.load()(options, Store(options.results.expanduser()))
        except files.CannotWrite as error:
            if getattr(options, "out", None) is None:
                raise
            raise files.CannotWrite(error.path, error.reason, "--out ...") from error

    def parser(self) -> ArgumentParser:
        """Reads the words behind a command that composes no configuration."""
        description = self.description or f"{self.line[0].upper()}{self.line[1:]}."
        parser = ArgumentParser(prog=f"pruneexp {self.name}", description=description)
        parser.add_argument(
            "--results", type=Path, default=Path("results"), help="the results folder"
        )
        self.arguments(parser)
        return parser

    def load(self) -> Callable[..., int]:
        """The function that does the work."""
        module, _, function = self.act.partition(":")
        act: Callable[..., int] = getattr(import_module(f"pruneexp.cli.{module}"), function)
        return act


_CONFIG_DIR = {"--config-dir FOLDER": "your own YAML beside the package's"}
_TABLE = [
    Command(
        name="run",
        line="train and prune one configuration, or a sweep (-m, or experiment=...)",
        composes=True,
        options={
            "-m": "a sweep: every combination of what is given as a list, such as seed=1,2",
            "--yes": "read a sweep of very many points without asking",
            **_CONFIG_DIR,
        },
        act="run:run_command",
    ),
    Command(
        name="size",
        line="what a configuration would weigh; no data, no training",
        composes=True,
        options=_CONFIG_DIR,
        act="run:size_command",
    ),
    Command(
        name="choose",
        line="which model to ship for a budget, how sure that is, and what packs it",
        description="Which model to ship for a budget, how sure that is, and the command that "
        "packs it: from a plan's finished runs, or from all that can be compared. Chosen on "
        "validation, reported on test.",
        arguments=arguments.choose,
        act="choose:choose_command",
    ),
    Command(
        name="report",
        line="curves, tables and a page from a plan's finished runs",
        arguments=arguments.report,
        act="runs:report_command",
    ),
    Command(
        name="status",
        line="where the runs of a plan stand, or which plans there are",
        arguments=arguments.plan,
        act="runs:status_command",
    ),
    Command(
        name="list",
        line="all runs of a results folder, the best first",
        description="All runs of a results folder, with or without a plan, the best of each task "
        "first.",
        arguments=arguments.list_,
        act="listing:list_command",
    ),
    Command(
        name="compare",
        line="two finished runs side by side, down to the layer",
        arguments=arguments.compare,
        act="listing:compare_command",
    ),
    Command(
        name="show",
        line="everything about one run",
        arguments=arguments.show,
        act="runs:show_command",
    ),
    Command(
        name="bytes",
        line="what a finished run, or a plan's runs, weigh in each encoding",
        description="What finished runs weigh in the bytes of a packed file, under each encoding "
        f"and type of values. It is kept in the run's folder as {BYTES}, and measured if that file "
        "is not there and the weights were kept.",
        arguments=arguments.bytes_,
        act="models:bytes_command",
    ),
    Command(
        name="pack",
        line="a finished run's weights and masks as one small file (.pxp)",
        description="Write a finished run's weights and masks as one small file (docs/format.md).",
        arguments=arguments.pack,
        act="models:pack_command",
    ),
    Command(
        name="unpack",
        line="such a file as safetensors",
        description="Write a .pxp file as safetensors, dense, with zeros where masked.",
        arguments=arguments.unpack,
        act="models:unpack_command",
    ),
    Command(
        name="inspect",
        line="what is in such a file, tensor by tensor",
        description="What is in a .pxp file, tensor by tensor. The bound is log2 C(n, k), for "
        "masks without structure.",
        arguments=arguments.inspect,
        act="models:inspect_command",
    ),
    Command(
        name="latency",
        line="how fast finished models are on this CPU, dense against sparse",
        description="How fast finished models are on this CPU, dense against sparse. The times "
        "are kept in the folder of the run.",
        arguments=arguments.latency,
        act="models:latency_command",
    ),
    Command(
        name="translate",
        line="sentences from standard input through a finished run",
        description="Translate sentences, one a line from standard input, with a finished run of a "
        "task of pairs. Its vocabulary follows from the data that it was trained on, which must be "
        "there.",
        arguments=arguments.translate,
        act="translate:translate_command",
    ),
    Command(
        name="export",
        line="a finished run or such a file as dense safetensors or ONNX",
        description="Write a finished run or a .pxp file for other programs, dense, with masks "
        "applied.",
        arguments=arguments.export,
        act="models:export_command",
    ),
    Command(
        name="take",
        line="finished runs of a published report, as if they had been made here",
        description="Take the runs of a report that was written with --runs into the results "
        "folder: records, histories and outcomes, without weights. A sweep then goes on from them, "
        "and trains again only what other runs need the weights of.",
        arguments=arguments.take,
        act="runs:take_command",
    ),
    Command(
        name="merge",
        line="finished runs and plans of another results folder, weights too",
        description="Copy the finished runs and the plans of another results folder, as from "
        "another machine, into this one. What is finished here stays; where an equal run has "
        "another result there, both are told.",
        arguments=arguments.merge,
        act="runs:merge_command",
    ),
    Command(
        name="clean",
        line="list what takes space and is no longer needed; --yes removes it",
        arguments=arguments.clean,
        act="runs:clean_command",
    ),
    Command(
        name="work",
        line="take runs of a plan until none is left; a launcher starts this",
        arguments=arguments.work,
        hidden=True,
        act="runs:work_command",
    ),
]
COMMANDS = {command.name: command for command in _TABLE}
LISTED = {name: command for name, command in COMMANDS.items() if not command.hidden}

OF_OVERRIDES = """\
  pruneexp run                                  the small MobileNet on glyphs at 80 %
  pruneexp run pruning=none model.width=0.5     a small dense one
  pruneexp run -m pruning.sparsity=0.5,0.9      a sweep
  pruneexp run experiment=table2_small          a whole figure
  pruneexp run --cfg job ...                    all keys, and their values with these overrides
  pruneexp run --help                           all groups and their options
  pruneexp run dry_run=true ...                 what would run, and what it weighs

TAB completes: eval "$(pruneexp -sc install=bash)" """


def overview() -> str:
    """What `pruneexp --help` says."""
    width = max(map(len, LISTED))
    commands = "\n".join(f"  {name:<{width}}  {command.line}" for name, command in LISTED.items())
    return (
        "Train a small dense model or prune a large one? Measured at equal memory.\n\n"
        f"usage: pruneexp COMMAND ...\n\n{commands}\n\n{OF_OVERRIDES}"
    )


def help_of_overrides(command: Command) -> str:
    """What `pruneexp run --help` says: every group with its options, and every key."""
    from pruneexp.cli.keys import keys
    from pruneexp.config.location import CONF

    groups: dict[str, list[str]] = {}
    for path in sorted(CONF.rglob("*/*.yaml")):
        groups.setdefault(str(path.parent.relative_to(CONF)), []).append(path.stem)
    width = max(map(len, [*groups, *command.options]))
    listed = "\n".join(f"  {group:<{width}}  {', '.join(o)}" for group, o in groups.items())
    options = "\n".join(f"  {option:<{width}}  {what}" for option, what in command.options.items())
    return (
        f"usage: pruneexp {command.name} [options] [group=option] [key=value] ...\n\n"
        f"{command.line}\n\n{OF_OVERRIDES}\n\ngroups and their options:\n{listed}\n\n"
        f"options:\n{options}\n\n"
        f"keys, their defaults and what they mean (a group's YAML may set others: --cfg job):\n"
        + "\n".join(_described(key) for key in keys())
    )


def _described(key: "Key") -> str:
    return fill(
        key.line(),
        width=100,
        initial_indent=f"  {key.name}={key.default}".ljust(47) + " ",
        subsequent_indent=" " * 48,
    )
