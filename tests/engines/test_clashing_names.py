"""Features and labels that are called like a table function's own columns, and numbers that are too large for it."""

from __future__ import annotations

import pytest

import hanse
from hanse.errors import BindError, DataError

POINTS = "VALUES (1.0D, 2.0D), (1.5D, 2.5D), (90.0D, 80.0D), (91.0D, 81.0D), (1.2D, 2.2D), (1.1D, 2.1D)"


@pytest.fixture
def points(session: hanse.Session) -> hanse.Session:
    session.sql(f"CREATE OR REPLACE TABLE points AS SELECT * FROM {POINTS} AS t(a, b)")
    return session


def test_features_that_are_called_like_columns_of_centroids(points: hanse.Session) -> None:
    points.sql(
        "CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT a AS cluster_size, b AS Share FROM points"
    )
    result = points.sql("SELECT * FROM model_centroids(m, 1)")
    assert result.columns == [
        "prediction",
        "cluster_size",
        "share",
        "inertia",
        "cluster_size_centroid",
        "Share_centroid",
    ]
    large, small = result.fetchall()
    assert (large[0], large[1], small[1]) == (0, 4, 2)
    assert small[4:] == pytest.approx((90.5, 80.5))


@pytest.mark.parametrize(
    ("label", "call"),
    [
        ("share", "model_centroids(m, 1)"),
        ("Cluster_Size", "describe_clusters(m, 1)"),
        ("description", "describe_clusters(m, 1)"),
        ("silhouette", "cluster_silhouettes(m, 1, SELECT a, b FROM points)"),
        ("distance", "detect_anomalies(m, 1, SELECT a, b FROM points, topk => 1)"),
        ("is_anomaly", "detect_anomalies(m, 1, SELECT a, b FROM points, topk => 1)"),
        ("anomaly_score", "explain_anomalies(m, 1, SELECT a, b FROM points, topk => 1)"),
    ],
)
def test_a_label_that_is_called_like_a_column_of_the_function(points: hanse.Session, label: str, call: str) -> None:
    points.sql(
        f"CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'kmeans', PREDICTION_COL = '{label}') AS SELECT a, b FROM points"
    )
    function = call.partition("(")[0]
    with pytest.raises(BindError, match=rf"model m calls its label {label}, and {function} .*another PREDICTION_COL"):
        points.sql(f"SELECT * FROM {call}").fetchall()


def test_numbers_whose_squares_overflow_are_not_evaluated(points: hanse.Session) -> None:
    points.sql("CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'kmeans', SEED = -1) AS SELECT a, b FROM points")
    with pytest.raises(DataError, match=r"squares of the features overflow.*scale them"):
        points.sql("SELECT * FROM model_evaluate(m, 1, SELECT a * 1e200 AS a, b FROM points)").fetchall()


@pytest.mark.parametrize("model_type", ["mahalanobis", "ecod"])
def test_a_label_that_is_called_like_the_models_score(points: hanse.Session, model_type: str) -> None:
    with pytest.raises(BindError, match=r"PREDICTION_COL.*'Anomaly_Score'.*gives a column anomaly_score of its own"):
        points.sql(
            f"CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = '{model_type}', PREDICTION_COL = 'Anomaly_Score') "
            "AS SELECT a, b FROM points"
        )
