"""The ledger: what each check finds; crashes; two processes at once; retention."""

from __future__ import annotations

import datetime
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hanse.errors import WorkspaceError
from hanse.federation.audit import entries_of, verify
from hanse.federation.ledger import Entry, Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.ledger"


def write(path: Path, entries: int = 4, run: str = "") -> list[str]:
    ledger = Ledger(path)
    heads = [ledger.append(entry(f"task {i}", run)) for i in range(entries)]
    ledger.close()
    return heads


def entry(task: str, run: str = "") -> Entry:
    return Entry(seq=0, time="", decision="released", task=task, run=run, cells=1)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_sound_ledger_verifies_and_is_its_owners_alone(path: Path) -> None:
    heads = write(path)
    found = verify(path, tuple(heads))
    assert (found.entries, found.head, found.problems, found.notes) == (4, heads[-1], (), ())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [e.seq for e in entries_of(path)] == [1, 2, 3, 4]


def test_an_entry_that_was_changed_is_found(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes().replace(b"task 1", b"task X"))
    assert any("line 2: the entry was changed" in p for p in verify(path).problems)
    with pytest.raises(WorkspaceError, match="entry 2: the entry was changed"):
        Ledger(path)


@pytest.mark.parametrize("keep", [(0, 2, 3), (0, 2, 1, 3), (1, 2, 3)])
def test_an_entry_that_was_dropped_or_reordered_is_found(path: Path, keep: tuple[int, ...]) -> None:
    write(path)
    held = lines(path)
    path.write_bytes(b"".join(held[i] for i in keep))
    assert any("dropped, reordered or changed" in p for p in verify(path).problems)


def test_entries_cut_off_the_end_are_found_by_the_head_file(path: Path) -> None:
    write(path)
    path.write_bytes(b"".join(lines(path)[:2]))
    assert verify(path).problems == (
        "the head file names entry 4, the ledger ends with entry 2: entries were cut off the end",
    )


def test_a_ledger_that_was_rewritten_with_its_head_file_is_found_by_a_replys_head(tmp_path: Path, path: Path) -> None:
    heads = write(path)
    other = tmp_path / "other.ledger"
    write(other, 5, "another run")
    path.write_bytes(other.read_bytes())
    path.with_suffix(".head").write_bytes(other.with_suffix(".head").read_bytes())
    assert verify(path).problems == ()
    assert any("it was rewritten" in p for p in verify(path, (heads[-1],)).problems)


def test_a_missing_head_file_is_a_problem(path: Path) -> None:
    write(path)
    path.with_suffix(".head").unlink()
    assert any("head file is missing" in p for p in verify(path).problems)


def test_a_torn_last_line_is_moved_aside_and_noted(path: Path) -> None:
    write(path, 2)
    with path.open("ab") as file:
        file.write(lines(path)[1][:57])
    assert "never sent" in verify(path).notes[0]
    ledger = Ledger(path)
    assert [e.decision for e in ledger.entries] == ["released", "released", "recovered"]
    ledger.append(entry("next"))
    ledger.close()
    assert verify(path).problems == ()
    assert len(path.with_suffix(".torn").read_bytes().strip()) == 57


