"""No text from a file, a name or an error is an order to the terminal."""

import io
from pathlib import Path

import hypothesis.strategies as some
import pytest
from hypothesis import given
from rich.table import Table
from rich.text import Text

from pruneexp.cli import main
from pruneexp.cli.console import Console
from pruneexp.cli.live import Display, DisplayRow
from pruneexp.cli.messages import complain, say
from pruneexp.engine import files
from pruneexp.engine.record import FAILURE, Plan, Planned
from pruneexp.printable import one_line, printable
from tests.results import Results

ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"


@given(some.text())
def test_what_is_printable_stays_and_nothing_else_is_left(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert printable(shown) == shown
    assert not any(sign < " " and sign not in "\n\t" for sign in shown)
    assert all(shown[i] in (sign, "?") for i, sign in enumerate(text))
    shown.encode()  # no half of a character


def test_letters_of_all_languages_stay() -> None:
    text = "ünïcödé ± × − ≈ … 日本語 العربية 👍\u00a0\u202f\n\tx"
    assert printable(text) == text


def test_one_line() -> None:
    assert one_line("a\n  b\tc\x1b") == "a b c?"


def test_the_console_lets_nothing_through() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=200)
    table = Table(title=ESCAPE)
    table.add_column(ESCAPE)
    table.add_row(ESCAPE)
    table.add_row(Text(ESCAPE, "bold"))
    console.print(table)
    console.print(ESCAPE)
    shown = file.getvalue()
    assert "\x1b]0" not in shown and "\x07" not in shown and "\x9b" not in shown
    assert "\u202e" not in shown and "owned" in shown
    console.print("[bold]not markup[/bold]")
    assert "[bold]not markup[/bold]" in file.getvalue()


def test_the_display_and_the_messages_neither(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    display = Display(ESCAPE, Console(file=file, width=200))
    display.say(ESCAPE)
    display.show([DisplayRow(f"x{ESCAPE}", "failed", error=ESCAPE)])
    complain([ESCAPE])
    say(ESCAPE)
    ended = capsys.readouterr()
    for text in (file.getvalue(), ended.out, ended.err):
        assert "owned" in text
        assert not any(sign in text for sign in "\x1b\x07\x9b\u202e")


def test_nor_a_plan_or_a_failure_that_someone_forged(
    results: Results, capfd: pytest.CaptureFixture[str]
) -> None:
    store = results.store
    planned = Planned(fingerprint="0" * 12, name="run-000000000000", run={})
    plan = Plan(name="theirs", title=ESCAPE, runs=[planned], unreadable=[])
    plan.unreadable.append({"overrides": ESCAPE, "error": ESCAPE})
    store.save_plan(plan)
    folder = store.folder(planned.name)
    failure = {"error": ESCAPE, "message": ESCAPE, "step": None, "traceback": ESCAPE}
    files.save_json(folder.path / FAILURE, failure)
    for words in (["status", "theirs"], ["show", planned.name], ["report", "theirs"]):
        with pytest.raises(SystemExit):
            main.main([*words, "--results", str(store.results)])
        shown = "".join(capfd.readouterr())
        assert not any(sign in shown for sign in "\x1b\x07\x9b\u202e")
        assert shown


def test_a_file_of_another_program_neither(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"no{ESCAPE}.pxp"
    with pytest.raises(SystemExit):
        main.main(["inspect", str(tmp_path / name)])
    shown = "".join(capfd.readouterr())
    assert shown
    assert not any(sign in shown for sign in "\x1b\x07\x9b\u202e")
