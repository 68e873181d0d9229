"""What an engine is, and what all of them say of columns and views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from hanse import expressions as e
from hanse.errors import DataError, EngineError, WorkspaceError

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.estimator import Observation
    from hanse.statistics import Statistics

__all__ = ["DatabaseInUseError", "Engine", "Kind", "by_name", "no_longer_works"]

Kind = Literal["table", "view"]


class DatabaseInUseError(WorkspaceError):
    """Another process, or another connection of this one, holds the database; it may be free later."""


def no_longer_works(parts: Sequence[str], why: str) -> EngineError:
    """The error about a view whose query the engine refuses, for what it reads is gone or has changed."""
    return EngineError(f"view {'.'.join(parts)} no longer works ({why}): make what it reads, or the view, anew")


def by_name(columns: Iterable[tuple[str, str]], *, unique: bool) -> dict[str, str]:
    """The columns' types by name; of columns that share a name, the later ones are numbered.

    Args:
        columns: names and types.
        unique: forbid two of one name, in any case.

    Raises:
        DataError: there are two nevertheless.
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, kind in columns:
        other = first.get(name.lower())
        if unique and other is not None:
            both = name if name == other else f"{other} and {name}, which are one name"
            raise DataError(f"the SELECT gives two columns called {both}: give each a name of its own with AS")
        first[name.lower()] = name
        found[name if name not in found else f"{name} ({len(found) + 1})"] = kind
    return found


class Engine(Protocol):
    """A database that holds a data holder's rows.

    Text is in the engine's dialect, but that names may be quoted as in standard SQL (:func:`hanse.expressions.quote`).
    """

    dialect: ClassVar[str]

    def close(self) -> None:
        """Let go of the database; temporary tables are gone."""
        ...

    def query(self, sql: str) -> pa.RecordBatchReader:
        """Run a query; a stream of record batches."""
        ...

    def copied(self, sql: str) -> pa.RecordBatchReader:
        """Run a query once, and stream its rows, however many, to be kept elsewhere."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query that gives few rows."""
        ...

    def explain(self, sql: str) -> list[tuple[str, str]]:
        """How a query would be run: parts and their text."""
        ...

    def observe(self, relation: str | e.Expression, observation: Observation) -> Statistics:
        """Compute an observation over a relation: one SELECT."""
        ...

    def every(self, relation: str, step: int) -> str | e.Expression:
        """One row in ``step``, spread evenly over a table; the table itself for a step below 2."""
        ...

    def columns(self, sql: str, *, unique: bool = True) -> Mapping[str, str]:
        """The columns that a query gives: engine type text by name; ``unique``: two of one name are an error."""
        ...

    def relation_columns(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """A table's or view's columns by the parts of its name, in any case; None if there is none.

        Raises:
            EngineError: a view whose query no longer works.
        """
        ...

    def relations(self) -> Sequence[str]:
        """Every table's and view's name, Hanse's own scratch tables left out."""
        ...

    def kind(self, parts: Sequence[str]) -> Kind | None:
        """What a name, in any case, means now; None if there is nothing. A view counts that no longer works."""
        ...

    def create_table(self, parts: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False) -> int:
        """CREATE TABLE AS, all or nothing; returns its rows."""
        ...

    def create_empty(
        self, parts: Sequence[str], columns: Sequence[str], *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE TABLE with columns as ``"name" TYPE``."""
        ...

    def create_view(
        self, parts: Sequence[str], columns: Sequence[str], sql: str, *, replace: bool = False, temporary: bool = False
    ) -> None:
        """CREATE VIEW; ``columns``, where there are any, rename those of the query."""
        ...

    def insert(self, parts: Sequence[str], columns: Sequence[str], sql: str) -> int:
        """INSERT, all or nothing; returns how many rows."""
        ...

    def drop(self, parts: Sequence[str], *, view: bool = False) -> None:
        """DROP TABLE, or DROP VIEW."""
        ...

    def keep(self, name: str, sql: str) -> None:
        """Keep a query's rows, to be read again and again under a name, until :meth:`forget`."""
        ...

    def forget(self, name: str) -> None:
        """Let go of what :meth:`keep` kept; harmless where it is gone."""
        ...

    def load(self, table: str, files: Sequence[Path], *, replace: bool) -> int:
        """Put files of one format into a table; returns rows."""
        ...

    def register(self, table: str, rows: Any) -> None:
        """Copy an Arrow table, or a pandas or polars frame, into a temporary table."""
        ...

    def text(self, expression: e.Expression, *, copy: bool = True) -> str:
        """An expression as this engine writes it; see :func:`hanse.expressions.written`."""
        ...

    def error(self, message: str) -> e.Expression:
        """An expression that stops the query with ``message`` when a row reaches it."""
        ...
