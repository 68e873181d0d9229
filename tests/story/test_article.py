"""The article on both engines: its thirteen statements, unchanged, over the UCI Online Retail data as events."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from online_retail_events import END_DATE, SOURCE, START_DATE, encode, two_stores
from referee import mean_inertia, scratch_tables, silhouette
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import davies_bouldin_score, roc_auc_score
from spark_session import drop_everything

import hanse

COMFORT, SPORTY = "comfort_wear_store_view", "sporty_style_store_view"
FEATURES = ("avg_order_value", "total_orders", "customer_lifetime", "days_since_last_purchase")
STANDARDISED = tuple(f"standardized_{name}" for name in FEATURES)


@dataclass
class Told:
    """The story, told once: every statement's result by its file."""

    session: hanse.Session
    kinds: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """The rows of a file's last statement."""
        name = next(n for n in self.tables if n.startswith(prefix))
        rows: list[dict[str, Any]] = self.tables[name][-1].to_pylist()
        return rows

    def features(self, store: str) -> np.ndarray[Any, Any]:
        """(n, 4) the features that the article trains on, in no order."""
        listed = ", ".join(f"sf.{name}" for name in STANDARDISED)
        rows = self.session.sql(
            f"SELECT {listed} FROM (SELECT explode(store_features) AS sf FROM src_for_fedlrn WHERE store_id = $s)",
            {"s": store},
        ).arrow()
        return np.column_stack([column.to_numpy() for column in rows.columns])

    def predicted(self, table: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(n, 4) features and (n,) labels of a table of predictions."""
        rows = self.session.sql(f"SELECT * FROM {table}").arrow()
        assert rows.column_names[-1] == "prediction"
        features = np.column_stack([column.to_numpy() for column in rows.columns[:-1]])
        return features, rows["prediction"].to_numpy()


@pytest.fixture(scope="module")
def tell(shared: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Told]]:
    """Tells the story on an engine; twice the same is told once."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def telling(engine: str) -> Told:
            if engine == "duckdb":
                return told_by(stack.enter_context(hanse.connect()), shared)
            spark = request.getfixturevalue("spark")
            session = stack.enter_context(hanse.connect(engine="spark", spark=spark))
            stack.callback(drop_everything, session.engine)
            return told_by(session, shared)

        yield telling


def told_by(session: hanse.Session, shared: Path) -> Told:
    parameters = {"start_date": START_DATE, "end_date": END_DATE}
    session.register("hbi_web_events_v1", encode(SOURCE, two_stores))
    told = Told(session)
    for file in sorted((shared / "seed").glob("*.sql")):
        into = "src_for_fedlrn" if file.name.startswith("01") else None
        results = list(session.run(file.read_text(), parameters, into=into))
        told.kinds[file.name[:2]] = [result.kind for result in results]
        told.warnings[file.name[:2]] = [warning for result in results for warning in result.warnings]
        told.tables[file.name[:2]] = [result.arrow() for result in results]
    return told


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def story(tell: Callable[[str], Told], request: pytest.FixtureRequest) -> Told:
    return tell(request.param)


@pytest.fixture(scope="module")
def purchases(shared: Path) -> pd.DataFrame:
    """A row per invoice, from the lines themselves: the price of its first line, and whether one has a price."""
    lines = pd.read_parquet(SOURCE)
    lines = lines[lines.CustomerID.notna() & ~lines.InvoiceNo.str.startswith("C") & (lines.UnitPrice > 0)]
    lines = lines.assign(price=lines.Quantity * lines.UnitPrice)
    invoices = lines.groupby("InvoiceNo", sort=False).agg(
        customer=("CustomerID", "first"),
        country=("Country", "first"),
        time=("InvoiceDate", "first"),
        first_price=("price", "first"),
        dearest=("price", "max"),
    )
    assert (invoices.dearest > 0).all()
    store = np.where(invoices.country == "United Kingdom", COMFORT, SPORTY)
    return invoices.assign(store=store, customer=invoices.customer.astype("int64"))


@pytest.fixture(scope="module")
def expected_features(purchases: pd.DataFrame) -> pd.DataFrame:
    """The article's features by pandas: one row per customer, store, and store whose moments scale the row."""
    grouped = purchases.groupby(["customer", "store"])
    days = grouped.time.agg(lambda t: (t.max().normalize() - t.min().normalize()).days)
    since = (pd.Timestamp(END_DATE) - grouped.time.max()).dt.days  # whole days between the two times
    wide = pd.DataFrame(
        {
            "avg_order_value": grouped.first_price.mean(),
            "total_orders": grouped.size().astype(float),
            "customer_lifetime": days.astype(float),
            "days_since_last_purchase": since.astype(float),
        }
    ).reset_index()
    names = list(FEATURES)
    scaled = []
    for _, moments in wide.groupby("store"):
        z = (wide[names] - moments[names].mean()) / moments[names].std(ddof=1)
        scaled.append(pd.concat([wide[["customer", "store"]], z], axis=1))
    return pd.concat(scaled)


def test_every_statement_runs_unchanged(story: Told) -> None:
    evaluations, predictions, training = ["select"], ["create_table", "select"], ["create_model"]
    assert story.kinds == {
        "01": ["create_table"],
        "02": training,
        "03": evaluations,
        "04": predictions,
        "05": training,
        "06": evaluations,
        "07": predictions,
        "08": ["select"],
        "09": training,
        "10": evaluations,
        "11": evaluations,
        "12": predictions,
        "13": predictions,
    }
    assert scratch_tables(story.session) == []


def test_both_engines_tell_the_same(tell: Callable[[str], Told]) -> None:
    ours, theirs = tell("spark"), tell("duckdb")
    assert ours.warnings == theirs.warnings
    for file in ("03", "06", "10", "11", "04", "07", "08", "12", "13"):  # measures, and then profiles
        mine, other = (sorted(told.rows(file), key=_labels) for told in (ours, theirs))
        assert list(map(_labels, mine)) == list(map(_labels, other))
        for row, expected in zip(mine, other, strict=True):
            assert _numbers(row) == pytest.approx(_numbers(expected), rel=1e-9, abs=1e-9), file
    for model in ("anomaly_comfort_wear_store_view", "anomaly_sporty_style_store_view", "global_anomaly_fedmodel"):
        mine, other = (told.session.registry.load(model, 1)[1].model["clusters"] for told in (ours, theirs))
        for name in ("centroid", "count", "inertia"):
            found, wanted = (np.array([cluster[name] for cluster in clusters]) for clusters in (mine, other))
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    for table in ("lmodel_comfort_wear_store_view", "lmodel_sporty_style_store_view", "gmodel_comfy_wear_predict"):
        (rows, labels), (others, expected_labels) = ours.predicted(table), theirs.predicted(table)
        order, their_order = (np.lexsort(np.round(x, 6).T) for x in (rows, others))
        np.testing.assert_allclose(rows[order], others[their_order], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(labels[order], expected_labels[their_order])


def _labels(row: dict[str, Any]) -> list[Any]:
    """A row's texts and whole numbers, by name."""
    return [(name, row[name]) for name in sorted(row) if not isinstance(row[name], float)]


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, float)}


