"""detect_anomalies and explain_anomalies: scores against NumPy, every option, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from referee import register, train

import hanse
from hanse.errors import BindError, DataError, HanseError
from hanse.models.catalog import ESTIMATORS

CLUSTERINGS = [kind.model_type for kind in ESTIMATORS if "num_clusters" in kind.__dataclass_fields__]
every_clustering = pytest.mark.parametrize("model_type", CLUSTERINGS)
OUTPUTS = ["prediction", "distance", "normalized_distance", "anomaly_score", "is_anomaly"]


def cloud(rows: int = 600, seed: int = 1) -> np.ndarray:
    """Two ordinary groups of unlike spread, and one small far one of ten rows."""
    random = np.random.default_rng(seed)
    centres = np.repeat([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [40.0, 90.0, -5.0]], [rows - 260, 250, 10], axis=0)
    return centres + random.normal(size=(rows, 3)) * [1.0, 3.0, 0.2]


@pytest.fixture
def trained(session: hanse.Session) -> hanse.Session:
    register(session, cloud())
    train(session, "m", 3, num_clusters=3)
    return session


def detected(session: hanse.Session, options: str = "", model: str = "m", query: str = "SELECT * FROM points") -> Any:
    return session.sql(f"SELECT * FROM detect_anomalies({model}, 1, {query}{options}) ORDER BY id").df()


def reference(artifact: Any, rows: np.ndarray, share: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, normalised distance and score from their definitions, with sums over the rows themselves."""
    clusters = artifact.model["clusters"]
    centroids = np.array([c["centroid"] for c in clusters])
    weight = np.array([c["weight"] for c in clusters])
    ordinary = np.flatnonzero(weight / weight.sum() >= share)
    radius = np.sqrt(np.array([c["inertia"] for c in clusters]) / weight)
    spread = np.array(artifact.scoring["clusters"]["spread"])
    unit = np.sqrt(np.average(spread[ordinary] ** 2, axis=0, weights=weight[ordinary]))
    apart = np.sqrt(((rows[:, None] - centroids[ordinary]) ** 2).sum(axis=2))
    near = apart.argmin(axis=1)
    scores = np.sqrt((((rows[:, None] - centroids[ordinary]) / unit) ** 2).mean(axis=2)).min(axis=1)
    return apart.min(axis=1), apart.min(axis=1) / radius[ordinary][near], scores


def test_quantiles_of_many_rows_are_taken_of_every_nth(session: hanse.Session) -> None:
    """The spread is that of all rows; a share of the scores is met to within what the taken rows tell. Spark takes all."""
    many, taken = (250_000, 125_000) if session.engine.dialect == "duckdb" else (20_000, 20_000)
    rows = cloud(many)[np.random.default_rng(3).permutation(many)]
    register(session, rows)
    artifact = train(session, "m", 3, num_clusters=3)
    assert artifact.scoring["quantiles"]["rows"] == taken
    labels = session.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM points) ORDER BY id").df()
    own = [rows[labels["prediction"] == k].std(axis=0) for k in range(3)]
    np.testing.assert_allclose(artifact.scoring["clusters"]["spread"], own, rtol=1e-9)
    found = detected(session, ", contamination => 0.01")["is_anomaly"].mean()
    assert found == pytest.approx(0.01, abs=4 * np.sqrt(0.01 / taken))


@every_clustering
def test_the_scores_are_their_definition(session: hanse.Session, model_type: str) -> None:
    rows = cloud()
    register(session, rows)
    artifact = train(session, "m", 3, model_type=model_type, num_clusters=3)
    found = detected(session)
    assert list(found) == ["id", "x0", "x1", "x2", *OUTPUTS]
    predicted = session.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM points) ORDER BY id").df()
    assert found["prediction"].tolist() == predicted["prediction"].tolist()
    for name, expected in zip(OUTPUTS[1:], reference(artifact, rows), strict=False):
        np.testing.assert_allclose(found[name], expected, rtol=1e-9)


