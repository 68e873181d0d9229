"""The embedded engine: DuckDB, in this process or in a workspace's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from hanse.engines.base import DatabaseInUseError, Kind, by_name, no_longer_works
from hanse.engines.files import format_of
from hanse.engines.interruptible import Interruptible
from hanse.engines.plans import Plans
from hanse.errors import (
    CancelledError,
    EngineError,
    HanseError,
    UsageError,
    WorkspaceError,
)
from hanse.expressions import Expression, call, only, quote, raw, string, written

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.estimator import Observation
    from hanse.statistics import Statistics

__all__ = ["DuckDB"]


class DuckDB:
    """One connection to DuckDB.

    Args:
        database: a file, or ``:memory:``.
        memory_limit: as DuckDB writes it, ``2GB``; None leaves DuckDB's default.
        threads: None leaves DuckDB's default, all cores.
        read_only: open the file for reading only.
        locked: from the first; see :meth:`lock`.
        meanwhile: what is tried whenever a table takes long to make.

    Raises:
        WorkspaceError: the file is locked, corrupt or cannot be written.
    """

    dialect: ClassVar[str] = "duckdb"

    def __init__(
        self,
        database: str | Path = ":memory:",
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        read_only: bool = False,
        locked: bool = False,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        config: dict[str, Any] = {"autoinstall_known_extensions": False, "python_enable_replacements": False}
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        if threads is not None:
            config["threads"] = threads
        self.database = str(database)
        _check_settings(memory_limit, threads)
        with _translated(self.database, opening=True):
            self._connection = duckdb.connect(self.database, read_only=read_only, config=config)
            self._connection.execute("SET TimeZone = 'UTC'")
        self._work = Interruptible(self._connection.interrupt)
        self._meanwhile = meanwhile
        self._plans: Plans | None = None
        if locked:
            self.lock()

    def lock(self) -> None:
        """Allow no files or network beside the database any more, and no change of a setting."""
        self.execute("SET enable_external_access = false")
        self.execute("SET lock_configuration = true")

    def close(self) -> None:
        """Close the database; nothing can be asked afterwards."""
        self._work.close()
        self._connection.close()

    def execute(self, sql: str) -> None:
        """Run a statement that gives no rows.

        Raises:
            EngineError: what DuckDB says, translated.
        """
        with _translated(self.database):
            self._work.run(lambda: self._changed(sql))

    def rows(self, sql: str, *, again: bool = False) -> list[tuple[Any, ...]]:
        """Run a query that gives few rows.

        Args:
            sql: the query.
            again: it will be asked again with other numbers in it, of what :meth:`hold` holds.
        """
        run = self._again if again else self._connection.execute
        with _translated(self.database):
            return self._work.run(lambda: run(sql).fetchall())

    def _changed(self, sql: str) -> None:
        if self._plans is not None:
            self._plans.forget()
        self._connection.execute(sql)

    def _again(self, sql: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql if self._plans is None else self._plans.of(sql))

    def query(self, sql: str, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Run a query and stream its rows.

        DuckDB refuses another statement on this connection until the stream was read to its end or dropped. Ctrl-C
        stops the query, also while it looks for its first row.
        """
        import pyarrow as pa

        with _translated(self.database):
            stream = self._work.run(lambda: self._connection.sql(sql).to_arrow_reader(batch_rows))
        return pa.RecordBatchReader.from_batches(stream.schema, self._batches(stream))

    def copied(self, sql: str) -> pa.RecordBatchReader:
        """A query's rows, streamed as :meth:`query` does."""
        return self.query(sql)

    def _batches(self, stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The stream's batches; Arrow wraps DuckDB's errors in an OSError."""
        while True:
            try:
                with _translated(self.database):
                    batch = self._work.run(lambda: next(stream, None))
            except OSError as error:
                raise _translate(str(error), self.database, opening=False) from error
            if batch is None:
                return
            yield batch

    def columns(self, sql: str, *, unique: bool = True) -> Mapping[str, str]:
        """The columns that a query gives, with DuckDB's types.

        Raises:
            DataError: two columns have one name, and ``unique`` forbids it.
        """
        return by_name(((name, kind) for name, kind, *_ in self.rows(f"DESCRIBE {sql}")), unique=unique)

    def create_table(self, parts: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False) -> int:
        """CREATE TABLE AS, all or nothing; returns its rows."""
        return self._counted(f"CREATE {_kind('TABLE', replace, temporary)} {_name(parts)} AS {sql}")

    def create_empty(
        self, parts: Sequence[str], columns: Sequence[str], *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE TABLE with columns as ``"name" TYPE``."""
        self.execute(f"CREATE {_kind('TABLE', replace, temporary)} {_name(parts)} ({', '.join(columns)})")

    def create_view(
        self, parts: Sequence[str], columns: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE VIEW; ``columns``, where there are any, rename those of the query."""
        named = f" ({', '.join(quote(c) for c in columns)})" if columns else ""
        self.execute(f"CREATE {_kind('VIEW', replace, temporary)} {_name(parts)}{named} AS {sql}")

    def insert(self, parts: Sequence[str], columns: Sequence[str], sql: str) -> int:
        """INSERT, all or nothing; returns how many rows."""
        named = f" ({', '.join(quote(c) for c in columns)})" if columns else ""
        return self._counted(f"INSERT INTO {_name(parts)}{named} {sql}")

    def drop(self, parts: Sequence[str], *, view: bool = False) -> None:
        """DROP TABLE, or DROP VIEW."""
        self.execute(f"DROP {'VIEW' if view else 'TABLE'} {_name(parts)}")

    def keep(self, name: str, sql: str) -> None:
        """Keep a query's rows in a temporary table until :meth:`forget`."""
        self.execute(f"CREATE TEMP TABLE {name} AS {sql}")

    def hold(self, name: str, sql: str) -> None:
        """Hold a query's rows in memory as a relation; the plans of queries that read nothing else are kept."""
        with _translated(self.database):
            self._connection.register(name, self._connection.sql(sql).materialize())
            if self._plans is None:
                self._plans = Plans(self._connection.execute)
            self._plans.forget()

    def forget(self, name: str) -> None:
        """Let go of what :meth:`keep` kept; harmless where it is gone."""
        with suppress(HanseError):
            self.execute(f"DROP TABLE IF EXISTS {name}")

    def explain(self, sql: str) -> list[tuple[str, str]]:
        """How a query would be run."""
        return [(str(key), str(text)) for key, text, *_ in self.rows(f"EXPLAIN {sql}")]

    def _counted(self, sql: str) -> int:
        with _translated(self.database):
            rows = self._work.run(lambda: self._connection.execute(sql).fetchall(), self._meanwhile)
        return int(rows[0][0]) if rows else 0

    def load(self, table: str, files: Sequence[Path], *, replace: bool) -> int:
        """Put files of one format into a table; returns rows.

        Raises:
            UsageError: no file, an unknown ending, or a file that is not there.
        """
        reader = _READERS[format_of(files)]
        names = ", ".join(_literal(str(f)) for f in files)
        query = f"SELECT * FROM {reader}([{names}], union_by_name = true)"
        return self.create_table([table], query, replace=replace)

    def register(self, table: str, rows: Any) -> None:
        """Copy an Arrow table, or a pandas or polars frame, into a temporary table."""
        with _translated(self.database):
            self._connection.register("hanse_registered", rows)
            try:
                self._connection.execute(
                    f"CREATE OR REPLACE TEMP TABLE {quote(table)} AS SELECT * FROM hanse_registered"
                )
            finally:
                self._connection.unregister("hanse_registered")

    def copy(self, table: str, rows: Any) -> None:
        """Stream Arrow rows into a new temporary table, without holding all of them."""
        with _translated(self.database):
            self._connection.register("hanse_copied", rows)
            try:
                self._connection.execute(f"CREATE TEMP TABLE {quote(table)} AS SELECT * FROM hanse_copied")
            finally:
                self._connection.unregister("hanse_copied")

    def arrays(self, sql: str) -> dict[str, Any]:
        """A query's columns as NumPy arrays, masked where they hold NULL."""
        with _translated(self.database):
            return dict(self._work.run(lambda: self._connection.execute(sql).fetchnumpy()))

    def relation_columns(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """A table's or view's columns by the parts of its name, in any case; None if there is none.

        DESCRIBE would take the name of a file for a table.

        Raises:
            EngineError: a view whose query no longer works.
        """
        sql = f"SELECT name, type FROM pragma_table_info({_literal(_name(parts))})"
        with _translated(self.database):
            try:
                return dict(self._work.run(lambda: self._connection.execute(sql).fetchall()))
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                if self.kind(parts) is None:
                    return None
                raise no_longer_works(parts, str(error).splitlines()[0]) from error

    def kind(self, parts: Sequence[str]) -> Kind | None:
        """What a name, in any case, means now: temporary ones come first, as DuckDB looks for them."""
        found: list[tuple[Kind]] = self.rows(
            "SELECT kind FROM (SELECT database_name AS base, schema_name AS place, table_name AS name, 'table' AS kind "
            "FROM duckdb_tables() UNION ALL SELECT database_name, schema_name, view_name, 'view' FROM duckdb_views()) "
            f"WHERE lower(name) = {_literal(parts[-1].lower())} AND ({_places(parts[:-1])}) "
            "ORDER BY base = 'temp' DESC, base = current_database() DESC LIMIT 1"
        )
        return found[0][0] if found else None

    def relations(self) -> Sequence[str]:
        """Every table's and view's name, Hanse's own scratch tables left out."""
        names = self.rows(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal UNION "
            "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"
        )
        return [name for (name,) in names if not name.startswith("hanse_rows_")]

    def text(self, expression: Expression, *, copy: bool = True) -> str:
        """An expression as this engine writes it."""
        return written(expression, self.dialect, copy=copy)

    def error(self, message: str) -> Expression:
        """An expression that stops the query with ``message`` when a row reaches it."""
        return call("error", string(message))

    def every(self, relation: str, step: int) -> str | Expression:
        """One row in ``step``, spread evenly over a table; the table itself for a step below 2."""
        return relation if step < 2 else only(relation, raw(f"rowid % {step} = 0"))

    def observe(self, relation: str | Expression, observation: Observation) -> Statistics:
        """Compute an observation over a relation: one SELECT, a row for each cell that holds rows."""
        from hanse.engines.observing import doubles_of, empties_of, observation_query, statistics_of

        sql = self.text(observation_query(relation, observation), copy=False)
        with _translated(self.database):
            columns = self._work.run(lambda: self._again(sql).fetchnumpy())
        return statistics_of(
            observation,
            [doubles_of(c, empty) for c, empty in zip(columns.values(), empties_of(observation), strict=True)],
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within, or none of them."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with _translated(self.database):
                self._connection.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


def _check_settings(memory_limit: str | None, threads: int | None) -> None:
    """Refuse what DuckDB cannot take, before a file of rows is opened with it and blamed.

    Raises:
        UsageError: one of them.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads = {threads}: need 1 or more")
    if memory_limit is None:
        return
    try:
        duckdb.connect(config={"memory_limit": memory_limit}).close()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"memory_limit = {memory_limit!r}: need a size as '2GB' or '512MB' ({reason})") from None


@contextmanager
def _translated(database: str, *, opening: bool = False) -> Iterator[None]:
    """DuckDB's exceptions as Hanse's."""
    try:
        yield
    except KeyboardInterrupt:
        raise CancelledError("cancelled: nothing was changed by this statement") from None
    except duckdb.InterruptException:
        raise CancelledError("cancelled: nothing was changed by this statement") from None
    except duckdb.Error as error:
        raise _translate(str(error), database, opening=opening) from error
    except RuntimeError as error:
        if "interrupted" not in str(error).lower():
            raise
        raise CancelledError("cancelled: nothing was changed by this statement") from None


def _translate(message: str, database: str, *, opening: bool) -> HanseError:
    first = message.strip().splitlines()[0] if message.strip() else "unknown error"
    if "Could not set lock" in message or "Conflicting lock" in message or "different configuration" in message:
        return DatabaseInUseError(
            f"{database} is in use by another process: close it there, or use another --workspace"
        )
    if "No space left" in message or "disk full" in message.lower():
        return WorkspaceError(f"{database}: the disk is full ({first}): free some space and run the statement again")
    if "Read-only file system" in message or "Permission denied" in message:
        return WorkspaceError(f"{database} cannot be written ({first}): check its permissions")
    if opening:
        return WorkspaceError(
            f"{database} cannot be opened as a database ({first}): move it away, or use another --workspace"
        )
    if "Out of Memory" in first:
        return EngineError(f"the engine ran out of memory: {first}")
    return EngineError(first)


_READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}


def _name(parts: Sequence[str]) -> str:
    return ".".join(quote(part) for part in parts)


def _places(before: Sequence[str]) -> str:
    """The databases (``base``) and schemas (``place``) in which DuckDB looks for a name that follows these parts."""
    here = "base IN ('temp', current_database(), 'system')"
    match [_literal(part.lower()) for part in before]:
        case []:
            return f"{here} AND place IN ('main', 'pg_catalog')"
        case [one]:
            return f"({here} AND lower(place) = {one}) OR (lower(base) = {one} AND place = 'main')"
        case [base, place]:
            return f"lower(base) = {base} AND lower(place) = {place}"
    return "false"


def _kind(noun: str, replace: bool, temporary: bool) -> str:
    return f"{'OR REPLACE ' * replace}{'TEMP ' * temporary}{noun}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
