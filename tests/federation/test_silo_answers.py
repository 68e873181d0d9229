"""What left a silo stands in its ledger, and leaves again as the same bytes, whoever was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from silo_support import Talk, blobs, fill, new_run, task

from hanse.federation.audit import entries_of, verify
from hanse.federation.ledger import Ledger
from hanse.federation.silo import Silo
from hanse.messages import Reply, decode, encode, task_hash


def test_the_ledger_holds_the_exact_payload(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([40])) as talk:
        replies = [talk.ask("moments"), talk.ask("moments", features=("nope",)), talk.ask("finish")]
        found = entries_of(talk.config.ledger)
        heads = tuple(reply.ledger_head for reply in replies)
        assert verify(talk.config.ledger, heads).problems == ()
    for entry, reply in zip(found, replies, strict=True):
        held = decode(entry.payload.encode(), Reply)
        assert held.ledger_head == ""
        assert held.statistics == json.loads(json.dumps(reply.statistics))
        assert entry.task == reply.task_hash
    assert found[0].shapes == {"count": (), "mean": (2,), "m2": (2,)}
    assert found[0].policy == replies[0].policy_hash
    assert found[0].privacy is None


# -- the same bytes again ---------------------------------------------------------------------


def test_a_retried_task_gets_the_same_bytes_also_after_a_restart(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = task("summarize", talk.run, payload={"clusters": 2})
        first = encode(talk.silo.answer(asked))
        later = task("summarize", talk.run, payload={"clusters": 2})
        assert task_hash(later) == task_hash(asked)
        assert encode(talk.silo.answer(later)) == first
        talk.reopen()
        assert encode(talk.silo.answer(later)) == first
        assert len(talk.silo.ledger.entries) == 1


def test_the_same_task_on_many_threads_is_answered_once(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = [task("summarize", talk.run, payload={"clusters": 2}) for _ in range(8)]
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda t=t: found.append(encode(talk.silo.answer(t)))) for t in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(talk.silo.ledger.entries) == 1


SERVER = """
import sys
from pathlib import Path
from hanse.federation.ledger import Ledger
from hanse.federation.silo import Silo
from hanse.messages import Task, decode, encode

def waiting(append, when):
    def wrapped(self, entry):
        if when == "before":
            print("at the gate", flush=True)
            sys.stdin.readline()
        hash_ = append(self, entry)
        if when == "after":
            print("on disk", flush=True)
            sys.stdin.readline()
        return hash_
    return wrapped

database, when, message = sys.argv[1:]
silo = Silo.embedded(database, name="shop")
Ledger.append = waiting(Ledger.append, when)
reply = silo.answer(decode(message.encode(), Task))
print(encode(reply).decode(), flush=True)
"""


def start(database: Path, when: str, message: bytes) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, str(database), when, message.decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


@pytest.mark.parametrize(("when", "entries"), [("before", 0), ("after", 1)])
def test_a_silo_that_is_killed_around_the_ledgers_write_gives_one_answer(
    tmp_path: Path, when: str, entries: int
) -> None:
    database = tmp_path / "shop.duckdb"
    fill(database, blobs([60, 40, 4]))
    asked = task("summarize", new_run(), payload={"clusters": 3})
    process = start(database, when, encode(asked))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == {"before": "at the gate", "after": "on disk"}[when]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    close(process)
    ledger = tmp_path / "shop.ledger"
    held = entries_of(ledger)
    assert len(held) == entries
    with duckdb.connect(str(database)) as loader:  # the store goes on meanwhile; the run must not notice
        loader.execute("INSERT INTO features SELECT 'n' || i, 5, 5 FROM range(50) t(i)")
    again = start(database, "never", encode(asked))
    output, _ = again.communicate()
    reply = decode(output.encode(), Reply)
    assert sum(reply.statistics["count"]) == 104
    found = entries_of(ledger)
    assert len(found) == 1
    if entries:
        assert found[0] == held[0]
    assert json.loads(found[0].payload)["statistics"] == json.loads(output)["statistics"]
    third = start(database, "never", encode(asked))
    assert third.communicate()[0] == output
    assert verify(ledger, (reply.ledger_head,)).problems == ()


def test_a_line_that_was_torn_by_a_crash_was_never_sent_and_is_answered_anew(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        asked = task("moments", talk.run)
        first = talk.silo.answer(asked)
        talk.silo.close()
        whole = talk.config.ledger.read_bytes()
        talk.config.ledger.write_bytes(whole[: len(whole) // 2])
        talk.config.ledger.with_suffix(".head").unlink()
        talk.silo = Silo(talk.config)
        again = talk.silo.answer(asked)
        assert again.statistics == first.statistics
        decisions: Sequence[str] = [e.decision for e in talk.silo.ledger.entries]
        assert decisions == ["recovered", "released"]


def test_another_process_may_prune_the_ledger_while_the_silo_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Talk(tmp_path, blobs([60, 40])) as talk:
        with monkeypatch.context() as patched:
            patched.setattr("hanse.federation.ledger._now", lambda: "2026-01-01T00:00:00.000+00:00")
            old = talk.ask("moments")
        kept = talk.ask("summarize", payload={"clusters": 2})
        other = Ledger(talk.config.ledger)
        assert other.prune(1) == 1
        other.close()
        again = [talk.silo.answer(asked) for asked in talk.asked.values()]
        assert again[0].statistics == old.statistics  # it was forgotten, and is a new answer
        assert again[1] == kept
        assert [entry.decision for entry in talk.silo.ledger.entries] == ["pruned", "released", "released"]
    assert verify(talk.config.ledger, (kept.ledger_head, again[0].ledger_head)).problems == ()
