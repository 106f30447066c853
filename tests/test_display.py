"""What a person sees: tables that fit, plain lines where there is no terminal, time left."""

import io
import re

import pytest
from rich.console import Console

from pruneexp.cli.console import Console as PlainConsole
from pruneexp.cli.live import Display, DisplayRow, seconds_left, table
from pruneexp.cli.watching import watch
from pruneexp.engine.record import Progress
from tests.results import Results


def running(name: str, step: int, left: float) -> DisplayRow:
    progress = Progress(
        step=step,
        steps=100,
        sparsity=0.5,
        loss=1.25,
        valid=71.5,
        seconds_left=left,
        stage="training",
    )
    return DisplayRow(name, "running", progress)


def rendered(rows: list[DisplayRow], width: int, room: int = 100) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(table(rows, "title", width, room))
    return text.getvalue()


def test_a_wide_table_tells_everything_of_a_running_run() -> None:
    text = rendered([running("net-seed0-0123456789ab", 40, 90)], 120)
    for word in ("net-seed0-0123456789ab", "running", "40/100", "50.0%", "1.250", "71.50", "1:30"):
        assert word in text


def test_a_narrow_table_still_tells_run_state_and_step() -> None:
    text = rendered([running("net-seed0-0123456789ab", 40, 90)], 50)
    assert max(map(len, text.splitlines())) <= 50
    assert "running" in text and "40/100" in text


def test_numbers_stay_whole_beside_real_names() -> None:
    row = running("mobilenet_v1_small-w0.75-glyphs-dense-seed0-3417e8f55410", 400, 90)
    other = DisplayRow(
        "mobilenet_v1_small-w1-glyphs-s0.9-seed0-ad6f506e0f54", "finished", test="80.00 %"
    )
    for width in (70, 80, 100):
        text = rendered([row, other], width)
        for word in ("running", "400/100", "50.0%", "1.250", "71.50", "1:30", "80.00 %", "seed0"):
            assert word in text, (width, text)


def test_where_rows_do_not_fit_running_and_failed_ones_stay() -> None:
    rows = [DisplayRow(f"done-{i}", "finished") for i in range(20)]
    rows += [running("active-x", 1, 5), DisplayRow("broken-x", "failed", error="the loss\nmore")]
    text = rendered(rows, 130, room=3)
    assert "active-x" in text and "broken-x" in text and "the loss" in text
    assert "and 19 more" in text


def test_time_left_by_hand() -> None:
    rows = [
        running("a", 50, 10),
        running("b", 75, 5),
        DisplayRow("c", "waiting"),
        DisplayRow("d", "finished"),
    ]
    # two runs need 15 s in all, a whole one takes 20 s, and two workers share that
    assert seconds_left(rows, 2) == (15 + 20) / 2
    assert seconds_left([DisplayRow("c", "waiting")], 2) is None


def test_without_a_terminal_a_line_a_change() -> None:
    text = io.StringIO()
    with Display("title", Console(file=text, width=40)) as display:
        for _ in range(3):
            display.show(
                [running("net-with-a-rather-long-name", 10, 5), DisplayRow("other", "waiting")]
            )
        display.show([DisplayRow("net-with-a-rather-long-name", "finished", test="80.00 %")])
        display.say("a message")
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert "running" in lines[0] and "step 10/100" in lines[0]
    assert "finished" in lines[1] and "test 80.00 %" in lines[1]
    assert lines[2] == "a message"


@pytest.mark.parametrize("columns", [40, 70, 100])
def test_a_live_table_leaves_room_for_the_echo_of_an_interruption(columns: int) -> None:
    """A terminal writes ^C behind the last line; where that is full, it would begin another, and
    clearing the table would leave its first line behind."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=columns, height=24)
    name = "mobilenet_v1_small-w1-glyphs-s0.8-seed0-60d73138fd04"
    progress = Progress(step=69, steps=5000, loss=2.5, seconds_left=600.0)
    with Display(name, console) as display:
        display.show([DisplayRow(name, "running", progress)])
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", written.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", shown)]
    assert any("69/5000" in line for line in lines)
    assert max(map(len, lines)) <= columns - 3


class TestWatch:
    def finished(self, results: Results) -> None:
        results.finish(1_000, 60.0, 0.25)
        results.finish(2_000, 70.0, 0.5)

    def test_a_line_for_each_change_until_all_is_over(self, results: Results) -> None:
        self.finished(results)
        record = results.finish(3_000, 71.0, 0.75)
        folder = results.store.folder(record.name)
        kept = (folder.path / "record.json").read_bytes()
        (folder.path / "record.json").unlink()
        looks = 0

        def sleep(seconds: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                (folder.path / "record.json").write_bytes(kept)

        text = io.StringIO()
        console = PlainConsole(file=text, width=100)
        watch(results.store, lambda: results.plan, console, sleep=sleep)
        lines = text.getvalue().splitlines()
        assert [re.sub(r".* · ", "", line) for line in lines] == [
            "2 of 3 finished, 1 waiting",
            "3 of 3 finished",
        ]

    def test_ctrl_c_ends_it(self, results: Results) -> None:
        record = results.finish(3_000, 71.0, 0.75)
        (results.store.folder(record.name).path / "record.json").unlink()

        def sleep(seconds: float) -> None:
            raise KeyboardInterrupt

        watch(results.store, lambda: results.plan, PlainConsole(file=io.StringIO()), sleep=sleep)

    def test_on_a_terminal_it_is_a_table(self, results: Results) -> None:
        self.finished(results)
        text = io.StringIO()
        console = PlainConsole(file=text, width=100, force_terminal=True)
        watch(results.store, lambda: results.plan, console)
        assert "2 of 2 finished" in text.getvalue() and "finished" in text.getvalue()