@every_clustering
def test_the_spread_is_that_of_each_clusters_rows(session: hanse.Session, model_type: str) -> None:
    rows = cloud() + np.array([1e6, 0, 0])
    register(session, rows)
    artifact = train(session, "m", 3, model_type=model_type, num_clusters=3)
    labels = detected(session)["prediction"].to_numpy()
    for k, spread in enumerate(artifact.scoring["clusters"]["spread"]):
        np.testing.assert_allclose(spread, rows[labels == k].std(axis=0), rtol=1e-5)


def test_tight_clusters_far_apart_keep_the_digits_of_their_spread(session: hanse.Session) -> None:
    random = np.random.default_rng(2)
    rows = np.repeat([[0.0, 0.0], [1e9, -1e9]], 50, axis=0) + random.normal(size=(100, 2)) * 1e-2
    register(session, rows)
    artifact = train(session, "m", 2, num_clusters=2)
    for k, spread in enumerate(artifact.scoring["clusters"]["spread"]):
        labels = detected(session)["prediction"].to_numpy()
        np.testing.assert_allclose(spread, rows[labels == k].std(axis=0), rtol=1e-3)


@every_clustering
def test_a_small_far_cluster_is_anomalous_as_a_whole(session: hanse.Session, model_type: str) -> None:
    register(session, cloud())
    train(session, "m", 3, model_type=model_type, num_clusters=3)
    found = detected(session, ", contamination => 0.02")
    assert found["is_anomaly"].sum() == 12
    assert found["is_anomaly"][590:].all()
    assert found["anomaly_score"][590:].min() > found["anomaly_score"][:590].max()


@pytest.mark.parametrize(("contamination", "flagged"), [(0.5, 300), (0.1, 60), (0.02, 12), (0.005, 3), (0.001, 0)])
def test_contamination_is_a_share_of_the_training_rows(
    trained: hanse.Session, contamination: float, flagged: int
) -> None:
    assert detected(trained, f", contamination => {contamination}")["is_anomaly"].sum() == pytest.approx(
        flagged, abs=1, rel=0.01
    )
    half = detected(trained, f", contamination => {contamination}", query="SELECT * FROM points WHERE id < 590")
    assert half["is_anomaly"].sum() == pytest.approx(max(flagged - 10, 0), abs=1, rel=0.02)


def test_two_percent_without_an_option(trained: hanse.Session) -> None:
    np.testing.assert_array_equal(
        detected(trained)["is_anomaly"], detected(trained, ", contamination => 0.02")["is_anomaly"]
    )


def test_threshold_is_a_score(trained: hanse.Session) -> None:
    found = detected(trained, ", threshold => 2.5")
    np.testing.assert_array_equal(found["is_anomaly"], found["anomaly_score"] > 2.5)
    assert not detected(trained, ", threshold => 1e9")["is_anomaly"].any()
    assert detected(trained, ", threshold => -1")["is_anomaly"].all()


@pytest.mark.parametrize("k", [1, 7, 600])
def test_topk_flags_so_many_rows(trained: hanse.Session, k: int) -> None:
    found = detected(trained, f", topk => {k}")
    assert found["is_anomaly"].sum() == k
    assert (
        found["anomaly_score"][found["is_anomaly"]].min() >= found["anomaly_score"][~found["is_anomaly"]].max()
        or k == 600
    )


def test_topk_breaks_ties_the_same_way_whatever_the_rows_order(session: hanse.Session) -> None:
    register(session, [[0.0, 0.0]] * 20 + [[1.0, 1.0]] * 10 + [[9.0, 9.0]] * 6)
    train(session, "m", num_clusters=2)
    picked = []
    for order in ("id", "-id", "md5(string(id))"):
        query = f"(SELECT * FROM points ORDER BY {order})"
        found = detected(session, ", topk => 4", query=query)
        picked.append(found["id"][found["is_anomaly"]].tolist())
    assert picked[0] == picked[1] == picked[2]
    assert len(picked[0]) == 4


