"""Files that are whole or not there, damage that is noticed, folders that are held."""

import errno
import os
from pathlib import Path

import hypothesis.strategies as some
import pytest
from hypothesis import HealthCheck, given, settings

from pruneexp.engine import files
from pruneexp.engine.record import (
    CHECKPOINT,
    LEASE,
    PREVIOUS,
    RECORD,
    Failure,
    Plan,
    Planned,
    Progress,
)
from pruneexp.engine.store import Store


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    data = {"a": [1, 2.5, None], "b": {"c": "text ö"}}
    files.save_json(tmp_path / "x.json", data)
    assert files.load_json(tmp_path / "x.json") == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=some.integers(0, 10**6), bit=some.integers(0, 7))
def test_a_flipped_bit_never_passes_as_the_same_data(tmp_path: Path, place: int, bit: int) -> None:
    data = {"accuracy": 81.25, "steps": 800, "name": "run"}
    path = tmp_path / "x.json"
    files.save_json(path, data)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        assert files.load_json(path) == data  # white space and the like
    except files.Damaged as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"checksum": 1}'])
def test_other_content_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(files.Damaged):
        files.load_json(tmp_path / "x.json")


def test_checked_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.save_checked(path, b"payload")
    assert files.load_checked(path) == b"payload"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(files.Damaged, match="checksum"):
        files.load_checked(path)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    files.save_json(path, {"state": "old"})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.CannotWrite, match=r"x\.json cannot be written \(No space left"):
        files.save_json(path, {"state": "new"})
    assert files.load_json(path) == {"state": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_results_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    folder = Store(tmp_path / "results").folder("run-0123456789ab")
    with pytest.raises(files.CannotWrite, match=r"choose another folder \(results="):
        folder.lease().__enter__()


def test_only_one_holds_a_folder_and_status_follows_the_files(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder("run-0123456789ab")
    assert folder.status() == "waiting"
    with folder.lease() as mine:
        assert mine and folder.status() == "running"
        with folder.lease() as second:
            assert not second
        assert folder.status() == "running"
    assert folder.status() == "waiting"
    folder.save_checkpoint(b"state")
    assert folder.status() == "interrupted"
    (folder.path / CHECKPOINT).rename(folder.path / PREVIOUS)  # a kill came before the next
    assert folder.status() == "interrupted"
    folder.fail(Failure(error="E", message="no"))
    assert folder.status() == "failed"


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder("run-0123456789ab")
    folder.save_checkpoint(b"first")
    folder.save_checkpoint(b"second")
    assert [files.load_checked(path) for path in folder.checkpoints()] == [b"second", b"first"]


def test_states_of_named_steps_are_kept_and_checked(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder("run-0123456789ab")
    assert folder.states() == []
    with pytest.raises(files.NotFound, match=r"state-000000\.bin is not there; .* steps: none"):
        folder.state(0)
    folder.save_state(1_000_000, b"late")
    folder.save_state(100, b"early")
    folder.save_checkpoint(b"newest")
    assert folder.states() == [100, 1_000_000]
    assert (folder.state(100), folder.state(1_000_000)) == (b"early", b"late")
    # A digest of 32 bytes lies before each.
    assert folder.size("state-000100.bin") == 32 + len(b"early")
    assert folder.size() == 3 * 32 + len(b"early" + b"late" + b"newest")
    with pytest.raises(files.NotFound, match="steps: 100, 1000000"):
        folder.state(7)
    folder.state_path(100).write_bytes(b"other")
    with pytest.raises(files.Damaged, match=r"state-000100\.bin is damaged"):
        folder.state(100)


def test_a_name_is_looked_up_without_listing_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    for fingerprint in ("aaaa00000000", "aabb00000000"):
        with store.folder(f"net-seed0-{fingerprint}").lease():
            pass

    def refused(*arguments: object) -> None:
        raise AssertionError("the folder of runs was listed")

    monkeypatch.setattr(os, "listdir", refused)
    monkeypatch.setattr(Path, "iterdir", refused)
    assert store.find("net-seed0-aaaa00000000").fingerprint == "aaaa00000000"


def test_a_path_outside_the_runs_is_no_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.runs.mkdir(parents=True)
    for text in ("", ".", "..", "../runs", "/"):
        assert store.search(text) == [], text


def test_taking_a_folder_removes_what_a_kill_left(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder("run-0123456789ab")
    folder.save_checkpoint(b"whole")
    (folder.path / ".checkpoint.bin.99.tmp").write_bytes(b"half")
    with folder.lease():
        assert folder.last_holder() == os.getpid()
    assert sorted(path.name for path in folder.path.iterdir()) == ["checkpoint.bin", LEASE]


def test_runs_are_found_by_name_fingerprint_and_path(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for fingerprint in ("aaaa00000000", "aabb00000000"):
        with store.folder(f"net-seed0-{fingerprint}").lease():
            pass
    assert store.find("aaaa").fingerprint == "aaaa00000000"
    assert store.find("net-seed0-aabb00000000").fingerprint == "aabb00000000"
    assert store.find(str(store.runs / "net-seed0-aabb00000000")).fingerprint == "aabb00000000"
    with pytest.raises(files.NotFound, match="could be any of"):
        store.find("aa")
    with pytest.raises(files.NotFound, match="no run 'zz'"):
        store.find("zz")


def test_a_record_with_other_fields_is_damaged(tmp_path: Path) -> None:
    folder = Store(tmp_path).folder("run-0123456789ab")
    files.save_json(folder.path / RECORD, {"fingerprint": "0123456789ab"})
    with pytest.raises(files.Damaged, match=r"record\.json is damaged"):
        folder.record()
    assert folder.is_damaged()


def test_plans_and_progress_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = Planned(fingerprint="0" * 12, name="n-000000000000", run={"a": 1})
    plan = Plan(name="mine", title="t", runs=[planned])
    store.save_plan(plan)
    assert store.find_plan("mine") == plan
    with pytest.raises(files.NotFound, match="there is mine"):
        store.find_plan("other")
    folder = store.folder(planned.name)
    assert folder.progress() is None
    folder.show(Progress(step=3, steps=9))
    assert folder.progress() == Progress(step=3, steps=9)
    assert (folder.path / LEASE).exists() is False