def test_features_are_those_that_pandas_finds(story: Told, expected_features: pd.DataFrame) -> None:
    for store in (COMFORT, SPORTY):
        ours = story.features(store)
        theirs = expected_features[expected_features.store == store][list(FEATURES)].to_numpy()
        assert ours.shape == theirs.shape
        order = [np.lexsort(np.round(x, 6).T) for x in (ours, theirs)]
        np.testing.assert_allclose(ours[order[0]], theirs[order[1]], rtol=1e-9, atol=1e-9)


def test_features_carry_customers_and_churn_labels(story: Told, expected_features: pd.DataFrame) -> None:
    rows = story.session.sql(
        "SELECT store_id, sf.customer_id AS customer, sf.churn_label AS churn "
        "FROM (SELECT store_id, explode(store_features) AS sf FROM src_for_fedlrn)"
    ).df()
    churned = (expected_features.days_since_last_purchase > 1).groupby(expected_features.store).sum()
    assert rows.groupby("store_id").churn.sum().to_dict() == churned.to_dict()
    pairs = set(zip(rows.store_id, rows.customer.astype("int64"), strict=True))
    assert pairs == set(zip(expected_features.store, expected_features.customer, strict=True))


CHURN = "SELECT sf.* FROM (SELECT explode(store_features) AS sf FROM src_for_fedlrn WHERE store_id = '{store}')"


