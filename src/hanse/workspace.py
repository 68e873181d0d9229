"""The workspace: one folder that holds the data (warehouse.duckdb) and the models (registry.sqlite)."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanse.errors import WorkspaceError

__all__ = ["Workspace", "os_error", "read_file", "sync_folder", "write_file", "write_whole"]

_WAREHOUSE: Final = "warehouse.duckdb"
_REGISTRY: Final = "registry.sqlite"

_CURES: Final = {
    errno.EACCES: "you lack the permission: change it (chmod) or choose another folder",
    errno.EPERM: "you lack the permission: change it (chmod) or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOSPC: "the disk is full: free some space and try again",
    errno.EDQUOT: "your disk quota is used up: free some space and try again",
    errno.EFBIG: "the file would be larger than the limit (ulimit -f) allows: raise it and try again",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
    errno.ENOENT: "the folder does not exist: create it first",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ELOOP: "symbolic links lead in a circle: choose another path",
    errno.EEXIST: "it is there already, but leads nowhere: remove the broken link",
    errno.EISDIR: "it is a folder: name a file",
    errno.EIO: "the disk reports an input/output error: check the disk",
}


@dataclass(frozen=True)
class Workspace:
    """Where a session keeps its data and its models.

    Args:
        path: the folder, absolute; None in memory.
    """

    path: Path | None

    @classmethod
    def open(cls, path: str | Path | None, *, create: bool = True) -> Workspace:
        """Open a workspace, or make its folder.

        Neither database is opened here, so a workspace that is locked or corrupt shows up when they are.

        Args:
            path: the folder; ``~`` is the home folder. None, or ``:memory:``, keeps everything in memory.
            create: make the folder if there is none. The folder above it must exist, so that a mistyped path
                does not grow a tree of empty folders.

        Raises:
            WorkspaceError: the path is a file, cannot be made, read or written, or is not there.
        """
        if path is None or str(path) == ":memory:":
            return cls(None)
        if str(path) == "" or "\0" in str(path):
            raise WorkspaceError(f"workspace {str(path)!r}: need the path of a folder")
        try:
            folder = Path(path).expanduser().absolute()
            _open_folder(folder, create=create)
        except RuntimeError:
            raise WorkspaceError(f"workspace {path}: there is no such home folder: write the whole path") from None
        except OSError as error:
            raise os_error(f"workspace {path} cannot be opened", error) from None
        return cls(folder)

    @property
    def warehouse(self) -> str:
        """The path of the embedded database, or ``:memory:``."""
        return ":memory:" if self.path is None else str(self.path / _WAREHOUSE)

    @property
    def registry(self) -> Path | None:
        """The path of the registry of models; None in memory."""
        return None if self.path is None else self.path / _REGISTRY


def write_file(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: a reader sees the old content or the new, never a part.

    A symbolic link keeps pointing where it does; the file behind it is replaced.

    Raises:
        WorkspaceError: the disk is full, the folder is missing or read-only, or ``path`` is not a plain file.
    """
    what = f"{path} cannot be written"
    try:
        target = _plain_file(path, what)
        temporary = target.parent / f".hanse-{secrets.token_hex(8)}.tmp"
        try:
            _write_synced(temporary, data)
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
    except OSError as error:
        raise os_error(what, error) from None


def read_file(path: str | Path, *, limit_bytes: int) -> bytes:
    """Read a plain file of at most ``limit_bytes``.

    Raises:
        WorkspaceError: it is missing, not a plain file, not readable, or larger.
    """
    what = f"{path} cannot be read"
    try:
        with _plain_file(path, what).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise WorkspaceError(f"{what}: there is no such file") from None
    except OSError as error:
        raise os_error(what, error) from None
    if len(data) > limit_bytes:
        raise WorkspaceError(f"{what}: it is larger than the limit of {limit_bytes:,} bytes")
    return data


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it to an open file, however little the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _open_folder(folder: Path, *, create: bool) -> None:
    if not folder.exists():
        if not create:
            raise WorkspaceError(f"workspace {folder} does not exist: check the path, or create it first")
        if not folder.parent.exists():
            raise WorkspaceError(f"workspace {folder} cannot be made: create {folder.parent} first")
        folder.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise WorkspaceError(f"workspace {folder} is a file: name a folder")
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=effective):
        raise WorkspaceError(
            f"workspace {folder} is not writable: change its permissions (chmod) or choose another folder"
        )


def _plain_file(path: str | Path, what: str) -> Path:
    """The file behind ``path``, links followed; a folder, a device or a pipe is refused."""
    if str(path) == "" or "\0" in str(path):
        raise WorkspaceError(f"{str(path)!r} is not a path: name a file")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise WorkspaceError(f"{what}: it is a folder: name a file")
    if target.exists() and not target.is_file():
        raise WorkspaceError(f"{what}: it is a device or a pipe: name a plain file")
    return target


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable; a system that cannot open folders does that on its own."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def os_error(what: str, error: OSError) -> WorkspaceError:
    """What the system said of a file, with the cure.

    Args:
        what: could not be done, with the path.
        error: why not.
    """
    cure = _CURES.get(error.errno or 0, f"{error.strerror or error}: check the path and try again")
    return WorkspaceError(f"{what}: {cure}")