def test_options_may_be_parameters(trained: hanse.Session) -> None:
    for name, value in (("contamination", 0.05), ("threshold", 2.0), ("topk", 30)):
        query = f"SELECT sum(int(is_anomaly)) FROM detect_anomalies(m, 1, SELECT * FROM points, {name} => $v)"
        (found,) = trained.sql(query, {"v": value}).fetchall()
        assert found[0] == detected(trained, f", {name} => {value}")["is_anomaly"].sum()


def test_weights(session: hanse.Session) -> None:
    rows = cloud(400)
    register(session, rows, weight=np.where(np.arange(400) < 390, 1.0, 500.0))
    train(session, "m", 3, num_clusters=3, weight_col="w")
    assert (
        detected(session, ", ordinary_share => 0.05")["anomaly_score"][390:].max() < 5
    )  # its weight makes it ordinary
    register(session, np.repeat(rows, 2, axis=0), "twice")
    register(session, rows, weight=[2.0] * 400)
    once = train(session, "a", 3, num_clusters=3, weight_col="w").scoring
    twice = train(session, "b", 3, "twice", num_clusters=3).scoring
    np.testing.assert_allclose(once["clusters"]["spread"], twice["clusters"]["spread"], rtol=1e-9)
    np.testing.assert_allclose(once["quantiles"]["weight"], twice["quantiles"]["weight"], rtol=1e-9)


@every_clustering
def test_cosine_distance(session: hanse.Session, model_type: str) -> None:
    random = np.random.default_rng(4)
    angle = np.concatenate([random.normal(0, 0.05, 100), random.normal(1.5, 0.05, 100), random.normal(3, 0.02, 4)])
    rows = np.column_stack([np.cos(angle), np.sin(angle)]) * random.uniform(1, 50, (204, 1))
    register(session, rows)
    artifact = train(session, "m", model_type=model_type, num_clusters=3, distance_measure="cosine")
    found = detected(session, ", topk => 4")
    assert found["is_anomaly"][200:].all()
    centroids = np.array([c["centroid"] for c in artifact.model["clusters"]])[:2]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cost = (1 - unit @ centroids.T).min(axis=1)
    np.testing.assert_allclose(found["distance"], cost, atol=1e-12)
    told = session.sql("SELECT explanation FROM explain_anomalies(m, 1, SELECT * FROM points, topk => 4)").fetchall()
    assert all("sd" in text for (text,) in told)


def test_radius_zero_and_constant_features_divide_by_nothing(session: hanse.Session) -> None:
    register(session, [[1.0, 7.0, 0.0]] * 50 + [[2.0, 7.0, 0.0]] * 49 + [[9.0, 7.0, 0.0]])
    train(session, "m", 3, num_clusters=3)
    found = detected(session, ", topk => 1")
    assert np.isfinite(found[OUTPUTS[1:4]].to_numpy()).all()
    assert found["is_anomaly"].tolist() == [False] * 99 + [True]
    assert found["anomaly_score"][:99].max() < 1e-12
    query = "SELECT id, x0, 8.0 AS x1, x2 FROM points"
    assert (detected(session, ", threshold => 0.1", query=query)["is_anomaly"]).all()  # a unit off, where none was


def test_all_rows_in_one_point(session: hanse.Session) -> None:
    register(session, [[3.0, 3.0]] * 10)
    train(session, "m", num_clusters=2)  # finds one cluster
    found = detected(session)
    assert not found["is_anomaly"].any()
    assert found["anomaly_score"].max() == 0.0
    assert detected(session, ", threshold => 0.5", query="SELECT 1 AS id, 4.0 AS x0, 3.0 AS x1")["is_anomaly"].all()


def test_no_ordinary_cluster_is_an_error_that_says_how_many_would_be(session: hanse.Session) -> None:
    register(session, [[float(i * 100), float(i % 3)] for i in range(30)])
    train(session, "m", num_clusters=30)
    with pytest.raises(
        BindError, match=r"no ordinary cluster.*0\.0333.*ordinary_share = 0\.05.*ordinary_share => 0\.033.*line 1"
    ):
        detected(session)
    found = detected(session, ", threshold => 1, ordinary_share => 0.03")
    assert not found["is_anomaly"].any()
    with pytest.raises(BindError, match=r"training scores were taken against|no ordinary"):
        detected(session, ", ordinary_share => 1")


