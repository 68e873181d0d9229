"""IMPORT MODEL of what Spark MLlib saved: the same labels by the same numbers, on every engine, without Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_mllib_models import FOLDER, LABELS, MODELS, PREDICTIONS, fitted, frame_of, predicted, rows_of
from mllib_folders import copied, dense, edit_metadata, edit_rows, sparse
from referee import register, silhouette

import hanse
from hanse.errors import BindError, ModelExistsError, WorkspaceError

EXPECTED = {name: [int(label) for label in labels] for name, labels in json.loads(PREDICTIONS.read_text()).items()}


def imported(session: hanse.Session, name: str, folder: Path | None = None) -> Any:
    """The fixture as model ``m``, its features named; the import's result."""
    register(session, rows_of(name), names=MODELS[name])
    named = "" if name.startswith("pipeline") else f" OPTIONS (FEATURES = array({', '.join(MODELS[name])}))"
    return session.sql(f"IMPORT MODEL m FROM $folder{named}", {"folder": str(folder or FOLDER / name)})


def labels(session: hanse.Session, name: str, model: str = "m") -> list[int]:
    columns = ", ".join(MODELS[name])
    label = LABELS.get(name, "prediction")
    rows = session.sql(f"SELECT {label} FROM model_predict({model}, 1, SELECT id, {columns} FROM points) ORDER BY id")
    return [row[0] for row in rows.fetchall()]


@pytest.mark.parametrize("name", MODELS)
def test_it_predicts_as_mllib_does(session: hanse.Session, name: str) -> None:
    made = imported(session, name)
    assert made.warnings == []
    assert labels(session, name) == EXPECTED[name]


@pytest.mark.parametrize("name", ["pipeline_standard", "pipeline_min_max"])
def test_a_live_spark_predicts_the_same(spark: Any, name: str, tmp_path: Path) -> None:
    """What is saved today is read as what is committed, and the numbers of a fresh training are the referee."""
    rows = rows_of(name)
    model = fitted(name, frame_of(spark, name, rows[::3]))
    model.save(str(tmp_path / "saved"))
    with hanse.connect() as session:
        imported(session, name, tmp_path / "saved")
        assert labels(session, name) == predicted(model, name, frame_of(spark, name, rows))


def test_a_row_as_near_to_two_centres_goes_where_spark_puts_it(spark: Any, tmp_path: Path) -> None:
    """All distances here are whole numbers, so that Spark's own rounding decides nothing."""
    from pyspark.ml.clustering import KMeansModel
    from pyspark.ml.linalg import Vectors

    centres = [(6.0, 0.0), (2.0, 0.0), (4.0, 0.0), (0.0, 0.0)]
    folder = copied("kmeans", tmp_path)

    def edit(rows: Any) -> None:
        rows[:] = [{"clusterIdx": i, "clusterCenter": dense(*centre)} for i, centre in enumerate(centres)]

    edit_rows(folder, edit)
    points = [(float(x), 0.0) for x in range(8)]
    frame = spark.createDataFrame([(Vectors.dense(p),) for p in points], ["features"]).coalesce(1)
    expected = [row.prediction for row in KMeansModel.load(str(folder)).transform(frame).collect()]
    assert expected[1] == 1
    assert expected[5] == 0
    with hanse.connect() as session:
        register(session, points, names=("orders", "amount"))
        session.sql("IMPORT MODEL m FROM $f OPTIONS (FEATURES = array(orders, amount))", {"f": str(folder)})
        assert labels(session, "kmeans") == expected
        session.sql("EXPORT MODEL m TO $f", {"f": str(tmp_path / "m.json")})
        session.sql("IMPORT MODEL again FROM $f", {"f": str(tmp_path / "m.json")})
        assert labels(session, "kmeans", "again") == expected


# -- names -------------------------------------------------------------------------------------


