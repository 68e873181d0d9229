"""cluster_silhouettes against scikit-learn, and against model_evaluate."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import silhouette_samples

import hanse
from hanse.errors import BindError, HanseError


def fill(session: hanse.Session, measure: str = "euclidean") -> np.ndarray:
    random = np.random.default_rng(5)
    rows = np.concatenate([random.normal(mean, 1.0, (40, 3)) for mean in (2.0, 7.0, -6.0)])
    session.register("given", pa.table({f"x{i}": rows[:, i] for i in range(3)}))
    session.sql("CREATE OR REPLACE TABLE t AS SELECT * FROM given").fetchall()
    session.sql(
        "CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array(x0, x1, x2)) features) "
        f"OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3, DISTANCE_TYPE = '{measure}') "
        "AS SELECT * FROM t"
    ).fetchall()
    return rows


@pytest.mark.parametrize("measure", ["euclidean", "cosine"])
def test_it_is_scikit_learns(session: hanse.Session, measure: str) -> None:
    rows = fill(session, measure)
    labels = np.array([p for (p,) in session.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM t)")])
    if measure == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    referee = silhouette_samples(rows, labels, metric="sqeuclidean")
    found = session.sql("SELECT * FROM cluster_silhouettes(m, 1, SELECT * FROM t) ORDER BY prediction").fetchall()
    assert [row[1] for row in found] == np.bincount(labels, minlength=3).tolist()
    for number, _, silhouette in found:
        expected = referee[labels == number].mean() if (labels == number).any() else None
        assert silhouette == pytest.approx(expected, rel=1e-9)


def test_their_mean_is_that_of_model_evaluate(session: hanse.Session) -> None:
    fill(session)
    ((mean,),) = session.sql(
        "SELECT SUM(silhouette * cluster_size) / SUM(cluster_size) FROM cluster_silhouettes(m, 1, SELECT * FROM t)"
    )
    ((whole,),) = session.sql("SELECT silhouette FROM model_evaluate(m, 1, SELECT * FROM t)")
    assert mean == pytest.approx(whole, rel=1e-9)


def test_a_lone_cluster_and_no_rows_have_none(session: hanse.Session) -> None:
    fill(session)
    one = session.sql("SELECT * FROM cluster_silhouettes(m, 1, SELECT * FROM t LIMIT 1)").fetchall()
    assert sorted(row[1] for row in one) == [0, 0, 1]
    assert {row[2] for row in one} == {None}
    none = session.sql("SELECT * FROM cluster_silhouettes(m, 1, SELECT * FROM t WHERE false)").fetchall()
    assert [row[1:] for row in none] == [(0, None)] * 3


def test_bad_calls_say_what_is_wrong(session: hanse.Session) -> None:
    fill(session)
    with pytest.raises(BindError, match="x2"):
        session.sql("SELECT * FROM cluster_silhouettes(m, 1, SELECT x0, x1 FROM t)").fetchall()
    with pytest.raises(HanseError, match="x1"):
        session.sql(
            "SELECT * FROM cluster_silhouettes(m, 1, SELECT x0, CASE WHEN x0 > 0 THEN x1 END AS x1, x2 FROM t)"
        ).fetchall()
