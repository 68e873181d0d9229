"""The coordinator's record of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse.federation.journal import Journal, Run

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
