"""The coordinator's record of its runs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from federation_support import echo, until

import hanse
from hanse.errors import RegistryError, WorkspaceError
from hanse.federation.coordinator import Coordinator
from hanse.federation.journal import MUCH_BYTES, Journal, Run, now
from hanse.federation.plan import Plan
from hanse.federation.tail import Row, Tail
from hanse.messages import Reply, Task
from hanse.models.kmeans import KMeans
from hanse.registry_database import Database
from hanse.transports.inprocess import InProcess

STATEMENT = "CREATE FEDERATED MODEL g ..."


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with hanse.connect(tmp_path / "w") as session:
        yield session.federation.journal


def begin(journal: Journal, run: str, second: int, statement: str, status: str) -> None:
    journal.begin(Run(run * 32, "g", statement, {"k": 3}, status, f"2026-01-01T00:00:0{second}.000+00:00"))


def test_the_last_run_is_the_last_training_not_the_last_evaluation(journal: Journal) -> None:
    assert journal.last_run("g") is None
    begin(journal, "a", 1, STATEMENT, "done")
    begin(journal, "b", 2, STATEMENT, "open")
    begin(journal, "c", 3, "", "done")  # federated_evaluate of an earlier version
    found = journal.last_run("G")
    assert found is not None
    assert (found.run_id, found.status, found.parameters) == ("b" * 32, "open", {"k": 3})
    journal.finish("b" * 32, "failed")
    found = journal.last_run("g")
    assert found is not None
    assert found.status == "failed"


def write(journal: Journal, round_: int, given: Mapping[str, Reply | None], kind: str = "moments") -> None:
    with journal.recording("a" * 32, round_, kind) as add:
        for silo, one in given.items():
            add(silo, one)


def files(tmp_path: Path) -> list[Path]:
    """Of replies that are not in the registry yet."""
    return sorted((tmp_path / "w").glob("*.replies"))


def test_while_rounds_follow_one_another_replies_stand_in_a_file(journal: Journal, tmp_path: Path) -> None:
    """And are in the registry for everybody who reads them, and alone there afterwards."""
    begin(journal, "a", 1, STATEMENT, "open")
    with journal.busy("a" * 32):
        for number in range(3):
            write(journal, number, {"x": reply("x", 1.0), "y": None})
            (file,) = files(tmp_path)
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            assert [(line["round"], line["silo"]) for line in lines[-2:]] == [(number, "x"), (number, "y")]
            assert lines[-2]["reply"]["statistics"] == {"count": 1.0}
            assert len(lines) == 2 * (number + 1)
            with hanse.connect(tmp_path / "w") as other:
                assert sorted(other.federation.journal.replies("a" * 32)) == list(range(number + 1))
                assert other.federation.journal.silent("a" * 32, "moments") == ["y"] * (number + 1)
    assert files(tmp_path) == []
    every = {key: {"x": reply("x", 1.0), "y": None} for key in range(3)}
    assert journal.replies("a" * 32) == every
    write(journal, 3, {"x": None})  # a commit of its own
    assert journal.replies("a" * 32) == {**every, 3: {"x": None}}
    assert [item.model for item in journal.received("g")] == ["g"] * 7


def test_many_replies_go_into_the_registry_while_the_training_goes_on(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    big = reply("x", 1.0, "x" * 400_000)
    with journal.busy("a" * 32):
        sizes = []
        for number in range(4):
            journal.settle(above_bytes=MUCH_BYTES)  # as the coordinator does while silos work
            write(journal, number, {"x": big})
            sizes.append(files(tmp_path)[0].stat().st_size)
        assert sizes[2] > 1_200_000
        assert sizes[3] == sizes[0] > 400_000
    assert journal.replies("a" * 32) == {key: {"x": big} for key in range(4)}


@pytest.mark.parametrize(
    "torn",
    [b"", b'{"run_id":"aa', b"\0\0\0\0\n", b"\xff\n{}\n", b"[" * 100_000, b"line", b"reply"],
    ids=["whole", "cut", "zeros", "foreign", "deep", "broken_name", "broken_reply"],
)
def test_what_a_killed_process_wrote_down_is_known(tmp_path: Path, torn: bytes) -> None:
    """Whatever a power cut left behind it."""
    with hanse.connect(tmp_path / "w") as session:
        begin(session.federation.journal, "a", 1, STATEMENT, "open")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "w")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (file,) = files(tmp_path)
    last = file.read_bytes().splitlines(keepends=True)[-1].replace(b'"round":1', b'"round":2')
    broken = {b"line": last.replace(b'"silo":"x"', b'"silo":"\xff"'), b"reply": last.replace(b'"ok"', b'"\xff"')}
    with file.open("ab") as more:
        more.write(broken.get(torn, torn))
    with hanse.connect(tmp_path / "w") as session:
        journal = session.federation.journal
        assert journal.replies("b" * 32) == {}
        assert list(journal.replies("a" * 32)) == [0, 1]
        assert files(tmp_path) == [file]
        with journal.busy("a" * 32):
            assert list(journal.replies("a" * 32)) == [0, 1]
        assert list(journal.replies("a" * 32)) == [0, 1]
        assert files(tmp_path) == ([file] if torn.count(b"\n") > 1 else [])  # whole lines may be another version's


KILLED = """
import os, signal, sys
import hanse
from hanse.messages import Reply

