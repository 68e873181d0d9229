"""TRANSFORM in statements: fitted on training rows, kept with the model, applied again wherever it predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from referee import mean_inertia, scratch_tables, silhouette
from sklearn.cluster import BisectingKMeans as Referee

import hanse

RANDOM = np.random.default_rng(3)
VALUE = np.concatenate([RANDOM.normal(20, 5, 60), RANDOM.normal(400, 30, 40)])
ORDERS = np.concatenate([RANDOM.poisson(9, 60), RANDOM.poisson(2, 40)]).astype(np.float64)
GAP = np.arange(100) % 9 == 4


@pytest.fixture
def customers(session: hanse.Session) -> hanse.Session:
    """A session with a table of every kind of column."""
    session.register(
        "customers",
        pa.table(
            {
                "id": np.arange(100),
                "Value": pa.array(np.where(GAP, np.nan, VALUE), from_pandas=True),
                "orders": ORDERS,
                "country": pa.array(["uk", "de", None, "uk"] * 25),
                "member": pa.array([True, False, None, True] * 25),
                "seen": pa.array(np.datetime64("2026-01-01") + np.arange(100)),
                "tags": pa.array([{"a": 1}] * 100, pa.map_(pa.string(), pa.int32())),
            }
        ),
    )
    return session


def features_of(session: hanse.Session, model: str = "m") -> tuple[str, ...]:
    return tuple(session.registry.load(model, None)[1].features)


def train(session: hanse.Session, transform: str, select: str = "* FROM customers", clusters: int = 2) -> Any:
    session.sql(
        f"CREATE OR REPLACE MODEL m TRANSFORM ({transform}) "
        f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}) AS SELECT {select}"
    )
    return session.registry.load("m", None)[1]


# -- with a model ------------------------------------------------------------------------------


def test_a_chain_trains_on_what_scikit_learn_would_make(customers: hanse.Session) -> None:
    artifact = train(
        customers,
        "numeric_imputer(value, 'mean') filled, vector_assembler(array(filled, orders)) both, "
        "standard_scaler(both, true, true) features",
    )
    filled = np.where(GAP, VALUE[~GAP].mean(), VALUE)
    both = np.column_stack([filled, ORDERS])
    rows = (both - both.mean(axis=0)) / both.std(axis=0, ddof=1)
    assert artifact.features == ("Value", "orders")
    assert [t["function"] for t in artifact.transforms] == ["numeric_imputer", "vector_assembler", "standard_scaler"]
    best = min(Referee(n_clusters=2, n_init=10, random_state=seed).fit(rows).inertia_ for seed in range(3))
    assert artifact.training["inertia"] <= best * (1 + 1e-9)
    table = customers.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM customers) ORDER BY id").arrow()
    labels = table["prediction"].to_numpy()
    assert artifact.training["inertia"] == pytest.approx(mean_inertia(rows, labels), rel=1e-9)
    (found,) = customers.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM customers)").arrow().to_pylist()
    assert found["silhouette"] == pytest.approx(silhouette(rows, labels), abs=1e-9)
    assert found["inertia"] == pytest.approx(mean_inertia(rows, labels), rel=1e-9)
    assert scratch_tables(customers) == []


def test_what_was_learnt_in_training_holds_in_prediction(customers: hanse.Session) -> None:
    train(customers, "numeric_imputer(value) a, vector_assembler(array(a, orders)) v, min_max_scaler(v) f")
    query = "SELECT id, prediction FROM model_predict(m, 1, SELECT * FROM customers {}) ORDER BY id"
    every = dict(customers.sql(query.format("")).fetchall())
    some = dict(customers.sql(query.format("WHERE id % 10 = 3")).fetchall())
    assert some == {i: every[i] for i in range(3, 100, 10)}  # their own minimum and maximum do not matter


def test_the_columns_of_the_select_are_kept_as_they_were(customers: hanse.Session) -> None:
    train(customers, "numeric_imputer(value) value, vector_assembler(array(value, orders)) features")
    found = customers.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM customers) ORDER BY id")
    assert found.columns == ["id", "Value", "orders", "country", "member", "seen", "tags", "prediction"]
    kept = found.arrow()["Value"]
    assert kept.null_count == GAP.sum()
    np.testing.assert_array_equal(kept.drop_null().to_numpy(), VALUE[~GAP])


def test_an_unscaled_and_a_scaled_model_of_one_table(customers: hanse.Session) -> None:
    """Without scaling the order value decides alone; with it the number of orders has a say."""
    raw = train(customers, "vector_assembler(array(value, orders)) v", "* FROM customers WHERE value IS NOT NULL")
    scaled = train(
        customers,
        "vector_assembler(array(value, orders)) v, standard_scaler(v) s",
        "* FROM customers WHERE value IS NOT NULL",
    )
    assert raw.training["inertia"] > 100 * scaled.training["inertia"]
    deviation = np.column_stack([VALUE, ORDERS])[~GAP].std(axis=0, ddof=1)
    (fitted,) = [t["fitted"] for t in scaled.transforms if t["function"] == "standard_scaler"]
    assert fitted["deviation"] == pytest.approx(deviation.tolist(), rel=1e-12)


def test_function_names_are_in_any_case_and_as_may_be_written(customers: hanse.Session) -> None:
    artifact = train(customers, "NUMERIC_IMPUTER(VALUE, 'Median') AS a, Vector_Assembler(ARRAY(a, Orders)) AS v")
    (fitted,) = [t["fitted"] for t in artifact.transforms if t["function"] == "numeric_imputer"]
    assert fitted["fill"] == [pytest.approx(float(np.median(VALUE[~GAP])))]


def test_vector_assembler_takes_a_list_too(customers: hanse.Session) -> None:
    train(customers, "numeric_imputer(value) a, vector_assembler(a, orders) v")
    assert features_of(customers) == ("Value", "orders")


def test_parameters_in_transform_and_options(customers: hanse.Session) -> None:
    customers.sql(
        "CREATE MODEL m TRANSFORM (numeric_imputer(value, $how) a, vector_assembler(array(a, orders)) v) "
        "OPTIONS (TYPE = $type, NUM_CLUSTERS = $k) AS SELECT * FROM customers WHERE id < $last",
        {"how": "mode", "type": "kmeans", "k": 3, "last": 50},
    )
    artifact = customers.registry.load("m", 1)[1]
    assert (artifact.model_type, artifact.options["num_clusters"], artifact.row_count) == ("kmeans", 3, 50)


def test_text_and_truth_become_numbers(customers: hanse.Session) -> None:
    artifact = train(
        customers,
        "string_imputer(country, 'none') a, string_indexer(a) b, boolean_imputer(member, true) c, "
        "vector_assembler(array(b, c, orders)) v, standard_scaler(v) f",
    )
    assert artifact.features == ("country", "member", "orders")
    (labels,) = [t["fitted"]["labels"] for t in artifact.transforms if t["function"] == "string_indexer"]
    assert labels == ["uk", "de", "none"]


def test_a_label_that_training_did_not_see_is_counted(customers: hanse.Session) -> None:
    train(
        customers,
        "string_indexer(country) a, vector_assembler(array(a, orders)) v",
        "* FROM customers WHERE country IS NOT NULL",
    )
    with pytest.raises(hanse.errors.DataError) as raised:
        customers.sql(
            "SELECT * FROM model_predict(m, 1, SELECT orders, if(id < 7, 'fr', 'uk') AS country FROM customers)"
        ).fetchall()
    assert "country (7 of 100 rows)" in str(raised.value)


# -- without TRANSFORM -------------------------------------------------------------------------


def test_without_transform_every_column_is_prepared(customers: hanse.Session) -> None:
    customers.sql(
        "CREATE MODEL m OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS "
        "SELECT value, orders, country, member, seen FROM customers"
    )
    artifact = customers.registry.load("m", 1)[1]
    assert artifact.features == ("value", "orders", "country", "member")  # times are left out
    assert artifact.fields == ("value", "orders", "country", "member", "seen")
    fitted = {(t["function"], t["inputs"][0].lower()): t["fitted"] for t in artifact.transforms}
    assert fitted["numeric_imputer", "value"]["fill"] == [pytest.approx(VALUE[~GAP].mean())]
    assert fitted["string_imputer", "country"] == {"fill": "ml_unknown"}
    assert fitted["string_indexer", "country"]["labels"] == ["uk", "de", "ml_unknown"]
    assert fitted["boolean_imputer", "member"] == {"fill": False}
    found = customers.sql(
        "SELECT count(*) FROM model_predict(m, 1, SELECT value, orders, country, member FROM customers)"
    )
    assert found.fetchall() == [(100,)]


def test_without_transform_structs_are_taken_apart(session: hanse.Session) -> None:
    session.register(
        "nested", pa.table({"s": [{"a": 1.0, "t": {"b": 2}}, {"a": 9.0, "t": {"b": 8}}, {"a": 9.5, "t": {"b": 8}}]})
    )
    session.sql("CREATE MODEL m OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS SELECT s FROM nested")
    assert features_of(session) == ("s.a", "s.t.b")
    found = session.sql("SELECT * FROM model_predict(m, 1, SELECT s FROM nested)")
    assert found.columns == ["s", "prediction"]
    assert sorted(row[1] for row in found) == [0, 0, 1]


@pytest.mark.parametrize(
    ("select", "what"),
    [
        ("seen FROM customers", "no column of the SELECT can be a feature"),
        ("orders, array(1, 2) AS list FROM customers", "column list of type {array} cannot be a feature"),
        ("orders, tags FROM customers", "column tags of type {map} cannot be a feature"),
    ],
)
def test_without_transform_what_can_be_no_feature_is_named(customers: hanse.Session, select: str, what: str) -> None:
    with pytest.raises(hanse.errors.BindError) as raised:
        customers.sql(f"CREATE MODEL m OPTIONS (TYPE = 'bisecting_kmeans') AS SELECT {select}")
    kinds = {
        "duckdb": {"array": "INTEGER[]", "map": "MAP(VARCHAR, INTEGER)"},
        "spark": {"array": "ARRAY<INT>", "map": "MAP<STRING, INT>"},
    }[customers.engine.dialect]
    assert str(raised.value).startswith(f"{what.format(**kinds)} at line 1, column 1: ")


def test_a_column_of_nulls_cannot_be_imputed(customers: hanse.Session) -> None:
    with pytest.raises(hanse.errors.DataError, match="no row has a number in nothing"):
        customers.sql(
            "CREATE MODEL m OPTIONS (TYPE = 'kmeans') AS SELECT orders, CAST(NULL AS DOUBLE) AS nothing FROM customers"
        )


# -- CREATE TABLE ... TRANSFORM ----------------------------------------------------------------


@pytest.mark.parametrize("temporary", ["", "TEMP "])
def test_create_table_with_transform(customers: hanse.Session, temporary: str) -> None:
    made = customers.sql(
        f"CREATE {temporary}TABLE prepared TRANSFORM (numeric_imputer(value, 'mean') filled, "
        "min_max_scaler(filled, 0, 10) scaled, vector_assembler(array(filled, orders)) v) "
        "AS SELECT id, value, orders FROM customers"
    )
    assert made.fetchall() == [("prepared", 100)]
    table = customers.sql("SELECT * FROM prepared ORDER BY id").arrow()
    assert table.column_names == ["id", "value", "orders", "filled", "scaled", "v"]
    filled = np.where(GAP, VALUE[~GAP].mean(), VALUE)
    np.testing.assert_allclose(table["filled"].to_numpy(), filled, rtol=1e-12)
    scaled = (filled - filled.min()) / (filled.max() - filled.min()) * 10
    np.testing.assert_allclose(table["scaled"].to_numpy(), scaled, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.array(table["v"].to_pylist()), np.column_stack([filled, ORDERS]), rtol=1e-12)
    assert table["value"].null_count == GAP.sum()
    assert scratch_tables(customers) == []


def test_create_table_with_an_alias_of_a_column_replaces_it(customers: hanse.Session) -> None:
    customers.sql(
        "CREATE TABLE prepared TRANSFORM (numeric_imputer(Value) value) AS SELECT id, value, orders FROM customers"
    )
    table = customers.sql("SELECT * FROM prepared").arrow()
    assert sorted(table.column_names) == ["id", "orders", "value"]
    assert table["value"].null_count == 0


def test_create_table_with_transform_of_a_missing_column(customers: hanse.Session) -> None:
    with pytest.raises(hanse.errors.BindError) as raised:
        customers.sql("CREATE TABLE prepared\nTRANSFORM (numeric_imputer(valu) v) AS SELECT * FROM customers")
    assert str(raised.value) == "unknown column valu in numeric_imputer at line 2, column 12: did you mean Value?"
    assert "prepared" not in customers.engine.relations()


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "kind", "message"),
    [
        (
            "vector_assembler(array(valeu, orders)) v",
            "BindError",
            "unknown column valeu in vector_assembler at line 2, column 1",
        ),
        (
            "vector_asembler(array(value)) v",
            "BindError",
            "unknown transform vector_asembler at line 2, column 1: did you mean vector_assembler",
        ),
        (
            "one_hot_encoder(country) v",
            "UnsupportedError",
            "transform one_hot_encoder at line 2, column 1: Hanse does not have",
        ),
        (
            "vector_assembler(array(country, orders)) v",
            "BindError",
            "column country of vector_assembler is text at line 2, column 1: make a number of it with string_indexer",
        ),
        (
            "vector_assembler(array(seen, orders)) v",
            "BindError",
            "column seen of type DATE in vector_assembler at line 2, column 1: need a number",
        ),
        (
            "string_imputer(country) v",
            "BindError",
            "the last step of TRANSFORM gives country as text at line 2, column 1: index it with string_indexer first",
        ),
        (
            "vector_assembler(array(value + 1)) v",
            "BindError",
            "value + 1 in vector_assembler is not a column at line 2",
        ),
        (
            "numeric_imputer() v",
            "BindError",
            "numeric_imputer has no arguments at line 2, column 1: name a column first",
        ),
        (
            "numeric_imputer(value, 'average') v",
            "BindError",
            "numeric_imputer: strategy = 'average' at line 2, column 1: need one of",
        ),
    ],
)
def test_transforms_that_do_not_fit(customers: hanse.Session, transform: str, kind: str, message: str) -> None:
    with pytest.raises(getattr(hanse.errors, kind)) as raised:
        customers.sql(f"CREATE MODEL m TRANSFORM (\n{transform}) OPTIONS (TYPE = 'kmeans') AS SELECT * FROM customers")
    assert str(raised.value).startswith(message)
    assert customers.registry.list() == []
    assert scratch_tables(customers) == []
