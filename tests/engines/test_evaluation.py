"""model_evaluate: measures from sums, refereed by their definitions and by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from referee import Rows, labels_of, mean_inertia, register, scratch_tables, silhouette, train
from sklearn.metrics import davies_bouldin_score

import hanse
from hanse.models.catalog import ESTIMATORS

TYPES = [kind.model_type for kind in ESTIMATORS if kind.family == "clustering"]
MEASURES = ["silhouette", "davies_bouldin", "inertia", "clusters", "smallest_cluster", "rows"]


def measured(session: hanse.Session, query: str = "SELECT * FROM points", model: str = "m") -> dict[str, Any]:
    result = session.sql(f"SELECT * FROM model_evaluate({model}, 1, {query})")
    assert result.columns == MEASURES
    (row,) = result.arrow().to_pylist()
    return dict(row)


def heavy(rows: int, features: int, seed: int) -> Rows:
    return np.random.default_rng(seed).normal(size=(rows, features)) ** 3


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize(("rows", "features", "clusters"), [(50, 1, 2), (400, 2, 3), (1500, 4, 8)])
def test_measures_are_those_of_the_definitions(
    session: hanse.Session, model_type: str, rows: int, features: int, clusters: int
) -> None:
    points = heavy(rows, features, rows)
    register(session, points)
    train(session, "m", features, model_type=model_type, num_clusters=clusters)
    labels = labels_of(session, "m")
    sizes = np.bincount(labels)
    assert measured(session) == {
        "silhouette": pytest.approx(silhouette(points, labels), abs=1e-9),
        "davies_bouldin": pytest.approx(davies_bouldin_score(points, labels), rel=1e-9),
        "inertia": pytest.approx(mean_inertia(points, labels), rel=1e-9),
        "clusters": len(sizes),
        "smallest_cluster": sizes.min(),
        "rows": rows,
    }


def test_measures_of_other_rows_than_the_trained_ones(session: hanse.Session) -> None:
    register(session, heavy(300, 2, 1))
    train(session, "m", num_clusters=4)
    points = heavy(200, 2, 2) + 0.5
    register(session, points, "others")
    labels = labels_of(session, "m", "others")
    found = measured(session, "SELECT * FROM others")
    assert found["silhouette"] == pytest.approx(silhouette(points, labels), abs=1e-9)
    assert found["inertia"] == pytest.approx(mean_inertia(points, labels), rel=1e-9)
    assert found["rows"] == 200


def test_only_clusters_that_hold_rows_count(session: hanse.Session) -> None:
    register(session, np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], [5, 4, 3], axis=0) + heavy(12, 2, 3) / 100)
    train(session, "m", num_clusters=3)
    found = measured(session, "SELECT * FROM points WHERE id < 9")
    assert (found["clusters"], found["smallest_cluster"], found["rows"]) == (2, 4, 9)
    assert found["silhouette"] > 0.9


def test_one_cluster_has_no_silhouette(session: hanse.Session) -> None:
    points = np.repeat([[0.0, 0.0], [9.0, 0.0]], [5, 4], axis=0) + heavy(9, 2, 3) / 100
    register(session, points)
    train(session, "m", num_clusters=2)
    assert measured(session, "SELECT * FROM points WHERE id < 5") == {
        "silhouette": None,
        "davies_bouldin": None,
        "inertia": pytest.approx(mean_inertia(points[:5], np.zeros(5, dtype=np.int64))),
        "clusters": 1,
        "smallest_cluster": 5,
        "rows": 5,
    }


def test_one_row(session: hanse.Session) -> None:
    register(session, [[0.0, 0.0], [0.5, 0.0], [9.0, 9.0]])
    train(session, "m", num_clusters=2)
    assert measured(session, "SELECT * FROM points WHERE id = 1") == {
        "silhouette": None,
        "davies_bouldin": None,
        "inertia": 0.0,
        "clusters": 1,
        "smallest_cluster": 1,
        "rows": 1,
    }


def test_a_row_alone_counts_nothing(session: hanse.Session) -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    register(session, points)
    train(session, "m", num_clusters=2)
    found = measured(session)
    labels = labels_of(session, "m")
    assert found["silhouette"] == pytest.approx(silhouette(points, labels), abs=1e-12)
    assert found["smallest_cluster"] == 1


def test_rows_that_are_all_alone(session: hanse.Session) -> None:
    register(session, heavy(5, 2, 8))
    train(session, "m", num_clusters=5)
    found = measured(session)
    assert (found["silhouette"], found["clusters"], found["inertia"]) == (0.0, 5, pytest.approx(0.0, abs=1e-20))


def test_two_tight_clusters_far_from_the_others(session: hanse.Session) -> None:
    """About a common origin, their distance to each other would be lost beside their distance from it."""
    centres = np.repeat([[0.0, 0.0], [1e6, 0.0], [1e6, 0.1]], [1000, 20, 20], axis=0)
    points = centres + 1e-3 * np.random.default_rng(5).normal(size=centres.shape)
    register(session, points)
    train(session, "m", num_clusters=3)
    labels = labels_of(session, "m")
    assert np.bincount(labels).tolist() == [1000, 20, 20]
    found = measured(session)
    assert found["silhouette"] == pytest.approx(silhouette(points, labels), abs=1e-9)
    assert found["inertia"] == pytest.approx(mean_inertia(points, labels), rel=1e-9)
    found = measured(session, "SELECT * FROM points WHERE id >= 1000")
    assert found["silhouette"] == pytest.approx(silhouette(points[1000:], labels[1000:]), abs=1e-9)
    assert found["inertia"] == pytest.approx(mean_inertia(points[1000:], labels[1000:]), rel=1e-9)


def test_clusters_of_one_point_each_are_perfect(session: hanse.Session) -> None:
    register(session, [[0.0, 1.0]] * 7 + [[3.0, 5.0]] * 3)
    train(session, "m", num_clusters=2)
    found = measured(session)
    assert found["silhouette"] == pytest.approx(1.0)
    assert found["davies_bouldin"] == pytest.approx(0.0, abs=1e-9)
    assert found["inertia"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT e.rows FROM model_evaluate(m, 1, SELECT * FROM points) AS e",
        "SELECT rows FROM model_evaluate(m, $version, (SELECT * FROM points)) WHERE silhouette IS NOT NULL",
        "WITH mine AS (SELECT * FROM points) SELECT rows FROM model_evaluate(m, 1, SELECT x0, x1 FROM mine)",
        "SELECT rows FROM model_evaluate(m, 1, WITH mine AS (SELECT * FROM points) SELECT * FROM mine)",
        "SELECT max(rows) FROM (SELECT rows FROM model_evaluate(m, 1, SELECT * FROM points WHERE id < 7) UNION ALL "
        "SELECT rows FROM model_evaluate(m, 1, SELECT * FROM points))",
        "SELECT a.rows FROM model_evaluate(m, 1, SELECT * FROM points) a JOIN model_evaluate(m, 1, SELECT * FROM points) b "
        "ON a.rows = b.rows AND a.inertia = b.inertia",
        "SELECT (SELECT rows FROM model_evaluate(m, 1, SELECT * FROM points)) AS rows",
    ],
)
def test_it_stands_where_a_table_stands(session: hanse.Session, query: str) -> None:
    register(session, heavy(40, 2, 4))
    train(session, "m", num_clusters=3)
    assert session.sql(query, {"version": 1}).fetchall() == [(40,)]
    assert scratch_tables(session) == []


def test_in_create_table_as(session: hanse.Session) -> None:
    register(session, heavy(40, 2, 4))
    train(session, "m", num_clusters=3)
    session.sql("CREATE TABLE measures AS SELECT 'm' AS model, * FROM model_evaluate(m, 1, SELECT * FROM points)")
    (row,) = session.sql("SELECT * FROM measures").arrow().to_pylist()
    assert row == {"model": "m", **measured(session)}


def test_evaluation_is_at_most_three_scans(session: hanse.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    register(session, heavy(40, 2, 4))
    train(session, "m", num_clusters=3)
    asked: list[Any] = []
    observe = session.engine.observe

    def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return observe(*arguments)

    monkeypatch.setattr(session.engine, "observe", counted)
    measured(session)
    assert len(asked) == 2  # and one that reads the SELECT
