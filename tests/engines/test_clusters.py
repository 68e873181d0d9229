"""describe_clusters and match_clusters: against pandas and scikit-learn over the labels themselves."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from referee import labels_of, register, train
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

import hanse
from hanse.anomalies.match import matched_pairs
from hanse.errors import BindError, DataError, HanseError


def cloud(seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.repeat([[0.0, 0.0], [9.0, 0.0], [40.0, 90.0], [-60.0, 5.0]], [300, 250, 12, 6], axis=0)
    return centres + random.normal(size=(568, 2)) * [1.0, 3.0]


@pytest.fixture
def trained(session: hanse.Session) -> hanse.Session:
    register(session, cloud())
    train(session, "m", num_clusters=4)
    return session


def frame(session: hanse.Session, query: str) -> pd.DataFrame:
    return session.sql(query).df()


# -- describe ----------------------------------------------------------------------------------


def test_clusters_of_the_training(trained: hanse.Session) -> None:
    found = frame(trained, "SELECT * FROM describe_clusters(m, 1)")
    assert list(found) == [
        "prediction", "cluster_size", "share", "is_anomaly_cluster", "reason", "x0", "x1", "x0_spread", "x1_spread",
        "description",
    ]  # fmt: skip
    assert found["prediction"].tolist() == [0, 1, 2, 3]
    assert found["cluster_size"].tolist() == [300, 250, 12, 6]
    assert found["is_anomaly_cluster"].tolist() == [False, False, True, True]
    labels = labels_of(trained, "m")
    for k in range(4):
        np.testing.assert_allclose(found.loc[k, ["x0", "x1"]].astype(float), cloud()[labels == k].mean(axis=0))
        spread = found.loc[k, ["x0_spread", "x1_spread"]].astype(float)
        np.testing.assert_allclose(spread, cloud()[labels == k].std(axis=0), rtol=1e-6)
    assert found["reason"][0] == "holds 52.8 % of the training weight, 5 % or more"
    assert re.fullmatch(
        r"holds 2\.1 % of the training weight, less than 5 %, and lies \d\d\.\d sd from the weighted centre",
        found["reason"][2],
    )
    assert re.fullmatch(
        r"anomaly cluster \(12 rows, 2\.1 %\): x0 \d\d\.\d sd above, x1 \d\d\.\d sd above ordinary customers",
        found["description"][2],
    )
    assert found["description"][0].startswith("ordinary cluster (300 rows, 52.8 %): x0 ")


def test_clusters_of_other_rows(trained: hanse.Session) -> None:
    query = "SELECT * FROM points WHERE id >= 200 AND id < 562"
    found = frame(trained, f"SELECT * FROM describe_clusters(m, 1, {query})")
    assert found["cluster_size"].tolist() == [100, 250, 12, 0]
    assert found["share"].tolist() == pytest.approx([100 / 362, 250 / 362, 12 / 362, 0])
    assert found["is_anomaly_cluster"].tolist() == [False, False, True, True]
    np.testing.assert_allclose(found.loc[0, ["x0", "x1"]].astype(float), cloud()[200:300].mean(axis=0))
    np.testing.assert_allclose(found.loc[0, ["x0_spread", "x1_spread"]].astype(float), cloud()[200:300].std(axis=0))
    assert pd.isna(found["x0"][3])
    assert found["description"][3] == "anomaly cluster (0 rows, 0 %): no rows here"
    empty = frame(trained, "SELECT * FROM describe_clusters(m, 1, SELECT * FROM points WHERE false)")
    assert list(empty) == list(found)
    assert empty["cluster_size"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "steps", ["standard_scaler(v, true, true) f", "standard_scaler(v) f", "min_max_scaler(v, -1, 3) f", "numeric_imputer(v, 'mean') f"]
)  # fmt: skip
def test_scaling_is_undone(session: hanse.Session, steps: str) -> None:
    register(session, cloud() * [1.0, 100.0] + [500.0, 0.0])
    session.sql(
        f"CREATE MODEL m TRANSFORM (vector_assembler(array(x0, x1)) v, {steps}) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM points"
    )
    expected = frame(
        session,
        "SELECT avg(x0) AS x0, avg(x1) AS x1, stddev_pop(x0) AS x0_spread, stddev_pop(x1) AS x1_spread "
        "FROM model_predict(m, 1, SELECT * FROM points) GROUP BY prediction ORDER BY prediction",
    )
    for query in ("", ", SELECT * FROM points"):
        found = frame(session, f"SELECT * FROM describe_clusters(m, 1{query}) ORDER BY prediction")
        np.testing.assert_allclose(found[list(expected)], expected, rtol=1e-6, atol=1e-6)


def test_a_constant_feature_keeps_its_value(session: hanse.Session) -> None:
    register(session, np.column_stack([cloud()[:, 0], np.full(568, 7.0)]))
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x0, x1)) v, standard_scaler(v, true, true) f) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM points"
    )
    found = frame(session, "SELECT * FROM describe_clusters(m, 1)")
    assert set(found["x1"]) == {7.0}
    assert set(found["x1_spread"]) == {0.0}


def test_features_called_like_other_columns_get_names_of_their_own(session: hanse.Session) -> None:
    register(session, cloud(), names=["share", "Description"])
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(share, Description)) v) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM points"
    )
    found = frame(session, "SELECT * FROM describe_clusters(m, 1)")
    assert list(found)[5:] == [
        "share_centroid",
        "Description_centroid",
        "share_spread",
        "Description_spread",
        "description",
    ]


def test_cosine_centroids_are_directions(session: hanse.Session) -> None:
    register(session, np.abs(cloud()) + 1)
    train(session, "m", num_clusters=2, distance_measure="cosine")
    for query in ("", ", SELECT * FROM points"):
        found = frame(session, f"SELECT * FROM describe_clusters(m, 1{query})")
        assert (found[["x0", "x1"]].astype(float) <= 1.0).all(axis=None)


def test_ordinary_share_can_be_given_with_and_without_rows(trained: hanse.Session) -> None:
    for query in ("", ", SELECT * FROM points"):
        found = frame(trained, f"SELECT * FROM describe_clusters(m, 1{query}, ordinary_share => 0.02)")
        assert found["is_anomaly_cluster"].tolist() == [False, False, False, True]
        assert "less than 2 %" in found["reason"][3]


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (
            "describe_clusters(m, 1, ordinary_share => 2)",
            "ordinary_share = 2 at line 1, column 57: need a number above 0",
        ),
        ("describe_clusters(m, 1, ordinary_share => 0.9)", "no ordinary cluster"),
        ("describe_clusters(m, 1, topk => 2)", "describe_clusters has no option topk"),
        ("describe_clusters(m)", "a comma and the version"),
        ("describe_clusters(m, 1, )", "expected a query"),
        ("describe_clusters(n, 1)", "n"),
        ("match_clusters(m, 1, m, 1)", "a comma and the query"),
        ("match_clusters(m, 1, nope, 1, SELECT * FROM points)", "nope"),
        ("match_clusters(m, 1, m, 9, SELECT * FROM points)", "9"),
        ("match_clusters(m, 1, SELECT * FROM points)", "a model's name|a comma"),
    ],
)
def test_calls_that_do_not_fit(trained: hanse.Session, call: str, what: str) -> None:
    with pytest.raises(HanseError, match=what) as caught:
        trained.sql(f"SELECT * FROM {call}").fetchall()
    assert re.search(r"line 1, column \d+", str(caught.value))


def test_a_feature_that_is_no_number(trained: hanse.Session) -> None:
    query = "SELECT id, x0, CASE WHEN id = 3 THEN DOUBLE('NaN') ELSE x1 END AS x1 FROM points"
    for call in (f"describe_clusters(m, 1, {query})", f"match_clusters(m, 1, m, 1, {query})"):
        with pytest.raises(DataError, match=r"x1 \(1 of 568 rows\)"):
            trained.sql(f"SELECT * FROM {call}")


# -- match -------------------------------------------------------------------------------------


def test_contingency_agreement_and_distance(trained: hanse.Session) -> None:
    train(trained, "g", num_clusters=3, model_type="kmeans")
    found = frame(trained, "SELECT * FROM match_clusters(m, 1, g, 1, SELECT * FROM points)")
    assert list(found) == [
        "local_prediction", "global_prediction", "rows", "local_rows", "global_rows", "jaccard", "centroid_distance",
        "matched", "local_is_anomaly", "global_is_anomaly", "finding", "adjusted_rand_index",
        "adjusted_mutual_information",
    ]  # fmt: skip
    ours, theirs = labels_of(trained, "m"), labels_of(trained, "g")
    crossed = pd.crosstab(ours, theirs)
    rows = cloud()
    for pair in found.itertuples():
        i, j = pair.local_prediction, pair.global_prediction
        assert pair.rows == crossed.loc[i, j] > 0
        assert (pair.local_rows, pair.global_rows) == ((ours == i).sum(), (theirs == j).sum())
        assert pair.jaccard == pytest.approx(pair.rows / ((ours == i) | (theirs == j)).sum())
        apart = (rows[ours == i].mean(axis=0) - rows[theirs == j].mean(axis=0)) / rows.std(axis=0)
        assert pair.centroid_distance == pytest.approx(np.linalg.norm(apart))
    assert len(found) == (crossed.to_numpy() > 0).sum()
    assert found["adjusted_rand_index"].tolist() == pytest.approx([adjusted_rand_score(ours, theirs)] * len(found))
    mutual = adjusted_mutual_info_score(ours, theirs)
    assert found["adjusted_mutual_information"].tolist() == pytest.approx([mutual] * len(found))
    assert found["matched"].sum() == 3


def test_a_model_matches_itself(trained: hanse.Session) -> None:
    found = frame(trained, "SELECT * FROM match_clusters(m, 1, m, 1, SELECT * FROM points)")
    assert found["local_prediction"].tolist() == found["global_prediction"].tolist() == [0, 1, 2, 3]
    assert found["matched"].all()
    assert found["finding"].tolist() == ["", "", "matched", "matched"]
    assert set(found["jaccard"]) == {1.0}
    assert set(found["adjusted_rand_index"]) == {1.0}
    assert found["centroid_distance"].max() < 1e-9


def test_models_of_other_scaling_share_a_unit(trained: hanse.Session) -> None:
    trained.sql(
        "CREATE MODEL g TRANSFORM (vector_assembler(array(x1, x0)) v, standard_scaler(v, true, true) f) "
        "OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 4) AS SELECT * FROM points"
    )
    found = frame(trained, "SELECT * FROM match_clusters(m, 1, g, 1, SELECT * FROM points)")
    same = found[found["matched"] & found["local_is_anomaly"]]
    assert len(same) == 2
    assert same["centroid_distance"].max() < 1e-6


def test_an_empty_select_gives_no_pairs(trained: hanse.Session) -> None:
    found = trained.sql("SELECT * FROM match_clusters(m, 1, m, 1, SELECT * FROM points WHERE false)")
    assert len(found.columns) == 13
    assert found.fetchall() == []


def test_models_of_other_features_are_refused_by_name(trained: hanse.Session) -> None:
    trained.sql(
        "CREATE MODEL g TRANSFORM (vector_assembler(array(x0, id)) f) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM points"
    )
    with pytest.raises(
        BindError,
        match="models m and g differ in their features: m reads x1; g reads id at line 1, column 36: compare models",
    ):
        trained.sql("SELECT * FROM match_clusters(m, 1, g, 1, SELECT * FROM points)")


def findings(table: list[list[float]], local: set[int], other: set[int]) -> dict[tuple[int, int], str]:
    pairs = matched_pairs(np.array(table, dtype=np.float64), local, other)
    return {(p.local, p.other): p.finding for p in pairs if p.finding}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ([[90, 0, 0], [0, 9, 0], [0, 0, 8]], {(1, 1): "matched", (2, 2): "matched"}),
        ([[90, 0, 0], [0, 5, 4]], {(1, 1): "matched"}),
        ([[90, 0, 0, 0], [1, 3, 3, 2]], {(1, 1): "split", (1, 2): "split", (1, 3): "split"}),
        ([[90, 0], [0, 9], [0, 8]], {(1, 1): "matched", (2, 1): "merged"}),
        ([[90, 0], [9, 0]], {(1, 0): "missed"}),
        ([[90, 0], [6, 3]], {(1, 0): "missed"}),
        ([[90, 8], [9, 0]], {(1, 0): "missed", (0, 1): "global_only"}),
        ([[90, 3], [0, 9]], {(1, 1): "matched"}),
        ([[90, 9], [0, 3]], {(1, 1): "matched", (0, 1): "global_only"}),
        ([[90, 9]], {(0, 1): "global_only"}),
        ([[90, 0], [0, 0]], {}),
    ],
)
def test_what_became_of_local_anomalies(table: list[list[float]], found: dict[Any, str]) -> None:
    assert findings(table, {0}, {0}) == found