def test_features_without_names_are_called_by_their_place(session: hanse.Session) -> None:
    register(session, rows_of("kmeans"), names=MODELS["kmeans"])
    made = session.sql("IMPORT MODEL m FROM $f", {"f": str(FOLDER / "kmeans")})
    (warning,) = made.warnings
    assert "they are called features_0, features_1: name them with OPTIONS (FEATURES = array(...))" in warning
    found = session.sql("SELECT prediction FROM model_predict(m, 1, SELECT orders, amount FROM points)")
    (warning,) = found.warnings
    assert "bound by position, orders as features_0, amount as features_1" in warning
    assert [row[0] for row in found.fetchall()] == EXPECTED["kmeans"]


def test_a_pipeline_brings_its_names_and_transforms(session: hanse.Session) -> None:
    imported(session, "pipeline_standard")
    shown = dict(session.sql("DESCRIBE MODEL m").fetchall())
    assert json.loads(shown["transform"]) == [
        "vector_assembler(orders, amount) features",
        "standard_scaler(features) scaled",
    ]
    assert json.loads(shown["fields"]) == ["orders", "amount"]
    assert json.loads(shown["training"]) == {
        "imported_from": "Spark MLlib 4.3.0",
        "class": "PipelineModel",
        "uid": json.loads(shown["training"])["uid"],
    }
    assert json.loads(shown["options"])["num_clusters"] == 5
    assert shown["rows"] == "900"
    assert shown["source"] == ""


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("kmeans", "FEATURES = array(orders)", r"FEATURES = \['orders'\] of .*: the model has 2 features: name each"),
        ("kmeans", "FEATURES = array(orders, Orders)", "need different names"),
        ("kmeans", "FEATURES = 'orders'", r"need a list of names, as array\('a', 'b'\)"),
        ("kmeans", "FEATURES = array()", "need a list of names"),
        ("kmeans", "FEATURES = array(1, 2)", "need a list of names"),
        ("kmeans", "FEATURE = array(a, b)", "unknown option FEATURE of IMPORT MODEL.*did you mean FEATURES"),
        ("pipeline_min_max", "FEATURES = array(a, b)", "leave it out: the columns have names, orders, amount"),
    ],
)
def test_features_that_do_not_fit(session: hanse.Session, name: str, written: str, message: str) -> None:
    with pytest.raises(BindError, match=message) as raised:
        session.sql(f"IMPORT MODEL m FROM $f\nOPTIONS ({written})", {"f": str(FOLDER / name)})
    assert raised.value.position is not None
    assert raised.value.position.line == 2
    assert session.sql("SHOW MODELS").fetchall() == []


def test_options_are_for_a_folder(session: hanse.Session, tmp_path: Path) -> None:
    imported(session, "pipeline_standard")
    file = tmp_path / "m.json"
    session.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    with pytest.raises(BindError, match=r"option FEATURES at line 1.*for a folder that Spark MLlib saved"):
        session.sql("IMPORT MODEL n FROM $f OPTIONS (FEATURES = array(a))", {"f": str(file)})
    with pytest.raises(WorkspaceError, match=r"hdfs://host/m is an address.*copy what is there to a local folder"):
        session.sql("IMPORT MODEL n FROM 'hdfs://host/m'")
    with pytest.raises(ModelExistsError, match="model m exists already"):
        session.sql("IMPORT MODEL m FROM $f", {"f": str(FOLDER / "kmeans")})


# -- what is known of its training --------------------------------------------------------------


def test_an_evaluation_needs_no_training(session: hanse.Session) -> None:
    imported(session, "bisecting")
    rows, found = rows_of("bisecting"), np.array(EXPECTED["bisecting"])
    query = "SELECT silhouette, clusters, rows FROM model_evaluate(m, 1, SELECT orders, amount FROM points)"
    ((value, clusters, count),) = session.sql(query).fetchall()
    assert value == pytest.approx(silhouette(rows, found), rel=1e-9)
    assert (clusters, count) == (4, 1800)