@pytest.mark.parametrize(("name", "store"), [("comfort", COMFORT), ("sporty", SPORTY)])
def test_the_churn_model_that_the_article_names(story: Told, name: str, store: str) -> None:
    """``churn_prediction_lr_<store>``: the article collects its features and names it, and trains it nowhere."""
    session, query = story.session, CHURN.format(store=store)
    made = session.sql(
        f"CREATE MODEL churn_prediction_lr_{name} TRANSFORM (vector_assembler(array({', '.join(STANDARDISED[:3])})) f) "
        f"OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churn_label') AS {query}"
    )
    assert made.warnings == []
    rows = session.sql(query).df()
    points, labels = rows[list(STANDARDISED[:3])].to_numpy(), rows.churn_label.to_numpy()
    expected = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(points, labels)
    told = dict(session.sql(f"DESCRIBE MODEL churn_prediction_lr_{name}").fetchall())
    found = [float(told[f"coefficient {feature}"]) for feature in STANDARDISED[:3]]
    np.testing.assert_allclose(found, expected.coef_[0], rtol=1e-6)
    (measures,) = session.sql(f"SELECT * FROM model_evaluate(churn_prediction_lr_{name}, 1, {query})").fetchall()
    probability = expected.predict_proba(points)[:, 1]
    assert measures[:2] == pytest.approx((roc_auc_score(labels, probability), expected.score(points, labels)), abs=1e-9)


def test_a_churn_model_that_reads_its_own_label_is_told_so(tell: Callable[[str], Told]) -> None:
    """``churn_label`` is a threshold on the fourth feature; on Spark this takes long and tells no more."""
    made = tell("duckdb").session.sql(
        f"CREATE MODEL told_all TRANSFORM (vector_assembler(array({', '.join(STANDARDISED)})) f) "
        f"OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churn_label') AS {CHURN.format(store=COMFORT)}"
    )
    assert "leave out the feature that the label is made of" in made.warnings[0]


def test_the_missing_join_condition_is_named(story: Told) -> None:
    (warning,) = story.warnings["01"]
    assert warning.startswith(
        "cross join between two grouped relations that share the grouping column store_id at line 40, column 23"
    )
    assert "cf and ms have no join condition" in warning
    assert "ON cf.store_id = ms.store_id" in warning


@pytest.mark.parametrize(
    ("file", "model"), [("03", "anomaly_comfort_wear_store_view"), ("06", "anomaly_sporty_style_store_view")]
)
def test_binding_by_position_is_named(story: Told, file: str, model: str) -> None:
    (warning,) = story.warnings[file]
    assert f"named like a feature of model {model} at line 2, column 15: bound by position" in warning
    given = ("avg_order_value", "avg_total_orders", "avg_customer_lifetime", "avg_days_since_last_purchase")
    for column, feature in zip(given, STANDARDISED, strict=True):
        assert f"{column} as {feature}" in warning
    assert "SET strict_binding = true" in warning


def test_nothing_else_warns(story: Told) -> None:
    assert {file for file, warnings in story.warnings.items() if warnings} == {"01", "03", "06"}


@pytest.mark.parametrize(
    ("file", "table", "store"),
    [
        ("04", "lmodel_comfort_wear_store_view", COMFORT),
        ("07", "lmodel_sporty_style_store_view", SPORTY),
        ("12", "gmodel_comfy_wear_predict", COMFORT),
        ("13", "gmodel_sporty_style_predict", SPORTY),
    ],
)
def test_cluster_profiles_add_up(story: Told, file: str, table: str, store: str) -> None:
    features, labels = story.predicted(table)
    profile = sorted(story.rows(file), key=lambda row: row["prediction"])
    assert sum(row["cluster_size"] for row in profile) == len(features) == len(story.features(store))
    assert [row["prediction"] for row in profile] == np.unique(labels).tolist()
    for row in profile:
        group = features[labels == row["prediction"]]
        assert row["cluster_size"] == len(group)
        means = [value for name, value in row.items() if name.startswith("avg_")]
        np.testing.assert_allclose(means, group.mean(axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("03", "lmodel_comfort_wear_store_view"),
        ("06", "lmodel_sporty_style_store_view"),
        ("10", "gmodel_comfy_wear_predict"),
        ("11", "gmodel_sporty_style_predict"),
    ],
)
def test_evaluations_are_those_of_the_definitions(story: Told, file: str, table: str) -> None:
    features, labels = story.predicted(table)
    (found,) = story.rows(file)
    sizes = np.unique(labels, return_counts=True)[1]
    assert found["silhouette"] == pytest.approx(silhouette(features, labels), abs=1e-9)
    assert found["davies_bouldin"] == pytest.approx(davies_bouldin_score(features, labels), rel=1e-9)
    assert found["inertia"] == pytest.approx(mean_inertia(features, labels), rel=1e-9)
    assert (found["clusters"], found["smallest_cluster"], found["rows"]) == (len(sizes), sizes.min(), sizes.sum())


