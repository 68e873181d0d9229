"""The rows that models are trained on: customers as heavy-tailed as real ones, and round blobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]

__all__ = ["COLUMNS", "FEATURES", "POPULATIONS", "prepare"]

FEATURES = 4
COLUMNS = tuple(f"x{i}" for i in range(FEATURES))

POPULATIONS = {
    "customers": "customers as heavy-tailed as real ones (order value lognormal, orders gamma-Poisson, lifetime, "
    "recency; 1.5 % planted far out), standardised",
    "blobs": "six overlapping Gaussian blobs, standardised",
}
"""The populations by name, and what they are."""


def customers(rows: int, seed: int) -> Rows:
    """Order value, orders, lifetime and recency over a year, as the demo's population has them; standardised."""
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
    return standardised(np.column_stack([value, orders, lifetime, recency]))


def blobs(rows: int, seed: int) -> Rows:
    """Six Gaussian blobs, standardised."""
    import numpy as np

    random = np.random.default_rng(seed)
    centres = 3.0 * random.normal(size=(6, FEATURES))
    return standardised(centres[random.integers(0, 6, rows)] + random.normal(size=(rows, FEATURES)))


def standardised(rows: Rows) -> Rows:
    """Every column at mean 0 and standard deviation 1."""
    result: Rows = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    return result


def make(population: str, rows: int, array: str, parquet: str) -> dict[str, Any]:
    """Make rows as an array for scikit-learn and as Parquet for DuckDB."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    points = {"customers": customers, "blobs": blobs}[population](rows, 7)
    np.save(array, points)
    pq.write_table(pa.table(dict(zip(COLUMNS, points.T, strict=True))), parquet, row_group_size=122_880)
    return {}


def load(parquet: str, workspace: str) -> dict[str, Any]:
    """Load rows into the table ``points`` of a workspace."""
    import hanse

    with hanse.connect(workspace) as session:
        session.load("points", [parquet])
        session.sql("CREATE OR REPLACE TABLE few AS SELECT * FROM points LIMIT 2000")
    return {}


def prepare(folder: Path, population: str, rows: int) -> tuple[Path, Path]:
    """An array file and a workspace whose table ``points`` holds the same rows; made once."""
    stem = f"{population}_{rows}"
    array, parquet, workspace = folder / f"{stem}.npy", folder / f"{stem}.parquet", folder / stem
    if not workspace.exists():
        run(make, population=population, rows=rows, array=str(array), parquet=str(parquet))
        run(load, parquet=str(parquet), workspace=str(workspace))
        parquet.unlink()
    return array, workspace