def test_other_ordinary_clusters_need_a_threshold_of_their_own(trained: hanse.Session) -> None:
    with pytest.raises(BindError, match=r"taken against clusters \[0, 1\].*ordinary_share = 0\.5 \[0\] are ordinary"):
        detected(trained, ", ordinary_share => 0.5, contamination => 0.02")
    found = detected(trained, ", ordinary_share => 0.5, threshold => 4")
    assert found["is_anomaly"][590:].all()
    assert found["is_anomaly"][340:590].sum() > 240  # the second group is far from the first


@pytest.mark.parametrize(
    ("options", "what", "cure"),
    [
        (", contamination => 0", "contamination = 0", "need a number above 0, at most 0.5"),
        (", contamination => 0.51", "contamination = 0.51", "need a number above 0, at most 0.5"),
        (", contamination => -0.1", "contamination = -0.1", "need a number above 0, at most 0.5"),
        (", contamination => 'a'", "contamination = 'a'", "need a number above 0, at most 0.5"),
        (", contamination => $nan", "contamination = ", "need a number above 0, at most 0.5"),
        (", threshold => 'x'", "threshold = 'x'", "need a number"),
        (", threshold => $inf", "threshold = ", "need a number"),
        (", topk => 0", "topk = 0", "need 1 or more"),
        (", topk => 2.5", "topk = 2.5", "need 1 or more"),
        (", topk => -3", "topk = -3", "need 1 or more"),
        (", topk => 601", "topk = 601", "the SELECT gives 600 rows: need at most as many"),
        (", ordinary_share => 0", "ordinary_share = 0", "need a number above 0, at most 1"),
        (
            ", contamination => 0.1, threshold => 3",
            "contamination and threshold",
            "keep one of contamination, threshold",
        ),
        (", threshold => 3, topk => 3", "threshold and topk", "keep one of contamination, threshold and topk"),
        (", top => 3", "has no option top", "topk"),
        (", topk => 3, topk => 4", "topk given twice", "keep one"),
    ],
)
@pytest.mark.parametrize("function", ["detect_anomalies", "explain_anomalies"])
def test_options_that_do_not_fit(trained: hanse.Session, function: str, options: str, what: str, cure: str) -> None:
    query = f"SELECT *\nFROM {function}(m, 1, SELECT * FROM points{options})"
    with pytest.raises(HanseError) as caught:
        trained.sql(query, {"nan": float("nan"), "inf": float("inf")}).fetchall()
    message = str(caught.value)
    assert what in message
    assert cure in message
    assert re.search(r"line 2, column \d+", message)


def test_topk_over_an_empty_select_gives_no_rows(trained: hanse.Session) -> None:
    for function in ("detect_anomalies", "explain_anomalies"):
        for options in ("", ", threshold => 1", ", topk => 5", ", contamination => 0.1"):
            found = trained.sql(f"SELECT * FROM {function}(m, 1, SELECT * FROM points WHERE false{options})")
            assert found.columns[:4] == ["id", "x0", "x1", "x2"]
            assert found.fetchall() == []


@pytest.mark.parametrize(
    "wanted", ["*", "prediction", "distance", "normalized_distance", "anomaly_score", "is_anomaly"]
)
@pytest.mark.parametrize("bad", ["NULL", "DOUBLE('NaN')", "DOUBLE('Infinity')"])
def test_a_feature_that_is_no_number_is_counted_whatever_is_selected(
    trained: hanse.Session, bad: str, wanted: str
) -> None:
    query = f"SELECT id, x0, CASE WHEN id < 3 THEN {bad} ELSE x1 END AS x1, x2 FROM points"
    with pytest.raises(DataError, match=r"NULL or non-finite features: x1 \(3 of 600 rows\)"):
        trained.sql(f"SELECT {wanted} FROM detect_anomalies(m, 1, {query})").fetchall()
    with pytest.raises(DataError, match=r"x1 \(3 of 600 rows\)"):
        trained.sql(f"SELECT * FROM explain_anomalies(m, 1, {query})").fetchall()


