"""The coordinator's record of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse.errors import RegistryError
from hanse.federation.journal import Journal, Run
from hanse.messages import Reply

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


def reply(silo: str, count: float) -> Reply:
    return Reply(run="a" * 32, round=0, silo=silo, task_hash="", status="ok", statistics={"count": count})


def test_of_two_replies_the_first_stands_and_one_after_silence_is_kept(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")
    silent = []
    for given in ({"x": reply("x", 1.0), "y": None}, {"x": reply("x", 2.0), "y": reply("y", 3.0)}, {"y": None}):
        with journal.recording("a" * 32, 0, "install") as record:
            for silo, one in given.items():
                record(silo, one)
        silent.append(journal.silent("a" * 32, "install"))
    assert silent == [["y"], [], []]
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0), "y": reply("y", 3.0)}}
    assert journal.replies("b" * 32) == {}


def test_what_came_before_an_error_is_written_down(journal: Journal) -> None:
    begin(journal, "a", 1, STATEMENT, "open")

    def cut_off() -> None:
        with journal.recording("a" * 32, 0, "moments") as record:
            record("x", reply("x", 1.0))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        cut_off()
    assert journal.replies("a" * 32) == {0: {"x": reply("x", 1.0)}}


def test_what_cannot_be_written_down_does_not_count(journal: Journal) -> None:
    with pytest.raises(RegistryError), journal.recording("a" * 32, 0, "moments") as record:
        record("x", reply("x", 1.0))  # no such run was begun
