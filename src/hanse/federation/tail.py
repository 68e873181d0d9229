"""The tail of a run's record: replies that are written down, but not in the registry's database yet.

A commit there waits for the disk several times, and a training has many rounds. So its replies go into a file beside
the registry, a line each, and from there into the database: when they have become many, and before anything is decided
for good. Whoever reads the record reads both. A killed process loses nothing of it. A power cut may take the last
lines, but none up to the last silence or refusal, for these wait for the disk: what is lost is asked for again, and
silos repeat it from their ledgers, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from hanse.decoding import decoded
from hanse.messages import Reply, decode
from hanse.workspace import os_error, sync_folder, write_whole

__all__ = ["Row", "Tail", "ended", "removed", "rows_beside"]

_ENDING: Final = ".replies"
_ENCODER: Final = msgspec.json.Encoder()
_SILENCE: Final = b"null"


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply as the record keeps it.

    Args:
        run_id: of the run.
        round: which one.
        silo: who answered, or did not.
        kind: of the task.
        received: ISO-8601, UTC.
        reply: as it was encoded; null for silence.
    """

    run_id: str
    round: int
    silo: str
    kind: str
    received: str
    reply: msgspec.Raw = msgspec.Raw(_SILENCE)

    @property
    def key(self) -> tuple[str, int, str]:
        """What there is one reply to."""
        return self.run_id, self.round, self.silo

    @property
    def data(self) -> bytes:
        """The reply's bytes; none for silence."""
        data = bytes(self.reply)
        return b"" if data == _SILENCE else data

    @property
    def columns(self) -> dict[str, Any]:
        """By their names in the database."""
        return {**msgspec.structs.asdict(self), "reply": self.data}

    def stands_before(self, other: Row) -> bool:
        """Which of two replies to one question stands: the first, but any before silence."""
        return bool(self.data) and (not other.data or self.received < other.received)

    def told(self) -> Reply | None:
        """The reply; None for silence.

        Raises:
            ValueError: the bytes are none.
            RecursionError: they are nested too deeply.
        """
        reply: Reply | None = decode(self.data, Reply) if self.data else None
        return reply


class Tail:
    """A new file beside a registry, held by this process until it is closed; for one thread.

    Args:
        registry: the database's file.
        run_id: whose replies these are.

    Raises:
        WorkspaceError: the file cannot be made, or the file system knows no locks.

    Attributes:
        rows: what was added since the file was empty.
        size_bytes: of the file.
    """

    def __init__(self, registry: Path, run_id: str) -> None:
        real = _real(registry)
        self.path = real.with_name(f"{real.name}-{run_id}-{secrets.token_hex(4)}{_ENDING}")
        self.rows: list[Row] = []
        self.size_bytes = 0
        with _translated(self.path, "written"):
            self._file = _held(self.path, real)

    def add(self, row: Row) -> None:
        """Write a line; what is written outlives this process.

        Raises:
            WorkspaceError: the disk is full; nothing was added.
        """
        line = _ENCODER.encode(row) + b"\n"
        with _translated(self.path, "written"):
            try:
                write_whole(self._file, line)
            except OSError:
                os.ftruncate(self._file, self.size_bytes)
                raise
        self.rows.append(row)
        self.size_bytes += len(line)

    def sync(self) -> None:
        """Wait for the disk: what is written outlives a power cut too.

        Raises:
            WorkspaceError: the disk fails.
        """
        with _translated(self.path, "written"):
            os.fsync(self._file)

    def clear(self) -> None:
        """Empty the file, for its rows are in the database."""
        with _translated(self.path, "written"):
            os.ftruncate(self._file, 0)
        self.rows.clear()
        self.size_bytes = 0

    def close(self) -> None:
        """Let go of the file, and remove it where it is empty; what it still holds stays in the record."""
        try:
            if not self.rows:
                with contextlib.suppress(OSError):
                    self.path.unlink()
        finally:
            with contextlib.suppress(OSError):  # a network's disk may be full only now
                os.close(self._file)


def rows_beside(registry: Path) -> list[Row]:
    """What stands in files beside a registry, of living processes and of dead ones; mostly there are none.

    A line that was torn, and what follows it, counts as not written.

    Returns:
        in the order in which they were received.

    Raises:
        WorkspaceError: a file cannot be read.
    """
    rows: list[Row] = []
    for path in _files(registry):
        with _translated(path, "read"):
            try:
                rows += _read(path)[0]
            except FileNotFoundError:  # its rows have just gone into the database
                continue
    return sorted(rows, key=lambda row: row.received)


@contextlib.contextmanager
def ended(registry: Path) -> Iterator[Mapping[Path, str]]:
    """The files of dead processes, each with its run's id; they are held until the block ends.

    Those that this process may not write are left out.
    """
    with contextlib.ExitStack() as stack:
        found = {}
        for path, run_id in _files(registry).items():
            with contextlib.suppress(OSError):
                file = os.open(path, os.O_RDWR)
                stack.callback(os.close, file)
                if _is_free(file):
                    found[path] = run_id
        yield found


def removed(paths: Iterable[Path]) -> None:
    """Remove files whose rows are in the database, but for those with lines that only another Hanse may understand.

    One that cannot be removed is looked at again another time.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            if _read(path)[1] <= 1:
                path.unlink()


def _read(path: Path) -> tuple[list[Row], int]:
    """The rows of a file, and how many lines from the first that is none to the end."""
    rows: list[Row] = []
    lines = path.read_bytes().splitlines()
    for line in lines:
        try:
            row = decoded(line, Row)
            row.told()
        except (ValueError, RecursionError):
            break
        rows.append(row)
    return rows, len(lines) - len(rows)


def _real(registry: Path) -> Path:
    """The registry's file behind all links: whoever opens it by another name looks for the same files."""
    return Path(os.path.realpath(registry))


def _files(registry: Path) -> dict[Path, str]:
    """The files beside a registry, each with its run's id."""
    real = _real(registry)
    name = re.compile(re.escape(real.name) + r"-([0-9a-f]{32})-[0-9a-f]{8}" + re.escape(_ENDING))
    with _translated(real.parent, "read"):
        names = sorted(os.listdir(real.parent))  # noqa: PTH208  # three times as fast
    return {real.with_name(match[0]): match[1] for match in map(name.fullmatch, names) if match is not None}


def _held(path: Path, registry: Path) -> int:
    """A file of a new name that this process holds, and that is open to those to whom the registry is."""
    import fcntl

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _stands_at(path, file):
                _like(registry, file)
                sync_folder(path.parent)
                return file
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(file)
            raise
        os.close(file)  # before it was held, somebody took it for a dead process's


def _stands_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _like(registry: Path, file: int) -> None:
    """Give a file the registry's group, owner and mode, as far as this process may."""
    with contextlib.suppress(FileNotFoundError):
        found = registry.stat()
        changes = (
            partial(os.fchown, file, -1, found.st_gid),
            partial(os.fchown, file, found.st_uid, -1),
            partial(os.fchmod, file, stat.S_IMODE(found.st_mode)),
        )
        for change in changes:
            with contextlib.suppress(OSError):
                change()


def _is_free(file: int) -> bool:
    """Whether no process holds a file; from then on this one does."""
    if sys.platform == "win32":
        return False  # files are not made there
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _translated(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_error(f"{path} cannot be {done}", error) from None
