"""CREATE MODEL over rows whose right answer is known: splits, weights, distances, sizes, and numbers far from zero."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from make_mllib_reference import REFERENCE, directions, four_groups, standardised
from referee import Rows, labels_of, mean_inertia, register, scratch_tables, silhouette, train
from sklearn.cluster import BisectingKMeans as Referee
from sklearn.cluster import KMeans as KMeansReferee

import hanse
from hanse.models.catalog import ESTIMATORS

MLLIB = json.loads(REFERENCE.read_text())
TYPES = [kind.model_type for kind in ESTIMATORS if kind.family == "clustering"]

every_type = pytest.mark.parametrize("model_type", TYPES)


def counts(artifact: Any) -> list[int]:
    return [cluster["count"] for cluster in artifact.model["clusters"]]


def centroids(artifact: Any) -> Rows:
    return np.array([cluster["centroid"] for cluster in artifact.model["clusters"]])


def blobs(centres: list[tuple[float, ...]], sizes: list[int], spread: float = 0.1, seed: int = 1) -> Rows:
    random = np.random.default_rng(seed)
    parts = [np.array(c) + spread * random.normal(size=(n, len(c))) for c, n in zip(centres, sizes, strict=True)]
    return np.concatenate(parts)


# -- against Spark MLlib -----------------------------------------------------------------------


def test_standardised_features_split_where_mllib_returns_one_cluster(session: hanse.Session) -> None:
    """MLlib opens a split in proportion to the centre's norm, and that is about 1e-17 here."""
    rows = standardised()
    assert np.abs(rows.mean(axis=0)).max() < 1e-15
    for result in MLLIB["standardised"]:
        assert result["sizes"] == [len(rows)]
        assert result["training_cost"] == pytest.approx(
            mean_inertia(rows, np.zeros(len(rows), dtype=np.int64)), rel=1e-9
        )
    register(session, rows)
    artifact = train(session, "m", 4, num_clusters=3)
    assert len(counts(artifact)) == 3
    assert min(counts(artifact)) > 0
    referee = Referee(n_clusters=3, n_init=10, random_state=0).fit(rows).inertia_
    assert artifact.training["inertia"] <= 1.01 * referee
    assert artifact.training["inertia"] < 0.75 * MLLIB["standardised"][0]["training_cost"]


@pytest.mark.parametrize("result", MLLIB["four_groups"], ids=lambda r: f"k={r['clusters']}")
@pytest.mark.parametrize("starts", ["auto", 1])
def test_split_order_size_divides_what_mllib_divides(session: hanse.Session, result: Any, starts: Any) -> None:
    """The groups lie far apart, so each order of splitting has one right answer, to the last row."""
    rows = four_groups()
    register(session, rows)
    artifact = train(session, "m", 2, num_clusters=result["clusters"], split_order="size", split_starts=starts)
    assert counts(artifact) == result["sizes"]
    assert artifact.training["inertia"] == pytest.approx(result["training_cost"], rel=1e-9)
    (found,) = session.sql("SELECT silhouette FROM model_evaluate(m, 1, SELECT * FROM points)").fetchall()[0]
    assert found == pytest.approx(result["silhouette"], abs=1e-9)


@pytest.mark.parametrize("starts", ["auto", 1])
def test_by_default_the_largest_inertia_is_split_next(session: hanse.Session, starts: Any) -> None:
    """With three clusters MLlib divides the larger but tighter pair, and leaves 30 times the inertia."""
    rows = four_groups()
    register(session, rows)
    artifact = train(session, "m", 2, num_clusters=3, split_starts=starts)
    assert counts(artifact) == [700, 120, 80]
    (by_size,) = [r for r in MLLIB["four_groups"] if r["clusters"] == 3]
    assert by_size["sizes"] == [400, 300, 200]
    assert artifact.training["inertia"] < by_size["training_cost"] / 20


@pytest.mark.parametrize("result", [r for r in MLLIB["directions"] if r["clusters"] == 3], ids=["k=3"])
@every_type
def test_cosine_finds_the_bundles_that_mllib_finds(session: hanse.Session, model_type: str, result: Any) -> None:
    rows = directions()
    register(session, rows)
    artifact = train(session, "m", 3, num_clusters=3, model_type=model_type, distance_measure="cosine", max_iter=50)
    assert counts(artifact) == result["sizes"]
    assert artifact.training["inertia"] == pytest.approx(result["training_cost"], rel=1e-9)
    (found,) = session.sql("SELECT silhouette FROM model_evaluate(m, 1, SELECT * FROM points)").fetchall()[0]
    assert found == pytest.approx(result["silhouette"], abs=1e-9)


