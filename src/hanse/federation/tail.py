"""The tail of a run's record: replies that are written down, but not in the registry's database yet.

A commit there waits for the disk several times, and a training has many rounds. So its replies go into a file beside
the registry, a line each, and from there into the database: when they have become many, when the training ends, or when
somebody reads the record. A killed process loses nothing of it. A power cut may take lines that the system had not put
on the disk: those are asked for again, and silos repeat them from their ledgers, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from hanse.decoding import decoded
from hanse.errors import WorkspaceError

__all__ = ["Row", "Tail", "rows_of", "tails"]

_ENDING: Final = ".replies"
_ENCODER: Final = msgspec.json.Encoder()


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply as the database keeps it.

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
    reply: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def columns(self) -> dict[str, Any]:
        """By their names in the database; silence has no bytes there."""
        data = bytes(self.reply)
        return {**msgspec.structs.asdict(self), "reply": b"" if data == b"null" else data}


class Tail:
    """A new file beside a registry, held by this process until it is closed.

    Args:
        registry: the database's file.
        run_id: whose replies these are.

    Raises:
        WorkspaceError: the file cannot be made.

    Attributes:
        rows: what was added since the file was empty.
        size_bytes: of the file.
    """

    def __init__(self, registry: Path, run_id: str) -> None:
        self.path = registry.with_name(f"{registry.name}-{run_id}-{secrets.token_hex(4)}{_ENDING}")
        self.rows: list[Row] = []
        self.size_bytes = 0
        with self._translated():
            self._file = _held(self.path)

    def add(self, row: Row) -> None:
        """Write a line; what is written outlives this process.

        Raises:
            WorkspaceError: the disk is full; nothing was added.
        """
        line = _ENCODER.encode(row) + b"\n"
        with self._translated():
            try:
                written = os.write(self._file, line)
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self.size_bytes)
                raise
        self.rows.append(row)
        self.size_bytes += len(line)

    def clear(self) -> None:
        """Empty the file, for its rows are in the database."""
        with self._translated():
            os.ftruncate(self._file, 0)
        self.rows.clear()
        self.size_bytes = 0

    def close(self) -> None:
        """Let go of the file, and remove it where it is empty; what it still holds is for whoever reads the record."""
        if not self.rows:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cure = "free some space, check the folder, and RESUME MODEL goes on"
            raise WorkspaceError(f"{self.path} cannot be written: {error.strerror}: {cure}") from None


def tails(registry: Path, run_id: str | None = None) -> list[Path]:
    """The files of one run beside a registry, or those of all runs; most of the time there are none."""
    begin = f"{registry.name}-{run_id or ''}"
    with contextlib.suppress(OSError):
        names = os.listdir(registry.parent)  # noqa: PTH208  # a glob would read the registry's own name as a pattern
        return [registry.with_name(n) for n in sorted(names) if n.startswith(begin) and n.endswith(_ENDING)]
    return []


@contextlib.contextmanager
def rows_of(path: Path) -> Iterator[list[Row]]:
    """What a tail holds; where its process has ended, the file is removed when the block has ended well.

    A line that was torn, and what follows it, counts as not written.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # its rows have just gone into the database
        yield []
        return
    try:
        ended = _ended(file)
        yield _read(file)
        if ended:
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _read(file: int) -> list[Row]:
    parts, rows = [], []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    for line in b"".join(parts).splitlines(keepends=True):
        try:
            rows.append(decoded(line, Row))
        except msgspec.MsgspecError:
            break
    return rows


def _held(path: Path) -> int:
    """A new file that this process holds."""
    import fcntl

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(path.stat(), os.fstat(file)):
                return file
        except FileNotFoundError:  # before it was held, a reader took it for a dead process's
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _ended(file: int) -> bool:
    """Whether no process holds a file; from then on this one does."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
