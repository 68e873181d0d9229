"""Statistics of a snapshot, cell by cell, with what the gate judges each cell by: never released as they are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.estimator import Observation
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot
from hanse.statistics import FloatArray

__all__ = ["Asked", "Tally", "joined", "shares"]

Integers = npt.NDArray[np.int64]

_SQUARES: Final = ("square", "squares", "m2", "inertia")
_PRODUCTS: Final = ("cross", "hessian")
_NO_CELL: Final = -1


@dataclass(frozen=True)
class Tally:
    """What one query found.

    Args:
        arrays: by name; the first axis is the cell, also where the plan has one cell.
        rows: (k,) rows of each cell.
        customers: (k,) distinct customers of each cell.
        squares: (k, m) the cells' sums of squares.
        largest: (k, m) what one customer owes of each, at the most.
        outside_rows: rows that are in no cell.
        outside: distinct customers with such rows.
    """

    arrays: Mapping[str, FloatArray]
    rows: Integers
    customers: Integers
    squares: FloatArray
    largest: FloatArray
    outside_rows: int
    outside: int

    @property
    def share(self) -> FloatArray:
        """(k,) the largest share that one customer has in any sum of squares of the cell."""
        return shares(self.largest, self.squares)


@dataclass(frozen=True)
class Asked:
    """An observation over a view of a snapshot.

    Args:
        snapshot: the rows.
        view: of the snapshot, with ``row_`` and ``customer``.
        observation: over the view's columns.
        features: columns of the view that say which cells are near each other.
        label: a column that holds the cell, where the aggregates read it; it is relabelled with the cell.
        classes: distinct customers of each class of the rows, all of which must be enough; empty where there are none.
        line: (k,) where the cells lie, where that is told by something else than features.
    """

    snapshot: Snapshot
    view: str
    observation: Observation
    features: Sequence[str]
    label: str = ""
    classes: tuple[int, ...] = ()
    line: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Of the plan."""
        return 1 if self.observation.cell is None else self.observation.cells

    def tally(self, mapping: Sequence[int]) -> Tally:
        """Count and sum, rows of cell ``i`` counted as rows of ``mapping[i]``.

        Raises:
            RefusalError: the plan asks for a minimum or maximum.
        """
        observation = joined(self.observation, mapping, self.label)
        names = list(observation.aggregates)
        for name in names:
            if observation.aggregates[name].combine != "sum":
                raise RefusalError("policy", "minimum and maximum are single customers: never released", statistic=name)
        k = self.cells
        rows = self.snapshot.engine.rows(self._query(observation))
        expressions = sum(len(a.expressions) for a in observation.aggregates.values())
        squares = _square_positions(observation)
        table = np.zeros((k + 1, 3 + expressions + len(squares)))
        for row in rows:
            if not _NO_CELL <= row[0] < k:
                raise RefusalError("protocol", "the plan puts rows into cells that it does not have")
            table[int(row[0])] = row
        arrays, start = {}, 3
        for name in names:
            aggregate = observation.aggregates[name]
            size = len(aggregate.expressions)
            arrays[name] = table[:k, start : start + size].reshape((k, *aggregate.shape))
            start += size
        return Tally(
            arrays,
            table[:k, 1].astype(np.int64),
            table[:k, 2].astype(np.int64),
            table[:k, [3 + i for i in squares]],
            table[:k, start:],
            int(table[k, 1]),
            int(table[k, 2]),
        )

    def _query(self, observation: Observation) -> str:
        """One row per cell: cell, rows, customers, each sum, each square's largest customer."""
        layers = observation.let if observation.cell is None else (*observation.let, {"cell": observation.cell})
        rows = self._rows(Observation(observation.aggregates, layers))
        cell = "0" if observation.cell is None else 'coalesce("cell", -1)'
        sums = [_text(x) for a in observation.aggregates.values() for x in a.expressions]
        squares = _square_positions(observation)
        if self.snapshot.one_row_each:
            largest = [f"max({sums[i]})" for i in squares]
            listed = ", ".join([f"{cell} AS hanse_cell", "count(*)", "count(*)", *map(_summed, sums), *largest])
            return f"SELECT {listed} FROM {rows} GROUP BY hanse_cell"
        inner = ", ".join(f"{_summed(x)} AS s{i}" for i, x in enumerate(sums))
        outer = [f"sum(s{i})" for i in range(len(sums))] + [f"max(s{i})" for i in squares]
        return (
            f"SELECT hanse_cell, sum(n), count(*), {', '.join(outer)} FROM (SELECT {cell} AS hanse_cell, customer, "
            f"count(*) AS n, {inner} FROM {rows} GROUP BY hanse_cell, customer) AS parts GROUP BY hanse_cell"
        )

    @cached_property
    def labels(self) -> Integers:
        """(rows,) the plan's cell of each row of the snapshot, -1 for none."""
        if self.observation.cell is None:
            return np.zeros(self.snapshot.meta.rows, dtype=np.int64)
        observation = joined(self.observation, range(self.cells), self.label)
        assert observation.cell is not None  # joining keeps it
        cell = self.snapshot.engine.text(observation.cell)
        sql = f"SELECT coalesce({cell}, -1) AS c FROM {self._rows(observation)} ORDER BY row_"
        return np.asarray(self.snapshot.engine.arrays(sql)["c"]).astype(np.int64)

    def _rows(self, observation: Observation) -> str:
        """The view with the observation's layers, as text for FROM."""
        source: str | e.Expression = self.view
        for layer in observation.let:
            source = e.select_over(source, layer)
        return source if isinstance(source, str) else _text(source)

    @cached_property
    def places(self) -> FloatArray:
        """(k, d) where each cell of the plan lies, in the silo's own standard deviations; NaN without rows."""
        if self.line:
            return np.array(self.line)[:, None]
        columns = ", ".join(f"CAST({e.quote(f)} AS DOUBLE) AS v{i}" for i, f in enumerate(self.features))
        found = self.snapshot.engine.arrays(f"SELECT {columns} FROM {self.view} ORDER BY row_")
        table = np.column_stack([np.asarray(found[f"v{i}"], dtype=np.float64) for i in range(len(self.features))])
        spread = table.std(axis=0)
        table = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        inside = self.labels >= 0
        count = np.bincount(self.labels[inside], minlength=self.cells)
        sums = [np.bincount(self.labels[inside], table[inside, j], self.cells) for j in range(table.shape[1])]
        means: FloatArray = np.column_stack(sums) / np.where(count > 0, count, np.nan)[:, None]
        return means


