"""The command line as a person meets it: help, typos, completion, finished things."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from pruneexp.cli.commands import COMMANDS
from pruneexp.cli.main import main
from pruneexp.cli.messages import complain
from tests.test_sweep import TINY, pruneexp


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("home")
    done = pruneexp("run", *TINY, "pruning.schedule.interval=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = pruneexp("--help", cwd=tmp_path)
    assert done.returncode == 0
    shown = dict(re.findall(r"^  (\w+) +(\S.*)$", done.stdout, re.MULTILINE))
    listed = {name: command.line for name, command in COMMANDS.items() if not command.hidden}
    assert {name: shown.get(name) for name in listed} == listed
    assert "work" in COMMANDS and "work" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_says_what_it_takes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    command = COMMANDS[name]
    assert shown.startswith(f"usage: pruneexp {name} ")
    if command.composes:
        assert command.line in shown and "pruning/schedule" in shown
        return
    assert (command.description or command.line)[1:40] in " ".join(shown.split())
    for action in command.parser()._actions:
        assert (action.option_strings or [action.dest])[0] in shown
        assert action.help, f"pruneexp {name}: {action.dest} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_documented_function(name: str) -> None:
    act = COMMANDS[name].load()
    assert act.__doc__, f"{act} does not say what it does"
    assert act.__name__ == f"{name}_command"


def test_commands_are_documented() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text().splitlines()
    lines = "\n".join(
        line for line in readme if line.startswith("pruneexp ") or "`pruneexp" in line
    )
    for name, command in COMMANDS.items():
        assert command.hidden or re.search(rf"\b{name}\b", lines), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no command rnu; did you mean run?"),
        (["model.width=0.5"], "pruneexp run model.width=0.5"),
        (["run", "model.width=20"], "model.width takes a number in (0, 16], got 20.0"),
        (["run", "seed=1,2"], "seed takes one value, got 1,2; a sweep is `pruneexp run -m`"),
        (["run", "experiment=tabel2_small"], "did you mean table2_small?"),
        (["size", "-m", "seed=1"], "size takes one configuration"),
        (["size", "experiment=table2_small"], "size takes one configuration"),
        (["run", "model=null"], "must be a string"),
        (["run", "--config-name", "report"], "--config-dir FOLDER adds your own YAML"),
        (
            ["run", "-m", "seed=range(0,100000)"],
            "100,000 points, about 6 minutes to read; add --yes",
        ),
        (
            ["run", "-m", "seed=1,2", "hydra/launcher=joblib"],
            "hydra/launcher takes local, got joblib",
        ),
        (
            ["run", "-m", "seed=1,2", "hydra/launcher=basic"],
            "hydra/launcher takes local, got basic",
        ),
        (["run", "-m", "pruning.start=dense,0123"], "use one sweep for each kind"),
        (["run", "-m", "seed=1,2", "hydra/sweeper=basic"], "add hydra/launcher=basic"),
        (["run", "--config-dir", "nowhere"], "nowhere"),
        (["show", "nothing"], "no run 'nothing'"),
        (["status"], "no plan in"),
        (["report", "nothing"], "no plan 'nothing'"),
        (["pack", "nothing", "-o", "model.pxp"], "no run 'nothing'"),
        (["inspect", "nothing.pxp"], "nothing.pxp cannot be read (No such file or directory)"),
        (["unpack", "nothing.pxp", "-o", "w.safetensors"], "nothing.pxp cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = pruneexp(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = pruneexp("run", *TINY, "results=taken", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr and "results=" in done.stderr
    swept = pruneexp("run", "-m", *TINY, "results=taken", cwd=tmp_path)
    assert swept.returncode == 2
    assert "cannot be written" in swept.stderr and "Traceback" not in swept.stderr


def completed(line: str, cwd: Path) -> str:
    """What TAB offers at the end of a line."""
    done = subprocess.run(
        [sys.executable, "-m", "pruneexp", "-sc", "query=bash"],
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "pruneexp ",
            "run size choose report status list compare show bytes pack unpack inspect latency "
            "translate export take merge clean",
        ),
        ("pruneexp s", "size status show"),
        ("pruneexp run pruning/schedule=", "cubic"),
        ("pruneexp run experiment=ta", "table2_small"),
        ("pruneexp size model.wi", "model.width="),
    ],
)
def test_completion(line: str, expected: str, tmp_path: Path) -> None:
    assert expected in completed(line, tmp_path)


LIGHT = """
import sys, contextlib
from pruneexp.cli.main import main
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
heavy = [module for module in ("torch", "torchvision") if module in sys.modules]
print("heavy:", heavy, file=sys.stderr)
slow = [module for module in ("hydra", "omegaconf", "rich", "pandas") if module in sys.modules]
print("slow:", slow, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["run", "--help"], ["run", "model.widht=2"], ["run", "--cfg", "job"]),
        *(["status"], ["show", "mobilenet"], ["clean"], ["rnu"]),
    ],
)
def test_what_answers_at_once_imports_no_torch(arguments: list[str], home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, cwd=home
    )
    assert "heavy: []" in done.stderr


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_imports_nothing_slow(name: str, tmp_path: Path) -> None:
    arguments = [*name.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert "heavy: []" in done.stderr and "slow: []" in done.stderr


def test_a_finished_run_and_its_report_need_no_torch(home: Path) -> None:
    swept = pruneexp("run", "-m", *TINY, "seed=0", "pruning.schedule.interval=2", cwd=home)
    assert swept.returncode == 0
    for arguments in (["run", *TINY, "pruning.schedule.interval=2"], ["report"]):
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, cwd=home
        )
        assert "heavy: []" in done.stderr, arguments


