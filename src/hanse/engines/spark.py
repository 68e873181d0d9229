"""Spark: the rows stay in its catalog and on its executors; only sums, and what a user asks to see, come here."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hanse import expressions as e
from hanse.engines.base import Kind, by_name, no_longer_works
from hanse.engines.files import format_of
from hanse.engines.spark_arrow import plain_reader, spans
from hanse.engines.spark_kept import KeptRows
from hanse.engines.spark_start import OUT_OF_MEMORY_CODE, left_with
from hanse.engines.spark_sums import SumsQuery
from hanse.engines.spark_tables import CatalogTables, FolderTables, ReadTables
from hanse.engines.spark_text import (
    OUT_OF_MEMORY,
    backquoted,
    has_ended,
    is_news,
    name_of,
    said,
    type_text,
    written,
)
from hanse.errors import CancelledError, EngineError, UsageError
from hanse.estimator import Observation
from hanse.statistics import Statistics

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Spark"]

_SCRATCH = "hanse_rows_"
_PORTION_ROWS = 1_000_000
_QUERIES = ("SELECT ", "WITH ", "SHOW ", "EXPLAIN ")
_UTC = ("UTC", "ETC/UTC", "GMT", "Z", "+00:00", "UCT", "ETC/UCT", "ZULU")


class Spark:
    """A Spark session: the user's own, or one that :func:`hanse.engines.spark_start.start` made.

    Nothing of the session's settings is changed, and none is read but its time zone, which must be UTC where times are
    used.

    Args:
        session: of pyspark 4, classic or Connect.
        folder: where tables are kept from one process to the next; None leaves that to the session's catalog.
        owned: whether :meth:`close` stops the session.
        read_only: refuse whatever could change a table; the folder's tables are views of this session then, which must
            be its own.
    """

    dialect: ClassVar[str] = "spark"

    def __init__(
        self, session: Any, *, folder: Path | None = None, owned: bool = False, read_only: bool = False
    ) -> None:
        self._session = session
        self._owned = owned
        self._read_only = read_only
        self._remote = type(session).__module__.startswith("pyspark.sql.connect")
        self._kept = KeptRows(session, self._run, remote=self._remote)
        self._temporary: dict[str, str] = {}
        self._ended = False
        logging.getLogger("SQLQueryContextLogger").disabled = True  # it prints every error that is raised here
        logging.getLogger().addFilter(is_news)
        with self._translated():
            self._tables: CatalogTables | FolderTables | ReadTables = (
                ReadTables(session.sql, folder)
                if read_only
                else CatalogTables(self._run)
                if folder is None
                else FolderTables(self._run, folder)
            )

    def close(self) -> None:
        """Let go of what was kept; a session that was made here is stopped."""
        with contextlib.suppress(Exception):  # the session may have died already
            if not self._ended:
                self._kept.forget_all()
                for name in self._temporary:
                    self._session.catalog.dropTempView(name)
        self._tables.close()
        if self._owned:
            with contextlib.suppress(Exception):  # as above
                if self._ended and self._remote:
                    self._session.client.close()  # stop() would wait for a server that is gone
                else:
                    self._session.stop()

    # -- queries ----------------------------------------------------------------------------------

    def _run(self, sql: str) -> Any:
        """A frame; commands run at once, queries when they are asked."""
        if self._read_only and not sql.startswith(_QUERIES):
            raise EngineError(f"{sql:.40} ...: this Spark session is for reading")
        return self._session.sql(backquoted(sql))

    def _writable(self) -> CatalogTables | FolderTables:
        if isinstance(self._tables, ReadTables):
            raise EngineError("a table cannot be changed: this Spark session is for reading")
        return self._tables

    def _sees(self, parts: Sequence[str]) -> bool:
        return not isinstance(self._tables, ReadTables) or self._tables.sees(parts)

    def _has(self, parts: Sequence[str]) -> bool:
        return self._sees(parts) and bool(self._session.catalog.tableExists(name_of(parts)))

    def _frame(self, sql: str) -> Any:
        frame = self._run(sql)
        if '"timestamp"' in frame.schema.json():
            self._check_time_zone()
        return frame

    def _typed(self, sql: str) -> str:
        """A query whose columns all have a type that a table can have: NULL alone counts as INT, as on DuckDB."""
        fields = json.loads(self._frame(sql).schema.json())["fields"]
        if not any(field["type"] == "void" for field in fields):
            return sql
        shown = (
            f"CAST({name_of([f['name']])} AS INT) AS {name_of([f['name']])}"
            if f["type"] == "void"
            else name_of([f["name"]])
            for f in fields
        )
        return f"SELECT {', '.join(shown)} FROM ({sql}) AS rows_"

    def _check_time_zone(self) -> None:
        zone = str(self._session.conf.get("spark.sql.session.timeZone"))
        if zone.upper() not in _UTC:
            raise UsageError(
                f"this Spark session's time zone is {zone}, and times are UTC here: "
                "spark.conf.set('spark.sql.session.timeZone', 'UTC')"
            )

    def query(self, sql: str) -> pa.RecordBatchReader:
        """Run a query; its rows come to this process as Arrow batches, timestamps without a zone (they are UTC)."""
        with self._translated():
            return plain_reader(self._frame(sql).toArrow())

    def copied(self, sql: str) -> pa.RecordBatchReader:
        """Run a query once, hold its rows on the executors, and fetch them a few partitions at a time.

        So that they need not fit into the driver, and all are of the same moment.
        """
        import pyarrow as pa

        held = f"{_SCRATCH}copied"
        part = "spark_partition_id()"
        with self._translated():
            self._checkpointed(self._frame(sql)).createOrReplaceTempView(held)
            self._temporary[held] = held
        sizes = sorted(self.rows(f"SELECT {part} AS part, count(*) AS n FROM {held} GROUP BY {part}"))

        def batches() -> Iterator[pa.RecordBatch]:
            for first, last in spans(sizes, _PORTION_ROWS):
                yield from self.query(f"SELECT * FROM {held} WHERE {part} BETWEEN {first} AND {last}")
            self.drop([held])

        return pa.RecordBatchReader.from_batches(self.query(f"SELECT * FROM {held} LIMIT 0").schema, batches())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query that gives few rows."""
        with self._translated():
            return [tuple(row) for row in self._run(sql).collect()]

    def explain(self, sql: str) -> list[tuple[str, str]]:
        """Spark's physical plan."""
        with self._translated():
            (row,) = self._run(f"EXPLAIN {sql}").collect()
        return [("physical_plan", str(row[0]))]

    def columns(self, sql: str, *, unique: bool = True) -> Mapping[str, str]:
        """The columns that a query gives, with Spark's types.

        Raises:
            DataError: two columns have one name, and ``unique`` forbids it.
        """
        with self._translated():
            fields = json.loads(self._run(sql).schema.json())["fields"]
        return by_name(((field["name"], type_text(field["type"])) for field in fields), unique=unique)

    def observe(self, relation: str | e.Expression, observation: Observation) -> Statistics:
        """Compute an observation over a relation: one aggregate query, a row for each cell that holds rows."""
        asked = SumsQuery(relation, observation)
        with self._translated():
            rows = self._run(asked.sql).collect()
        return asked.statistics(rows)

    def every(self, relation: str, step: int) -> str | e.Expression:
        """The table itself, whatever the step: rows have no numbers here, and all of them tell more than a few."""
        return relation

    # -- relations --------------------------------------------------------------------------------

    def relation_columns(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """A table's or view's columns by the parts of its name, in any case; None if there is none."""
        with self._translated():
            if not self._has(parts):
                return None
        try:
            return self.columns(f"SELECT * FROM {name_of(parts)}", unique=False)
        except EngineError as error:
            raise (no_longer_works(parts, str(error)) if self.kind(parts) == "view" else error) from None

    def relations(self) -> Sequence[str]:
        """Every table's and view's name in the current schema, Hanse's own scratch tables left out."""
        with self._translated():
            names = {str(row[1]) for row in self._run("SHOW TABLES").collect()}
        return sorted(name for name in names if not name.startswith(_SCRATCH) and self._sees([name]))

    def kind(self, parts: Sequence[str]) -> Kind | None:
        """What a name means now; a temporary table is no view, though Spark knows it as one."""
        if len(parts) == 1 and parts[0].lower() in self._temporary:
            return "table"
        with self._translated():
            if not self._has(parts):
                return None
            views = self._run(f"SHOW VIEWS{' IN ' + name_of(parts[:-1]) if len(parts) > 1 else ''}").collect()
        return "view" if parts[-1].lower() in {str(row[1]).lower() for row in views} else "table"

    def create_table(self, parts: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False) -> int:
        """CREATE TABLE AS, all or nothing; a temporary one is materialised for the session. Returns its rows."""
        with self._translated():
            sql = self._typed(sql)
            if temporary:
                return self._hold(parts[-1], self._run(sql))
            self._writable().create(parts, backquoted(sql), replace=replace)
            return int(self._session.table(name_of(parts)).count())

    def create_empty(
        self, parts: Sequence[str], columns: Sequence[str], *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE TABLE with columns as ``"name" TYPE``."""
        listed = backquoted(", ".join(columns))
        with self._translated():
            if temporary:
                self._hold(parts[-1], self._session.createDataFrame([], listed))
            else:
                self._writable().create_empty(parts, listed, replace=replace)

    def create_view(
        self, parts: Sequence[str], columns: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE VIEW; ``columns``, where there are any, rename those of the query."""
        named = f" ({', '.join(name_of([c]) for c in columns)})" if columns else ""
        with self._translated():
            if temporary:
                kind = f"CREATE {'OR REPLACE ' * replace}TEMPORARY VIEW"
                self._run(f"{kind} {name_of(parts)}{named} AS {sql}")
            else:
                self._writable().create_view(parts, named, backquoted(sql), replace=replace)

    def insert(self, parts: Sequence[str], columns: Sequence[str], sql: str) -> int:
        """INSERT; returns how many rows."""
        name = name_of(parts)
        named = f" ({', '.join(name_of([c]) for c in columns)})" if columns else ""
        with self._translated():
            frame = self._frame(sql)
            before = int(self._session.table(name).count())
            if len(parts) == 1 and parts[0].lower() in self._temporary:
                old = self._session.table(name)
                wanted = [c.lower() for c in columns] or [c.lower() for c in old.columns]
                frame = frame.toDF(*(f"c{index}" for index in range(len(wanted))))  # their own names may be one
                given = dict(zip(wanted, frame.columns, strict=True))
                shown = ", ".join(
                    f"CAST({name_of([given[c.lower()]]) if c.lower() in given else 'NULL'} AS {t}) AS {name_of([c])}"
                    for c, t in old.dtypes
                )
                frame.createOrReplaceTempView(f"{_SCRATCH}insert")
                more = self._run(f"SELECT {shown} FROM {_SCRATCH}insert")
                after = self._hold(parts[0], old.union(more))
                self._session.catalog.dropTempView(f"{_SCRATCH}insert")
                return after - before
            self._run(f"INSERT INTO {name}{named} {sql}")
            return int(self._session.table(name).count()) - before

    def drop(self, parts: Sequence[str], *, view: bool = False) -> None:
        """DROP TABLE, or DROP VIEW."""
        with self._translated():
            if len(parts) == 1 and (parts[0].lower() in self._temporary):
                self._session.catalog.dropTempView(self._temporary.pop(parts[0].lower()))
            else:
                self._writable().drop(parts, view=view)

    def _hold(self, name: str, frame: Any) -> int:
        """A temporary table: rows computed now, on the executors, cut off from what they came from."""
        held = self._checkpointed(frame)
        held.createOrReplaceTempView(name)
        self._temporary[name.lower()] = name
        return int(held.count())

    def _checkpointed(self, frame: Any) -> Any:
        """Rows kept on the executors.

        Spark Connect's client looks for them in the thread's active session, whichever the frame is of.
        """
        if not self._remote:
            return frame.localCheckpoint(eager=True)
        active = type(self._session)._active_session
        before = getattr(active, "session", None)
        active.session = self._session
        try:
            return frame.localCheckpoint(eager=True)
        finally:
            active.session = before

    def keep(self, name: str, sql: str) -> None:
        """Cache a query's rows on the executors, under a name, until :meth:`forget`; not twice what is cached there."""
        with self._translated():
            self._kept.keep(name, self._typed(sql))

    def forget(self, name: str) -> None:
        """Let go of what :meth:`keep` kept; harmless where it is gone."""
        if not self._ended:
            self._kept.forget(name)

    def load(self, table: str, files: Sequence[Path], *, replace: bool) -> int:
        """Put files of one format into a table, columns matched by name; returns rows.

        Raises:
            UsageError: no file, an unknown ending, or a file that is not there.
        """
        kind = format_of(files)
        reader = self._session.read.options(**_OPTIONS[kind])
        with self._translated():
            frame = reader.format(kind).load([str(file.absolute()) for file in files])
            frame.createOrReplaceTempView(f"{_SCRATCH}load")
            try:
                return self.create_table([table], f"SELECT * FROM {_SCRATCH}load", replace=replace)
            finally:
                self._session.catalog.dropTempView(f"{_SCRATCH}load")

    def register(self, table: str, rows: Any) -> None:
        """Copy an Arrow table, or a pandas or polars frame, into a temporary table."""
        import pyarrow as pa

        if not isinstance(rows, pa.Table):
            rows = rows.read_all() if isinstance(rows, pa.RecordBatchReader) else pa.table(rows)
        with self._translated():
            self._session.createDataFrame(rows).createOrReplaceTempView(table)
        self._temporary[table.lower()] = table

    # -- expressions ------------------------------------------------------------------------------

    def text(self, expression: e.Expression, *, copy: bool = True) -> str:
        """An expression as Spark writes it; see :func:`hanse.engines.spark_text.written`."""
        return written(expression, copy=copy)

    def error(self, message: str) -> e.Expression:
        """An expression that stops the query with ``message`` when a row reaches it."""
        return e.call("raise_error", e.string(message))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Spark's exceptions as Hanse's; Java's stacks stay behind."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        _leave_out_noise()
        try:
            yield
        except KeyboardInterrupt:
            raise CancelledError("cancelled: nothing was changed by this statement") from None
        except (PySparkException, Py4JError, ConnectionError, EOFError) as error:
            kind, message = type(error).__name__, str(error)
            self._ended = self._ended or has_ended(kind, message)
            left = left_with(self._session) if self._ended or isinstance(error, Py4JError) else None
            if left is not None:  # whatever was heard of it while it left
                self._ended, kind = True, "EOFError"
            raise said(kind, OUT_OF_MEMORY if left == OUT_OF_MEMORY_CODE else message) from None
        except AttributeError as error:  # pyspark's own, where it reaches for the context of a stopped session
            context = getattr(self._session, "_sc", None)
            if context is None or context._jsc is not None:
                raise
            raise said("EOFError", str(error)) from None


def _leave_out_noise() -> None:
    """Ignore two warnings of pyspark's for good: to set filters back is not safe where threads query at once."""
    for message in _NOISE:
        if ("ignore", re.compile(message, re.IGNORECASE), Warning, None, 0) not in warnings.filters:
            warnings.filterwarnings("ignore", message=message)


_NOISE: Final = ("PySpark does not yet fully support pandas", r"\[RETRIES_EXCEEDED\]")
_OPTIONS: dict[str, dict[str, str]] = {
    "parquet": {"mergeSchema": "true"},
    "csv": {"header": "true", "inferSchema": "true"},
    "json": {},
}
