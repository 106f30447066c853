"""What a person types: every spelling that has one meaning is taken, and what has none is told with
the words to type instead."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pruneexp.cli.keys import keys
from pruneexp.cli.names import fitted
from pruneexp.cli.quoting import quoted
from pruneexp.cli.words import for_hydra, for_parser, without_cfg
from pruneexp.config.options import OPTIONS
from pruneexp.config.recipe import Invalid
from pruneexp.engine.record import LEASE
from pruneexp.engine.store import Store
from tests.test_cli import completed
from tests.test_sweep import TINY, pruneexp


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--results", "x"], ["results=x"]),
        (["--results=x y", "--format", "json"], ["results=x y", "format=json"]),
        (["--trust", "seed=1"], ["trust=true", "seed=1"]),
        (["+experiment=table2_small"], ["experiment=table2_small"]),
        (["pruning.sparsity", "=", "0.5"], ["pruning.sparsity=0.5"]),
        (["pruning.sparsity=", "0.5", "seed", "=1"], ["pruning.sparsity=0.5", "seed=1"]),
        (["title=", "-m", "seed=1,2"], ["title=", "-m", "seed=1,2"]),
        (["--config-dir", "conf", "seed=1"], ["--config-dir", "conf", "seed=1"]),
        (["~pruning.x", "--cfg", "job"], ["~pruning.x", "--cfg", "job"]),
    ],
)
def test_spellings_of_overrides(typed: list[str], meant: list[str]) -> None:
    assert for_hydra(typed) == meant


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["table2_small"],
            r"^table2_small is an experiment: pruneexp run experiment=table2_small$",
        ),
        (["0.5"], r"^'0\.5' is no override: they are key=value"),
        (["--results"], r"^--results takes a value$"),
    ],
)
def test_words_that_are_no_overrides(typed: list[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        for_hydra(typed)


def test_spellings_of_options() -> None:
    options = {"--results", "--format", "--trust"}
    assert for_parser(["a", "results=x", "format=json"], options) == [
        *("a", "--results=x", "--format=json")
    ]
    assert for_parser(["trust=true", "trust=false", ""], options) == ["--trust", ""]
    assert for_parser(["trust=true"], {"--results"}) == ["trust=true"]


def test_values_that_hydra_cannot_read_are_quoted() -> None:
    plain = ["seed=1,2", "pruning.scope.include=[a,b]", "title='a b'", "results=/tmp/x", "a=${b}"]
    assert quoted(plain) == plain
    assert quoted(["results=~/zz", "task.root=/x/ü=1", "task.root=~/a,~/b"]) == [
        *("results='~/zz'", "task.root='/x/ü=1'", "task.root='~/a','~/b'")
    ]


def test_asking_for_the_configuration() -> None:
    assert without_cfg(["a=1", "--cfg", "job", "b=2"]) == (["a=1", "b=2"], True)
    assert without_cfg(["--cfg=job"]) == ([], True)
    for others in (["--cfg", "hydra"], ["--cfg", "job", "--package", "task"]):
        assert without_cfg(others) == (others, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sparsity=0.5"], "sparsity is no key here (did you mean pruning.sparsity?)"),
        (["lr=0.1"], "(did you mean training.learning_rate?)"),
        (["training.lr=0.1"], "(did you mean training.learning_rate?)"),
        (["training.decay=linear"], "its option is chosen by training/decay=linear"),
        (["training.clip=None"], "training.clip takes a number, got None; null is none"),
        (["training.steps=${nosuch}"], "training.steps cannot be read: Interpolation key 'nosuch'"),
        (["results="], "results takes the name of a folder, got ''"),
        (["experiment=[table2_small,table3_small]"], "experiment takes one experiment, since each"),
        (["-m", "seed=1,2", "hydra.sweep.dir=/tmp/x"], "hydra.sweep.dir is not used: runs lie"),
        (["hydra.run.dir=x"], "hydra.run.dir is not used"),
        (["-m", "seed=1,2", "hydra.launcher.nope=1"], "hydra.launcher.nope is no key here"),
    ],
)
def test_what_cannot_be_is_told_with_the_remedy(
    words: list[str], message: str, tmp_path: Path
) -> None:
    done = pruneexp("run", *words, "dry_run=true", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "{plan}", "--out", "/proc/x"], "choose another folder (--out ...)"),
        (["pack", "{run}", "-o", "/proc/x/y"], "choose another folder (--out ...)"),
        (["pack", "{run}", "-o", ""], "takes the path of a file to write, got ''"),
        (["clean", "--results", "/nosuch"], "there is no folder /nosuch to clean"),
    ],
)
def test_commands_name_their_own_option(words: list[str], message: str, swept: Path) -> None:
    (plan,) = Store(swept / "results").plan_names()
    run = Store(swept / "results").folders()[0].path.name
    done = pruneexp(*(word.format(plan=plan, run=run) for word in words), cwd=swept)
    assert done.returncode == 2 and message in done.stderr, done.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan of two finished runs."""
    folder = tmp_path_factory.mktemp("swept")
    done = pruneexp("run", "-m", *TINY, "seed=0,1", "pruning.schedule.interval=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def in_columns(columns: int | None, *words: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {} if columns is None else {"COLUMNS": str(columns)}
    done = subprocess.run(
        [sys.executable, "-m", "pruneexp", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("columns", [None, 45, 60, 80, 120])
def test_show_takes_what_status_prints(columns: int | None, swept: Path) -> None:
    store = Store(swept / "results")
    lines = in_columns(columns, "status", cwd=swept).splitlines()
    printed = [line.split()[0] for line in lines if " finished " in line and "of 2" not in line]
    names = [folder.path.name for folder in store.folders()]
    assert [store.find(text).path.name for text in printed] == names
    if columns is None:  # in a pipe nothing is left out
        assert printed == names


def test_names_leave_out_what_all_share() -> None:
    names = ["net-w1-data-s0.5-seed0-0123456789ab", "net-w1-data-s0.5-seed1-ba9876543210"]
    assert fitted(names, 40) == (names, "")
    assert fitted(names, 20) == (["seed0-01234567", "seed1-ba987654"], "net-w1-data-s0.5")
    assert fitted(names, 10) == (["…-01234567", "…-ba987654"], "net-w1-data-s0.5")
    assert fitted(names[:1], 20) == (["…s0.5-seed0-01234567"], "")
    assert fitted([], 10) == ([], "")


def test_a_run_is_found_by_words_and_the_beginning_of_its_fingerprint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("net-s0.5-seed0-0123456789ab", "net-s0.5-seed1-0199999999ab"):
        (store.runs / name).mkdir(parents=True)
        (store.runs / name / LEASE).touch()

    def found(text: str) -> int:
        return len(store.search(text))

    assert [found(t) for t in ("0123", "01", "seed1-01", "net-seed0-0123456789ab")] == [1, 2, 1, 1]
    assert [found(t) for t in ("seed2-01", "seed0-99", "seed0-", "…ed0-0123", "…x-01")] == [
        *(0, 0, 0, 1, 2)
    ]


def test_the_configuration_that_is_printed_can_be_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    asked = ["experiment=parents_small", "seed=3", "training.clip=null"]
    for name, words in {"one": ["model.width=0.5", "title=a: b"], "all": asked}.items():
        shown = pruneexp("run", *words, "--cfg", "job", cwd=tmp_path)
        (folder / f"{name}.yaml").write_text(shown.stdout)
        last = ["dry_run=true", "format=json"]
        first = pruneexp("run", *words, *last, cwd=tmp_path)
        again = pruneexp("run", "--config-dir", "conf", f"experiment={name}", *last, cwd=tmp_path)
        assert json.loads(again.stdout) == json.loads(first.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ["pruning=none", "model.width=0.5"],
        ["task=grammar", "model=lstm_lm", "training=grammar", "pruning.scope.recurrent=apart"],
        ["pruning/scope=named", "pruning.scope.include=['blocks.*',classifier.weight]"],
        ["pruning/allocation=per_layer", "pruning.allocation.at_most={blocks.0.*: 0}", "seed=4"],
        ["training.clip=1.5", "model.layout=published"],
    ],
    ids=str,
)
def test_the_command_that_show_prints_remakes_the_run(words: list[str]) -> None:
    import shlex

    from pruneexp.cli.again import command
    from pruneexp.cli.compose import compose
    from pruneexp.config.read import read
    from pruneexp.config.run import name

    (configuration,) = compose(words).configurations
    asked = read(configuration)
    program, verb, *again = shlex.split(command(asked))
    assert (program, verb) == ("pruneexp", "run")
    (configuration,) = compose(again).configurations
    assert name(read(configuration)) == name(asked)


def test_hydras_own_params_are_axes(tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    sweeper = '{params: {seed: "1,2", model.width: 0.5}}'
    (folder / "p.yaml").write_text(
        f"# @package _global_\nhydra: {{mode: MULTIRUN, sweeper: {sweeper}}}\n"
    )
    done = pruneexp(
        "run", "--config-dir", "conf", "experiment=p", "dry_run=true", "format=json", cwd=tmp_path
    )
    names = [row["name"].rpartition("-")[0] for row in json.loads(done.stdout)]
    assert names == [f"mobilenet_v1_small-w0.5-glyphs-s0.8-seed{seed}" for seed in (1, 2)]


def test_every_key_has_a_meaning_in_the_help() -> None:
    listed = list(keys())
    assert [key.name for key in listed if not key.meaning] == []
    names = {key.name for key in listed}
    assert {"pruning.schedule.begin", "training.clip", "model.hidden_size", "seed"} <= names
    groups = {group.replace("/", ".") for group in OPTIONS}
    assert {name.rpartition(".")[0] for name in names} - {""} <= groups


def test_tab_knows_runs_plans_and_options(swept: Path) -> None:
    def offered(line: str) -> list[str]:
        return completed(line, swept).split()

    store = Store(swept / "results")
    runs = [folder.path.name for folder in store.folders()]
    assert offered("pruneexp show mob") == runs
    assert offered("pruneexp report sweep") == store.plan_names()
    assert offered("pruneexp pack --v") == ["--values"]
    assert offered("pruneexp run --c") == ["--config-dir"]
    assert "model=resnet50" in offered("pruneexp run model=")
    assert not [word for word in offered("pruneexp run model=") if "base_" in word]


@pytest.mark.parametrize("words", [["status"], ["show", "seed0"], ["clean"]], ids=str)
def test_an_output_that_cannot_be_written_is_a_line(words: list[str], swept: Path) -> None:
    if words[0] == "show":
        words = ["show", Store(swept / "results").folders()[0].path.name]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pruneexp", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=swept,
        )
    assert done.returncode == 1
    assert done.stderr == "pruneexp: the output cannot be written (No space left on device)\n"


def test_a_terminal_without_unicode_gets_question_marks(swept: Path) -> None:
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = Store(swept / "results").folders()[0].path.name
    for words in (["status"], ["show", run], ["run", "title=ü", "dry_run=true"]):
        done = subprocess.run(
            [sys.executable, "-m", "pruneexp", *words],
            capture_output=True,
            cwd=swept,
            env=environment,
        )
        assert done.returncode == 0 and done.stderr == b"", done.stderr