@pytest.mark.parametrize("name", ["prediction", "Distance", "normalized_distance", "anomaly_score", "is_anomaly"])
def test_a_column_called_like_an_output_is_refused(trained: hanse.Session, name: str) -> None:
    with pytest.raises(BindError, match=rf"a column {name}.*line 1, column 15: give it another name with AS"):
        trained.sql(f"SELECT * FROM detect_anomalies(m, 1, SELECT *, 1 AS `{name}` FROM points)")
    if name != "Distance" and name != "normalized_distance" and name != "is_anomaly":
        with pytest.raises(BindError, match="give it another name"):
            trained.sql(f"SELECT * FROM explain_anomalies(m, 1, SELECT *, 1 AS `{name}` FROM points)")


def test_it_stands_where_a_table_stands(trained: hanse.Session) -> None:
    trained.sql(
        "CREATE TABLE flagged AS WITH p AS (SELECT * FROM points WHERE id >= 500) "
        "SELECT d.id FROM detect_anomalies(m, 1, SELECT * FROM p, topk => 10) d JOIN points q ON q.id = d.id "
        "WHERE d.is_anomaly AND d.id NOT IN (SELECT id FROM explain_anomalies(m, 1, SELECT * FROM p, topk => 2))"
    )
    assert trained.sql("SELECT count(*) FROM flagged").fetchall() == [(8,)]


def test_unicode_and_quoted_names(session: hanse.Session) -> None:
    register(session, cloud(), names=['Größe "A"', "it's", "select"])
    session.sql(
        'CREATE MODEL `ein modell` TRANSFORM (vector_assembler(array(`Größe "A"`, `it\'s`, `select`)) f) '
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) AS SELECT * FROM points"
    )
    found = session.sql("SELECT * FROM explain_anomalies(`ein modell`, 1, SELECT * FROM points, topk => 3)").df()
    assert set(found["feature_1"]) | set(found["feature_2"]) == {"it's", 'Größe "A"'}
    assert found["explanation"].str.contains("it's ").all()
    assert list(session.sql("SELECT * FROM describe_clusters(`ein modell`, 1)").df())[5:11] == [
        "Größe \"A\"", "it's", "select", "Größe \"A\"_spread", "it's_spread", "select_spread",
    ]  # fmt: skip


# -- artifacts ---------------------------------------------------------------------------------


def stripped_of_scoring(session: hanse.Session, tmp_path: Path) -> None:
    """Model ``old`` as a Hanse without scores would have stored it."""
    file = tmp_path / "m.json"
    session.sql(f"EXPORT MODEL m TO '{file}'")
    data = json.loads(file.read_text())
    del data["scoring"]
    data["schema_version"] = 1
    file.write_text(json.dumps(data))
    session.sql(f"IMPORT MODEL old FROM '{file}'")


def test_a_model_from_before_there_were_scores(trained: hanse.Session, tmp_path: Path) -> None:
    stripped_of_scoring(trained, tmp_path)
    with pytest.raises(
        BindError, match=r"contamination = 0\.02 of model old.*threshold => or topk =>, or train it anew"
    ):
        detected(trained, model="old")
    found = detected(trained, ", topk => 10", model="old")
    assert found["is_anomaly"][590:].all()
    np.testing.assert_allclose(found["normalized_distance"], detected(trained)["normalized_distance"])
    told = trained.sql("SELECT * FROM explain_anomalies(old, 1, SELECT * FROM points, threshold => 9)").df()
    assert len(told) == 10
    described = trained.sql("SELECT * FROM describe_clusters(old, 1)").df()
    assert described["x0_spread"].isna().all()


def test_scores_survive_export_and_import(trained: hanse.Session, tmp_path: Path) -> None:
    trained.sql(f"EXPORT MODEL m TO '{tmp_path / 'm.json'}'")
    trained.sql(f"IMPORT MODEL again FROM '{tmp_path / 'm.json'}'")
    assert detected(trained, model="again").equals(detected(trained))


