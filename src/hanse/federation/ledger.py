"""The silo's ledger: one line of JSON per answer or refusal, hash-chained, on disk before the reply leaves.

Payloads stay on disk; the rest of the entries is kept in memory, for answers given again and for budgets.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hanse.decoding import decoded
from hanse.errors import WorkspaceError
from hanse.workspace import write_whole

__all__ = ["GENESIS", "Entry", "Ledger", "file_lock", "follows", "parsed"]

GENESIS: Final = "0" * 64
"""The previous hash of the first entry."""

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_CLOSED: Final = -1
_TAIL: Final = len(b',"hash":"') + 64 + len(b'"}')


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line.

    Args:
        seq: counts from 1.
        time: ISO-8601, UTC.
        decision: ``released``, ``repeated``, ``refused``, ``failed``, ``recovered`` (a torn line was moved aside) or
            ``pruned`` (older entries were removed by the retention setting).
        coordinator: whose task it was: the key that signed it; ``in this process`` for one without a wire.
        silo: the silo id that was asked.
        relation: the published relation, with its store.
        run: of the task.
        round: of the task.
        kind: of the task.
        strategy: of the task.
        task: the task's hash.
        plan: hash of what was asked, whatever run asks.
        policy: the policy's hash.
        data: the snapshot's fingerprint.
        reasons: codes.
        lasting: whether the same task gets this answer again.
        shapes: of the statistics, by name.
        cells: released; what the budget counts.
        merged: cells that were joined with a sibling.
        withheld: cells of a released answer that did not leave; 0 so far, for an answer leaves whole or not at all.
        customers: distinct customers of the smallest released cell.
        privacy: (epsilon, delta) that were spent; None where nothing bounds them, for there was no noise.
        size_bytes: of the payload.
        payload: the exact reply without its ledger head.
        payload_sha256: of the payload.
        detail: for the owner; never leaves.
        previous: hash of the line before.
    """

    seq: int
    time: str
    decision: str
    coordinator: str = ""
    silo: str = ""
    relation: str = ""
    run: str = ""
    round: int = 0
    kind: str = ""
    strategy: str = ""
    task: str = ""
    plan: str = ""
    policy: str = ""
    data: str = ""
    reasons: tuple[str, ...] = ()
    lasting: bool = False
    shapes: dict[str, tuple[int, ...]] = {}
    cells: int = 0
    merged: int = 0
    withheld: int = 0
    customers: int = 0
    privacy: tuple[float, float] | None = None
    size_bytes: int = 0
    payload: str = ""
    payload_sha256: str = ""
    detail: str = ""
    previous: str = ""


