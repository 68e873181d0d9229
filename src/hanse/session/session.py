"""A session: statements in, results out, over one workspace."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.collector import leave_quickly, load, patient
from hanse.engines.base import Engine
from hanse.engines.duckdb import DuckDB
from hanse.errors import BindError, CancelledError, HanseError, UsageError, nearest
from hanse.session import statements
from hanse.session.result import Result, Stream
from hanse.session.spark import spark_engine
from hanse.sql import nodes
from hanse.sql.parser import parse
from hanse.types import Parameters, Progress, Value
from hanse.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.registry import Registry
    from hanse.report.data import Report
    from hanse.session.federation import Federation
    from hanse.session.learning import Learner

__all__ = ["Session"]


leave_quickly()


def _load_models() -> None:
    """What models need, and takes a quarter of a second: a table that takes long is for a model as a rule."""
    load("hanse.session.model_statements", "hanse.engines.observing", "hanse.registry", *_LIBRARIES)


_LIBRARIES = ("numpy.ma", "pyarrow", "sqlalchemy.dialects.sqlite")


class Session:
    """Statements in, results out; data and models live in a workspace.

    Temporary tables and ``SET`` options live as long as the session. Use it from one thread at a time.

    Args:
        workspace: a folder, made where it is missing; None keeps everything in memory.
        memory_limit: what the engine may use, as ``2GB``; more spills to the workspace's disk.
        threads: of the engine; all cores without it.
        federation: the coordinator's file, for silos over a broker.
        registry: where models are kept, a file or a SQLAlchemy URL; the workspace's own ``registry.sqlite`` without it.
        engine: ``duckdb``, or ``spark``.
        spark: a session of pyspark's to use, with its catalog.
        master: start Spark there (``local[2]``, ``yarn`` ...); tables are kept in the workspace.
        remote: a Spark Connect server, ``sc://host:15002``.

    Raises:
        UsageError: an unknown engine, arguments that do not fit it, or pyspark or Java that is missing.
        WorkspaceError: the workspace is locked, corrupt or cannot be written.

    >>> from hanse.session import Session
    >>> with Session() as session:
    ...     session.sql("SELECT 1 / 0 AS nothing, 'a' || $b AS text", {"b": "b"}).fetchall()
    [(None, 'ab')]
    """

    def __init__(
        self,
        workspace: str | Path | None = None,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        registry: str | Path | None = None,
        federation: str | Path | None = None,
        engine: str = "duckdb",
        spark: Any = None,
        master: str | None = None,
        remote: str | None = None,
    ) -> None:
        self._registry_target = registry
        self._federation_file = federation
        self._federation: Federation | None = None
        self.workspace = Workspace.open(workspace)
        self.engine: Engine
        if engine == "spark":
            self.engine = spark_engine(self.workspace, spark, master, remote, memory_limit, threads)
        else:
            _check_engine(engine, spark=spark, master=master, remote=remote)
            self.engine = DuckDB(
                self.workspace.warehouse, memory_limit=memory_limit, threads=threads, meanwhile=_load_models
            )
        self._closed = False
        self._learner: Learner | None = None
        self._registry: Registry | None = None
        self._open_stream: weakref.ref[Stream] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the workspace; temporary tables are gone."""
        self._closed = True
        self.engine.close()
        if self._registry is not None:
            self._registry.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this session is closed: open another one with hanse.connect(...)")

    @property
    def learner(self) -> Learner:
        """Trains and uses models on this engine; loaded when it is first needed."""
        if self._learner is None:
            _load_models()
            from hanse.session.learning import Learner

            self._learner = Learner(self.engine)
        return self._learner

    @property
    def registry(self) -> Registry:
        """The workspace's models; opened when they are first needed."""
        if self._registry is None:
            _load_models()
            from hanse.registry import Registry

            self._registry = Registry.open(self._registry_target or self.workspace.registry)
        return self._registry

    @property
    def federation(self) -> Federation:
        """Silos, and models over them; loaded when it is first needed."""
        if self._federation is None:
            from hanse.session.federation import Federation

            settings = None if self._federation_file is None else Path(self._federation_file)
            self._federation = Federation(self, settings)
        return self._federation

    def run(
        self,
        text: str,
        parameters: Parameters | None = None,
        *,
        into: str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """Run a script, statement by statement, as the iterator is advanced.

        The whole script is parsed first: a syntax error anywhere runs nothing.

        Args:
            text: statements separated by ``;``.
            parameters: values for ``$name``, by name; they are bound as typed values, never pasted as text.
            into: a table that takes the rows of the last statement, replaced if it exists.
            progress: called on each round of training.

        Raises:
            HanseError: any of them; statements before it stay done, the failing one leaves nothing half-made.
        """
        script = parse(text)
        given = dict(parameters or {})
        if into is not None and (not script or not isinstance(script[-1], nodes.Query)):
            what = f"the last statement is {script[-1].kind}" if script else "the script is empty"
            raise UsageError(f"--into {into}: {what}; need a SELECT as the last statement")
        return self._run(script, given, into, progress)

    def _run(
        self,
        script: Sequence[nodes.Statement],
        parameters: Parameters,
        into: str | None,
        progress: Progress | None,
    ) -> Iterator[Result]:
        for number, statement in enumerate(script, 1):
            self._check_open()
            self._free_engine()
            target = into if number == len(script) else None
            started = time.perf_counter()
            try:
                with patient():
                    outcome = statements.execute(self, statement, parameters, target, progress)
            except KeyboardInterrupt:
                raise CancelledError("cancelled: this statement changed nothing").within(statement.position) from None
            except HanseError as error:
                raise error.within(statement.position) from error.__cause__
            result = Result(number, outcome.kind, outcome.reader, outcome.warnings, started, outcome.explain)
            self._open_stream = weakref.ref(result.stream)
            yield result

    def _free_engine(self) -> None:
        """Let a result that is still being read keep its rows."""
        stream = self._open_stream() if self._open_stream is not None else None
        if stream is not None:
            stream.keep()
        self._open_stream = None

    def sql(self, text: str, parameters: Parameters | None = None, *, progress: Progress | None = None) -> Result:
        """Run a script and give its last statement's result; warnings of all statements come with it.

        Raises:
            UsageError: there is no statement.
            HanseError: as :meth:`run`.
        """
        last: Result | None = None
        warnings: list[str] = []
        for result in self.run(text, parameters, progress=progress):
            warnings += result.warnings
            last = result
        if last is None:
            raise UsageError("no statement to run: the text is empty or holds comments only")
        last.warnings = warnings
        return last

    def load(self, table: str, files: str | Path | Sequence[str | Path], *, replace: bool = True) -> int:
        """Put parquet, csv or json files into a table.

        Args:
            table: its name.
            files: one, or several of one format; read together, columns matched by name.
            replace: whether a table of that name may be replaced.

        Returns:
            rows.

        Raises:
            UsageError: no file, an unknown ending, or a file that is not there.
            EngineError: a file that cannot be read.
        """
        self._check_open()
        self._free_engine()
        several = [files] if isinstance(files, str | Path) else files
        return self.engine.load(table, [Path(f) for f in several], replace=replace)

    def register(self, table: str, rows: pa.Table | pa.RecordBatchReader | Any) -> None:
        """Make a temporary table of an Arrow table, or of a pandas or polars frame."""
        self._check_open()
        self._free_engine()
        self.engine.register(table, rows)

    def report(
        self,
        models: str | Sequence[str],
        path: str | Path,
        *,
        against: str | None = None,
        select: str | Sequence[str] = (),
        customer: str | None = None,
        contamination: float | None = None,
        threshold: float | None = None,
        top: int = 50,
        parameters: Parameters | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write a report of a model's anomalies: one HTML file that needs nothing else.

        Args:
            models: a model, as ``name`` or ``name:version``, or several, each of which gets a part of the report.
            path: of the file; replaced whole.
            against: the global model to compare with.
            select: whose customers: one SELECT for all models, or one for each; without it the models' training rows.
            customer: the column that names a customer; found where it is not given.
            contamination: as of ``detect_anomalies``; 0.02 where there is no threshold either.
            threshold: likewise.
            top: how many anomalous customers are listed.
            parameters: for ``$name`` in the SELECT.
            progress: called for each statement and each picture.

        Returns:
            what the report shows, as data.

        Raises:
            HanseError: any; the file is as it was.
        """
        from hanse.session.reporting import Wish, write_report

        def several(given: str | Sequence[str]) -> tuple[str, ...]:
            return (given,) if isinstance(given, str) else tuple(given)

        wish = Wish(
            several(models),
            against,
            several(select),
            customer,
            contamination,
            threshold,
            top,
            dict(parameters or {}),
        )
        return write_report(self, path, wish, progress)

    def set_option(self, key: str, value: Value, statement: nodes.SetOption) -> None:
        """What ``SET key = value`` does."""
        if key == "strict_binding":
            if not isinstance(value, bool):
                raise BindError(f"strict_binding = {value!r}", "need true or false", statement.value_position)
            self.learner.strict_binding = value
            return
        raise BindError(f"unknown setting {key}", nearest(key, SETTINGS), statement.key_position)

    @property
    def settings(self) -> Mapping[str, Value]:
        """What ``SET`` can set, and its values."""
        return {"strict_binding": self.learner.strict_binding}


def _check_engine(engine: str, **given: Any) -> None:
    if engine != "duckdb":
        raise UsageError(f"engine {engine!r}: {nearest(engine, ('duckdb', 'spark'))}")
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is for engine spark, and the engine is duckdb: say engine = 'spark' too")


SETTINGS = ("strict_binding",)