def test_a_run_is_packed_and_unpacked_without_torch(home: Path) -> None:
    (folder,) = (home / "results" / "runs").iterdir()
    for arguments in (
        ["pack", folder.name, "-o", "model.pxp"],
        ["inspect", "model.pxp"],
        ["unpack", "model.pxp", "-o", "back.safetensors", "--masks", "masks.safetensors"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, cwd=home
        )
        assert "heavy: []" in done.stderr, arguments
    for name, back in (("weights", "back"), ("masks", "masks")):
        before = load_file(folder / f"{name}.safetensors")
        after = load_file(home / f"{back}.safetensors")
        assert before.keys() == after.keys()
        for key, tensor in before.items():
            assert tensor.dtype == after[key].dtype and (tensor == after[key]).all(), key
    packed = (home / "model.pxp").stat().st_size
    facts = json.loads(pruneexp("inspect", "model.pxp", "--format", "json", cwd=home).stdout)
    assert facts["bytes"] == packed < facts["dense_bytes"]
    parts = ("position_bytes", "value_bytes", "overhead_bytes")
    assert sum(facts[part] for part in parts) == packed
    record = json.loads((folder / "record.json").read_text())
    assert facts["kept"] >= record["counts"]["nonzero"]


def test_a_flag_may_stand_anywhere(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    flags = ["-m", "--yes", "--config-dir", "conf"]
    done = pruneexp("run", *TINY, *flags, "seed=1,2", "dry_run=true", "format=json", cwd=tmp_path)
    assert len(json.loads(done.stdout)) == 2, done.stderr


OWN_YAML = {
    "experiment/wrong": ("# @package _global_\ntitel: x\n", "titel is no key here"),
    "experiment/broken": ("# @package _global_\ntitle: [1\n", "a YAML file cannot be read"),
    "model/empty": ("width: 1\n", "model takes one of the options of its group"),
    "model/untyped": ("width: 1\nfoo: 2\n", "model takes one of the options of its group"),
    "model/typo": ("defaults: [base_custm]\n", "did you mean base_custom?"),
}


@pytest.mark.parametrize("place", OWN_YAML)
def test_faults_in_a_persons_own_yaml_are_named(place: str, tmp_path: Path) -> None:
    text, message = OWN_YAML[place]
    path = tmp_path / "conf" / f"{place}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    group, _, word = place.partition("/")
    done = pruneexp("run", "--config-dir", "conf", f"{group}={word}", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_show_tells_everything(home: Path) -> None:
    (folder,) = (home / "results" / "runs").iterdir()
    fingerprint = folder.name.rpartition("-")[2]
    done = pruneexp("show", fingerprint[:6], cwd=home)
    for text in ("test accuracy", "pruning.schedule.interval", "masked", "threads"):
        assert text in done.stdout
    record = json.loads(pruneexp("show", str(folder), "--format", "json", cwd=home).stdout)
    assert record["fingerprint"] == fingerprint


def test_size_as_json_is_one_object(tmp_path: Path) -> None:
    done = pruneexp("size", "pruning.sparsity=0.9", "format=json", cwd=tmp_path)
    weighed = json.loads(done.stdout)
    assert weighed["parameters"] == 293_359
    assert weighed["nonzero"] == 37_154
    assert weighed["prunable"] == 284_672
    assert weighed["batch_norm"] == 4_800


@pytest.mark.parametrize("columns", [50, 80, 140])
def test_tables_fit_the_terminal(columns: int, home: Path) -> None:
    environment = {**os.environ, "COLUMNS": str(columns)}
    (folder,) = (home / "results" / "runs").iterdir()
    assert pruneexp("pack", folder.name, "-o", "model.pxp", cwd=home).returncode == 0
    commands = (["size"], ["show", "mobilenet"], ["run", *TINY, "dry_run=true"])
    for arguments in (*commands, ["inspect", "model.pxp"]):
        done = subprocess.run(
            [sys.executable, "-m", "pruneexp", *arguments],
            capture_output=True,
            text=True,
            cwd=home,
            env=environment,
        )
        assert max(map(len, done.stdout.splitlines()), default=0) <= columns, done.stdout


def test_clean_lists_first_and_removes_when_told(tmp_path: Path) -> None:
    assert pruneexp("run", *TINY, cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    (folder / ".weights.safetensors.99.tmp").write_bytes(b"half")
    (folder / "checkpoint.bin").write_bytes(b"left over")
    listed = pruneexp("clean", cwd=tmp_path)
    assert "half-written" in listed.stdout and "could go" in listed.stdout
    assert (folder / "checkpoint.bin").exists()
    pruneexp("clean", "--yes", cwd=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [
            *("bytes.json", "history.csv", "lease", "masks.safetensors", "outcomes.json"),
            *("record.json", "usage.json", "weights.safetensors"),
        ]
    )
    pruneexp("clean", "--yes", "--keep", "none", "--cache", cwd=tmp_path)
    assert not (folder / "weights.safetensors").exists()
    assert (folder / "record.json").exists()
    assert not list((tmp_path / "results" / "cache").iterdir())


def test_what_a_file_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    complain(["a name \x1b]0;taken\x07\x1b[2J, and\nits remedy"])
    assert capsys.readouterr().err == "pruneexp: a name ?]0;taken??[2J, and\nits remedy\n"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["size", "format=json"]], ids=str)
def test_an_output_that_is_closed_early_is_no_error(words: list[str], tmp_path: Path) -> None:
    """As `| head -1` closes it."""
    command = [sys.executable, "-m", "pruneexp", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141
