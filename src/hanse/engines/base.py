"""What an engine is, and how an observation becomes one SELECT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from hanse import expressions as e
from hanse.errors import WorkspaceError
from hanse.estimator import Observation
from hanse.statistics import FloatArray, Statistics

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DatabaseInUseError", "Engine", "empties_of", "observation_query", "statistics_of"]


class DatabaseInUseError(WorkspaceError):
    """Another process, or another connection of this one, holds the database; it may be free later."""


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
        """A table's or view's columns by the parts of its name, in any case; None if there is none."""
        ...

    def relations(self) -> Sequence[str]:
        """Every table's and view's name, Hanse's own scratch tables left out."""
        ...

    def is_view(self, parts: Sequence[str]) -> bool:
        """Whether a relation is a view."""
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


def observation_query(relation: str | e.Expression, observation: Observation) -> e.Expression:
    """One SELECT that computes an observation: a row for each cell that holds rows, and one for rows in no cell.

    Those are grouped under -1 or NULL and not filtered out, which would cost a copy of all others.
    """
    source = e.layered(relation, observation.let)
    columns: dict[str, e.Expression] = {}
    for name, aggregate in observation.aggregates.items():
        for i, value in enumerate(aggregate.expressions):
            columns[f"{name}_{i}"] = e.group_of(aggregate.function, value)
    if observation.cell is None:
        return e.select(source, columns)
    return e.select(e.select_over(source, {"cell": observation.cell}), columns, [e.column("cell")])


def empties_of(observation: Observation) -> list[float]:
    """What stands for NULL in each column that :func:`observation_query` gives: NaN for no cell, else an empty sum."""
    sums = [_EMPTY[aggregate.combine] for aggregate in observation.aggregates.values() for _ in aggregate.expressions]
    return sums if observation.cell is None else [np.nan, *sums]


def statistics_of(observation: Observation, columns: Sequence[FloatArray]) -> Statistics:
    """Statistics from the columns that :func:`observation_query` gave.

    Args:
        observation: what was asked.
        columns: (r,) each, :func:`empties_of` for NULL; the cell first where there are cells. Cells without rows get
            the same.
    """
    rest = list(columns)
    cells = None
    if observation.cell is not None:
        held = rest[0] >= 0  # not -1, nor NaN for NULL
        rest = [column[held] for column in rest]
        cells = rest.pop(0).astype(np.int64)
    arrays: dict[str, FloatArray] = {}
    combine = {name: aggregate.combine for name, aggregate in observation.aggregates.items()}
    for name, aggregate in observation.aggregates.items():
        size = len(aggregate.expressions)
        whole = np.full((observation.cells, size), _EMPTY[combine[name]])
        if size:
            whole[cells if cells is not None else [0]] = np.stack(rest[:size], axis=1)
            rest = rest[size:]
        arrays[name] = whole.reshape(observation.shape(name))
    return Statistics(arrays, combine)


_EMPTY = {"sum": 0.0, "min": np.inf, "max": -np.inf}
