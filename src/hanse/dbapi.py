"""PEP 249 (DB-API 2.0): connections and cursors over a session, for tools that speak it.

    >>> from hanse import dbapi
    >>> with dbapi.connect() as connection, connection.cursor() as cursor:
    ...     cursor.execute("SELECT :n + 1 AS n", {"n": 41}).fetchone()
    (42,)

Parameters are named, ``:n`` as PEP 249 writes them or ``$n`` as scripts do. Every statement is committed as it ends;
`Connection.commit` has nothing left to do.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from hanse import errors

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.session import Result, Session
    from hanse.types import Parameters

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel: Final = "2.0"
threadsafety: Final = 1
"""Threads may share the module, but not connections."""
paramstyle: Final = "named"


class Warning(Exception):  # noqa: A001, N818  # PEP 249's name
    """Something to know; found in `Cursor.messages`, never raised."""


class Error(Exception):
    """The root. ``str(error)`` is Hanse's own message, ``__cause__`` Hanse's own error."""


class InterfaceError(Error):
    """The interface was used wrongly: a closed cursor, no result to fetch."""


class DatabaseError(Error):
    """An error of the database."""


class DataError(DatabaseError):
    """The rows are not what a model needs."""


class OperationalError(DatabaseError):
    """The engine, the workspace or the registry cannot do it now."""


class IntegrityError(DatabaseError):
    """Never raised; PEP 249 wants the name."""


class InternalError(DatabaseError):
    """Hanse disagrees with itself."""


class ProgrammingError(DatabaseError):
    """The statement is wrong: syntax, a name, an option, a parameter."""


class NotSupportedError(DatabaseError):
    """Understood, but not there."""


_MEANINGS: Final[tuple[tuple[type[errors.HanseError], type[Error]], ...]] = (
    (errors.UnsupportedError, NotSupportedError),
    (errors.SqlError, ProgrammingError),
    (errors.UsageError, ProgrammingError),
    (errors.ModelNotFoundError, ProgrammingError),
    (errors.ModelExistsError, ProgrammingError),
    (errors.DataError, DataError),
    (errors.ShapeError, InternalError),
    (errors.HanseError, OperationalError),
)
"""What PEP 249 calls Hanse's errors; the first that fits."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.HanseError as error:
        meaning = next(to for kind, to in _MEANINGS if isinstance(error, kind))
        raise meaning(str(error)) from error


class _TypeObject:
    """Equal to the type codes of a description that mean this kind of value."""

    def __init__(self, name: str, prefixes: tuple[str, ...]) -> None:
        self._name = name
        self._prefixes = prefixes

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other.startswith(self._prefixes)
        return self is other

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


STRING: Final = _TypeObject("STRING", ("string", "large_string", "dictionary"))
BINARY: Final = _TypeObject("BINARY", ("binary", "large_binary", "fixed_size_binary"))
NUMBER: Final = _TypeObject("NUMBER", ("int", "uint", "float", "double", "halffloat", "decimal", "bool"))
DATETIME: Final = _TypeObject("DATETIME", ("timestamp", "date", "time", "duration"))
ROWID: Final = _TypeObject("ROWID", ("rowid",))

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:  # noqa: N802  # PEP 249's name
    """The day of a number of seconds since the epoch, in UTC as in every session."""
    return TimestampFromTicks(ticks).date()