journal = hanse.connect(sys.argv[1]).federation.journal
with journal.busy("a" * 32):
    for number in (0, 1):
        with journal.recording("a" * 32, number, "moments") as add:
            add("x", Reply(run="a" * 32, round=number, silo="x", task_hash="", status="ok"))
            if number:
                os.kill(os.getpid(), signal.SIGKILL)
"""


def left_behind(registry: Path, run: str) -> Path:
    """A file of a dead process, with one reply."""
    tail = Tail(registry, run * 32)
    tail.add(Row(run_id=run * 32, round=0, silo="x", kind="moments", received=now()))
    tail.close()
    return tail.path


def test_files_of_another_registry_stay_where_they_are(journal: Journal, tmp_path: Path) -> None:
    """Of a registry that was moved away, or of one whose name begins alike."""
    begin(journal, "a", 1, STATEMENT, "open")
    registry = tmp_path / "w" / "registry.sqlite"
    unknown = left_behind(registry, "b")
    alike = left_behind(registry.with_name("registry.sqlite-eu"), "a")
    odd = tmp_path / "w" / "registry.sqlite-notes.replies"
    odd.write_bytes(b"mine")
    with journal.busy("a" * 32):
        assert journal.received(None) == []
    assert files(tmp_path) == sorted([unknown, alike, odd])


def test_a_registry_behind_a_link_has_its_files_beside_itself(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    (tmp_path / "link").symlink_to(tmp_path / "w" / "registry.sqlite")
    linked = Journal(Database(tmp_path / "link", timeout_s=5))
    with linked.busy("a" * 32):
        write(linked, 0, {"x": reply("x", 1.0)})
        assert len(files(tmp_path)) == 1
        assert sorted(journal.replies("a" * 32)) == [0]
    linked.close()
    assert files(tmp_path) == []


def test_the_file_is_open_to_those_to_whom_the_registry_is(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    (tmp_path / "w" / "registry.sqlite").chmod(0o640)
    with journal.busy("a" * 32):
        (file,) = files(tmp_path)
        assert file.stat().st_mode & 0o777 == 0o640


def test_what_a_silo_would_not_say_again_waits_for_the_disk(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence and refusals; the ledger has the rest."""
    begin(journal, "a", 1, STATEMENT, "open")
    refused = Reply(run="a" * 32, round=0, silo="z", task_hash="", status="refused")
    waited = []
    with journal.busy("a" * 32), monkeypatch.context() as patched:
        (file,) = files(tmp_path)
        patched.setattr(os, "fsync", lambda _: waited.append(file.read_bytes().count(b"\n")))
        write(journal, 0, {"x": reply("x", 1.0), "y": None, "v": reply("v", 1.0), "z": refused})
        write(journal, 1, {"x": reply("x", 1.0)})
    assert waited == [4]