def test_a_model_that_travelled_without_what_scores_need(trained: hanse.Session) -> None:
    _, artifact = trained.registry.load("m", 1)
    clusters = [{**c, "count": 0, "weight": 0.0, "inertia": 0.0} for c in artifact.model["clusters"]]
    bare = msgspec.structs.replace(artifact, scoring={}, model={**artifact.model, "clusters": clusters})
    trained.registry.create("bare", bare)
    with pytest.raises(BindError, match=r"model bare came without what scores need.*installed again.*line 1"):
        detected(trained, ", topk => 3", model="bare")
    told = trained.sql("SELECT cluster_size, share, inertia FROM model_centroids(bare, 1)").fetchall()
    assert set(told) == {(None, None, None)}
    trained.registry.create("sent", msgspec.structs.replace(bare, scoring=artifact.scoring))
    told = trained.sql("SELECT cluster_size, share, inertia FROM model_centroids(sent, 1)").fetchall()
    assert [(size, inertia) for size, _, inertia in told] == [(None, None)] * len(clusters)
    assert [share for _, share, _ in told] == artifact.scoring["clusters"]["share"]


@pytest.mark.parametrize(
    "broken", [{"clusters": {"share": [1.0], "radius": [1.0]}}, {"clusters": {}}, {"quantiles": {}}, {"quantiles": 3}]
)
def test_broken_scoring_is_refused_by_name(trained: hanse.Session, broken: Any) -> None:
    _, artifact = trained.registry.load("m", 1)
    trained.registry.create("broken", msgspec.structs.replace(artifact, scoring=broken))
    with pytest.raises(HanseError, match=r"cluster profile|score quantiles|scoring"):
        detected(trained, model="broken")


def test_a_quantile_of_few_rows_warns(session: hanse.Session) -> None:
    register(session, [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [9.0, 9.0]])
    train(session, "m", num_clusters=2)
    found = session.sql("SELECT * FROM detect_anomalies(m, 1, SELECT * FROM points)")
    assert found.warnings == [
        "contamination = 0.02 of model m is a quantile of 4 training rows: threshold => or topk => say more"
    ]


# -- explanations ------------------------------------------------------------------------------


def test_an_explanation_names_the_features_that_carry_the_score(trained: hanse.Session) -> None:
    found = trained.sql("SELECT * FROM explain_anomalies(m, 1, SELECT * FROM points, topk => 10) ORDER BY id").df()
    assert list(found) == [
        "id", "x0", "x1", "x2", "prediction", "anomaly_score", "feature_1", "deviation_1", "feature_2", "deviation_2",
        "feature_3", "deviation_3", "explanation",
    ]  # fmt: skip
    assert found["id"].tolist() == list(range(590, 600))
    for row in found.itertuples():
        deviations = {getattr(row, f"feature_{i}"): getattr(row, f"deviation_{i}") for i in (1, 2, 3)}
        assert set(deviations) == {"x0", "x1", "x2"}
        sizes = [abs(v) for v in deviations.values()]
        assert sizes == sorted(sizes, reverse=True)
        assert np.sqrt(np.mean(np.square(sizes))) == pytest.approx(row.anomaly_score)
        assert deviations["x1"] > 20
        assert deviations["x2"] < -20
        said = re.fullmatch(r"(?:x\d [\d.]+ sd (?:above|below)(?:, )?){1,3} ordinary customers", row.explanation)
        assert said, row.explanation
        for name, value in deviations.items():
            assert f"{name} {abs(value):.1f} sd {'above' if value > 0 else 'below'}" in row.explanation


def test_fewer_features_than_places_and_small_deviations_are_left_out(session: hanse.Session) -> None:
    register(session, [[float(i % 10), float(i % 7)] for i in range(99)] + [[5.0, 5000.0]])
    train(session, "m", num_clusters=2)
    (row,) = session.sql("SELECT * FROM explain_anomalies(m, 1, SELECT * FROM points, topk => 1)").df().itertuples()
    assert row.feature_1 == "x1"
    assert row.feature_3 is None or row.feature_3 != row.feature_3
    assert re.fullmatch(r"x1 2\d\d\d sd above ordinary customers", row.explanation)


