"""The rows that models are trained on: customers as heavy-tailed as real ones, and round blobs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]

__all__ = ["FEATURES", "POPULATIONS", "Points", "columns", "prepare"]

FEATURES = 4
"""Order value, orders, lifetime and recency; a population may have more."""

POPULATIONS = {
    "customers": "customers as heavy-tailed as real ones (order value lognormal, orders gamma-Poisson, lifetime, "
    "recency; 1.5 % planted far out), standardised",
    "blobs": "six overlapping Gaussian blobs, standardised",
}
"""The populations by name, and what they are."""


def columns(features: int = FEATURES) -> list[str]:
    """The columns' names."""
    return [f"x{i}" for i in range(features)]


def customers(rows: int, features: int, seed: int) -> Rows:
    """Order value, orders, lifetime and recency over a year, as the demo's population has them; standardised.

    Further features are random mixtures of these four, as heavy-tailed, with noise of half their spread.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    orders = 1.0 + random.poisson(random.gamma(0.8, 2.0, rows))
    value = np.exp(random.normal(3.7, 0.5, rows) + random.normal(0.0, 0.6, rows) / np.sqrt(orders))
    first = random.uniform(0.0, 365.0, rows)
    lifetime = np.floor((365.0 - first) * np.where(orders > 1, random.beta(orders, 1.5), 0.0))
    recency = np.floor(365.0 - first - lifetime)
    kind = random.choice(4, rows, p=[0.985, 0.008, 0.005, 0.002])
    often, dear, bots = (kind == i for i in (1, 2, 3))
    orders = np.where(often, random.integers(40, 71, rows), np.where(bots, random.integers(30, 61, rows), orders))
    lifetime = np.where(often, random.integers(300, 361, rows), np.where(dear | bots, 0.0, lifetime))
    recency = np.where(dear, random.integers(0, 11, rows), np.where(often, random.integers(0, 20, rows), recency))
    value = np.where(dear, 30.0 * value, np.where(bots, 3.0, value))
    points = standardised(np.column_stack([value, orders, lifetime, recency]))
    if features == FEATURES:
        return points
    mixed = points @ random.normal(size=(FEATURES, features - FEATURES))
    mixed += random.normal(size=mixed.shape) * 0.5 * mixed.std(axis=0)
    return np.column_stack([points, standardised(mixed)])


def blobs(rows: int, features: int, seed: int) -> Rows:
    """Six Gaussian blobs, standardised."""
    import numpy as np

    random = np.random.default_rng(seed)
    centres = 3.0 * random.normal(size=(6, features))
    return standardised(centres[random.integers(0, 6, rows)] + random.normal(size=(rows, features)))


def standardised(rows: Rows) -> Rows:
    """Every column at mean 0 and standard deviation 1."""
    result: Rows = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    return result


def make(population: str, rows: int, features: int, array: str, parquet: str) -> dict[str, Any]:
    """Make rows as an array for scikit-learn and as Parquet for DuckDB and Spark."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    points = {"customers": customers, "blobs": blobs}[population](rows, features, 7)
    np.save(array, points)
    pq.write_table(pa.table(dict(zip(columns(features), points.T, strict=True))), parquet, row_group_size=122_880)
    return {}


def load(parquet: str, workspace: str) -> dict[str, Any]:
    """Load rows into the table ``points`` of a workspace."""
    import hanse

    with hanse.connect(workspace) as session:
        session.load("points", [parquet])
        session.sql("CREATE OR REPLACE TABLE few AS SELECT * FROM points LIMIT 2000")
    return {}


@dataclass(frozen=True)
class Points:
    """The same rows three times.

    Args:
        array: for NumPy.
        parquet: for Spark.
        workspace: whose table ``points`` has them, and ``few`` the first 2,000.
    """

    array: Path
    parquet: Path
    workspace: Path

    def remove(self) -> None:
        """Make room on the disk."""
        self.array.unlink()
        self.parquet.unlink()
        shutil.rmtree(self.workspace)


def prepare(folder: Path, population: str, rows: int, features: int = FEATURES) -> Points:
    """Rows of a population; made once."""
    stem = folder / f"{population}_{rows}_{features}"
    points = Points(stem.with_suffix(".npy"), stem.with_suffix(".parquet"), stem)
    if not points.workspace.exists():
        array, parquet, workspace = str(points.array), str(points.parquet), str(points.workspace)
        run(make, population=population, rows=rows, features=features, array=array, parquet=parquet)
        run(load, parquet=parquet, workspace=workspace)
    return points