def test_sizes_and_costs_of_a_bisecting_model_are_kept(session: hanse.Session) -> None:
    """MLlib saves them, so that rows can be scored; what they are is counted here once more."""
    imported(session, "bisecting")
    rows, found = rows_of("bisecting")[:900], np.array(EXPECTED["bisecting"])[:900]
    shown = session.sql("SELECT prediction, cluster_size, share, inertia, orders, amount FROM model_centroids(m, 1)")
    for label, size, share, inertia, *centre in shown.fetchall():
        members = rows[found == label]
        assert size == len(members)
        assert share == pytest.approx(len(members) / 900)
        assert centre == pytest.approx(members.mean(axis=0).tolist())
        assert inertia == pytest.approx(((members - members.mean(axis=0)) ** 2).sum(), rel=1e-6)
    query = (
        "SELECT id, normalized_distance, is_anomaly FROM detect_anomalies(m, 1, SELECT * FROM points, threshold => 5)"
    )
    for number, distance, _ in session.sql(f"{query} WHERE id < 20").fetchall():
        centre = rows[found == found[number]].mean(axis=0)
        radius = np.sqrt(((rows[found == found[number]] - centre) ** 2).sum(axis=1).mean())
        assert distance == pytest.approx(np.linalg.norm(rows[number] - centre) / radius, rel=1e-5)
    assert any(row[2] for row in session.sql(query).fetchall())
    with pytest.raises(BindError, match=r"contamination = 0\.02 of model m.*give threshold => or topk =>"):
        session.sql("SELECT * FROM detect_anomalies(m, 1, SELECT * FROM points)").fetchall()


@pytest.mark.parametrize("name", ["kmeans", "bisecting_weighted"])
def test_a_model_that_tells_no_shares_says_so(session: hanse.Session, name: str) -> None:
    """MLlib saves no sizes of a KMeansModel, and no weights of a weighted tree."""
    imported(session, name)
    for call in (
        "detect_anomalies(m, 1, SELECT * FROM points, topk => 3)",
        "explain_anomalies(m, 1, SELECT * FROM points, topk => 3)",
        "describe_clusters(m, 1)",
    ):
        with pytest.raises(BindError, match=r"model m came without what scores need.*train it anew") as raised:
            session.sql(f"SELECT * FROM {call}").fetchall()
        assert raised.value.position == (1, 15)
    shares = session.sql("SELECT share FROM model_centroids(m, 1)").fetchall()
    assert {row[0] for row in shares} == {None}
    shown = dict(session.sql("DESCRIBE MODEL m").fetchall())
    told = name != "kmeans"
    assert (shown["rows"] == "900") is told
    assert ("rows not told" in shown["cluster 0"]) is not told


def test_an_imported_model_is_exported_as_any_other(session: hanse.Session, tmp_path: Path) -> None:
    imported(session, "pipeline_standard")
    file = tmp_path / "m.json"
    session.sql("EXPORT MODEL m TO $f", {"f": str(file)})
    session.sql("IMPORT MODEL again FROM $f", {"f": str(file)})
    assert labels(session, "pipeline_standard", "again") == EXPECTED["pipeline_standard"]


def test_null_features_are_an_error_where_mllib_skips_them(session: hanse.Session, tmp_path: Path) -> None:
    folder = copied("pipeline_standard", tmp_path)
    (assembler,) = folder.glob("stages/0_*")
    edit_metadata(assembler, lambda data: data["paramMap"].update(handleInvalid="skip"))
    (warning,) = imported(session, "pipeline_standard", folder).warnings
    assert "has handleInvalid = 'skip': here a feature that is NULL or NaN is an error" in warning
    with pytest.raises(hanse.errors.DataError, match=r"NULL or non-finite features: amount \(1 of 1 rows\)"):
        session.sql(
            "SELECT * FROM model_predict(m, 1, SELECT 1.0 AS orders, CAST(NULL AS DOUBLE) AS amount)"
        ).fetchall()


def test_sparse_centres_are_read(session: hanse.Session, tmp_path: Path) -> None:
    folder = copied("kmeans", tmp_path)

    def edit(rows: Any) -> None:
        rows[:] = [
            {"clusterIdx": 1, "clusterCenter": sparse(2, [1], [120.0])},
            {"clusterIdx": 0, "clusterCenter": sparse(2, [], [])},
        ]

    edit_rows(folder, edit)
    imported(session, "kmeans", folder)
    shown = session.sql("SELECT prediction, orders, amount FROM model_centroids(m, 1) ORDER BY prediction").fetchall()
    assert shown == [(0, 0.0, 0.0), (1, 0.0, 120.0)]