def test_an_ended_run_has_its_replies_in_the_registry(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    with journal.busy("a" * 32):
        write(journal, 0, {"x": reply("x", 1.0)})
        journal.finish("a" * 32, "done")
        (file,) = files(tmp_path)
        assert file.read_bytes() == b""
        assert sorted(journal.replies("a" * 32)) == [0]


def test_two_processes_that_resume_one_run_write_files_of_their_own(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    with hanse.connect(tmp_path / "w") as session:
        other = session.federation.journal
        with journal.busy("a" * 32), other.busy("a" * 32):
            write(journal, 0, {"x": reply("x", 1.0)})
            time.sleep(0.002)  # the record tells milliseconds apart
            write(other, 0, {"x": reply("x", 2.0), "y": reply("y", 3.0)})
            assert len(files(tmp_path)) == 2
            other.settle()  # before the first
            assert journal.replies("a" * 32)[0]["x"] == reply("x", 1.0)
    assert files(tmp_path) == []
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0), "y": reply("y", 3.0)}}
    assert len(journal.received("g")) == 2


def test_where_no_file_can_be_made_each_round_is_a_commit(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def unsupported(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with journal.busy("a" * 32):
        write(journal, 0, {"x": reply("x", 1.0)})
        write(journal, 1, {"x": reply("x", 1.0)})
        assert sorted(journal.replies("a" * 32)) == [0, 1]
        assert files(tmp_path) == []


def test_a_registry_in_memory_has_no_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with hanse.connect() as session:
        begin(session.federation.journal, "a", 1, STATEMENT, "open")
        with session.federation.journal.busy("a" * 32):
            write(session.federation.journal, 0, {"x": None})
        assert session.federation.journal.replies("a" * 32) == {0: {"x": None}}
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_round_and_loses_nothing_before_it(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    write_some = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_some(file, data[:-150])

    told = r"replies cannot be written: the disk is full: free some space and try again"
    with journal.busy("a" * 32):
        write(journal, 0, {"x": reply("x", 1.0)})
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(WorkspaceError, match=told):
                write(journal, 1, {"x": reply("x", 1.0)})
        write(journal, 2, {"x": reply("x", 1.0)})
        (file,) = files(tmp_path)
        assert [json.loads(line)["round"] for line in file.read_text().splitlines()] == [0, 2]
    assert sorted(journal.replies("a" * 32)) == [0, 2]
    assert files(tmp_path) == []


def test_a_training_within_another_has_a_file_of_its_own(journal: Journal, tmp_path: Path) -> None:
    """As where a report of progress trains; and no descriptor is left open."""
    begin(journal, "a", 1, STATEMENT, "open")
    begin(journal, "b", 2, STATEMENT, "open")
    before = len(list(Path("/dev/fd").iterdir()))
    with journal.busy("a" * 32):
        write(journal, 0, {"x": reply("x", 1.0)})
        with journal.busy("b" * 32):
            with journal.recording("b" * 32, 0, "moments") as add:
                add("y", None)
            assert len(files(tmp_path)) == 2
        (file,) = files(tmp_path)
        write(journal, 1, {"x": reply("x", 1.0)})
        with journal.recording("b" * 32, 1, "evaluate") as add:  # measured meanwhile
            add("y", None)
        assert file.read_bytes().count(b"\n") == 3
        assert journal.replies("b" * 32) == {0: {"y": None}, 1: {"y": None}}
    assert files(tmp_path) == []
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert sorted(journal.replies("a" * 32)) == [0, 1]
    assert journal.replies("b" * 32) == {0: {"y": None}, 1: {"y": None}}


def test_lines_that_another_version_wrote_are_not_removed(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    path = left_behind(tmp_path / "w" / "registry.sqlite", "a")
    (line,) = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(line + line.replace(b'"round":0', b'"cycle":1') + line.replace(b'"round":0', b'"round":2'))
    with journal.busy("a" * 32):
        assert journal.replies("a" * 32) == {0: {"x": None}}
    assert files(tmp_path) == [path]


def test_a_file_without_a_rounds_end_does_not_grow_for_ever(journal: Journal, tmp_path: Path) -> None:
    """Where nothing is waited for, as with one silo."""
    begin(journal, "a", 1, STATEMENT, "open")
    big = reply("x", 1.0, "x" * 3 * MUCH_BYTES)
    with journal.busy("a" * 32):
        sizes = []
        for number in range(4):
            write(journal, number, {"x": big})
            sizes.append(files(tmp_path)[0].stat().st_size)
        assert sizes[1] > 6 * MUCH_BYTES
        assert sizes[2] == 0
        assert sizes[3] == sizes[0]
    assert sorted(journal.replies("a" * 32)) == [0, 1, 2, 3]


def test_a_group_keeps_its_registrys_files(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not give files away may still give them to a group."""
    begin(journal, "a", 1, STATEMENT, "open")
    owner = (tmp_path / "w" / "registry.sqlite").stat()
    asked: list[tuple[int, int]] = []

    def denied(file: int, user: int, group: int) -> None:
        asked.append((user, group))
        if user != -1:
            raise PermissionError

    monkeypatch.setattr(os, "fchown", denied)
    with journal.busy("a" * 32):
        assert len(files(tmp_path)) == 1
    assert asked == [(-1, owner.st_gid), (owner.st_uid, -1)]


def test_a_registry_that_is_locked_at_the_end_gets_them_later(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    registry = tmp_path / "w" / "registry.sqlite"
    impatient = Journal(Database(registry, timeout_s=0.05))
    with impatient.busy("a" * 32):
        write(impatient, 0, {"x": reply("x", 1.0)})
        locked = sqlite3.connect(registry, isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
    assert len(files(tmp_path)) == 1
    with pytest.raises(WorkspaceError, match="is locked by another process"), impatient.busy("a" * 32):
        raise AssertionError("a training must not begin without what is known of it")
    locked.execute("ROLLBACK")
    locked.close()
    assert sorted(journal.replies("a" * 32)) == [0]
    assert len(files(tmp_path)) == 1
    with impatient.busy("a" * 32):
        pass
    impatient.close()
    assert sorted(journal.replies("a" * 32)) == [0]
    assert files(tmp_path) == []


def test_a_registry_that_was_replaced_leaves_them_in_the_file(journal: Journal, tmp_path: Path) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    registry = tmp_path / "w" / "registry.sqlite"
    with journal.busy("a" * 32):
        write(journal, 0, {"x": reply("x", 1.0)})
        registry.rename(tmp_path / "aside")
        with hanse.connect(tmp_path / "w") as other:
            assert other.federation.journal.received(None) == []
    (file,) = files(tmp_path)
    assert file.stat().st_size > 0
    (tmp_path / "aside").replace(registry)
    with hanse.connect(tmp_path / "w") as session:
        assert session.federation.journal.replies("a" * 32) == {0: {"x": reply("x", 1.0)}}


def reply(silo: str, count: float, message: str = "") -> Reply:
    statistics = {"count": count}
    return Reply(run="a" * 32, round=0, silo=silo, task_hash="", status="ok", statistics=statistics, message=message)


def test_of_two_replies_the_first_stands_and_one_after_silence_is_kept(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    silent = []
    for given in ({"x": reply("x", 1.0), "y": None}, {"x": reply("x", 2.0), "y": reply("y", 3.0)}, {"y": None}):
        write(journal, 0, given, "install")
        silent.append(journal.silent("a" * 32, "install"))
    assert silent == [["y"], [], []]
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0), "y": reply("y", 3.0)}}
    assert journal.replies("b" * 32) == {}


def test_what_came_before_an_error_is_written_down(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def cut_off() -> None:
        with journal.recording("a" * 32, 0, "moments") as add:
            add("x", reply("x", 1.0))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        cut_off()
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0)}}


def test_what_cannot_be_written_down_does_not_count(journal: Journal) -> None:
    with pytest.raises(RegistryError):
        write(journal, 0, {"x": reply("x", 1.0)})  # no such run was begun


def test_the_coordinator_writes_a_reply_down_while_another_is_waited_for(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def slow(asked: Task) -> Reply:
        until(lambda: "x" in journal.replies("a" * 32).get(0, {}))
        return echo(asked)

    plan = Plan("g", "features", ("a",), ("x", "y"), KMeans(), {})
    transport = InProcess({"x": echo, "y": slow})
    with journal.busy("a" * 32):
        replies = Coordinator(plan, transport, journal, "a" * 32).exchange("describe")
    transport.close()
    assert journal.replies("a" * 32) == {0: replies}
    assert sorted(replies) == ["x", "y"]
