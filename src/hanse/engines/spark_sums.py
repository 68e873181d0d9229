"""How an observation is written for Spark, so that Spark compiles it.

Spark turns each query into a Java class of its own. A query of more than a hundred columns is not compiled but
interpreted, which is far slower; so many sums are asked for in parts of one query, each with a scan of its own over the
cached rows. Of many products of columns a part takes all: each row once for every column, under its number, times every
column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.engines.observing import empties_of, statistics_of
from hanse.engines.spark_text import written
from hanse.estimator import CrossProducts, Observation
from hanse.statistics import Statistics

__all__ = ["SumsQuery"]

_MOST_SUMS = 90  # of a part: with its number and the cell below spark.sql.codegen.maxFields, which is 100
_ROWS = "hanse_celled"
_FACTOR = "__hanse_factor"
_PLACE = "__hanse_place"


@dataclass(frozen=True)
class _Part:
    """A SELECT of the query.

    Args:
        groups: its aggregates.
        places: for each row that it gives a cell, which of the observation's aggregates they are; None: of no use.
        exploded: columns of which each row is taken once for each, as :data:`_FACTOR`; empty: once.
    """

    groups: list[e.Expression]
    places: list[list[int | None]]
    exploded: tuple[e.Expression, ...] = ()


def _parts(observation: Observation) -> list[_Part]:
    plain: list[tuple[int, e.Expression]] = []
    parts: list[_Part] = []
    first = 0
    for aggregate in observation.aggregates.values():
        size = len(aggregate.expressions)
        if isinstance(aggregate, CrossProducts) and size > _MOST_SUMS:
            parts += _products(aggregate, first)
        else:
            plain += [(i, e.group_of(aggregate.function, x)) for i, x in enumerate(aggregate.expressions, first)]
        first += size
    for start in range(0, len(plain), _MOST_SUMS):
        places, groups = zip(*plain[start : start + _MOST_SUMS], strict=True)
        parts.append(_Part(list(groups), [list(places)]))
    return parts


def _products(aggregate: CrossProducts, first: int) -> list[_Part]:
    """Parts for a triangle of products, whose first is the observation's aggregate number ``first``."""
    values, weight = aggregate.values, aggregate.weight
    exploded = values if weight is None else tuple(e.multiply(e.again(weight), e.again(v)) for v in values)
    places: list[list[int | None]] = []
    for i in range(len(values)):
        places.append([None] * i + list(range(first, first + len(values) - i)))
        first += len(values) - i
    parts = []
    for start in range(0, len(values), _MOST_SUMS):
        here = slice(start, start + _MOST_SUMS)
        groups = [e.group_of("sum", e.multiply(e.column(_FACTOR), e.again(v))) for v in values[here]]
        parts.append(_Part(groups, [row[here] for row in places], exploded))
    return parts


class SumsQuery:
    """An observation as one query: rows for each cell that holds rows, and for rows in no cell.

    Its columns: the cell where there are any, the number of the row, whatever the cell, then some of the aggregates.
    """

    def __init__(self, relation: str | e.Expression, observation: Observation) -> None:
        self._observation = observation
        parts = _parts(observation)
        self._places = [row for part in parts for row in part.places]
        width = max(len(part.groups) for part in parts)
        cell = [] if observation.cell is None else ["cell"]
        selects, row = [], 0
        for part in parts:
            sums = [written(e.as_double(group)) for group in part.groups]
            sums += ["CAST(NULL AS DOUBLE)"] * (width - len(sums))
            number, by, source = str(row), cell, _ROWS
            if part.exploded:
                factors = ", ".join(written(value) for value in part.exploded)
                number, by = f"{row} + {_PLACE}", [*cell, _PLACE]
                source += f" LATERAL VIEW POSEXPLODE(ARRAY({factors})) AS {_PLACE}, {_FACTOR}"
            grouped = f" GROUP BY {', '.join(by)}" if by else ""
            selects.append(f"SELECT {', '.join([*cell, number, *sums])} FROM {source}{grouped}")
            row += len(part.places)
        rows = e.layered(relation, observation.let)
        if observation.cell is not None:
            rows = e.select_over(rows, {"cell": observation.cell})
        self.sql = f"WITH {_ROWS} AS ({written(e.everything(rows))}) {' UNION ALL '.join(selects)}"

    def statistics(self, rows: Sequence[Sequence[Any]]) -> Statistics:
        """What the query's rows say."""
        empties = empties_of(self._observation)
        celled = self._observation.cell is not None
        found: dict[Any, list[float]] = {}
        for given in rows:
            cell, row, *values = given if celled else (None, *given)
            here = found.setdefault(cell, list(empties))
            if cell is not None:
                here[0] = float(cell)
            for i, value in zip(self._places[row], values, strict=False):  # a part with fewer sums is filled up
                if i is not None and value is not None:
                    here[celled + i] = float(value)
        columns = zip(*found.values(), strict=True) if found else [()] * len(empties)
        return statistics_of(self._observation, [np.array(column, dtype=np.float64) for column in columns])
