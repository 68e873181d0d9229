"""Statistics of a snapshot, cell by cell, with what the gate judges each cell by: never released as they are here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse import expressions as e
from hanse.estimator import Observation
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot
from hanse.statistics import FloatArray

__all__ = ["Asked", "Tally", "Texts", "joined", "shares"]

Integers = npt.NDArray[np.int64]

_SQUARES: Final = ("square", "squares", "m2", "inertia")
_PRODUCTS: Final = ("cross", "hessian")
_SIGNED: Final = ("gradient",)
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


class Texts:
    """What has been written of one observation's queries; thread-safe, for writing may change a tree.

    The silos of one process are asked the same in a round, and their views are called the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, str] = {}

    def of(self, key: Hashable, write: Callable[[], str]) -> str:
        """The text that is known under ``key``, or that ``write`` gives now."""
        with self._lock:
            if key not in self._known:
                self._known[key] = write()
            return self._known[key]


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
        far: columns of the view with squares about the silo's own mean; see :class:`Snapshot`. They are judged with the
            observation's sums of squares, and not released.
        texts: of the observation's queries, shared by all who ask it.
    """

    snapshot: Snapshot
    view: str
    observation: Observation
    features: Sequence[str]
    label: str = ""
    classes: tuple[int, ...] = ()
    line: tuple[float, ...] = ()
    far: tuple[str, ...] = ()
    texts: Texts = field(default_factory=Texts)

    @property
    def cells(self) -> int:
        """Of the plan."""
        return 1 if self.observation.cell is None else self.observation.cells

    def tally(self, mapping: Sequence[int]) -> Tally:
        """Count and sum, rows of cell ``i`` counted as rows of ``mapping[i]``.

        Raises:
            RefusalError: the plan asks for a minimum or maximum.
        """
        aggregates = self.observation.aggregates
        for name, aggregate in aggregates.items():
            if aggregate.combine != "sum":
                raise RefusalError("policy", "minimum and maximum are single customers: never released", statistic=name)
        judged = len(self.far) + sum(len(aggregates[name].expressions) for name in _SIGNED if name in aggregates)
        released = sum(len(a.expressions) for a in aggregates.values())
        summed = released + judged
        k, squares = self.cells, [*_square_positions(self.observation), *range(released, summed)]
        key = (self.view, self.snapshot.one_row_each, *mapping)
        sql = self.texts.of(key, lambda: self._query(mapping, squares))
        table = np.zeros((k + 1, 2 + summed + len(squares)))
        for cell, *found in self.snapshot.engine.rows(sql, again=True):
            if not _NO_CELL <= cell < k:
                raise RefusalError("protocol", "the plan puts rows into cells that it does not have")
            table[int(cell)] = [0.0 if value is None else value for value in found]
        arrays, start = {}, 2
        for name, aggregate in aggregates.items():
            size = len(aggregate.expressions)
            arrays[name] = table[:k, start : start + size].reshape((k, *aggregate.shape))
            start += size
        rows, customers = table[:, :2].astype(np.int64).T
        return Tally(
            arrays,
            rows[:k],
            customers[:k],
            table[:k, [2 + i for i in squares]],
            table[:k, start + judged :],
            int(rows[k]),
            int(customers[k]),
        )

    def _judged(self) -> list[e.Expression]:
        """What is summed for the gate alone: squares about the silo's own mean, and sums of either sign without it."""
        aggregates = self.observation.aggregates
        signed = [e.again(x) for name in _SIGNED if name in aggregates for x in aggregates[name].expressions]
        return [*map(e.column, self.far), *map(e.absolute, signed)]

    def _query(self, mapping: Sequence[int], squares: Sequence[int]) -> str:
        """One row per cell: cell, rows, customers, each sum, each square's largest customer; NULL is nothing."""
        observation = joined(self.observation, mapping, self.label)
        values = [*(x for a in observation.aggregates.values() for x in a.expressions), *self._judged()]
        functions = [a.function for a in observation.aggregates.values() for _ in a.expressions]
        functions += ["sum"] * (len(values) - len(functions))
        layers, computed = [*observation.let], {}
        if observation.cell is not None:
            layers.append({"cell": e.coalesce(observation.cell, e.integer(_NO_CELL))})
        names = []
        for i, value in enumerate(values):  # what is both summed and compared is computed once
            name = e.column_name(value)
            if name is None:
                computed[name := f"value{i}"] = value
            names.append(name)
        rows = e.layered(self.view, filter(None, [*layers, computed]))
        summed = tuple(zip(functions, names, strict=True))
        before, after = _around(summed, tuple(squares), observation.cell is not None, self.snapshot.one_row_each)
        return f"{before}{rows if isinstance(rows, str) else self._written(rows)}{after}"

    def _written(self, tree: e.Expression) -> str:
        return self.snapshot.engine.text(tree, copy=False)

    @cached_property
    def labels(self) -> Integers:
        """(rows,) the plan's cell of each row of the snapshot, -1 for none."""
        if self.observation.cell is None:
            return np.zeros(self.snapshot.meta.rows, dtype=np.int64)
        sql = self.texts.of((self.view, "labels"), lambda: f"{self._written(self._labelling())} ORDER BY row_")
        return np.asarray(self.snapshot.engine.arrays(sql)["c"]).astype(np.int64)

    def _labelling(self) -> e.Expression:
        observation = joined(self.observation, range(self.cells), self.label)
        assert observation.cell is not None  # joining keeps it
        cell = e.coalesce(observation.cell, e.integer(_NO_CELL))
        return e.select(e.layered(self.view, observation.let), {"c": cell, "row_": e.column("row_")})

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
    branches = [e.when(e.equal(e.again(old), e.integer(i)), e.integer(j)) for i, j in moved.items()]
    new = e.case(branches, e.again(old))
    if label:
        return _with_label(observation, new, label)
    assert observation.cell is not None  # else there is nothing to join
    layers = (*observation.let, {"plan_cell": observation.cell})
    return Observation(observation.aggregates, layers, new, observation.cells)


def _with_label(observation: Observation, value: e.Expression, label: str) -> Observation:
    layers = ({label: value}, *observation.let)
    return Observation(observation.aggregates, layers, observation.cell, observation.cells)


@lru_cache(maxsize=64)
def _around(
    summed: tuple[tuple[str, str], ...], squares: tuple[int, ...], celled: bool, one_row_each: bool
) -> tuple[str, str]:
    """What stands before and after the relation in :meth:`Asked._query`; the same in every step of a training.

    Args:
        summed: function and column of each sum.
        squares: which of them are compared, too.
        celled: whether the relation has a column ``cell``.
        one_row_each: else a customer's rows are summed before customers are compared.
    """
    sums = [f"{function}({e.quote(name)}) AS s{i}" for i, (function, name) in enumerate(summed)]
    by = " GROUP BY cell" if celled else ""
    cell = "cell" if celled else "0 AS cell"
    if one_row_each:
        largest = [f"max({e.quote(summed[i][1])})" for i in squares]
        return f"SELECT {', '.join([cell, 'count(*), count(*)', *sums, *largest])} FROM ", by
    totals = [f"sum(s{i})" for i in range(len(sums))]
    largest = [f"max(s{i})" for i in squares]
    before = f"SELECT {', '.join([cell, 'sum(n), count(*)', *totals, *largest])} FROM ("
    owed = ", ".join([*(["cell"] if celled else []), "count(*) AS n", *sums])
    return f"{before}SELECT {owed} FROM ", f" GROUP BY {'cell, ' if celled else ''}customer) AS owed{by}"


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
