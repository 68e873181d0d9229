"""The coordinator's record of its runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from federation_support import echo, until

import hanse
from hanse.errors import RegistryError
from hanse.federation.coordinator import Coordinator
from hanse.federation.journal import Journal, Recording, Run
from hanse.federation.plan import Plan
from hanse.messages import Reply, Task
from hanse.models.kmeans import KMeans
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


def test_while_rounds_follow_one_another_the_journal_of_sqlite_stays(journal: Journal, tmp_path: Path) -> None:
    """And is gone afterwards, also where another session, which removes it at each commit, has written meanwhile."""
    begin(journal, "a", 1, STATEMENT, "open")
    beside = tmp_path / "w" / "registry.sqlite-journal"
    with journal.busy():
        for number in range(3):
            with journal.recording("a" * 32, number, "moments") as recording:
                recording.add("x", reply("x", 1.0))
            assert beside.stat().st_size > 0
            with hanse.connect(tmp_path / "w") as other:
                assert len(other.federation.journal.replies("a" * 32)) == number + 1
                begin(other.federation.journal, "bcd"[number], 2 + number, STATEMENT, "open")
            assert not beside.exists()
        journal.finish("a" * 32, "done")
        assert beside.exists()
    assert not beside.exists()
    with hanse.connect(tmp_path / "w") as other:
        assert sorted(other.federation.journal.replies("a" * 32)) == [0, 1, 2]
    journal.finish("a" * 32, "failed")
    assert not beside.exists()


def test_a_process_that_is_killed_between_rounds_leaves_a_whole_registry(tmp_path: Path) -> None:
    with hanse.connect(tmp_path / "w") as session:
        begin(session.federation.journal, "a", 1, STATEMENT, "open")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "w")], check=False)
    assert killed.returncode == -signal.SIGKILL
    beside = tmp_path / "w" / "registry.sqlite-journal"
    assert beside.exists()
    with hanse.connect(tmp_path / "w") as session:
        assert list(session.federation.journal.replies("a" * 32)) == [0]
        session.federation.journal.finish("a" * 32, "done")
    assert not beside.exists()


KILLED = """
import os, signal, sys
import hanse
from hanse.messages import Reply

journal = hanse.connect(sys.argv[1]).federation.journal
with journal.busy():
    with journal.recording("a" * 32, 0, "moments") as recording:
        recording.add("x", Reply(run="a" * 32, round=0, silo="x", task_hash="", status="ok"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def reply(silo: str, count: float) -> Reply:
    return Reply(run="a" * 32, round=0, silo=silo, task_hash="", status="ok", statistics={"count": count})


def test_of_two_replies_the_first_stands_and_one_after_silence_is_kept(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    silent = []
    for given in ({"x": reply("x", 1.0), "y": None}, {"x": reply("x", 2.0), "y": reply("y", 3.0)}, {"y": None}):
        with journal.recording("a" * 32, 0, "install") as recording:
            for silo, one in given.items():
                recording.add(silo, one)
        silent.append(journal.silent("a" * 32, "install"))
    assert silent == [["y"], [], []]
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0), "y": reply("y", 3.0)}}
    assert journal.replies("b" * 32) == {}


def test_what_came_before_an_error_is_written_down(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def cut_off() -> None:
        with journal.recording("a" * 32, 0, "moments") as recording:
            recording.add("x", reply("x", 1.0))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        cut_off()
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0)}}


def test_what_cannot_be_written_down_does_not_count(journal: Journal) -> None:
    with pytest.raises(RegistryError), journal.recording("a" * 32, 0, "moments") as recording:
        recording.add("x", reply("x", 1.0))  # no such run was begun


def test_a_reply_is_written_down_while_another_is_waited_for(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    with journal.recording("a" * 32, 0, "moments") as recording:
        recording.add("x", reply("x", 1.0))
        recording.write()
        assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0)}}
        recording.add("y", None)
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0), "y": None}}


def test_the_coordinator_writes_a_reply_down_while_another_is_waited_for(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def slow(asked: Task) -> Reply:
        until(lambda: "x" in journal.replies("a" * 32).get(0, {}))
        return echo(asked)

    plan = Plan("g", "features", ("a",), ("x", "y"), KMeans(), {})
    transport = InProcess({"x": echo, "y": slow})
    replies = Coordinator(plan, transport, journal, "a" * 32).exchange("describe")
    transport.close()
    assert journal.replies("a" * 32) == {0: replies}
    assert sorted(replies) == ["x", "y"]


def test_what_could_not_be_written_down_is_told_once() -> None:
    broken = RegistryError("the disk is full")
    tried: list[Mapping[str, Reply | None]] = []

    def to_disk(replies: Mapping[str, Reply | None]) -> None:
        tried.append(replies)
        raise broken

    recording = Recording(to_disk)
    recording.add("x", reply("x", 1.0))
    with pytest.raises(RegistryError) as caught:
        recording.write()
    recording.write()  # as the end of the block does, while the error is on its way up
    assert caught.value is broken
    assert tried == [{"x": reply("x", 1.0)}]


def test_replies_that_come_together_are_written_down_together() -> None:
    """Those that keep coming, and leave no time for it, at the latest when the first has waited for a while."""
    now = [0.0]
    given: list[Mapping[str, Reply | None]] = []
    recording = Recording(given.append, lambda: now[0])
    recording.add("x", reply("x", 1.0))
    recording.add("y", None)
    assert given == []
    now[0] = 0.2
    recording.add("z", reply("z", 2.0))
    assert given == [{"x": reply("x", 1.0), "y": None, "z": reply("z", 2.0)}]
    recording.add("w", None)
    recording.write()
    assert given[1:] == [{"w": None}]
