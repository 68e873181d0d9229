"""Anomalies at a silo: a global model takes along what its scores need, and no more than that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest

import hanse
from hanse.errors import BindError
from hanse.federation.install import stripped

SIZES = {"alpha": 600, "beta": 400}
MODEL = (
    "CREATE FEDERATED MODEL g TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
    "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3{options}) OVER SILOS (alpha, beta) "
    "AS SELECT spend, orders FROM customer_features"
)
AT_SILO = "SELECT * FROM customer_features"


def customers(store: int, size: int) -> np.ndarray[Any, Any]:
    """Two ordinary groups and a small far one of one customer in forty."""
    random = np.random.default_rng(store)
    return np.concatenate(
        [
            random.normal([10, 2], [2, 1], (size, 2)),
            random.normal([40, 8], [3, 1], (size // 2, 2)),
            random.normal([150, 60], [4, 3], (size // 25, 2)),
        ]
    )


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, np.ndarray[Any, Any]]:
    rows = {name: customers(number, size) for number, (name, size) in enumerate(SIZES.items())}
    for name, array in rows.items():
        (tmp_path / name).mkdir()
        ids = [f"{name}-{i}" for i in range(len(array))]
        data = pa.table({"customer_id": ids, "spend": array[:, 0], "orders": array[:, 1]})
        with duckdb.connect(str(tmp_path / name / "warehouse.duckdb")) as connection:
            connection.register("rows_", data)
            connection.execute("CREATE TABLE customer_features AS SELECT * FROM rows_")
        (tmp_path / name / "silo.toml").write_text(
            f'name = "{name}"\ndatabase = "warehouse.duckdb"\n'
            '[publish.customer_features]\nrelation = "customer_features"\ncustomer = "customer_id"\n'
            'columns = ["spend", "orders"]\n'
            '[policy]\ninstall = "auto"\nstrategies = ["one_shot", "rounds", "article"]\nexact_rounds = true\n'
        )
    return rows


@pytest.fixture
def league(tmp_path: Path, stores: dict[str, Any]) -> Iterator[hanse.Session]:
    with hanse.connect(tmp_path / "w") as session:
        for name in stores:
            session.sql(f"CREATE SILO {name} OPTIONS (database = $d, config = $c)", {
                "d": str(tmp_path / name / "warehouse.duckdb"), "c": str(tmp_path / name / "silo.toml"),
            })  # fmt: skip
        yield session


@pytest.mark.parametrize("options", ["", ", STRATEGY = 'rounds'", ", STRATEGY = 'article'"])
def test_scores_at_a_silo_against_the_installed_model(
    league: hanse.Session, tmp_path: Path, stores: dict[str, Any], options: str
) -> None:
    league.sql(MODEL.format(options=options))
    far = SIZES["alpha"] // 25
    with hanse.connect(tmp_path / "alpha") as store:
        found = store.sql(f"SELECT * FROM detect_anomalies(league.g, 1, {AT_SILO}, topk => {far})").df()
        assert found["is_anomaly"].sum() == far
        if "article" in options:  # it sends no counts: every cluster is as ordinary as any other
            return
        assert set(found["customer_id"][found["is_anomaly"]]) == {f"alpha-{900 + i}" for i in range(far)}
        told = store.sql(f"SELECT * FROM explain_anomalies(league.g, 1, {AT_SILO}, topk => {far})").df()
        assert told["explanation"].str.fullmatch(r"(spend|orders) [\d.,]+ sd above.* ordinary customers").all()
        described = store.sql("SELECT * FROM describe_clusters(league.g, 1)").df()
        assert described["cluster_size"].isna().all()
        assert described["share"].sum() == pytest.approx(1.0, abs=0.01)
        here = store.sql(f"SELECT * FROM describe_clusters(league.g, 1, {AT_SILO})").df()
        assert here["cluster_size"].sum() == len(stores["alpha"])
        store.sql(
            "CREATE MODEL own TRANSFORM (vector_assembler(array(spend, orders)) f, standard_scaler(f, true, true) z) "
            "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM customer_features"
        )
        matched = store.sql(f"SELECT * FROM match_clusters(own, 1, league.g, 1, {AT_SILO})").df()
        assert matched["rows"].sum() == len(stores["alpha"])
        if not options:
            anomaly = matched[matched["local_is_anomaly"]]
            assert anomaly["finding"].tolist() == ["matched"]
            assert anomaly["centroid_distance"].max() < 0.1


def test_the_spread_is_that_of_all_silos_rows(league: hanse.Session, stores: dict[str, Any]) -> None:
    league.sql(MODEL.format(options=""))
    _, artifact = league.registry.load("g", 1)
    rows = np.concatenate(list(stores.values()))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    centroids = np.array([c["centroid"] for c in artifact.model["clusters"]])
    labels = ((scaled[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
    spread = np.array(artifact.scoring["clusters"]["spread"])
    for k in range(3):
        np.testing.assert_allclose(spread[k], scaled[labels == k].std(axis=0), rtol=0.02)


def test_what_travels_tells_no_counts(league: hanse.Session) -> None:
    league.sql(MODEL.format(options=""))
    _, artifact = league.registry.load("g", 1)
    travelling = stripped(artifact)
    assert stripped(travelling) == travelling
    assert travelling.training == {}
    assert travelling.row_count == 0
    assert {c["count"] for c in travelling.model["clusters"]} == {0}
    numbers = [travelling.scoring["clusters"][name] for name in ("share", "radius")]
    numbers += travelling.scoring["clusters"]["spread"]
    for value in (v for row in numbers for v in row):
        assert value == float(f"{value:.3g}")
    exact = msgspec.structs.replace(travelling, scoring=artifact.scoring)
    assert stripped(exact) != exact  # a silo refuses to install it


@pytest.mark.parametrize("options", ["", ", STRATEGY = 'rounds'"])
@pytest.mark.parametrize("contamination", [0.3, 0.1, 0.04])
def test_a_share_of_all_silos_rows_is_a_threshold(
    league: hanse.Session, stores: dict[str, Any], options: str, contamination: float
) -> None:
    """Within a few in a hundred: edges are wide, and what joined a neighbour at a gate is told apart no more."""
    league.sql(MODEL.format(options=options))
    rows = np.concatenate(list(stores.values()))
    league.register("everybody", pa.table({"spend": rows[:, 0], "orders": rows[:, 1]}))
    query = f"detect_anomalies(g, 1, SELECT * FROM everybody, contamination => {contamination})"
    found = league.sql(f"SELECT * FROM {query}").df()
    assert found["is_anomaly"].mean() == pytest.approx(contamination, rel=0.25, abs=0.015)


def test_beyond_the_last_cell_the_threshold_is_extrapolated_and_says_so(league: hanse.Session) -> None:
    league.sql(MODEL.format(options=""))
    result = league.sql(
        "SELECT * FROM detect_anomalies(g, 1, SELECT 40.0 AS spend, 8.0 AS orders, contamination => 0.001)"
    )
    (warning,) = result.warnings
    assert re.fullmatch(
        r"contamination = 0\.001 of model g: the 0\.0\d+ of highest scores passed the silos' gates as one cell, so the "
        r"threshold is extrapolated",
        warning,
    )
    thresholds = [league.registry.load("g", 1)[1].scoring["quantiles"][n] for n in ("least", "greatest", "weight")]
    assert all(len(t) > 4 for t in thresholds)


def test_every_cell_that_left_holds_enough_customers(league: hanse.Session) -> None:
    league.sql(MODEL.format(options=""))
    counts = league.registry.load("g", 1)[1].scoring["quantiles"]["weight"]
    assert all(n == 0 or n >= 10 for n in counts)
    kinds = {row[5] for row in league.sql("SHOW EGRESS FOR MODEL g").fetchall()}
    assert kinds == {"describe", "moments", "summarize", "evaluate", "install", "finish"}


def test_a_silo_that_keeps_its_scores_still_takes_the_model(league: hanse.Session, tmp_path: Path) -> None:
    file = tmp_path / "beta" / "silo.toml"
    file.write_text(file.read_text() + "max_clusters = 8\n")
    result = league.sql(MODEL.format(options=""))
    assert len(result.warnings) == 1
    assert "contamination => is no threshold (beta: refused" in result.warnings[0]
    with hanse.connect(tmp_path / "beta") as store:
        query = f"SELECT * FROM detect_anomalies(league.g, 1, {AT_SILO}, topk => 5)"
        assert store.sql(query).df()["is_anomaly"].sum() == 5
        with pytest.raises(BindError, match="keeps no quantiles of its training scores"):
            store.sql(query.replace("topk => 5", "contamination => 0.1"))
