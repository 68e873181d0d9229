"""How an observation becomes one SELECT, and its rows statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.estimator import Observation
from hanse.statistics import FloatArray, Statistics

__all__ = ["doubles_of", "empties_of", "observation_query", "statistics_of"]


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


def doubles_of(column: Any, empty: float) -> FloatArray:
    """A column as doubles, with ``empty`` for NULL; DuckDB masks a column only where it holds one."""
    doubles = column.astype(np.float64)  # first: a column of whole numbers has no room for NaN
    return np.asarray(doubles.filled(empty) if isinstance(doubles, np.ma.MaskedArray) else doubles)


_EMPTY = {"sum": 0.0, "min": np.inf, "max": -np.inf}
