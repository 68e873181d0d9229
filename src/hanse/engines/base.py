"""What an engine is, and how an observation becomes one SELECT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from hanse import expressions as e
from hanse.estimator import Observation
from hanse.statistics import FloatArray, Statistics

__all__ = ["Engine", "observation_query", "statistics_of"]


class Engine(Protocol):
    """A database that holds a data holder's rows."""

    dialect: ClassVar[str]

    def query(self, sql: str) -> Any:
        """Run a query; a stream of record batches."""
        ...

    def execute(self, sql: str) -> None:
        """Run a statement that gives no rows."""
        ...

    def observe(self, relation: str | e.Expression, observation: Observation) -> Statistics:
        """Compute an observation over a relation: one SELECT."""
        ...

    def every(self, relation: str, step: int) -> str | e.Expression:
        """One row in ``step``, spread evenly over a table; the table itself for a step below 2."""
        ...

    def columns(self, sql: str) -> Mapping[str, str]:
        """The columns that a query gives: engine type text by name."""
        ...


def observation_query(relation: str | e.Expression, observation: Observation) -> e.Expression:
    """One SELECT that computes an observation: a row for each cell that holds rows, and one for rows in no cell.

    Those are grouped under -1 or NULL and not filtered out, which would cost a copy of all others.
    """
    source: str | e.Expression = relation
    for layer in observation.let:
        source = e.select_over(source, layer)
    columns: dict[str, e.Expression] = {}
    for name, aggregate in observation.aggregates.items():
        for i, value in enumerate(aggregate.expressions):
            columns[f"{name}_{i}"] = e.group_of(aggregate.function, value)
    if observation.cell is None:
        return e.select(source, columns)
    return e.select(e.select_over(source, {"cell": observation.cell}), columns, e.column("cell"))


def statistics_of(observation: Observation, columns: Sequence[FloatArray]) -> Statistics:
    """Statistics from the columns that :func:`observation_query` gave.

    Args:
        observation: what was asked.
        columns: (r,) each, NaN for NULL; the cell first where there are cells. Cells without rows, and NULL sums, get
            the identity of their way of combining.
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