def test_cosine_with_two_clusters_costs_no_more_than_mllib(session: hanse.Session) -> None:
    register(session, directions())
    artifact = train(session, "m", 3, num_clusters=2, distance_measure="cosine")
    (result,) = [r for r in MLLIB["directions"] if r["clusters"] == 2]
    assert artifact.training["inertia"] <= result["training_cost"] * (1 + 1e-9)


# -- cosine ------------------------------------------------------------------------------------


@every_type
@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_cosine_inertia_is_that_of_the_labels(session: hanse.Session, model_type: str, clusters: int) -> None:
    rows = np.random.default_rng(8).normal(size=(400, 3)) + np.array([1.0, 0.0, 0.0])
    register(session, rows)
    artifact = train(session, "m", 3, num_clusters=clusters, model_type=model_type, distance_measure="cosine")
    labels = labels_of(session, "m")
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for label, cluster in enumerate(artifact.model["clusters"]):
        mean = unit[labels == label].sum(axis=0)
        assert np.linalg.norm(cluster["centroid"]) == pytest.approx(1.0, abs=1e-12)
        assert cluster["count"] == (labels == label).sum()
        expected = float((1 - unit[labels == label] @ np.array(cluster["centroid"])).sum())
        assert cluster["inertia"] == pytest.approx(expected, rel=1e-9)
        assert mean @ cluster["centroid"] >= 0.99 * np.linalg.norm(mean)
    (found,) = session.sql("SELECT silhouette FROM model_evaluate(m, 1, SELECT * FROM points)").fetchall()[0]
    assert found == pytest.approx(silhouette(unit, labels), abs=1e-9)


@every_type
def test_cosine_does_not_see_lengths(session: hanse.Session, model_type: str) -> None:
    rows = directions()
    register(session, rows)
    train(session, "m", 3, num_clusters=3, model_type=model_type, distance_measure="cosine")
    before = labels_of(session, "m")
    register(session, rows * 2.0 ** np.random.default_rng(1).integers(-8, 8, size=(len(rows), 1)))
    np.testing.assert_array_equal(labels_of(session, "m"), before)
    again = train(session, "m", 3, num_clusters=3, model_type=model_type, distance_measure="cosine")
    assert counts(again) == np.bincount(before).tolist()


# -- options -----------------------------------------------------------------------------------


def test_min_divisible_cluster_size_as_a_count(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (1, 0), (50, 0), (60, 0)], [60, 60, 20, 20]))
    assert counts(train(session, "m", num_clusters=3)) == [120, 20, 20]
    assert counts(train(session, "m", num_clusters=3, min_divisible_cluster_size=40.0)) == [120, 20, 20]
    assert counts(train(session, "m", num_clusters=3, min_divisible_cluster_size=41.0)) == [60, 60, 40]


def test_min_divisible_cluster_size_as_a_share(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (1, 0), (50, 0), (60, 0)], [60, 60, 20, 20]))
    assert counts(train(session, "m", num_clusters=3, min_divisible_cluster_size=0.25)) == [120, 20, 20]
    assert counts(train(session, "m", num_clusters=3, min_divisible_cluster_size=0.26)) == [60, 60, 40]


@pytest.mark.parametrize("starts", ["auto", 1])
def test_fewer_clusters_where_nothing_may_be_divided(session: hanse.Session, starts: Any) -> None:
    register(session, blobs([(0, 0), (1, 0), (50, 0), (60, 0)], [60, 60, 20, 20]))
    result = session.sql(
        "CREATE MODEL m OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 4, MIN_DIVISIBLE_CLUSTER_SIZE = 130, "
        f"SPLIT_STARTS = {starts!r}) AS SELECT x0, x1 FROM points"
    )
    assert counts(session.registry.load("m", 1)[1]) == [120, 40]
    assert result.warnings == ["NUM_CLUSTERS = 4, found 2: no further cluster can be divided"]


@every_type
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_fewer_clusters_than_asked_where_rows_are_alike(session: hanse.Session, model_type: str, distance: str) -> None:
    register(session, [[1.0, 0.1]] * 40 + [[0.2, 3.0]] * 20 + [[5.0, 7.0]] * 10)
    artifact = train(session, "m", num_clusters=6, model_type=model_type, distance_measure=distance)
    assert counts(artifact) == [40, 20, 10]
    assert artifact.training["inertia"] == pytest.approx(0.0, abs=1e-12)
    assert np.bincount(labels_of(session, "m")).tolist() == [40, 20, 10]