class Ledger:
    """Appends to a ledger; several processes may.

    Args:
        path: the file; made, readable by its owner only, where it is missing.

    Raises:
        WorkspaceError: the ledger cannot be read, or its chain is broken.

    Attributes:
        times_reread: grows when the entries were read anew, and stand at other places.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.hashes: list[str] = []
        self._spans: list[tuple[int, int]] = []
        self.times_reread = 0
        self._thread = threading.RLock()
        self._depth = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            self._head = os.open(path.with_suffix(".head"), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise WorkspaceError(f"ledger {path} cannot be opened: {error.strerror}: check the folder") from None
        self._read_bytes = 0
        with self.locked():
            pass

    @property
    def head(self) -> str:
        """Hash of the last entry."""
        return self.hashes[-1] if self.hashes else GENESIS

    def close(self) -> None:
        """Let go of the files, when whoever appends has ended; nothing can be appended afterwards."""
        with self._thread:
            for descriptor in (self._file, self._lock, self._head):
                if descriptor != _CLOSED:
                    os.close(descriptor)
            self._file = self._lock = self._head = _CLOSED

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes from appending; what they appended before is read."""
        with self._thread:
            if self._file == _CLOSED:
                raise WorkspaceError(f"ledger {self.path} is closed: nothing leaves")
            self._depth += 1
            try:
                if self._depth > 1:
                    yield
                    return
                with file_lock(self._lock):
                    self._follow()
                    self._catch_up()
                    yield
            finally:
                self._depth -= 1

    def append(self, entry: Entry) -> str:
        """Write an entry and wait until it is on disk; ``seq``, ``time`` and ``previous`` are filled in.

        Returns:
            its hash, the new head.
        """
        with self.locked():
            whole = msgspec.structs.replace(
                entry, seq=self.entries[-1].seq + 1 if self.entries else 1, time=_now(), previous=self.head
            )
            line, hash_ = _line(whole)
            try:
                write_whole(self._file, line)
                os.fsync(self._file)
            except OSError as error:
                raise WorkspaceError(
                    f"ledger {self.path} cannot be written: {error.strerror}; nothing leaves"
                ) from None
            self._know(whole, hash_, len(line))
            self._write_head()
            return hash_

    def _follow(self) -> None:
        """Go on with the file that another process's pruning has put in this one's place; any other is refused."""
        try:
            there = os.stat(self.path)  # noqa: PTH116  # asked before every answer, and twice as fast
            if os.path.samestat(there, os.fstat(self._file)):
                return
            new = os.open(self.path, os.O_RDWR | os.O_APPEND)
        except OSError:
            text = "is gone while the silo runs: nothing leaves; put it back"
            raise WorkspaceError(f"ledger {self.path} {text}") from None
        old, self._file = self._file, new
        before = self.head, self.entries, self.hashes, self._spans, self._read_bytes
        self.entries, self.hashes, self._spans, self._read_bytes = [], [], [], 0
        try:
            self._catch_up()
            if before[0] not in (GENESIS, *self.hashes):
                raise WorkspaceError(f"ledger {self.path} was replaced while the silo ran: stop the silo and verify it")
        except BaseException:
            _, self.entries, self.hashes, self._spans, self._read_bytes = before
            old, self._file = self._file, old
            raise
        finally:
            os.close(old)
        self.times_reread += 1

    def _catch_up(self) -> None:
        """Read what was appended since; move a torn last line aside: its answer was never sent."""
        size = os.fstat(self._file).st_size
        if size == self._read_bytes:
            return
        if size < self._read_bytes:
            raise WorkspaceError(f"ledger {self.path} became shorter while the silo ran: stop the silo and verify it")
        data = _read(self._file, self._read_bytes, size)
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines(keepends=True):
            self._take(line)
        if torn := data[whole:]:
            aside = os.open(self.path.with_suffix(".torn"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                write_whole(aside, torn + b"\n")
                os.fsync(aside)
            finally:
                os.close(aside)
            os.ftruncate(self._file, self._read_bytes)
            os.fsync(self._file)
            note = f"{len(torn)} bytes of a line that was never finished were moved to {self.path.stem}.torn"
            self.append(Entry(seq=0, time="", decision="recovered", detail=note))

    def _take(self, line: bytes) -> None:
        try:
            entry, hash_ = parsed(line)
        except ValueError as error:
            raise WorkspaceError(f"ledger {self.path}, entry {len(self.entries) + 1}: {error}: see --verify") from None
        if not follows(entry, self.entries[-1] if self.entries else None, self.head):
            raise WorkspaceError(f"ledger {self.path}, entry {entry.seq}: the chain is broken: see --verify")
        self._know(entry, hash_, len(line))

    def _know(self, entry: Entry, hash_: str, size_bytes: int) -> None:
        self._spans.append((self._read_bytes, self._read_bytes + size_bytes))
        self.entries.append(msgspec.structs.replace(entry, payload=""))
        self.hashes.append(entry.previous if entry.decision == "pruned" else hash_)
        self._read_bytes += size_bytes

    def payload(self, index: int) -> str:
        """The exact payload of ``entries[index]``, from disk."""
        return parsed(_read(self._file, *self._spans[index]))[0].payload

    def _write_head(self) -> None:
        text = f"{self.entries[-1].seq} {self.head}\n".encode()
        os.pwrite(self._head, text, 0)  # numbers only grow, and so nothing of an older text is left

    def prune(self, days: int) -> int:
        """Remove entries older than ``days``; the first line left then says so. Returns how many were removed."""
        if days <= 0:
            return 0
        limit = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)).isoformat()
        with self.locked():
            old = next((i for i, entry in enumerate(self.entries) if entry.time >= limit), len(self.entries))
            if not old or (old == 1 and self.entries[0].decision == "pruned"):
                return 0
            last = self.entries[old - 1].seq
            note = f"entries up to {last} were removed by ledger_days = {days}"
            first = Entry(seq=last, time=_now(), decision="pruned", detail=note, previous=self.hashes[old - 1])
            start = self._spans[old][0] if old < len(self._spans) else self._read_bytes
            self._rewrite(_line(first)[0] + _read(self._file, start, self._read_bytes))
            return old

    def _rewrite(self, data: bytes) -> None:
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        write_whole(descriptor, data)
        os.fsync(descriptor)
        temporary.replace(self.path)
        os.close(self._file)
        self._file = descriptor
        self.entries, self.hashes, self._spans, self._read_bytes = [], [], [], 0
        for line in data.splitlines(keepends=True):
            self._take(line)
        self._write_head()


def follows(entry: Entry, before: Entry | None, head: str) -> bool:
    """Whether an entry stands where it belongs; the note of a pruning may begin a ledger."""
    if before is None:
        return entry.decision == "pruned" or (entry.seq == 1 and entry.previous == GENESIS)
    return entry.previous == head and entry.seq == before.seq + 1


def _line(entry: Entry) -> tuple[bytes, str]:
    body = _ENCODER.encode(entry)
    hash_ = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"hash":"' + hash_.encode() + b'"}\n', hash_


def parsed(line: bytes) -> tuple[Entry, str]:
    """A line as an entry and its hash.

    Raises:
        ValueError: the line was changed.
    """
    text = line.rstrip(b"\n")
    body, tail = text[:-_TAIL] + b"}", text[-_TAIL:]
    hash_ = tail[-66:-2].decode(errors="replace")
    if not tail.startswith(b',"hash":"') or hashlib.sha256(body).hexdigest() != hash_:
        raise ValueError("the entry was changed: its hash does not agree")
    try:
        entry = decoded(body, Entry)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the entry cannot be read: {error}") from None
    if hashlib.sha256(entry.payload.encode()).hexdigest() != entry.payload_sha256 and entry.payload:
        raise ValueError("the payload does not agree with its SHA-256")
    return entry, hash_


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(descriptor, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def file_lock(descriptor: int) -> Iterator[None]:
    """Keep other processes out."""
    if sys.platform == "win32":
        yield  # one silo process per ledger there
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
