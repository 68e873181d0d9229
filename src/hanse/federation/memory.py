"""What a silo keeps for itself of data that it released from: digests of customers, and which cells it merged."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hanse.errors import HanseError
from hanse.federation.digest import Digest
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot, private_folder
from hanse.statistics import BoolArray
from hanse.workspace import write_file

__all__ = ["Memory", "secret_of"]

_KEPT: Final = 32  # data sets of a relation that are remembered
_MASKS: Final = 256  # merged cells over the same data
_SEAL_BYTES: Final = hashlib.sha256().digest_size


class Memory:
    """Files in the silo's own folder, one pair for each relation and fingerprint: a SHA-256, and the numbers it is of.

    NumPy's own files begin with Python's text of a dict, and Python 3.11 cannot parse one on two threads at once.

    Args:
        folder: that its owner alone can read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._path = functools.lru_cache(maxsize=256)(self._made_path)

    def _made_path(self, relation: str, columns: int, fingerprint: str, what: str) -> Path:
        return self._folder / f"{_name(relation, columns)}-{fingerprint}.{what}"

    def _file(self, relation: str, snapshot: Snapshot, what: str) -> Path:
        return self._path(relation, len(snapshot.types), snapshot.fingerprint, what)

    def close_to(self, relation: str, snapshot: Snapshot, min_changed: int) -> str:
        """The data that something was released from, if fewer customers than ``min_changed`` changed since, but some.

        Returns:
            its fingerprint, of the latest such; empty if there is none.
        """
        for path in self._digests(relation, snapshot):
            fingerprint = path.name.split("-")[1].split(".")[0]
            if snapshot.fingerprint == fingerprint:
                continue
            with contextlib.suppress(FileNotFoundError):
                earlier = Digest.of_table(_read(path, np.uint32, width=4 + len(snapshot.types)))
                if 0 < snapshot.digest.changed(earlier) < min_changed:
                    return fingerprint
        return ""

    def _digests(self, relation: str, snapshot: Snapshot) -> list[Path]:
        """The files, the latest first; without those that another thread is just removing."""
        name, dated = _name(relation, len(snapshot.types)), []
        for path in self._folder.glob(f"{name}-*.digest"):
            with contextlib.suppress(FileNotFoundError):
                dated.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(dated, reverse=True)]

    def remember(self, relation: str, snapshot: Snapshot, min_changed: int) -> None:
        """Note that something is released from this snapshot; on disk when this returns. Ask under the ledger's lock.

        Raises:
            RefusalError: since the run began, something was released from data that differ in too few customers.
        """
        path = self._file(relation, snapshot, "digest")
        if os.path.exists(path):  # noqa: PTH110  # asked before every answer, and three times as fast
            return
        if self.close_to(relation, snapshot, min_changed):
            text = (
                "another run was answered from data that differ from this run's in fewer than min_changed_customers "
                "customers, and subtraction would show them: begin a new run"
            )
            raise RefusalError("complementary", text)
        _write(path, snapshot.digest.table())
        for old in self._digests(relation, snapshot)[_KEPT:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".masks").unlink(missing_ok=True)

    def masks(self, relation: str, snapshot: Snapshot) -> tuple[BoolArray, ...]:
        """The rows of each set of cells that were merged in an answer from the same data."""
        path = self._file(relation, snapshot, "masks")
        if not os.path.exists(path):  # noqa: PTH110  # asked before every answer, and three times as fast
            return ()
        rows = snapshot.meta.rows
        bits = _read(path, np.uint8, width=-(-rows // 8))
        return tuple(np.unpackbits(row, count=rows).astype(bool) for row in bits)

    def add_masks(self, relation: str, snapshot: Snapshot, new: Sequence[BoolArray]) -> None:
        """Note cells that are merged; on disk when this returns.

        Raises:
            RefusalError: there are too many to keep.
        """
        if not new:
            return
        known = {mask.tobytes(): mask for mask in self.masks(relation, snapshot)}
        fresh = {mask.tobytes(): mask for mask in new if mask.tobytes() not in known}
        if not fresh:
            return
        if len(known) + len(fresh) > _MASKS:
            raise RefusalError("budget", "too many cells were merged over the same data: nothing new leaves")
        bits = [np.packbits(mask) for mask in (*known.values(), *fresh.values())]
        _write(self._file(relation, snapshot, "masks"), np.stack(bits))


def _name(relation: str, columns: int) -> str:
    """Of files that can be compared with each other: those of one relation, with as many published columns."""
    return hashlib.sha256(f"{relation}\n{columns}".encode()).hexdigest()[:16]


def _read(path: Path, kind: type[np.generic], width: int) -> npt.NDArray[Any]:
    """(n, width) numbers that :func:`_write` wrote.

    Raises:
        FileNotFoundError: it is gone.
        HanseError: the file is damaged, or cannot be read.
    """
    try:
        held = path.read_bytes()
        seal, numbers = held[:_SEAL_BYTES], held[_SEAL_BYTES:]
        if hashlib.sha256(numbers).digest() != seal:
            raise ValueError("it is not what was written")
        return np.frombuffer(numbers, dtype=kind).reshape(-1, width)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise HanseError(f"{path} cannot be read: {error}: restore it, or delete it and let nobody ask today") from None


def _write(path: Path, table: npt.NDArray[Any]) -> None:
    numbers = table.tobytes()
    write_file(path, hashlib.sha256(numbers).digest() + numbers)


def secret_of(path: Path) -> bytes:
    """The silo's own key for hashes, made once."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    secret = path.read_bytes()
    if len(secret) != 32:
        raise HanseError(f"{path} is damaged: need 32 bytes; delete it, and what stands in memory/ beside it")
    return secret
