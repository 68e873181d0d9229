"""Contenders that train on one machine: Hanse on DuckDB, scikit-learn, and a plain loop in NumPy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.data import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

__all__ = ["create_model", "hanse_train", "numpy_train", "sklearn_bisecting", "sklearn_kmeans"]

_CHUNK = 65_536
_STEPS = 300
_TOLERANCE = 1e-4


def create_model(features: int, clusters: int, seed: int, table: str) -> str:
    """The statement that makes model ``m``."""
    names = ", ".join(columns(features))
    return (
        f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
        f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}, SEED = {seed}) "
        f"AS SELECT {names} FROM {table}"
    )


def hanse_train(workspace: str, features: int, clusters: int, seed: int) -> dict[str, Any]:
    """Time CREATE MODEL; a model of 2,000 rows before it does the imports."""
    import hanse

    with hanse.connect(workspace) as session:
        started = time.perf_counter()
        session.sql(create_model(features, clusters, seed, "few"))
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        session.sql(create_model(features, clusters, seed, "points"))
        timed_s = time.perf_counter() - started
        inertia = session.sql("SELECT SUM(inertia) FROM model_centroids(m, 1)").fetchall()[0][0]
    return {"timed_s": timed_s, "first_s": first_s, "inertia": inertia}


def sklearn_bisecting(array: str, clusters: int, n_init: int, seed: int) -> dict[str, Any]:
    """Time fit(); a model of 2,000 rows before it wakes the thread pools."""
    from sklearn.cluster import BisectingKMeans

    return _fit(BisectingKMeans(n_clusters=clusters, n_init=n_init, random_state=seed), array)


def sklearn_kmeans(array: str, clusters: int, seed: int) -> dict[str, Any]:
    """Time fit() of a model that is no tree; a model of 2,000 rows before it wakes the thread pools."""
    from sklearn.cluster import KMeans

    return _fit(KMeans(n_clusters=clusters, random_state=seed), array)


def _fit(estimator: Any, array: str) -> dict[str, Any]:
    import numpy as np

    rows = np.load(array)
    estimator.fit(rows[:2000])
    started = time.perf_counter()
    estimator.fit(rows)
    return {"timed_s": time.perf_counter() - started, "inertia": float(estimator.inertia_)}


def numpy_train(array: str, clusters: int, seed: int) -> dict[str, Any]:
    """Time bisecting k-means as one would write it down: Lloyd's iteration over chunks, from two random rows."""
    import numpy as np

    rows = np.load(array)
    random = np.random.default_rng(seed)
    started = time.perf_counter()
    members = [np.arange(len(rows))]
    inertia = [np.inf]
    while len(members) < clusters:
        widest = int(np.argmax(inertia))
        mine = members.pop(widest)
        inertia.pop(widest)
        side, costs = _split(rows[mine], random)
        members += [mine[side == 0], mine[side == 1]]
        inertia += costs
    return {"timed_s": time.perf_counter() - started, "inertia": float(sum(inertia))}


def _split(rows: Numbers, random: np.random.Generator) -> tuple[npt.NDArray[np.intp], list[float]]:
    """Each row's side, and the sum of squared distances on each side."""
    import numpy as np

    centres = rows[random.choice(len(rows), 2, replace=False)]
    enough = _TOLERANCE * float(rows.var(axis=0).mean())
    for _ in range(_STEPS):
        sums, counts = np.zeros_like(centres), np.zeros(2)
        for chunk, side, _ in _assigned(rows, centres):
            for number in range(2):
                part = chunk[side == number]
                sums[number] += part.sum(axis=0)
                counts[number] += len(part)
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1.0)[:, None], centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        if shift <= enough:
            break
    sides, costs = [], np.zeros(2)
    for _, side, squares in _assigned(rows, centres):
        sides.append(side)
        costs += np.bincount(side, weights=squares, minlength=2)
    return np.concatenate(sides), [float(c) for c in costs]


def _assigned(rows: Numbers, centres: Numbers) -> Iterator[tuple[Numbers, npt.NDArray[np.intp], Numbers]]:
    """Chunks of rows with the nearer centre of each row and the squared distance to it."""
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        squares = (chunk**2).sum(axis=1)[:, None] - 2.0 * chunk @ centres.T + (centres**2).sum(axis=1)
        side = squares.argmin(axis=1)
        yield chunk, side, squares.min(axis=1)