@every_type
def test_one_point_many_times_is_one_cluster(session: hanse.Session, model_type: str) -> None:
    register(session, [[0.1, 1e6 + 0.3]] * 1000)
    artifact = train(session, "m", num_clusters=3, model_type=model_type)
    assert counts(artifact) == [1000]
    np.testing.assert_allclose(centroids(artifact), [[0.1, 1e6 + 0.3]], rtol=1e-12)
    assert labels_of(session, "m").tolist() == [0] * 1000


@every_type
@pytest.mark.parametrize("rows", [2, 3, 7, 20])
def test_as_many_clusters_as_rows(session: hanse.Session, model_type: str, rows: int) -> None:
    points = np.random.default_rng(rows).normal(size=(rows, 2))
    register(session, points)
    artifact = train(session, "m", num_clusters=rows, model_type=model_type, seed=5)
    if model_type == "bisecting_kmeans":  # k-means may keep two rows in one cluster: a local minimum
        assert counts(artifact) == [1] * rows
        assert artifact.training["inertia"] == pytest.approx(0.0, abs=1e-20)
        assert sorted(labels_of(session, "m")) == list(range(rows))
    assert sum(counts(artifact)) == rows


@every_type
def test_weight_two_is_the_row_twice(session: hanse.Session, model_type: str) -> None:
    rows = np.random.default_rng(2).normal(size=(300, 2)) ** 3
    weight = np.random.default_rng(3).integers(0, 4, 300).astype(float)
    register(session, rows, weight=weight)
    weighted = train(session, "m", num_clusters=4, model_type=model_type, weight_col="w")
    register(session, np.repeat(rows, weight.astype(int), axis=0), "repeated")
    repeated = train(session, "n", num_clusters=4, model_type=model_type, table="repeated")
    np.testing.assert_allclose(centroids(weighted), centroids(repeated), rtol=1e-9, atol=1e-12)
    assert [c["weight"] for c in weighted.model["clusters"]] == [float(c) for c in counts(repeated)]
    assert weighted.training["inertia"] == pytest.approx(repeated.training["inertia"], rel=1e-9)


@every_type
def test_a_row_of_weight_zero_has_no_say_and_a_label(session: hanse.Session, model_type: str) -> None:
    rows = np.concatenate([blobs([(0, 0), (5, 0)], [30, 20]), [[1e6, 1e6]]])
    register(session, rows, weight=[1.0] * 50 + [0.0])
    artifact = train(session, "m", num_clusters=2, model_type=model_type, weight_col="w")
    assert [c["weight"] for c in artifact.model["clusters"]] == [30.0, 20.0]
    assert sum(counts(artifact)) == 51
    assert labels_of(session, "m")[-1] in (0, 1)


@every_type
def test_weighted_inertia_against_scikit_learn(session: hanse.Session, model_type: str) -> None:
    rows = np.random.default_rng(4).normal(size=(500, 2)) ** 3
    weight = np.random.default_rng(5).uniform(0.01, 10.0, 500)
    register(session, rows, weight=weight)
    artifact = train(session, "m", num_clusters=4, model_type=model_type, weight_col="W", max_iter=100)
    labels = labels_of(session, "m")
    expected = sum(
        (
            weight[labels == i, None] * (rows[labels == i] - np.average(rows[labels == i], 0, weight[labels == i])) ** 2
        ).sum()
        for i in range(4)
    )
    assert artifact.training["inertia"] == pytest.approx(expected, rel=1e-3)  # k-means: centroids are a step behind
    kind = Referee if model_type == "bisecting_kmeans" else KMeansReferee
    referee = kind(n_clusters=4, n_init=10, random_state=0).fit(rows, sample_weight=weight).inertia_
    assert artifact.training["inertia"] <= 1.05 * referee


@every_type
def test_the_weight_column_is_no_feature(session: hanse.Session, model_type: str) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]), weight=range(50))
    session.sql(
        f"CREATE MODEL m OPTIONS (TYPE = '{model_type}', NUM_CLUSTERS = 2, WEIGHT_COL = 'W') AS SELECT x0, x1, w FROM points"
    )
    assert session.registry.load("m", 1)[1].features == ("x0", "x1")


def test_max_iter_bounds_lloyds_steps(session: hanse.Session) -> None:
    register(session, np.random.default_rng(6).normal(size=(500, 2)) ** 3)
    rounds = [train(session, "m", num_clusters=4, max_iter=n, split_starts=1).training["rounds"] for n in (1, 20)]
    assert rounds[0] < rounds[1]


@every_type
def test_prediction_col_names_the_prediction(session: hanse.Session, model_type: str) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]))
    train(session, "m", num_clusters=2, model_type=model_type, prediction_col="My group")
    found = session.sql("SELECT * FROM model_predict(m, 1, SELECT x0, x1 FROM points)")
    assert found.columns == ["x0", "x1", "My group"]
    assert session.sql("SELECT * FROM model_centroids(m, 1)").columns[0] == "My group"