def TimeFromTicks(ticks: float) -> datetime.time:  # noqa: N802  # PEP 249's name
    """The time of day of a number of seconds since the epoch, in UTC."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:  # noqa: N802  # PEP 249's name
    """The moment of a number of seconds since the epoch, in UTC."""
    return datetime.datetime.fromtimestamp(ticks, datetime.UTC).replace(tzinfo=None)


def connect(
    workspace: str | Path | None = None, *, memory_limit: str | None = None, threads: int | None = None
) -> Connection:
    """Open a workspace, as `hanse.connect` does.

    Raises:
        OperationalError: the workspace is locked, corrupt or cannot be written.
    """
    import hanse

    with _translated():
        return Connection(hanse.connect(workspace, memory_limit=memory_limit, threads=threads))


class Connection:
    """A session, as PEP 249 sees it.

    Args:
        session: stays usable beside the connection, and is closed with it.
    """

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session

    @property
    def session(self) -> Session:
        """The session behind the connection.

        Raises:
            InterfaceError: the connection is closed.
        """
        if self._session is None:
            raise InterfaceError("this connection is closed: connect again")
        return self._session

    def cursor(self) -> Cursor:
        """A new cursor; cursors of one connection share its temporary tables and settings."""
        _ = self.session
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing: every statement is committed as it ends."""
        _ = self.session

    def rollback(self) -> None:
        """Refuse: every statement is committed as it ends.

        Raises:
            NotSupportedError: always.
        """
        _ = self.session
        raise NotSupportedError("nothing to roll back: every statement is committed as it ends")

    def close(self) -> None:
        """Close the workspace; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Cursor:
    """Runs statements and gives their rows, as they stream from the engine.

    Args:
        connection: where statements run.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.connection = connection
        self._result: Result | None = None
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.arraysize = 1
        self.messages: list[tuple[type[Exception], Exception]] = []

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, bool]] | None:
        """For each column: name, type code (an Arrow type's name), four times None, and whether it may be NULL."""
        if self._result is None:
            return None
        return [(f.name, str(f.type), None, None, None, None, f.nullable) for f in self._result.schema]

    def execute(self, operation: str, parameters: Parameters | None = None) -> Cursor:
        """Run a script; the last statement's rows can be fetched.

        Args:
            operation: statements; ``:name`` or ``$name`` stands for a value.
            parameters: values by name.

        Returns:
            this cursor.

        Raises:
            Error: one of its kinds, with Hanse's message.
        """
        session = self._open()
        self._forget()
        if parameters is not None and not isinstance(parameters, Mapping):
            raise ProgrammingError("parameters are named: give a mapping, such as {'start': ...} for :start")
        with _translated():
            self._result = session.sql(_dollars(operation), parameters)
        self.messages = [(Warning, Warning(text)) for text in self._result.warnings]
        self._rows = iter(self._result)
        self.rowcount = self._changed(self._result)
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Parameters]) -> Cursor:
        """Run a script once for each set of parameters; ``rowcount`` is the sum, and nothing is left to fetch.

        Raises:
            Error: as `execute`; the sets before the failing one stay done.
        """
        self._open()
        self._forget()
        counts = []
        messages = []
        for parameters in seq_of_parameters:
            self.execute(operation, parameters)
            counts.append(self.rowcount)
            messages += self.messages
        self._forget()
        self.rowcount = sum(counts) if counts and min(counts) >= 0 else -1
        self.messages = messages
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None.

        Raises:
            InterfaceError: there is no result to fetch.
        """
        rows = self._fetching()
        with _translated():
            return next(rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next ``size`` rows (``arraysize`` without it), fewer at the end.

        Raises:
            ProgrammingError: the size is no whole number from 0.
        """
        rows = self._fetching()
        wanted = self.arraysize if size is None else size
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
            raise ProgrammingError(f"fetchmany of {wanted!r} rows: need a whole number from 0")
        with _translated():
            return list(itertools.islice(rows, wanted))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        rows = self._fetching()
        with _translated():
            return list(rows)

    def fetch_arrow_table(self) -> pa.Table:
        """All rows as an Arrow table, in place of fetching them one by one.

        Raises:
            InterfaceError: there is no result.
            ProgrammingError: rows were fetched already.
        """
        self._fetching()
        assert self._result is not None  # fetching() saw rows
        with _translated():
            return self._result.arrow()

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""

    def close(self) -> None:
        """Forget the result; the cursor cannot be used any more."""
        self._forget()
        self._connection = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Session:
        if self._connection is None:
            raise InterfaceError("this cursor is closed: make another with connection.cursor()")
        return self._connection.session

    def _forget(self) -> None:
        self._result = self._rows = None
        self.rowcount = -1
        self.messages = []

    def _fetching(self) -> Iterator[tuple[Any, ...]]:
        self._open()
        if self._rows is None:
            raise InterfaceError("no result to fetch: execute a statement first")
        return self._rows

    def _changed(self, result: Result) -> int:
        """How many rows a statement wrote; -1 where it wrote none or streams its rows."""
        if result.kind not in ("create_table", "insert") or "rows" not in result.columns:
            return -1
        rows = list(result)
        self._rows = iter(rows)
        return int(rows[0][result.columns.index("rows")]) if rows else -1


_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\n]*|/\*.*?\*/|(?<![:\w\])}]):(?=[A-Za-z_])""",
    re.DOTALL,
)


def _dollars(operation: str) -> str:
    """``:name`` as ``$name``, outside of strings, quoted names and comments; positions stay.

    >>> _dollars("SELECT :a, ':a', x::INT -- :a")
    "SELECT $a, ':a', x::INT -- :a"
    """
    return _TOKEN.sub(lambda match: "$" if match[0] == ":" else match[0], operation)
