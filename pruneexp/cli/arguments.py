"""The arguments of the commands that compose no configuration. Nothing here imports torch, rich or
hydra, so that `pruneexp COMMAND --help` answers at once."""

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from pruneexp.config import amounts


def report(parser: ArgumentParser) -> None:
    plan(parser)
    parser.add_argument("--out", type=Path, help="where to write; results/reports/PLAN without")
    parser.add_argument(
        "--runs",
        action="store_true",
        help="also the records, histories and outcomes of its finished runs, which `take` accepts",
    )


def list_(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", help="of names, tasks, kinds or states that all must have"
    )
    parser.add_argument("--task", default="", help="such as glyphs")
    parser.add_argument("--kind", choices=["dense", "sparse"], default="", help="of models")
    parser.add_argument("--state", default="", help="such as finished, failed or running")
    parser.add_argument(
        "--sort",
        choices=["best", "bytes", "nonzero", "name", "seconds"],
        default="best",
        help="the order; best is on validation, task by task",
    )
    parser.add_argument("--most", type=_positive, default=50, help="rows (50)")
    _format(parser)


def compare(parser: ArgumentParser) -> None:
    for name in ("first", "second"):
        parser.add_argument(name, help="a name, a fingerprint or its beginning, or a folder")
    _format(parser)


def choose(parser: ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", help="a plan's name or file; without, all runs")
    parser.add_argument(
        "--budget",
        type=_amount(amounts.bytes_of),
        nargs="+",
        help="what the packed file may take, such as 200kB; several are answered one by one",
    )
    parser.add_argument(
        "--nonzero", type=_amount(amounts.count_of), nargs="+", help="weights that may be kept: 50k"
    )
    parser.add_argument("--ms", type=_number, help="milliseconds of one example, as timed here")
    parser.add_argument(
        "--at-least",
        type=_number,
        help="the metric to reach (at most, where lower is better): the smallest file that does",
    )
    parser.add_argument("--task", default="", help="of the runs, where there are several")
    _format(parser)


def take(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of a report that was written with --runs")


def merge(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="another results folder")


def plan(parser: ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", help="a plan's name or file; the latest without")
    parser.add_argument(
        "--watch", action="store_true", help="look again every two seconds until all is done"
    )
    _format(parser)


def show(parser: ArgumentParser) -> None:
    _run(parser)
    parser.add_argument(
        "--command", action="store_true", help="only the line that makes the run again"
    )
    _format(parser)


def clean(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="remove; without, only list")
    parser.add_argument(
        "--keep", choices=["weights", "none"], default="weights", help="of finished runs"
    )
    parser.add_argument("--unfinished", action="store_true", help="also runs that did not end")
    parser.add_argument("--cache", action="store_true", help="also data that can be made again")


def work(parser: ArgumentParser) -> None:
    parser.add_argument("plan", help="a plan's name or file")
    parser.add_argument("--attached", action="store_true", help="leave when stdin closes")
    _trust(parser)


def bytes_(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="+", help="runs, or plans for all of their finished runs")
    _trust(parser)
    _format(parser)


def pack(parser: ArgumentParser) -> None:
    from pruneexp.storage import encodings, values

    _run(parser)
    _out(parser, "the file to write")
    parser.add_argument("--values", choices=values.WORDS, default="fp32", help="of kept weights")
    parser.add_argument(
        "--encoding", choices=encodings.WORDS, default="auto", help="of their positions"
    )
    parser.add_argument(
        "--fold", action="store_true", help="batch-norm into the convolution before it"
    )
    _trust(parser)


def unpack(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    _out(parser, "the safetensors to write")
    parser.add_argument("--masks", type=Path, help="another, for the masks")
    parser.add_argument(
        "--limit",
        type=int,
        help="bytes the tensors may take; else what the file's length justifies",
    )


def inspect(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pxp file")
    parser.add_argument("--all", action="store_true", help="also a line for each vector")
    _format(parser)


def latency(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="+", help="finished runs, plans (all their finished runs), .pxp files"
    )
    parser.add_argument(
        "--batch",
        type=_positive,
        nargs="+",
        default=[1, 16],
        help="pictures or texts at once, each measured (1 16)",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="of the CPU (1)")
    _trust(parser)
    _format(parser)


def translate(parser: ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("--beams", type=_positive, help="of the search; the run's own without")
    parser.add_argument("--root", type=Path, help="the folder of the data that it was trained on")
    parser.add_argument(
        "--sparse", action="store_true", help="skip masked weights in layers where that is faster"
    )
    parser.add_argument("--threads", type=_positive, default=1, help="of the CPU (1)")


def export(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="a finished run or a .pxp file")
    _out(parser, "FILE.safetensors or FILE.onnx")
    _trust(parser)


def _run(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="a name, a fingerprint or its beginning, or a folder")


def _format(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=["table", "json"], default="table", help="for people or for programs"
    )


def _out(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--out", type=_new_file, required=True, help=what)


def _trust(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import and run Python that a record, plan or .pxp file names",
    )


def _new_file(text: str) -> Path:
    path = Path(text).expanduser()
    if not text or path.is_dir():
        raise ArgumentTypeError(f"takes the path of a file to write, got {text or repr(text)}")
    return path


def _amount(read: Callable[[str], int]) -> Callable[[str], int]:
    def amount(text: str) -> int:
        try:
            return read(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return amount


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise ArgumentTypeError(f"takes a number above 0, got {text}")
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"takes a whole number above 0, got {text}")
    return int(text)
