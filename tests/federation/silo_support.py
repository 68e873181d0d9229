"""Helpers for the silo's tests: databases with known rows, silo.toml files, tasks."""

from __future__ import annotations

import itertools
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hanse.federation.config import SiloConfig
from hanse.federation.policy import Policy
from hanse.federation.silo import Silo
from hanse.messages import Reply, Task, task_hash

__all__ = ["FEATURES", "OPEN", "Talk", "blobs", "codes", "fill", "new_run", "silo_toml", "task"]

FEATURES = ("x", "y")
OPEN = Policy(
    exact_rounds=True,
    strategies=("one_shot", "article"),
    min_changed_customers=0,
    dominance_percent=100,
    runs_per_day=1000,
    cells_per_day=10_000,
    install="auto",
)


def fill(path: Path, rows: Any, customers: Any = None, table: str = "features", **columns: Any) -> None:
    """Write rows (n, d) with columns x, y, z ... into a table of a DuckDB file, replacing it."""
    rows = np.asarray(rows, dtype=np.float64)
    names = ["x", "y", "z", "u", "v"][: rows.shape[1]]
    held: dict[str, Any] = {"customer_id": [f"c{i}" for i in (range(len(rows)) if customers is None else customers)]}
    held |= dict(zip(names, rows.T, strict=True))
    held |= columns
    with duckdb.connect(str(path)) as connection:
        connection.register("given", pa.table(held))
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM given")


def blobs(sizes: Any, seed: int = 0, apart: float = 10.0, spread: float = 1.0) -> Any:
    """Clouds of rows, ``apart`` from each other on a line."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal((apart * i, -apart * i), spread, (size, 2)) for i, size in enumerate(sizes)])


def new_run() -> str:
    return uuid.uuid4().hex


def task(kind: str, run: str, **fields: Any) -> Task:
    given: dict[str, Any] = {
        "round": 0,
        "silo": "shop",
        "nonce": secrets.token_hex(16),
        "expires_at": time.time() + 60,
        "relation": "features",
        "features": FEATURES,
        "strategy": "one_shot",
        "model_type": "bisecting_kmeans",
    }
    return Task(run=run, kind=kind, **{**given, **fields})  # type: ignore[arg-type]


def codes(reply: Reply) -> set[str]:
    return {reason.code for reason in reply.reasons}


def silo_toml(folder: Path, policy: str = "", publish: str = "", name: str = "shop") -> Path:
    path = folder / "silo.toml"
    publish = publish or ('[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n')
    path.write_text(f'name = "{name}"\ndatabase = "shop.duckdb"\n{publish}\n[policy]\n{policy}\n')
    return path


class Talk:
    """A silo over rows, and rounds of tasks to it."""

    def __init__(self, folder: Path, rows: Any, policy: Policy | None = None, **given: Any) -> None:
        self.database = folder / "shop.duckdb"
        fill(self.database, rows, **given)
        self.config = SiloConfig.embedded("shop", self.database, policy)
        self.silo = Silo(self.config)
        self.run = new_run()
        self.asked: dict[str, Task] = {}
        self._rounds = itertools.count()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.silo.close()

    def reopen(self, policy: Policy | None = None) -> None:
        self.silo.close()
        if policy is not None:
            self.config = SiloConfig.embedded("shop", self.database, policy)
        self.silo = Silo(self.config)

    def ask(self, kind: str, **fields: Any) -> Reply:
        fields.setdefault("round", next(self._rounds))
        asked = task(kind, fields.pop("run", self.run), **fields)
        self.asked[task_hash(asked)] = asked
        return self.silo.answer(asked)
