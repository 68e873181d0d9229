"""What the documentation's tests share: their helper's folder, the demo's events, and two stores' workspaces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import hanse
from hanse import demo

sys.path.insert(0, str(Path(__file__).parent))  # the helper in it is imported by its file's name


@pytest.fixture(scope="session")
def events() -> pa.Table:
    """Ten thousand events of the demo."""
    return pa.Table.from_batches(list(demo.generate(10_000, 7)))


@pytest.fixture
def store_workspaces(tmp_path: Path) -> list[Path]:
    """Two stores' own workspaces, as `hanse load` leaves them; three kinds of customers in each."""
    features = {
        "comfort_wear": _customer_features("comfort", 600, np.random.default_rng(1)),
        "fashion_mart": _customer_features("fashion", 400, np.random.default_rng(2)),
    }
    for name, table in features.items():
        with hanse.connect(tmp_path / name) as store:
            store.register("features", table)
            store.sql("CREATE TABLE customer_features AS SELECT * FROM features").fetchall()
    return [tmp_path / name for name in features]


def _customer_features(prefix: str, size: int, random: np.random.Generator) -> pa.Table:
    kinds: list[Any] = [((60, 3), (10, 1), size), ((240, 4), (20, 1), size // 4), ((80, 40), (10, 4), size // 8)]
    rows = np.concatenate([random.normal(mean, spread, (count, 2)) for mean, spread, count in kinds])
    names = [f"{prefix}-{i}" for i in range(len(rows))]
    gone = (random.uniform(size=len(rows)) < 1 / (1 + np.exp(rows[:, 1] / 4 - 1))).astype(np.int64)
    columns = {"avg_order_value": rows[:, 0], "total_orders": rows[:, 1], "churn_label": gone}
    return pa.table({"customer_id": names, **columns})