def test_kmeans_seed_decides_the_start(session: hanse.Session) -> None:
    register(session, np.random.default_rng(6).normal(size=(200, 2)))
    options: dict[str, Any] = {"model_type": "kmeans", "num_clusters": 12, "kmeans_init_method": "random"}
    first, again, other = (train(session, "m", seed=seed, **options) for seed in (1, 1, 2))
    assert first.model == again.model
    assert first.model != other.model


@every_type
@pytest.mark.parametrize("features", [1, 2, 5, 12])
def test_any_number_of_features(session: hanse.Session, model_type: str, features: int) -> None:
    rows = blobs([(0.0,) * features, (9.0,) * features, (-20.0,) * features], [50, 30, 20])
    register(session, rows)
    artifact = train(session, "m", features, num_clusters=3, model_type=model_type)
    assert counts(artifact) == [50, 30, 20]
    assert artifact.training["inertia"] == pytest.approx(
        mean_inertia(rows, np.repeat([0, 1, 2], [50, 30, 20])), rel=1e-9
    )


@every_type
def test_the_order_of_rows_does_not_matter(session: hanse.Session, model_type: str) -> None:
    rows = np.random.default_rng(7).normal(size=(5000, 3)) ** 3
    found = []
    for order in (np.arange(5000), np.random.default_rng(1).permutation(5000)):
        register(session, rows[order])
        found.append(train(session, "m", 3, num_clusters=5, model_type=model_type).training["inertia"])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


# -- numbers far from zero ---------------------------------------------------------------------


@every_type
@pytest.mark.parametrize(("mean", "spread"), [(1e6, 1.0), (1.7e9, 1e5), (-1e9, 1.0)], ids=["1e6", "epoch", "-1e9"])
def test_large_means_lose_nothing(session: hanse.Session, model_type: str, mean: float, spread: float) -> None:
    """Sums are taken about a centre: raw sums of squares would cost percents here."""
    far = mean + spread * np.random.default_rng(8).normal(size=(3000, 3)) ** 3
    near = far - mean  # exact, since the two are close (Sterbenz) or the rounding of ``far`` is kept
    assert (near + mean == far).all()
    found, labels = [], []
    for rows in (near, far):
        register(session, rows)
        artifact = train(session, "m", 3, num_clusters=5, model_type=model_type)
        labels.append(labels_of(session, "m"))
        found.append(artifact.training["inertia"])
        (measured,) = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)").arrow().to_pylist()
        assert measured["inertia"] == pytest.approx(mean_inertia(near, labels[-1]), rel=1e-9)
        assert measured["silhouette"] == pytest.approx(silhouette(near, labels[-1]), abs=1e-9)
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    np.testing.assert_array_equal(labels[1], labels[0])


@every_type
def test_first_rows_far_from_all_others_cost_no_digits(session: hanse.Session, model_type: str) -> None:
    """The first round's sums are taken about the middle of the first rows, which here are 20 deviations off."""
    many = 200_000 if session.engine.dialect == "duckdb" else 20_000
    others = 1e6 + np.random.default_rng(5).normal(size=(many, 2))
    rows = np.concatenate([np.zeros((501, 2)), others])
    register(session, rows)
    artifact = train(session, "m", 2, num_clusters=2, model_type=model_type)
    assert [c["count"] for c in artifact.model["clusters"]] == [many, 501]
    assert artifact.training["inertia"] == pytest.approx(((others - others.mean(axis=0)) ** 2).sum(), rel=1e-11)


@every_type
@pytest.mark.parametrize("spread", [1e-3, 1e-6])
def test_tight_clusters_far_apart_keep_their_spread(session: hanse.Session, model_type: str, spread: float) -> None:
    rows = blobs([(0, 0), (1000, 0), (0, 1000)], [50, 30, 20], spread)
    register(session, rows)
    artifact = train(session, "m", num_clusters=3, model_type=model_type)
    labels = labels_of(session, "m")
    assert artifact.training["inertia"] == pytest.approx(mean_inertia(rows, labels), rel=1e-9)
    (found,) = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)").arrow().to_pylist()
    assert found["inertia"] == pytest.approx(mean_inertia(rows, labels), rel=1e-9)


