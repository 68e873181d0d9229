"""The database below the registry: its tables, its transactions, its errors in Hanse's words."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from hanse.errors import RegistryError, WorkspaceError

__all__ = [
    "SCHEMA_VERSION",
    "ConflictError",
    "Database",
    "federated_reply",
    "federated_run",
    "is_writing",
    "metadata",
    "model",
    "model_version",
    "silo",
]

SCHEMA_VERSION: Final = 1
"""The shape of the tables below, kept in the database itself."""

metadata = sa.MetaData()

_schema = sa.Table(
    "hanse_schema",
    metadata,
    sa.Column("component", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

model = sa.Table(
    "hanse_model",
    metadata,
    sa.Column("model_id", sa.String(32), primary_key=True),
    sa.Column("name_key", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("last_version", sa.Integer, nullable=False),
)

model_version = sa.Table(
    "hanse_model_version",
    metadata,
    sa.Column("model_id", sa.ForeignKey("hanse_model.model_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("updated", sa.Text, nullable=False),
    sa.Column("header", sa.LargeBinary, nullable=False),
    sa.Column("artifact", sa.LargeBinary, nullable=False),
    sa.Column("artifact_sha256", sa.LargeBinary, nullable=False),
)

silo = sa.Table(
    "hanse_silo",
    metadata,
    sa.Column("name_key", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("options", sa.LargeBinary, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
)

federated_run = sa.Table(
    "hanse_federated_run",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("model_key", sa.Text, nullable=False, index=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("statement", sa.Text, nullable=False),
    sa.Column("parameters", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created", sa.Text, nullable=False),
)

federated_reply = sa.Table(
    "hanse_federated_reply",
    metadata,
    sa.Column("run_id", sa.ForeignKey("hanse_federated_run.run_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("silo", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("received", sa.Text, nullable=False),
    sa.Column("reply", sa.LargeBinary, nullable=False),
)

_COMPONENT: Final = "registry"
_FILE: Final = "hanse_file"
_URL: Final = re.compile(r"[a-z][a-z0-9+_]+://", re.IGNORECASE)
_RESTORE: Final = "restore it from a backup, or move it away to start with an empty registry"
_SQLITE_CURES: Final = {
    sqlite3.SQLITE_CORRUPT: f"is corrupt: {_RESTORE}",
    sqlite3.SQLITE_NOTADB: f"is not a registry (corrupt, or a file of another program): {_RESTORE}",
    sqlite3.SQLITE_READONLY: "is read-only (its file or its folder): change permissions (chmod) or copy it",
    sqlite3.SQLITE_PERM: "is not yours to open: change its permissions (chmod)",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: free some space and try again; nothing was changed",
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written, the disk may be full or failing: free some space, check the disk "
        "and try again; nothing was changed"
    ),
    sqlite3.SQLITE_TOOBIG: "cannot hold a model of this size: train it with fewer features",
}


class ConflictError(RegistryError):
    """Two processes wanted the same row; only the caller knows what that means."""


class Database:
    """One database of models, opened and brought to the present schema.

    SQLite runs with a rollback journal rather than a write-ahead log: a registry is written rarely and
    shortly, and this way it is one plain file that can be copied while nobody trains over silos, lies well on a network
    share and opens in a read-only folder.
    ``synchronous=EXTRA`` is FULL plus a sync of the folder, so a committed model survives a power cut too.

    Args:
        target: the path of an SQLite file, any SQLAlchemy URL, or None for one in memory.
        timeout_s: how long to wait for another process that holds the lock.

    Attributes:
        file: the absolute path of an SQLite file; None for a server, and in memory.
    """

    def __init__(self, target: str | Path | None, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self.file: Path | None = None
        self.where = "in memory"
        with self._translated():
            self.engine = self._make_engine(target)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", self._set_up_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
            sa.event.listen(self.engine, "checkout", self._look)
            sa.event.listen(self.engine, "checkin", self._look_away)
        try:
            self._bring_up()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the registry and does not change it."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is kept whole when the block ends, and undone whole when it raises.

        On SQLite it takes the write lock at once, so what it reads stays true until it is done.

        Raises:
            ConflictError: another process made the same change first.
        """
        with self._transaction(write=True) as connection:
            yield connection

    def close(self) -> None:
        """Give back all connections; a database in memory ends here."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        with self._lock, self._translated(), self.engine.connect() as connection:
            options = {} if write or self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            connection.execution_options(hanse_write=write, **options)
            with connection.begin():
                yield connection

    def _make_engine(self, target: str | Path | None) -> sa.Engine:
        if target is None:
            return sa.create_engine(
                "sqlite://",
                poolclass=StaticPool,
                connect_args={"check_same_thread": False, "isolation_level": None},
            )
        if isinstance(target, str) and _URL.match(target):
            return self._engine_of_url(target)
        return self._engine_of_file(Path(target))

    def _engine_of_url(self, text: str) -> sa.Engine:
        url = sa.make_url(text)
        if url.get_backend_name() == "sqlite":
            if url.query:
                raise WorkspaceError(f"registry {text}: settings after ? are not known for SQLite: leave them out")
            memory = url.database in (None, "", ":memory:")
            return self._make_engine(None) if memory else self._engine_of_file(Path(url.database or ""))
        self.where = url.render_as_string(hide_password=True)
        return sa.create_engine(url, pool_pre_ping=True)

    def _engine_of_file(self, path: Path) -> sa.Engine:
        self.file = path.absolute()
        self.where = str(self.file)
        if "\0" in self.where:
            raise WorkspaceError(f"registry {self.where!r}: need the path of a file")
        return sa.create_engine(
            sa.URL.create("sqlite", database=self.where),
            pool_size=1,
            connect_args={"timeout": self._timeout_s, "isolation_level": None},
        )

    def _set_up_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA journal_mode = DELETE")
        except BaseException:
            connection.close()  # the pool does not know it yet
            raise

    def _look(self, _connection: object, record: sa.pool.ConnectionPoolEntry, _proxy: object) -> None:
        """Make a kept connection anew where its file is another, or was changed behind it: it would not see that."""
        now = _state_of(self.file)
        if record.info.setdefault(_FILE, now) != now:
            raise sa.exc.DisconnectionError

    def _look_away(self, _connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info[_FILE] = _state_of(self.file)

    def _bring_up(self) -> None:
        """Make the tables in an empty database; refuse one of a newer Hanse or of another program."""
        with self.reading() as connection:
            if self._is_present(connection):
                return
        try:
            with self.writing() as connection:
                if not self._is_present(connection):
                    metadata.create_all(connection)
                    connection.execute(_schema.insert().values(component=_COMPONENT, version=SCHEMA_VERSION))
        except (ConflictError, WorkspaceError):
            # A server lets two processes make the same tables at once; whoever came second finds them made.
            with self.reading() as connection:
                if not self._is_present(connection):
                    raise

    def _is_present(self, connection: sa.Connection) -> bool:
        tables = sa.inspect(connection).get_table_names()
        if _schema.name not in tables:
            if tables and self.is_sqlite:
                raise WorkspaceError(
                    f"registry {self.where} is a database of another program (it holds "
                    f"{', '.join(tables[:3])}): name another file"
                )
            return False
        version = connection.scalar(sa.select(_schema.c.version).where(_schema.c.component == _COMPONENT))
        if version is not None and version > SCHEMA_VERSION:
            raise WorkspaceError(
                f"registry {self.where} was made by a newer Hanse (its schema is {version}, this one knows "
                f"up to {SCHEMA_VERSION}): upgrade Hanse to open it"
            )
        return version is not None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError as error:
            raise ConflictError(
                f"registry {self.where} refused a change: it contradicts another ({error.orig}): try again"
            ) from None
        except sa.exc.ArgumentError:
            raise WorkspaceError("registry: not a SQLAlchemy URL: write it like postgresql://user@host/name") from None
        except ModuleNotFoundError as error:
            raise WorkspaceError(f"registry {self.where} needs the Python package {error.name}: install it") from None
        except UnicodeDecodeError:
            # The driver cannot even read out what SQLite has to say about broken text in the file.
            raise WorkspaceError(f"registry {self.where} is corrupt: {_RESTORE}") from None
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            raise WorkspaceError(f"registry {self.where} {self._what_and_cure(error)}") from None

    def _what_and_cure(self, error: BaseException) -> str:
        original = getattr(error, "orig", None) or error
        text = " ".join(str(original).split())
        if not isinstance(original, sqlite3.Error):
            return f"cannot be used: {text}: check the URL, the server and your rights there"
        code = (getattr(original, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"is locked by another process (waited {self._timeout_s:g} s): let it finish, then try again"
        if code == sqlite3.SQLITE_CANTOPEN:
            return f"cannot be opened: {self._why_not_opened()}"
        return _SQLITE_CURES.get(code) or f"cannot be used: {text}: check the file and try again"

    def _why_not_opened(self) -> str:
        try:
            if self.file is None or self.file.is_dir():
                return "it is a folder: move it away"
            if not self.file.parent.exists():
                return f"there is no folder {self.file.parent}: create it first"
            if not self.file.parent.is_dir():
                return f"{self.file.parent} is a file, not a folder: choose another path"
        except OSError as error:
            return f"{error.strerror}: choose another path"
        return "its folder or file is not writable: change the permissions (chmod) or choose another path"


def is_writing(connection: sa.Connection) -> bool:
    """Whether the transaction was opened by ``Database.writing``."""
    return bool(connection.get_execution_options().get("hanse_write", False))


def _state_of(path: Path | None) -> tuple[int, ...]:
    """What tells a file, as it is now and in this process, from any other and from itself after a change."""
    try:
        found = os.stat(path) if path is not None else None  # noqa: PTH116  # asked at every transaction, and faster
    except OSError:
        found = None
    whole = () if found is None else (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return (os.getpid(), *whole)


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin by hand: the driver would begin late, and a late writer can read what is no longer true."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing(connection) else "BEGIN")