def test_two_ledgers_on_one_file_share_a_chain(path: Path) -> None:
    first, second = Ledger(path), Ledger(path)

    def fill(ledger: Ledger, name: str) -> None:
        for i in range(20):
            ledger.append(entry(f"{name} {i}"))

    threads = [threading.Thread(target=fill, args=pair) for pair in ((first, "a"), (second, "b"), (first, "c"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(path)
    assert (found.entries, found.problems) == (60, ())
    first.close()
    second.close()


def test_another_process_appends_and_verifies_meanwhile(path: Path) -> None:
    ledger = Ledger(path)
    ledger.append(entry("mine"))
    script = (
        "import sys; from pathlib import Path; from hanse.federation.ledger import Entry, Ledger; "
        "from hanse.federation.audit import verify; path = Path(sys.argv[1]); "
        "Ledger(path).append(Entry(seq=0, time='', decision='refused', task='theirs')); "
        "assert not verify(path).problems"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    ledger.append(entry("mine again"))
    assert [e.task for e in ledger.entries] == ["mine", "theirs", "mine again"]
    ledger.close()
    assert verify(path).problems == ()


def test_payloads_are_read_back_from_disk(path: Path) -> None:
    ledger = Ledger(path)
    ledger.append(Entry(seq=0, time="", decision="released", payload='{"ä": 1}', payload_sha256=_sha('{"ä": 1}')))
    assert ledger.entries[0].payload == ""
    assert ledger.payload(0) == '{"ä": 1}'
    ledger.close()


def test_a_payload_that_does_not_fit_its_hash_is_found(path: Path) -> None:
    ledger = Ledger(path)
    ledger.append(Entry(seq=0, time="", decision="released", payload="x", payload_sha256=_sha("y")))
    ledger.close()
    assert any("SHA-256" in p for p in verify(path).problems)


def test_old_entries_are_pruned_and_the_chain_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9)).isoformat(timespec="milliseconds")
    with monkeypatch.context() as patched:
        patched.setattr("hanse.federation.ledger._now", lambda: old)
        write(path, 3)
    ledger = Ledger(path)
    kept = ledger.append(entry("new"))
    assert ledger.prune(30) == 0
    assert ledger.prune(7) == 3
    assert [e.decision for e in ledger.entries] == ["pruned", "released"]
    ledger.append(entry("newer"))
    assert ledger.prune(7) == 0
    ledger.close()
    found = verify(path, (kept,))
    assert found.problems == ()
    assert "entries up to 3 were removed" in found.notes[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Ledger(path).close()


def test_a_ledger_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be opened"):
        Ledger(tmp_path / "nowhere" / "shop.ledger")
    with pytest.raises(WorkspaceError, match="cannot be read"):
        verify(tmp_path / "none.ledger")


def test_an_entry_is_on_disk_before_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    seen: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(len(lines(path)))
        real(descriptor)

    monkeypatch.setattr("hanse.federation.ledger.os.fsync", fsync)
    ledger.append(entry("a"))
    assert seen == [1]
    monkeypatch.undo()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hanse.federation.ledger.os.fsync", fail)
    with pytest.raises(WorkspaceError, match="nothing leaves"):
        ledger.append(entry("b"))
    ledger.close()


def _sha(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def test_a_ledger_that_another_process_prunes_meanwhile_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9)).isoformat(timespec="milliseconds")
    with monkeypatch.context() as patched:
        patched.setattr("hanse.federation.ledger._now", lambda: old)
        write(path, 3)
    serving, other = Ledger(path), Ledger(path)
    heads = [serving.append(entry("a"))]
    assert other.prune(7) == 3
    heads.append(serving.append(entry("b")))
    heads.append(other.append(entry("c")))
    assert [e.task for e in serving.entries] == ["", "a", "b"]  # the first is the note of the pruning
    assert serving.times_reread == 1
    serving.close()
    other.close()
    found = verify(path, tuple(heads))
    assert found.problems == ()
    assert [e.task for e in entries_of(path)] == ["", "a", "b", "c"]


def test_nothing_is_written_into_a_ledger_that_is_not_the_same_any_more(tmp_path: Path, path: Path) -> None:
    write(path)
    write(tmp_path / "other.ledger", 6, "another run")  # the time alone may be the same, on a fast disk
    ledger = Ledger(path)
    held = path.read_bytes()
    (tmp_path / "other.ledger").rename(path)
    for _ in range(2):
        with pytest.raises(WorkspaceError, match="was replaced while the silo ran"):
            ledger.append(entry("a"))
    path.unlink()
    with pytest.raises(WorkspaceError, match="is gone while the silo runs: nothing leaves"):
        ledger.append(entry("b"))
    path.write_bytes(held)
    ledger.append(entry("c"))
    ledger.close()
    assert verify(path).problems == ()
