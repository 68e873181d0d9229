"""Rows in tables of their own, one a data holder, for laws that every model type must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB
from hanse.estimator import TARGET, WEIGHT, Holder, Model, Observation
from hanse.statistics import Statistics

__all__ = ["FEATURES", "Rows", "features_of", "holders", "holders_of", "predicted", "scored", "targets", "watched"]

Rows = npt.NDArray[np.float64]

FEATURES = ("f0", "f1")


def holders(engine: DuckDB, rows: Rows, weight: Rows, owner: Sequence[int], count: int) -> list[Holder]:
    """One holder for each of ``count`` owners, with a table of the rows (n, d) that are its own; there may be none.

    A row has a weight, and a target that the features alone do not tell.
    """
    owners = np.asarray(owner)
    made: list[Holder] = []
    target = targets(rows)
    for number in range(count):
        name = f"holder_{number}"
        mine = owners == number
        columns: dict[str, Any] = {f: rows[mine, i] for i, f in enumerate(features_of(rows))}
        engine.register(name, pa.table({**columns, WEIGHT: weight[mine], TARGET: target[mine]}))
        made.append(_holder(engine, name))
    return made


def targets(rows: Rows) -> Rows:
    """(n,) labels 0 and 1: a coin that a row's numbers toss, tipped by the last of them; both labels occur."""
    coin = (np.sin(rows @ np.array([12.9898, 78.233, 37.719])[: rows.shape[1]]) * 43758.5453) % 1.0
    tipped = rows[:, -1] > np.median(rows[:, -1]) if len(rows) else np.empty(0, dtype=bool)
    target = (coin < 0.25 + 0.5 * tipped).astype(np.float64)
    if len(rows) and target.min() == target.max():
        target[0] = 1.0 - target[0]
    return target


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
    label = next(iter(model.predict([e.column(f) for f in names]).values()))
    found = engine.rows(f"SELECT {engine.text(label)} FROM to_predict ORDER BY id")
    return np.array([value for (value,) in found], dtype=np.int64)


def scored(engine: DuckDB, model: Any, rows: Rows, column: str = "anomaly_score") -> Rows:
    """(n,) scores of rows (n, d), computed by the engine."""
    names = features_of(rows)
    engine.register("to_score", pa.table({f: rows[:, i] for i, f in enumerate(names)} | {"id": np.arange(len(rows))}))
    features = [e.column(f) for f in names]
    value = {**model.scores(features), **model.contributions(features)}[column]
    found = engine.rows(f"SELECT {engine.text(value)} FROM to_score ORDER BY id")
    return np.array([value for (value,) in found], dtype=np.float64)