def test_scaling_and_names_are_those_of_the_select(session: hanse.Session) -> None:
    register(session, cloud(), names=["avg_order_value", "total_orders_z", "standardized_recency"])
    scaled = "standard_scaler(v, true, true) f"
    for name, steps in (("raw", "vector_assembler(array(avg_order_value, total_orders_z, standardized_recency)) v"),):
        for model, chain in ((name, steps), ("scaled", f"{steps}, {scaled}")):
            session.sql(
                f"CREATE MODEL {model} TRANSFORM ({chain}) OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3) "
                "AS SELECT * FROM points"
            )
    told = {}
    for model in ("raw", "scaled"):
        query = f"SELECT explanation FROM explain_anomalies({model}, 1, SELECT * FROM points WHERE id = 595, topk => 1)"
        ((told[model],),) = session.sql(query).fetchall()
    assert told["raw"] == told["scaled"]
    assert "total orders" in told["raw"]
    assert "recency" in told["raw"]
    assert "standardized" not in told["raw"]


def test_categorical_features(session: hanse.Session) -> None:
    session.sql(
        "CREATE TABLE visits AS SELECT id, CASE WHEN id = 7 THEN 'rare' WHEN id % 2 = 0 THEN 'web' ELSE 'shop' END AS channel, "
        "id % 5 AS items FROM (SELECT explode(sequence(1, 200)) AS id)"
    )
    session.sql(
        "CREATE MODEL m TRANSFORM (string_indexer(channel) c, vector_assembler(array(c, items)) f) "
        "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS SELECT channel, items FROM visits"
    )
    found = session.sql("SELECT * FROM explain_anomalies(m, 1, SELECT * FROM visits, topk => 1)").df()
    assert found["id"].tolist() == [7]
    assert found["feature_1"].tolist() == ["channel"]


def test_forty_features(session: hanse.Session) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 40))
    rows[0, 17] += 60
    register(session, rows)
    train(session, "m", 40, num_clusters=3, model_type="kmeans")
    (row,) = session.sql("SELECT * FROM explain_anomalies(m, 1, SELECT * FROM points, topk => 1)").df().itertuples()
    assert (row.id, row.feature_1) == (0, "x17")


# -- models that score by themselves -----------------------------------------------------------


@pytest.mark.parametrize("model_type", ["mahalanobis", "ecod"])
def test_models_with_scores_of_their_own(session: hanse.Session, model_type: str) -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(400, 2)) * [1.0, 50.0]
    rows[:4] = [[9.0, 0.0], [-9.0, 10.0], [0.0, 500.0], [8.0, -450.0]]
    register(session, rows)
    train(session, "m", model_type=model_type)
    found = detected(session, ", contamination => 0.01")
    assert list(found) == ["id", "x0", "x1", *OUTPUTS]
    assert len(set(found["id"][found["is_anomaly"]]) & {0, 1, 2, 3}) >= 3
    assert found["is_anomaly"].sum() == detected(session, ", topk => 4")["is_anomaly"].sum() == 4
    told = session.sql("SELECT * FROM explain_anomalies(m, 1, SELECT * FROM points WHERE id < 4, topk => 4)").df()
    told = told.sort_values("id", ignore_index=True)
    assert told["feature_1"].tolist()[:3] == ["x0", "x0", "x1"]
    assert told["deviation_1"][0] > 2
    assert told["deviation_1"][1] < -2
    assert re.fullmatch(r"x0 [\d.]+ sd above.* ordinary customers", told["explanation"][0])
    with pytest.raises(BindError, match=f"describe_clusters needs a clustering, and model m is a {model_type}"):
        session.sql("SELECT * FROM describe_clusters(m, 1)")


def test_a_classifier_gives_no_scores(session: hanse.Session) -> None:
    register(session, [[float(i), float(i % 2)] for i in range(40)])
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x0)) f) OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'x1') "
        "AS SELECT x0, x1 FROM points"
    )
    with pytest.raises(
        HanseError, match=r"model m of type logistic_reg gives no anomaly scores.*line 1, column 15.*train"
    ):
        detected(session)