@every_type
@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e12, 1e100])
def test_any_scale_gives_the_same_clusters(session: hanse.Session, model_type: str, scale: float) -> None:
    rows = blobs([(0, 0), (9, 0), (-20, 3)], [50, 30, 20]) * scale
    register(session, rows)
    tol: dict[str, Any] = {"tol": 0.0} if model_type == "kmeans" else {}
    artifact = train(session, "m", num_clusters=3, model_type=model_type, **tol)
    assert counts(artifact) == [50, 30, 20]


@every_type
def test_features_of_very_different_scales(session: hanse.Session, model_type: str) -> None:
    rows = blobs([(0, 0), (9, 0), (-20, 3)], [50, 30, 20]) * [1.0, 1e-12] + [1.7e9, 0.0]
    register(session, rows)
    assert counts(train(session, "m", num_clusters=3, model_type=model_type)) == [50, 30, 20]


# -- statements --------------------------------------------------------------------------------


def test_create_returns_id_name_and_version(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]))
    made = session.sql("CREATE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT x0, x1 FROM points")
    assert made.kind == "create_model"
    assert made.columns == ["model_id", "model", "version"]
    ((model_id, name, version),) = made.fetchall()
    assert (name, version) == ("m", 1)
    updated = session.sql("UPDATE MODEL m OPTIONS (MODEL_TYPE = 'bisecting_kmeans') AS SELECT x0, x1 FROM points")
    assert updated.fetchall() == [(model_id, "m", 2)]
    assert session.registry.load("m", 1)[1].model_type == "kmeans"
    assert session.registry.load("m", 2)[1].model_type == "bisecting_kmeans"
    replaced = session.sql("CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT x1 FROM points")
    assert replaced.fetchall() == [(model_id, "m", 2)]
    assert session.registry.load("m", None)[1].features == ("x1",)
    kept = session.sql("CREATE MODEL IF NOT EXISTS m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT x0 FROM points")
    assert kept.fetchall() == [(model_id, "m", 2)]
    assert kept.warnings == ["model m exists already: left as it is"]


def test_the_artifact_tells_where_the_model_came_from(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]))
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x1, x0)) v) OPTIONS (TYPE = 'kmeans', MAX_ITERATIONS = 7, "
        "DISTANCE_TYPE = 'COSINE', SEED = 4) AS SELECT id, x0, x1 -- why\nFROM points"
    )
    artifact = session.registry.load("m", 1)[1]
    assert artifact.source_sql == "SELECT id, x0, x1 -- why\nFROM points"
    assert artifact.features == ("x1", "x0")
    assert artifact.fields == ("id", "x0", "x1")
    assert artifact.row_count == 50
    assert artifact.options["max_iter"] == 7
    assert artifact.options["distance_measure"] == "cosine"
    assert artifact.training["rounds"] > 3
    assert artifact.transforms[0]["function"] == "vector_assembler"


def test_training_reads_the_relation_as_it_is_named(session: hanse.Session) -> None:
    """A feature may be called as Hanse's own helpers are: f0, z0, cell, weight, label, norm, rows_."""
    names = ["f1", "z0", "cell", "weight", "label", "norm", "rows_"]
    rows = blobs([(0.0,) * 7, (9.0,) * 7], [30, 20])
    register(session, rows, names=names)
    for model_type in TYPES:
        listed = ", ".join(names)
        session.sql(
            f"CREATE OR REPLACE MODEL m OPTIONS (TYPE = '{model_type}', NUM_CLUSTERS = 2) AS SELECT {listed} FROM points"
        )
        assert counts(session.registry.load("m", None)[1]) == [30, 20]
        found = session.sql(
            f"SELECT count(*) FROM model_predict(m, 1, SELECT {listed} FROM points) GROUP BY prediction"
        )
        assert sorted(found.fetchall()) == [(20,), (30,)]
        assert session.sql(f"SELECT rows FROM model_evaluate(m, 1, SELECT {listed} FROM points)").fetchall() == [(50,)]


def test_progress_is_told_on_every_round(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]))
    told: list[Any] = []
    session.sql(
        "CREATE MODEL m OPTIONS (TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS SELECT x0, x1 FROM points",
        progress=lambda step, numbers: told.append((step, dict(numbers))),
    )
    assert len(told) == session.registry.load("m", 1)[1].training["rounds"]
    assert {"round", "inertia", "clusters"} <= set(told[-1][1])


def test_interrupted_training_leaves_nothing(session: hanse.Session) -> None:
    register(session, blobs([(0, 0), (5, 0)], [30, 20]))

    def stop(step: str, numbers: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(hanse.errors.CancelledError, match="this statement changed nothing"):
        session.sql("CREATE MODEL m OPTIONS (TYPE = 'kmeans') AS SELECT x0, x1 FROM points", progress=stop)
    assert session.registry.list() == []
    assert scratch_tables(session) == []
