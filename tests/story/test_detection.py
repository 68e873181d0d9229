"""Anomalies that are known: the two reversed purchases of the Online Retail data, and those that the demo plants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

import hanse
from benchmarks.detection import RETAIL_FEATURES, REVERSED, UK_CUSTOMERS
from hanse import demo

FEATURES = ", ".join(RETAIL_FEATURES)
SCALED = "order_value_z, orders_z, lifetime_z, recency_z"

TYPES = (
    "MODEL_TYPE = 'bisecting_kmeans'",
    "MODEL_TYPE = 'kmeans'",
    "MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 16",
    "MODEL_TYPE = 'mahalanobis'",
    "MODEL_TYPE = 'ecod'",
)
every_type = pytest.mark.parametrize("options", TYPES)


@pytest.fixture(scope="module")
def retail(shared: Path) -> Iterator[hanse.Session]:
    """The customers of the United Kingdom."""
    with hanse.connect() as session:
        session.load("lines", [str(shared / "data" / "online_retail.parquet")])
        session.sql(UK_CUSTOMERS)
        yield session


@pytest.fixture(scope="module")
def store() -> Iterator[hanse.Session]:
    """The demo's customers, standardised by store; and who is planted."""
    with hanse.connect() as session:
        session.register(demo.EVENTS_TABLE, pa.Table.from_batches(list(demo.generate(50_000, 1))))
        dates = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
        for _ in itertools.islice(session.run(demo.story()[0].read_text(), dates), 3):
            pass  # features, moments, and features in standard deviations
        session.register(demo.PLANTED_TABLE, demo.truth(50_000, 1))
        yield session


@every_type
def test_reversed_purchases_are_among_the_first_ten(retail: hanse.Session, options: str) -> None:
    retail.sql(
        f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({FEATURES})) assembled, "
        f"standard_scaler(assembled, true, true) features) OPTIONS ({options}) AS SELECT * FROM customers"
    )
    found = retail.sql(
        "SELECT customer FROM detect_anomalies(m, 1, SELECT * FROM customers, topk => 10) WHERE is_anomaly"
    ).fetchall()
    assert len(found) == 10
    assert {(c,) for c in REVERSED} <= set(found)


@every_type
def test_what_carries_a_reversed_purchase_is_its_size(retail: hanse.Session, options: str) -> None:
    retail.sql(
        f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({FEATURES})) assembled, "
        f"standard_scaler(assembled, true, true) features) OPTIONS ({options}) AS SELECT * FROM customers"
    )
    found = retail.sql(
        "SELECT customer, feature_1, deviation_1, explanation "
        "FROM explain_anomalies(m, 1, SELECT * FROM customers, topk => 10)"
    ).fetchall()
    told = {customer: (feature, deviation, text) for customer, feature, deviation, text in found}
    for customer in REVERSED:
        feature, deviation, text = told[customer]
        assert feature in ("avg_order_value", "largest_order_value")
        assert deviation > 3
        assert "sd above" in text


@every_type
def test_planted_customers_come_before_ordinary_ones(store: hanse.Session, options: str) -> None:
    for each in demo.STORES:
        rows = f"SELECT customer_id, {SCALED} FROM store_features WHERE store_id = '{each.store_id}'"
        store.sql(
            f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({SCALED})) features) "
            f"OPTIONS ({options}) AS {rows}"
        )
        found = store.sql(
            "SELECT d.anomaly_score, p.kind IS NOT NULL AS planted "
            f"FROM detect_anomalies(m, 1, {rows}) AS d "
            f"LEFT JOIN {demo.PLANTED_TABLE} AS p ON d.customer_id = p.customer_id"
        ).arrow()
        area = roc_auc_score(np.array(found["planted"].to_pylist()), found["anomaly_score"].to_numpy())
        assert area > (0.9 if "ecod" in options else 0.99), each.name
