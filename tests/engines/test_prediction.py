"""model_predict anywhere a table can stand, over any columns, with every input column kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from referee import labels_of, register, scratch_tables, train

import hanse
from hanse.models.catalog import ESTIMATORS

TYPES = [kind.model_type for kind in ESTIMATORS if kind.family == "clustering"]
every_type = pytest.mark.parametrize("model_type", TYPES)

SIZES = (30, 20, 10)
EXPECTED = [(0, 30), (1, 20), (2, 10)]


@pytest.fixture
def trained(session: hanse.Session) -> hanse.Session:
    """A session with ``points`` (60 rows in three groups), ``shops`` and the model ``m``."""
    random = np.random.default_rng(1)
    centres = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], SIZES, axis=0)
    register(session, centres + 0.1 * random.normal(size=(60, 2)))
    train(session, "m", num_clusters=3)
    session.sql("CREATE TABLE shops AS SELECT * FROM VALUES (0, 'many'), (1, 'some'), (2, 'few') AS t(group, word)")
    return session


def counted(session: hanse.Session, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return sorted(session.sql(query, parameters).fetchall())


def test_every_input_column_is_kept_and_the_prediction_comes_last(trained: hanse.Session) -> None:
    found = trained.sql(
        "SELECT * FROM model_predict(m, 1, SELECT 'a' AS text, x1, id, NULL AS nothing, x0 FROM points)"
    )
    assert found.columns == ["text", "x1", "id", "nothing", "x0", "prediction"]
    table = found.arrow()
    assert table.num_rows == 60
    assert str(table.schema.field("prediction").type) == "int32"
    assert [p for _, p in sorted(zip(table["id"].to_pylist(), table["prediction"].to_pylist(), strict=True))] == (
        np.repeat([0, 1, 2], SIZES).tolist()
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT prediction, count(*) FROM model_predict(m, 1, SELECT x0, x1 FROM points) GROUP BY prediction",
        "SELECT prediction, count(*) FROM model_predict(m, 1, (SELECT x0, x1 FROM points)) GROUP BY prediction",
        "SELECT p.prediction, count(*) FROM model_predict(m, 1, SELECT x0, x1 FROM points) p GROUP BY p.prediction",
        "SELECT p.prediction, count(*) FROM Model_Predict ( M , 1 , SELECT X0, X1 FROM Points ) AS p GROUP BY 1",
        "SELECT model_predict.prediction, count(*) FROM model_predict(m, 1, SELECT * FROM points) GROUP BY 1",
        "SELECT prediction, count(*) FROM model_predict(m, $v, SELECT x0, x1 FROM points) GROUP BY prediction",
        "SELECT prediction, count(*) FROM model_predict(m, 1, WITH a AS (SELECT x0, x1 FROM points) SELECT * FROM a) GROUP BY 1",
        "WITH a AS (SELECT x0, x1 FROM points) SELECT prediction, count(*) FROM model_predict(m, 1, SELECT * FROM a) GROUP BY 1",
        "WITH a AS (SELECT * FROM points), b AS (SELECT x0, x1 FROM a) "
        "SELECT prediction, count(*) FROM model_predict(m, 1, SELECT * FROM b) GROUP BY 1",
        "WITH p AS (SELECT * FROM model_predict(m, 1, SELECT x0, x1 FROM points)) SELECT prediction, count(*) FROM p GROUP BY 1",
        "SELECT prediction, n FROM (SELECT prediction, count(*) AS n FROM model_predict(m, 1, SELECT * FROM points) GROUP BY 1)",
        "SELECT prediction, count(*) FROM model_predict(m, 1, SELECT * FROM points WHERE x0 < 5 UNION ALL "
        "SELECT * FROM points WHERE x0 >= 5) GROUP BY 1",
    ],
)
def test_it_stands_where_a_table_stands(trained: hanse.Session, query: str) -> None:
    assert counted(trained, query, v=1) == EXPECTED


def test_joined_to_a_table_on_either_side(trained: hanse.Session) -> None:
    right = "SELECT word, count(*) FROM shops JOIN model_predict(m, 1, SELECT * FROM points) p ON p.prediction = group GROUP BY word"
    left = "SELECT s.word, count(*) FROM model_predict(m, 1, SELECT * FROM points) p LEFT JOIN shops s ON p.prediction = s.group GROUP BY 1"
    for query in (right, left):
        assert counted(trained, query) == [("few", 10), ("many", 30), ("some", 20)]


def test_joined_to_itself(trained: hanse.Session) -> None:
    query = (
        "SELECT count(*) FROM model_predict(m, 1, SELECT * FROM points) a "
        "JOIN model_predict(m, 1, SELECT * FROM points WHERE id < 15) b ON a.id = b.id AND a.prediction = b.prediction"
    )
    assert counted(trained, query) == [(15,)]


def test_filtered_and_ordered(trained: hanse.Session) -> None:
    query = "SELECT id FROM model_predict(m, 1, SELECT * FROM points) WHERE prediction = 2 AND id % 2 = 0 ORDER BY id DESC LIMIT 3"
    assert trained.sql(query).fetchall() == [(58,), (56,), (54,)]


def test_in_a_union(trained: hanse.Session) -> None:
    part = "SELECT prediction, id FROM model_predict(m, 1, SELECT * FROM points WHERE {})"
    query = f"{part.format('id < 2')} UNION ALL {part.format('id > 57')}"
    assert counted(trained, query) == [(0, 0), (0, 1), (2, 58), (2, 59)]


def test_in_a_subquery_of_where(trained: hanse.Session) -> None:
    query = "SELECT count(*) FROM points WHERE id IN (SELECT id FROM model_predict(m, 1, SELECT * FROM points) WHERE prediction = 1)"
    assert counted(trained, query) == [(20,)]


def test_in_a_subquery_of_the_select_list(trained: hanse.Session) -> None:
    query = "SELECT (SELECT max(prediction) FROM model_predict(m, 1, SELECT * FROM points)) AS most"
    assert counted(trained, query) == [(2,)]


def test_in_create_table_as(trained: hanse.Session) -> None:
    for what in ("TABLE", "TEMP TABLE"):
        made = trained.sql(
            f"CREATE OR REPLACE {what} predicted AS SELECT * FROM model_predict(m, 1, SELECT * FROM points)"
        )
        assert made.fetchall() == [("predicted", 60)]
        assert counted(trained, "SELECT prediction, count(*) FROM predicted GROUP BY 1") == EXPECTED
        trained.sql("DROP TABLE predicted")


def test_in_insert(trained: hanse.Session) -> None:
    trained.sql(
        "CREATE TABLE predicted AS SELECT prediction FROM model_predict(m, 1, SELECT * FROM points WHERE id < 30)"
    )
    trained.sql("INSERT INTO predicted SELECT prediction FROM model_predict(m, 1, SELECT * FROM points WHERE id >= 30)")
    assert counted(trained, "SELECT prediction, count(*) FROM predicted GROUP BY 1") == EXPECTED


def test_a_view_predicts_whenever_it_is_read(trained: hanse.Session) -> None:
    trained.sql("CREATE TEMP VIEW live AS SELECT * FROM model_predict(m, 1, SELECT * FROM points)")
    assert counted(trained, "SELECT prediction, count(*) FROM live GROUP BY 1") == EXPECTED
    trained.sql("CREATE TABLE lasting AS SELECT * FROM points WHERE id < 30")
    trained.sql("CREATE VIEW lasting_view AS SELECT prediction, id FROM model_predict(m, 1, SELECT * FROM lasting)")
    assert counted(trained, "SELECT prediction, count(*) FROM lasting_view GROUP BY 1") == [(0, 30)]
    trained.sql("INSERT INTO lasting SELECT * FROM points WHERE id >= 30")
    assert counted(trained, "SELECT prediction, count(*) FROM lasting_view GROUP BY 1") == EXPECTED
    assert scratch_tables(trained) == []


def test_in_one_another(trained: hanse.Session) -> None:
    train(trained, "other", num_clusters=2, prediction_col="second")
    query = (
        "SELECT prediction, second, count(*) FROM model_predict(other, 1, "
        "SELECT * FROM model_predict(m, 1, SELECT id, x0, x1 FROM points)) GROUP BY 1, 2"
    )
    found = counted(trained, query)
    assert sum(n for _, _, n in found) == 60
    assert {p for p, _, _ in found} == {0, 1, 2}
    assert {s for _, s, _ in found} == {0, 1}


def test_evaluation_of_predictions(trained: hanse.Session) -> None:
    query = "SELECT rows FROM model_evaluate(m, 1, SELECT x0, x1 FROM model_predict(m, 1, SELECT * FROM points) WHERE prediction < 2)"
    assert counted(trained, query) == [(50,)]


def test_a_model_trained_on_predictions(trained: hanse.Session) -> None:
    trained.sql(
        "CREATE MODEL n OPTIONS (TYPE = 'kmeans', NUM_CLUSTERS = 2) AS "
        "SELECT x0, x1 FROM model_predict(m, 1, SELECT * FROM points) WHERE prediction < 2"
    )
    assert trained.registry.load("n", 1)[1].row_count == 50


def test_columns_bind_in_any_case_and_order(trained: hanse.Session) -> None:
    found = trained.sql("SELECT * FROM model_predict(m, 1, SELECT x1 AS X1, id, x0 AS X0 FROM points)")
    assert found.columns == ["X1", "id", "X0", "prediction"]
    assert np.bincount(found.arrow()["prediction"].to_numpy()).tolist() == list(SIZES)


def test_numbers_of_any_type_are_features(trained: hanse.Session) -> None:
    for kind in ("FLOAT", "INT", "BIGINT", "SMALLINT", "DECIMAL(10, 2)", "BOOLEAN"):
        query = f"SELECT count(*) FROM model_predict(m, 1, SELECT CAST(x0 AS {kind}) AS x0, CAST(x1 AS {kind}) AS x1 FROM points)"
        assert counted(trained, query) == [(60,)]


def test_no_rows_give_no_rows(trained: hanse.Session) -> None:
    found = trained.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM points WHERE false)")
    assert found.columns == ["id", "x0", "x1", "prediction"]
    assert found.fetchall() == []


def test_no_column_alike_binds_by_position_with_a_warning(trained: hanse.Session) -> None:
    found = trained.sql(
        "SELECT prediction, count(*) FROM model_predict(m, 1, SELECT x0 AS a, x1 AS b FROM points) GROUP BY 1"
    )
    assert sorted(found.fetchall()) == EXPECTED
    (warning,) = found.warnings
    assert "bound by position, a as x0, b as x1" in warning
    assert "at line 1, column 34" in warning


def test_strict_binding_refuses_what_is_bound_by_position(trained: hanse.Session) -> None:
    query = "SELECT * FROM model_predict(m, 1, SELECT x0 AS a, x1 AS b FROM points)"
    trained.sql("SET strict_binding = true")
    with pytest.raises(hanse.errors.BindError) as raised:
        trained.sql(query)
    assert str(raised.value).startswith("model m needs columns x0, x1 at line 1, column 15")
    assert "SET strict_binding = false" in str(raised.value)
    trained.sql("SET strict_binding = false")
    assert trained.sql(query).warnings


def test_versions_predict_side_by_side(trained: hanse.Session) -> None:
    trained.sql("UPDATE MODEL m OPTIONS (TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT x0, x1 FROM points")
    query = (
        "SELECT max(a.prediction), max(b.prediction) FROM model_predict(m, 1, SELECT * FROM points) a "
        "JOIN model_predict(m, 2, SELECT * FROM points) b ON a.id = b.id"
    )
    assert counted(trained, query) == [(2, 1)]


def test_a_stored_function_is_as_good_after_the_model_is_gone(trained: hanse.Session) -> None:
    trained.sql("CREATE TABLE kept AS SELECT * FROM model_predict(m, 1, SELECT * FROM points)")
    trained.sql("DROP MODEL m")
    assert counted(trained, "SELECT prediction, count(*) FROM kept GROUP BY 1") == EXPECTED


@every_type
def test_an_exported_model_predicts_the_same_bits(trained: hanse.Session, model_type: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(4).normal(size=(2000, 3)) ** 3 + 1e6
    register(trained, rows)
    train(trained, "before", 3, num_clusters=7, model_type=model_type)
    file = tmp_path / "model.json"
    trained.sql("EXPORT MODEL before 1 TO $file", {"file": str(file)})
    json.loads(file.read_text())
    made = trained.sql("IMPORT MODEL after FROM $file", {"file": str(file)})
    assert made.columns == ["model_id", "model", "version"]
    np.testing.assert_array_equal(labels_of(trained, "before"), labels_of(trained, "after"))
    assert trained.registry.load("before", 1)[1].to_json() == trained.registry.load("after", 1)[1].to_json()


@every_type
def test_rows_go_to_the_nearest_of_two_centroids(trained: hanse.Session, model_type: str) -> None:
    rows = np.random.default_rng(5).normal(size=(500, 2)) * [3.0, 1.0]
    register(trained, rows)
    artifact = train(trained, "two", num_clusters=2, model_type=model_type, max_iter=100)
    centroids = np.array([c["centroid"] for c in artifact.model["clusters"]])
    distances = ((rows[:, None] - centroids[None]) ** 2).sum(axis=2)
    differ = labels_of(trained, "two") != np.argmin(distances, axis=1)
    gap = np.abs(distances[:, 0] - distances[:, 1])
    assert not differ[gap > 0.05].any()  # a settled split may be a hair from its centroids' bisector


@every_type
def test_prediction_grows_with_the_clusters_and_no_faster(session: hanse.Session, model_type: str) -> None:
    """K-means once named every rival in every branch: k^2 expressions, and minutes for 150 clusters."""
    register(session, np.random.default_rng(5).normal(size=(400, 2)))
    length = {}
    for clusters in (8, 64):
        train(session, "many", num_clusters=clusters, model_type=model_type)
        query = "SELECT * FROM model_predict(many, 1, SELECT x0, x1 FROM points)"
        (sql, *_) = [text for part, text in session.sql(f"EXPLAIN {query}") if part == "sql"]
        length[clusters] = len(sql)
    assert length[64] <= 8 * length[8] * 3


def test_centroids_as_a_table(trained: hanse.Session) -> None:
    found = trained.sql("SELECT * FROM model_centroids(m, 1) ORDER BY prediction").arrow()
    assert found.column_names == ["prediction", "cluster_size", "share", "inertia", "x0", "x1"]
    assert found["cluster_size"].to_pylist() == [30, 20, 10]
    assert found["share"].to_pylist() == pytest.approx([0.5, 1 / 3, 1 / 6])
    joined = (
        "SELECT c.prediction, max(abs(c.x0 - p.x0)) < 1e-9 FROM model_centroids(m, 1) c JOIN "
        "(SELECT prediction, avg(x0) AS x0 FROM model_predict(m, 1, SELECT * FROM points) GROUP BY prediction) p "
        "ON c.prediction = p.prediction GROUP BY 1"
    )
    assert counted(trained, joined) == [(0, True), (1, True), (2, True)]


@pytest.mark.parametrize("name", ["Order value", 'quo"te', "größe", "名前", "select", "a.b", "x;y", "o'clock"])
def test_any_column_name_is_a_feature(session: hanse.Session, name: str) -> None:
    register(session, [[0.0, 0.0]] * 3 + [[9.0, 9.0]] * 2, names=[name, "other"])
    quoted = f"`{name}`"
    session.sql(
        f"CREATE MODEL m TRANSFORM (vector_assembler(array({quoted}, other)) v) "
        f"OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS SELECT {quoted}, other FROM points"
    )
    assert session.registry.load("m", 1)[1].features == (name, "other")
    found = session.sql(f"SELECT * FROM model_predict(m, 1, SELECT other, {quoted} FROM points)")
    assert found.columns == ["other", name, "prediction"]
    assert sorted(row[-1] for row in found) == [0, 0, 0, 1, 1]
    assert session.sql(f"SELECT rows FROM model_evaluate(m, 1, SELECT {quoted}, other FROM points)").fetchall() == [
        (5,)
    ]
    assert session.sql("SELECT * FROM model_centroids(m, 1)").columns[-2:] == [name, "other"]


@pytest.mark.parametrize("name", ["Order value", "größe", "select"])
def test_any_model_name_in_quotes(session: hanse.Session, name: str) -> None:
    register(session, [[0.0, 0.0]] * 3 + [[9.0, 9.0]] * 2)
    session.sql(f"CREATE MODEL `{name}` OPTIONS (TYPE = 'kmeans') AS SELECT x0, x1 FROM points")
    assert len(session.sql(f"SELECT * FROM model_predict(`{name}`, 1, SELECT x0, x1 FROM points)").fetchall()) == 5
    session.sql(f"DROP MODEL `{name}`")
    assert session.registry.list() == []