@pytest.mark.parametrize(
    ("model", "table"),
    [
        ("anomaly_comfort_wear_store_view", "lmodel_comfort_wear_store_view"),
        ("anomaly_sporty_style_store_view", "lmodel_sporty_style_store_view"),
    ],
)
def test_local_models_keep_the_numbers_of_their_rows(story: Told, model: str, table: str) -> None:
    features, labels = story.predicted(table)
    artifact = story.session.registry.load(model, 1)[1]
    assert artifact.features == STANDARDISED
    assert artifact.row_count == len(features)
    assert artifact.options["num_clusters"] == 3
    assert artifact.options["seed"] == 2
    assert [c["count"] for c in artifact.model["clusters"]] == np.bincount(labels).tolist()
    for label, cluster in enumerate(artifact.model["clusters"]):
        np.testing.assert_allclose(cluster["centroid"], features[labels == label].mean(axis=0), rtol=1e-9, atol=1e-12)
    assert artifact.training["inertia"] == pytest.approx(mean_inertia(features, labels), rel=1e-9)
    json.loads(artifact.to_json())


def test_the_stores_contribute_six_aggregates(story: Told) -> None:
    rows = story.rows("08")
    assert {(row["store_id"], row["local_prediction"]) for row in rows} == {
        (s, p) for s in (COMFORT, SPORTY) for p in range(3)
    }
    profiles = {COMFORT: story.rows("04"), SPORTY: story.rows("07")}
    for row in rows:
        (own,) = [p for p in profiles[row["store_id"]] if p["prediction"] == row["local_prediction"]]
        assert {name: row[name] for name in own if name != "prediction"} == pytest.approx(
            {name: value for name, value in own.items() if name != "prediction"}, rel=1e-12
        )


def test_the_global_model_trains_on_the_six_aggregates(story: Told) -> None:
    artifact = story.session.registry.load("global_anomaly_fedmodel", 1)[1]
    aggregates = np.array([[v for name, v in row.items() if name.startswith("avg_")] for row in story.rows("08")])
    assert artifact.row_count == 6
    assert artifact.features == (
        "avg_order_value",
        "avg_total_orders",
        "avg_customer_lifetime",
        "avg_days_since_last_purchase",
    )
    assert artifact.fields == ("local_prediction", "store_id", "cluster_size", *artifact.features)
    assert sum(c["count"] for c in artifact.model["clusters"]) == 6
    assert artifact.training["inertia"] == pytest.approx(_best_bisection(aggregates, 3), rel=1e-9)


def _best_bisection(points: np.ndarray[Any, Any], clusters: int) -> float:
    """The least inertia of any way to part a few points into ``clusters`` groups."""
    best = np.inf
    for code in range(clusters ** len(points)):
        labels = np.array([code // clusters**i % clusters for i in range(len(points))])
        if len(np.unique(labels)) == clusters:
            best = min(best, mean_inertia(points, labels))
    return best


def test_customers_who_took_back_huge_orders_stand_apart(story: Told) -> None:
    """12346 and 16446 ordered 74,215 and 80,995 pieces and cancelled within minutes: the order is in, the refund out."""
    found = story.session.sql(
        """SELECT DISTINCT customer_id FROM model_predict(anomaly_comfort_wear_store_view, 1,
               SELECT sf.customer_id AS customer_id, sf.standardized_avg_order_value AS standardized_avg_order_value,
                   sf.standardized_total_orders AS standardized_total_orders,
                   sf.standardized_customer_lifetime AS standardized_customer_lifetime,
                   sf.standardized_days_since_last_purchase AS standardized_days_since_last_purchase
               FROM (SELECT explode(store_features) AS sf FROM src_for_fedlrn WHERE store_id = $store))
           WHERE prediction = 2 ORDER BY customer_id""",
        {"store": COMFORT},
    ).fetchall()
    assert ("12346",) in found or ("16446",) in found
    assert len(found) <= 2
