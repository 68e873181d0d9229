"""Referees and helpers for tests of models: measures straight from their definitions, and arrays as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import hanse

__all__ = [
    "Labels",
    "Rows",
    "labels_of",
    "mean_inertia",
    "register",
    "scratch_tables",
    "silhouette",
    "snapshot",
    "train",
]

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_CHUNK_ROWS = 400


def silhouette(rows: Rows, labels: Labels) -> float:
    """Mean silhouette under squared Euclidean distance, pair by pair (Rousseeuw 1987); a row alone counts 0."""
    present = np.unique(labels)
    members = (labels[:, None] == present).astype(np.float64)
    sizes = members.sum(axis=0)
    own = np.searchsorted(present, labels)
    total = 0.0
    for first in range(0, len(rows), _CHUNK_ROWS):
        part = slice(first, first + _CHUNK_ROWS)
        apart = sum((rows[part, i, None] - rows[None, :, i]) ** 2 for i in range(rows.shape[1]))
        to_cluster = apart @ members
        here = np.arange(len(to_cluster))
        mine = own[part]
        a = to_cluster[here, mine] / np.maximum(sizes[mine] - 1, 1)
        others = to_cluster / sizes
        others[here, mine] = np.inf
        b = others.min(axis=1)
        larger = np.maximum(a, b)
        value = np.where(larger > 0, (b - a) / np.where(larger > 0, larger, 1.0), 0.0)
        total += float(np.where(sizes[mine] > 1, value, 0.0).sum())
    return total / len(rows)


def mean_inertia(rows: Rows, labels: Labels) -> float:
    """Sum of squared distances of rows to the mean of their cluster."""
    groups = [rows[labels == label] for label in np.unique(labels)]
    return float(sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups))


def register(
    session: hanse.Session, rows: Any, table: str = "points", weight: Any = None, names: Iterable[str] | None = None
) -> None:
    """Make a temporary table of ``id`` and one column for each feature, ``x0``, ``x1`` ... unless named."""
    rows = np.asarray(rows, dtype=np.float64)
    columns: dict[str, Any] = {"id": np.arange(len(rows))}
    columns |= dict(zip(names or [f"x{i}" for i in range(rows.shape[1])], rows.T, strict=True))
    if weight is not None:
        columns["w"] = np.asarray(weight, dtype=np.float64)
    session.register(table, pa.table(columns))


def train(session: hanse.Session, model: str, features: int = 2, table: str = "points", **options: Any) -> Any:
    """Train ``model`` over the table's features, as a user would; returns the stored artifact."""
    columns = [f"x{i}" for i in range(features)] + (["w"] if "weight_col" in options else [])
    given = {"model_type": "bisecting_kmeans", **options}
    written = ", ".join(f"{key.upper()} = {value!r}" for key, value in given.items())
    session.sql(
        f"CREATE OR REPLACE MODEL {model} "
        f"TRANSFORM (vector_assembler(array({', '.join(columns[:features])})) features) "
        f"OPTIONS ({written}) AS SELECT {', '.join(columns)} FROM {table}"
    )
    return session.registry.load(model, None)[1]


def labels_of(session: hanse.Session, model: str, table: str = "points") -> Labels:
    """The model's labels of the table's rows, in the order of ``id``."""
    query = f"SELECT prediction FROM model_predict({model}, 1, SELECT * FROM {table}) ORDER BY id"
    return np.asarray(session.sql(query).arrow()["prediction"].to_numpy(), dtype=np.int64)


def scratch_tables(session: hanse.Session) -> list[str]:
    """Tables that Hanse made for itself and left behind."""
    if session.engine.dialect == "spark":
        return [name for _, name, _ in session.engine.rows("SHOW TABLES") if "hanse" in name]
    return [name for (name,) in session.engine.rows("SELECT table_name FROM duckdb_tables()") if "hanse" in name]


def snapshot(session: hanse.Session) -> tuple[Any, ...]:
    """All that a failing statement must leave as it was: tables with their rows, views, models with their times."""
    if session.engine.dialect == "spark":
        found = sorted((name, temporary) for _, name, temporary in session.engine.rows("SHOW TABLES"))
        held = [
            (name, temporary, sorted(map(repr, session.engine.rows(f"TABLE `{name}`")))) for name, temporary in found
        ]
        return repr(held), tuple(session.registry.list())
    names = session.engine.rows("SELECT table_name, temporary FROM duckdb_tables() ORDER BY ALL")
    tables = [(name, temp, session.engine.rows(f'FROM "{name}" ORDER BY ALL')) for name, temp in names]
    views = session.engine.rows("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
    return repr(tables), tuple(views), tuple(session.registry.list())