def joined(observation: Observation, mapping: Sequence[int], label: str = "") -> Observation:
    """The observation with rows of cell ``i`` counted, and told apart, as rows of cell ``mapping[i]``.

    Args:
        observation: with cells.
        mapping: (k,) for each cell of the plan the cell that its rows belong to.
        label: a column of the relation that the aggregates read the cell from; it is relabelled before they do.
    """
    moved = {i: j for i, j in enumerate(mapping) if i != j}
    if observation.cell is None and not label:
        return observation
    if not moved:
        return observation if not label else _with_label(observation, e.column(f"plan_{label}"), label)
    old = e.column(f"plan_{label}") if label else e.column("plan_cell")
    branches = [e.when(e.equal(old.copy(), e.integer(i)), e.integer(j)) for i, j in moved.items()]
    new = e.case(branches, old.copy())
    if label:
        return _with_label(observation, new, label)
    assert observation.cell is not None  # else there is nothing to join
    layers = (*observation.let, {"plan_cell": observation.cell})
    return Observation(observation.aggregates, layers, new, observation.cells)


def _with_label(observation: Observation, value: e.Expression, label: str) -> Observation:
    layers = ({label: value}, *observation.let)
    return Observation(observation.aggregates, layers, observation.cell, observation.cells)


def _text(expression: e.Expression) -> str:
    """As DuckDB writes it; without the copy that would cost more than the query of a small relation."""
    return e.written(expression, DuckDB.dialect, copy=False)


def _summed(text: str) -> str:
    return f"coalesce(sum({text}), 0)"


def _square_positions(observation: Observation) -> list[int]:
    """Which of all summed expressions are sums of squares."""
    positions: list[int] = []
    start = 0
    for name, aggregate in observation.aggregates.items():
        size = len(aggregate.expressions)
        if name in _SQUARES:
            positions += range(start, start + size)
        elif name in _PRODUCTS:
            positions += [start + i for i in _diagonal(size, aggregate.shape)]
        start += size
    return positions


def _diagonal(size: int, shape: tuple[int, ...]) -> list[int]:
    if len(shape) == 2:
        return [i * shape[1] + i for i in range(shape[0])]
    d = int((np.sqrt(8 * size + 1) - 1) / 2)
    rows, columns = np.triu_indices(d)
    return [int(i) for i in np.flatnonzero(rows == columns)]


def shares(largest: FloatArray, squares: FloatArray) -> FloatArray:
    """(k,) of (k, m) each: the largest quotient of a cell; 0 where there is nothing to divide."""
    found = np.divide(largest, squares, out=np.zeros_like(squares), where=squares > 0)
    return np.asarray(found.max(axis=1, initial=0.0))
