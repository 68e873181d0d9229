"""Rows in tables of their own, one a data holder, for laws that every model type must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.estimator import WEIGHT, Holder, Model, Observation
from hanse.statistics import Statistics

__all__ = ["FEATURES", "Rows", "features_of", "holders", "holders_of", "predicted", "watched"]

Rows = npt.NDArray[np.float64]

FEATURES = ("f0", "f1")


def holders(engine: DuckDB, rows: Rows, weight: Rows, owner: Sequence[int], count: int) -> list[Holder]:
    """One holder for each of ``count`` owners, with a table of the rows (n, d) that are its own; there may be none."""
    owners = np.asarray(owner)
    made: list[Holder] = []
    for number in range(count):
        name = f"holder_{number}"
        mine = owners == number
        columns: dict[str, Any] = {f: rows[mine, i] for i, f in enumerate(features_of(rows))}
        engine.register(name, pa.table({**columns, WEIGHT: weight[mine]}))
        made.append(_holder(engine, name))
    return made


def holders_of(engine: DuckDB, rows: Rows) -> list[Holder]:
    """A single holder of all rows, each of weight 1."""
    return holders(engine, rows, np.ones(len(rows)), [0] * len(rows), 1)


def features_of(rows: Rows) -> tuple[str, ...]:
    """Names of the columns."""
    return tuple(f"f{i}" for i in range(rows.shape[1]))


def _holder(engine: DuckDB, name: str) -> Holder:
    return lambda observation: engine.observe(name, observation)


def watched(holder: Holder, seen: Callable[[Observation, Statistics], None]) -> Holder:
    """The same holder; ``seen`` gets what it was asked and what it answered."""

    def observe(observation: Observation) -> Statistics:
        found = holder(observation)
        seen(observation, found)
        return found

    return observe


def predicted(engine: DuckDB, model: Model, rows: Rows) -> npt.NDArray[np.int64]:
    """(n,) labels of rows (n, d), computed by the engine."""
    names = features_of(rows)
    engine.register("to_predict", pa.table({f: rows[:, i] for i, f in enumerate(names)} | {"id": np.arange(len(rows))}))
    (label,) = model.predict([e.column(f) for f in names]).values()
    found = engine.rows(f"SELECT {engine.text(label)} FROM to_predict ORDER BY id")
    return np.array([value for (value,) in found], dtype=np.int64)
