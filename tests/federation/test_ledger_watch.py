"""The plugin that looks at every ledger of every test fails a test whose ledger tells of a small cell."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from federation_support import HERE
from ledger_watch import small_cells
from silo_support import Talk, blobs, silo_toml

from hanse.federation.config import SiloConfig
from hanse.federation.ledger import Entry, Ledger
from hanse.federation.policy import Policy
from hanse.messages import Reply, encode

PASSING = """
from silo_support import Talk, blobs

def test_it(tmp_path):
    with Talk(tmp_path, blobs([40, 30])) as talk:
        assert talk.ask("moments").status == "ok"
"""
LEAKING = """
import pytest
from hanse.federation import gate
from silo_support import Talk, blobs

def test_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gate.Gate, "_unsafe", lambda *given: {})  # a gate that lets everything through
    with Talk(tmp_path, blobs([40, 4])) as talk:
        assert talk.ask("summarize", payload={"clusters": 2}).status == "ok"
"""
ELSEWHERE = '''
import os, subprocess, sys

CODE = """
import sys
from pathlib import Path
from hanse.federation import gate
from silo_support import Talk, blobs
gate.Gate._unsafe = lambda *given: {}
with Talk(Path(sys.argv[1]), blobs([40, 4])) as talk:
    assert talk.ask("summarize", payload={"clusters": 2}).status == "ok"
"""

def test_it(tmp_path):
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], check=True)
'''


@pytest.mark.parametrize(
    ("text", "outcome", "told"),
    [(PASSING, 0, "1 passed"), (LEAKING, 1, "a cell of 4 customers"), (ELSEWHERE, 1, "a cell of 4 customers")],
    ids=["sound", "leaking", "leaking in another process"],
)
def test_a_test_whose_silo_leaks_fails(tmp_path: Path, text: str, outcome: int, told: str) -> None:
    (tmp_path / "test_inner.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "ledger_watch", "-p", "no:cacheprovider", "test_inner.py"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1] / "src")])}
        | {"PYTEST_DEBUG_TEMPROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == outcome
    forget(tmp_path)


def forget(folder: Path) -> None:
    """Remove the ledgers: what looks at these tests too would find their small cells."""
    for ledger in [*folder.rglob("*.ledger"), *folder.rglob("*.kept")]:
        ledger.unlink()


def written(path: Path, customers: int, counts: list[float], policy: str) -> Path:
    """A ledger with one release."""
    payload = encode(Reply(run="1", round=0, silo="a", task_hash="", status="ok", statistics={"count": counts}))
    ledger = Ledger(path)
    ledger.append(
        Entry(
            seq=0,
            time="",
            decision="released",
            kind="summarize",
            policy=policy,
            cells=len(counts),
            customers=customers,
            payload=payload.decode(),
            payload_sha256=hashlib.sha256(payload).hexdigest(),
        )
    )
    ledger.close()
    return path


def test_both_the_gates_count_and_the_rows_are_judged(tmp_path: Path) -> None:
    policy = Policy(min_customers=11)
    minima = {policy.hash: 11}
    path = written(tmp_path / "a.kept", 12, [12.0, 30.0, 0.0], policy.hash)
    assert small_cells(path, minima) == []
    path = written(tmp_path / "b.kept", 9, [12.0, 30.0], policy.hash)
    assert [problem.partition(": ")[2] for problem in small_cells(path, minima)] == ["a cell of 9 customers"]
    path = written(tmp_path / "c.kept", 12, [12.0, 9.0], policy.hash)
    assert [problem.partition(": ")[2] for problem in small_cells(path, minima)] == ["a cell of 9 rows"]
    assert small_cells(path, {}) == []  # an unknown policy: only the floor is sure
    path = written(tmp_path / "d.kept", 2, [2.0], "")
    assert len(small_cells(path, {})) == 2
    forget(tmp_path)


def test_the_minimum_of_a_silo_elsewhere_stands_in_its_file(tmp_path: Path) -> None:
    config = silo_toml(tmp_path, "min_customers = 50")
    path = written(tmp_path / "e.kept", 12, [12.0], SiloConfig.load(config).policy.hash)
    assert [p.partition(" (")[2] for p in small_cells(path, {})] == [
        "summarize, min_customers = 50): a cell of 12 customers",
        "summarize, min_customers = 50): a cell of 12 rows",
    ]
    forget(tmp_path)


def test_ledgers_of_this_process_are_noted(tmp_path: Path, watched_ledgers: object) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        talk.ask("moments")
        _, ledgers, minima = watched_ledgers  # type: ignore[misc]  # a tuple
        assert talk.config.ledger in ledgers
        assert minima[talk.config.policy.hash] == 10
