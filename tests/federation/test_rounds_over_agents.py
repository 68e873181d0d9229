"""Strategy ``rounds`` through ten agents with their gates on: the pooled model, or silos that are named with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from silo_support import blobs, fill, silo_toml
from sklearn.cluster import KMeans

import hanse
from hanse.errors import FederationError
from hanse.federation.audit import entries_of

LARGE = {f"shop_{i}": blobs([40 + 7 * i, 25 + 3 * i, 20], seed=i, apart=6.0) for i in range(6)}
TINY = {"single_1": 1, "single_2": 1, "nobody": 0, "few": 9}
ALLOWED = (
    'strategies = ["one_shot", "rounds"]\nexact_rounds = true\ninstall = "never"\nruns_per_day = 100\n'
    "cells_per_day = 100000"
)


def rows_of(name: str) -> Any:
    return LARGE[name] if name in LARGE else blobs([TINY[name]], seed=99)


def joined(folder: Path, session: hanse.Session, stores: Mapping[str, Any]) -> None:
    """CREATE SILO for each."""
    for name, rows in stores.items():
        (folder / name).mkdir()
        fill(folder / name / "shop.duckdb", rows)
        config = silo_toml(folder / name, ALLOWED, name=name)
        session.sql(f"CREATE SILO {name} OPTIONS (database = '{folder / name / 'shop.duckdb'}', config = '{config}')")


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hanse.Session]:
    """Ten silos: one without rows, two of a single row, one of nine, and six that are large enough."""
    with hanse.connect() as session:
        joined(tmp_path_factory.mktemp("ten"), session, {name: rows_of(name) for name in [*LARGE, *TINY]})
        yield session


def federated(kind: str, strategy: str, silos: Any, quorum: int, clusters: int = 3) -> str:
    return (
        "CREATE OR REPLACE FEDERATED MODEL g "
        "TRANSFORM (vector_assembler(array(x, y)) f, standard_scaler(f, true, true) z) "
        f"OPTIONS (MODEL_TYPE = '{kind}', NUM_CLUSTERS = {clusters}, STRATEGY = '{strategy}', QUORUM = {quorum}) "
        f"OVER SILOS ({', '.join(silos)}) AS SELECT x, y FROM features"
    )


def told(session: hanse.Session, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dict(session.sql(f"DESCRIBE MODEL {model}").fetchall())["training"])
    return found


def gates(result: Any) -> list[str]:
    """What the gates said."""
    return [line for line in result.warnings if "its gate answered" in line]


def test_where_every_cell_passes_the_model_is_the_pooled_one_and_the_small_are_named(ten: hanse.Session) -> None:
    result = ten.sql(federated("bisecting_kmeans", "rounds", [*LARGE, *TINY], quorum=len(LARGE)))
    left_out = [line for line in result.warnings if "took no part" in line]
    assert {line.split()[1] for line in left_out} == set(TINY)
    for line in left_out:
        assert "refused: fewer customers than min_customers: nothing leaves" in line
    assert gates(result) == [], "every cell of a large silo passes"
    training = told(ten, "g")
    assert training["silos"] == list(LARGE)
    assert set(training["lost"]) == set(TINY)
    rows = np.concatenate(list(LARGE.values()))
    ten.register("pooled", pa.table({"x": rows[:, 0], "y": rows[:, 1]}))
    ten.sql(
        "CREATE OR REPLACE MODEL p TRANSFORM (vector_assembler(array(x, y)) f, standard_scaler(f, true, true) z) "
        "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, SPLIT_STARTS = 1) AS SELECT x, y FROM pooled"
    )
    assert training["inertia"] == pytest.approx(told(ten, "p")["inertia"], rel=1e-9, abs=0.0)
    assert training["rows"] == sum(len(rows) for rows in LARGE.values())
    centroids = [np.array(ten.sql(f"SELECT * FROM model_centroids({m}, 1)").fetchall()) for m in ("g", "p")]
    np.testing.assert_allclose(*centroids, rtol=1e-9, atol=1e-9)


def test_kmeans_in_rounds_ends_where_a_referee_with_all_rows_ends(ten: hanse.Session) -> None:
    result = ten.sql(federated("kmeans", "rounds", LARGE, quorum=len(LARGE)))
    assert gates(result) == []
    rows = np.concatenate(list(LARGE.values()))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    referee = KMeans(3, n_init=10, tol=0.0, random_state=0).fit(scaled)
    parts = [scaled[referee.labels_ == cluster] for cluster in range(3)]
    inertia = sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)
    assert told(ten, "g")["inertia"] == pytest.approx(inertia, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
def test_the_small_are_named_where_the_quorum_needs_them(ten: hanse.Session, strategy: str) -> None:
    ten.sql("DROP MODEL IF EXISTS g")
    with pytest.raises(FederationError) as caught:
        ten.sql(federated("bisecting_kmeans", strategy, [*LARGE, *TINY], quorum=10))
    assert "quorum missed: 6 of 10 silos take part, need 10" in str(caught.value)
    for name in TINY:
        assert f"{name}: refused: fewer customers than min_customers" in str(caught.value)
    assert "g" not in {row[1] for row in ten.sql("SHOW MODELS").fetchall()}


def test_one_shot_leaves_the_small_out_by_name(ten: hanse.Session) -> None:
    result = ten.sql(federated("bisecting_kmeans", "one_shot", [*LARGE, *TINY], quorum=len(LARGE)))
    assert {line.split()[1] for line in result.warnings if "took no part" in line} == set(TINY)
    assert told(ten, "g")["silos"] == list(LARGE)
    assert told(ten, "g")["rows"] == sum(len(rows) for rows in LARGE.values())


def test_where_a_gate_joins_cells_the_silo_is_named_with_a_code(tmp_path: Path) -> None:
    """One silo has four customers where the others have a cluster; they are counted with their nearest there."""
    stores = {f"shop_{i}": blobs([60, 50], seed=i, apart=9.0) for i in range(3)}
    stores["shop_0"] = np.concatenate([stores["shop_0"][:60], stores["shop_0"][60:64]])
    with hanse.connect() as session:
        joined(tmp_path, session, stores)
        result = session.sql(federated("bisecting_kmeans", "rounds", stores, quorum=3, clusters=2))
        assert gates(result) == ["silo shop_0: its gate answered with merged"]
        training = told(session, "g")
        assert training["reasons"] == {"shop_0": ["merged"]}
        assert training["silos"] == list(stores)
        assert training["rows"] == sum(len(rows) for rows in stores.values())
        sizes = session.sql("SELECT cluster_size FROM model_centroids(g, 1) ORDER BY prediction").fetchall()
        assert sizes == [(184,), (100,)]  # the four are counted among the first
        shown = session.sql("SHOW EGRESS FOR MODEL g").fetchall()
        assert {(row[4], row[8]) for row in shown if row[5] == "observe" and row[8]} == {("shop_0", "merged")}
    entries = entries_of(tmp_path / "shop_0" / "shop_0.ledger")
    assert any(entry.merged for entry in entries)
    assert all(entry.customers >= 10 for entry in entries if entry.cells)
