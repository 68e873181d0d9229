"""Models of a distribution, mahalanobis and ecod, in SQL; refereed by SciPy, scikit-learn and sorted rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import skew
from sklearn.covariance import OAS, EmpiricalCovariance, MinCovDet

import hanse
from hanse import errors
from hanse import expressions as e
from hanse.engines.base import Engine
from hanse.errors import ArtifactError
from hanse.estimator import Observation, train
from hanse.models.catalog import model_from_json
from hanse.models.ecod import Ecod
from hanse.models.ecod_model import EcodModel
from hanse.models.mahalanobis import Mahalanobis
from hanse.models.mahalanobis_model import MahalanobisModel

Rows = npt.NDArray[np.float64]

TYPES = ("mahalanobis", "ecod")
every_type = pytest.mark.parametrize("model_type", TYPES)


def trained(engine: Engine, estimator: Any, rows: Rows, weight: Rows | None = None) -> Any:
    columns = {f"f{i}": rows[:, i] for i in range(rows.shape[1])}
    engine.register("points", pa.table(columns if weight is None else {**columns, "weight": weight}))
    return train(estimator, list(columns), [lambda o: engine.observe("points", o)]).model


def outputs(engine: Engine, model: Any, rows: Rows) -> dict[str, Rows]:
    """What the model says of rows, by name; contributions under the features' names."""
    columns = {f"f{i}": rows[:, i] for i in range(rows.shape[1])}
    engine.register("asked", pa.table({**columns, "id": np.arange(len(rows))}))
    features = [e.column(name) for name in columns]
    wanted = {**model.scores(features), **model.contributions(features)}
    listed = ", ".join(f"{engine.text(value)} AS {e.quote(name)}" for name, value in wanted.items())
    found = np.array(engine.rows(f"SELECT {listed} FROM asked ORDER BY id"), dtype=np.float64)
    return dict(zip(wanted, found.reshape(len(rows), len(wanted)).T, strict=True))


def correlated(rows: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    return np.asarray(random.normal(size=(rows, 3)) @ random.normal(size=(3, 3)) * [1.0, 50.0, 0.02] + [0.0, 1e6, -3.0])


class TestMahalanobis:
    def test_without_trimming_it_is_scipys_distance(self, engine: Engine) -> None:
        rows = correlated(400)
        model = trained(engine, Mahalanobis(trim=0.0, shrinkage="none"), rows)
        precision = np.linalg.inv(np.cov(rows.T, ddof=0))
        expected = [mahalanobis(row, rows.mean(axis=0), precision) for row in rows]
        found = outputs(engine, model, rows)
        np.testing.assert_allclose(found["distance"], expected, rtol=1e-7)
        np.testing.assert_allclose(found["normalized_distance"], np.array(expected) / np.sqrt(3), rtol=1e-7)
        assert found["normalized_distance"].tolist() == found["anomaly_score"].tolist()
        assert set(found["prediction"]) == {0}

    def test_weights_count_like_repeated_rows(self, engine: Engine) -> None:
        rows, weight = correlated(60), np.tile([1.0, 3.0], 30)
        once = trained(engine, Mahalanobis(weight_col="w", shrinkage="none"), rows, weight)
        repeated = trained(engine, Mahalanobis(shrinkage="none"), np.repeat(rows, weight.astype(int), axis=0))
        np.testing.assert_allclose(
            outputs(engine, once, rows)["distance"], outputs(engine, repeated, rows)["distance"], rtol=1e-8
        )

    def test_shrinkage_is_scikit_learns_oas(self, engine: Engine) -> None:
        rows = np.random.default_rng(1).normal(size=(30, 8)) @ np.random.default_rng(2).normal(size=(8, 8))
        rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        expected = np.sqrt(OAS().fit(rows).mahalanobis(rows))
        model = trained(engine, Mahalanobis(trim=0.0), rows)
        np.testing.assert_allclose(outputs(engine, model, rows)["distance"], expected, rtol=0.05)
        plain = np.sqrt(EmpiricalCovariance().fit(rows).mahalanobis(rows))
        assert np.abs(outputs(engine, model, rows)["distance"] - plain).max() > 0.3

    def test_anomalies_do_not_hide_themselves(self, engine: Engine) -> None:
        """A tenth of the rows far away in one direction: the plain covariance takes them for spread."""
        rows = np.random.default_rng(3).normal(size=(1000, 4))
        rows[:80] = rows[:80] * 0.2 + [6.0, 6.0, 0.0, 0.0]
        referee = MinCovDet(random_state=0, support_fraction=0.9).fit(rows)
        found = outputs(engine, trained(engine, Mahalanobis(shrinkage="none"), rows), rows)["distance"]
        hidden = outputs(engine, trained(engine, Mahalanobis(trim=0.0), rows), rows)["distance"]
        assert found[:80].min() > 2 * np.median(found[80:])
        assert hidden[:80].min() < 1.1 * np.median(hidden[80:]) * 2
        assert np.corrcoef(found, np.sqrt(referee.mahalanobis(rows)))[0, 1] > 0.99
        assert 0.8 < np.sqrt((found[80:] ** 2).mean() / 4) < 1.2

    def test_squares_of_contributions_add_up(self, engine: Engine) -> None:
        rows = correlated(300)
        found = outputs(engine, trained(engine, Mahalanobis(), rows), rows)
        np.testing.assert_allclose(sum(found[f"f{i}"] ** 2 for i in range(3)), found["distance"] ** 2, rtol=1e-8)

    def test_without_correlation_contributions_are_standard_deviations(self, engine: Engine) -> None:
        rows = np.array([[x, y] for x in (-1.0, 0.0, 1.0) for y in (-5.0, 0.0, 5.0)])
        model = trained(engine, Mahalanobis(trim=0.0, shrinkage="none"), rows)
        found = outputs(engine, model, np.array([[2.0, -5.0]]))
        assert found["f0"][0] == pytest.approx(2.0 / rows[:, 0].std(), rel=1e-12)
        assert found["f1"][0] == pytest.approx(-5.0 / rows[:, 1].std(), rel=1e-12)

    def test_a_row_that_breaks_what_all_others_keep_is_far_away(self, engine: Engine) -> None:
        rows = correlated(200)
        rows[:, 2] = 2 * rows[:, 0] - 0.01 * rows[:, 1]
        model = trained(engine, Mahalanobis(shrinkage="none"), rows)
        kept = outputs(engine, model, rows)["distance"]
        assert np.all(np.isfinite(kept))
        assert np.median(kept) < 3
        broken = rows[:5].copy()
        broken[:, 2] += rows[:, 2].std()
        assert outputs(engine, model, broken)["distance"].min() > 100

    @pytest.mark.parametrize("mean", [0.0, 1e6, -1e9])
    def test_large_means_cost_no_digits(self, engine: Engine, mean: float) -> None:
        rows = np.random.default_rng(4).integers(-40, 40, (200, 2)) / 4
        near = outputs(engine, trained(engine, Mahalanobis(), rows), rows)["distance"]
        far = outputs(engine, trained(engine, Mahalanobis(), rows + mean), rows + mean)["distance"]
        np.testing.assert_allclose(far, near, rtol=1e-6)

    def test_more_features_than_rows(self, engine: Engine) -> None:
        rows = np.random.default_rng(5).normal(size=(6, 12))
        found = outputs(engine, trained(engine, Mahalanobis(), rows), np.vstack([rows, 100 * np.ones((1, 12))]))
        assert np.all(np.isfinite(found["distance"]))
        assert found["distance"][-1] > 10 * found["distance"][:-1].max()


class TestEcod:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_it_is_the_empirical_distribution(self, engine: Engine, seed: int) -> None:
        """Away from the tails; sorted rows are the referee."""
        random = np.random.default_rng(seed)
        rows = np.column_stack([random.normal(size=3000), np.exp(random.normal(size=3000)), random.poisson(3, 3000)])
        found = outputs(engine, trained(engine, Ecod(num_bins=48), rows), rows)["distance"]
        left, right = (np.column_stack(parts) for parts in zip(*[_tails(column) for column in rows.T], strict=True))
        longer = np.where(skew(rows) < 0, left, right)
        expected = np.sqrt(np.max([(tails**2).sum(axis=1) for tails in (left, right, longer)], axis=0))
        inner = np.max([left, right], axis=(0, 2)) < -np.log(0.02)
        assert inner.sum() > 2500
        np.testing.assert_allclose(found[inner], expected[inner], rtol=0.05, atol=0.2)
        assert np.corrcoef(found, expected)[0, 1] > 0.99

    def test_few_values_are_told_apart_exactly(self, engine: Engine) -> None:
        rows = np.repeat([1.0, 2.0, 3.0, 7.0], [60, 25, 10, 5])[:, None]
        found = outputs(engine, trained(engine, Ecod(), rows), np.array([[1.0], [2.0], [3.0], [7.0]]))
        expected = -np.log([1.0, 0.4, 0.15, 0.05])
        np.testing.assert_allclose(found["distance"], np.maximum(expected, -np.log([0.6, 0.85, 0.95, 1.0])), atol=1e-9)

    def test_tails_go_on_beyond_what_was_seen(self, engine: Engine) -> None:
        rows = np.random.default_rng(6).normal(size=(2000, 1))
        asked = np.array([[3.0], [6.0], [12.0], [-3.0], [-6.0], [-12.0]])
        found = outputs(engine, trained(engine, Ecod(), rows), asked)
        assert np.all(np.diff(found["distance"][:3]) > 3)
        assert np.all(np.diff(found["distance"][3:]) > 3)
        assert np.all(np.diff(found["f0"][:3]) > 0.5)
        assert np.all(np.diff(found["f0"][3:]) < -0.5)

    def test_contributions_are_normal_scores(self, engine: Engine) -> None:
        rows = np.random.default_rng(7).normal(10.0, 2.0, (20_000, 1))
        asked = np.linspace(4.0, 16.0, 25)[:, None]
        found = outputs(engine, trained(engine, Ecod(num_bins=64), rows), asked)
        np.testing.assert_allclose(found["f0"], (asked[:, 0] - 10) / 2, atol=0.25)

    def test_one_giant_does_not_blur_the_others(self, engine: Engine) -> None:
        random = np.random.default_rng(8)
        rows = np.append(random.normal(size=2000), 1e9)[:, None]
        model = trained(engine, Ecod(), rows)
        found = outputs(engine, model, np.array([[0.0], [1.0], [2.0], [1e9]]))["f0"]
        np.testing.assert_allclose(found[:3], [0.0, 1.0, 2.0], atol=0.35)
        assert found[3] > 3

    @pytest.mark.parametrize("mean", [0.0, 1e6, -1e9])
    def test_large_means_cost_no_digits(self, engine: Engine, mean: float) -> None:
        rows = np.random.default_rng(9).integers(-4000, 4000, (500, 2)) / 256
        near = outputs(engine, trained(engine, Ecod(), rows), rows)["distance"]
        far = outputs(engine, trained(engine, Ecod(), rows + mean), rows + mean)["distance"]
        np.testing.assert_allclose(far, near, rtol=1e-5, atol=1e-6)

    def test_no_minimum_and_no_maximum_is_asked_for(self, engine: Engine) -> None:
        engine.register("points", pa.table({"f0": np.random.default_rng(10).normal(size=300)}))
        seen: list[Observation] = []

        def holder(observation: Observation) -> Any:
            seen.append(observation)
            return engine.observe("points", observation)

        train(Ecod(), ["f0"], [holder])
        assert {a.combine for o in seen for a in o.aggregates.values()} == {"sum"}
        assert {o.cells for o in seen} <= set(range(1, 33))


def _tails(values: Rows) -> tuple[Rows, Rows]:
    ordered, n = np.sort(values), len(values)
    left = np.searchsorted(ordered, values, side="right") / n
    right = 1 - np.searchsorted(ordered, values, side="left") / n
    return -np.log(left), -np.log(right)


def create(session: hanse.Session, model_type: str, query: str = "SELECT * FROM points", features: str = "a, b") -> Any:
    return session.sql(
        f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({features})) features) "
        f"OPTIONS (MODEL_TYPE = '{model_type}') AS {query}"
    )


def points(session: hanse.Session, rows: int = 200) -> None:
    random = np.random.default_rng(11)
    session.register("points", pa.table({"a": random.normal(size=rows), "b": random.exponential(size=rows)}))


@every_type
class TestInSql:
    def test_prediction_gives_one_group_and_a_score(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        found = session.sql("SELECT * FROM model_predict(m, 1, SELECT a, b FROM points)").arrow()
        assert found.column_names == ["a", "b", "prediction", "anomaly_score"]
        assert set(found["prediction"].to_pylist()) == {0}
        assert 0.7 < np.mean(found["anomaly_score"].to_numpy()) < 1.7

    def test_evaluation_tells_how_usual_rows_are(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        usual = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)").arrow().to_pylist()[0]
        far = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT a + 9 a, b + 9 b FROM points)").arrow()
        scores = session.sql("SELECT anomaly_score FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        values = scores["anomaly_score"].to_numpy()
        assert list(usual) == ["mean_score", "deviation_score", "rows"]
        assert usual["rows"] == 200
        assert usual["mean_score"] == pytest.approx(values.mean(), rel=1e-9)
        assert usual["deviation_score"] == pytest.approx(values.std(), rel=1e-6)
        assert far["mean_score"][0].as_py() > 3 * usual["mean_score"]

    def test_it_is_exported_and_imported(self, session: hanse.Session, model_type: str, tmp_path: Path) -> None:
        points(session)
        create(session, model_type)
        before = session.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        session.sql(f"EXPORT MODEL m TO '{tmp_path / 'm.json'}'")
        session.sql(f"IMPORT MODEL again FROM '{tmp_path / 'm.json'}'")
        assert session.sql("SELECT * FROM model_predict(again, 1, SELECT * FROM points)").arrow().equals(before)

    def test_it_is_described(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        shown = dict(session.sql("DESCRIBE MODEL m").fetchall())
        assert shown["type"] == model_type
        assert shown["feature a"].startswith("mean ")

    @pytest.mark.parametrize("bad", ["NULL", "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)"])
    def test_a_value_that_is_no_number_is_counted(self, session: hanse.Session, model_type: str, bad: str) -> None:
        points(session)
        hurt = f"SELECT a, CASE WHEN a > 1 THEN {bad} ELSE b END AS b FROM points"
        with pytest.raises(errors.DataError, match=r"NULL or non-finite features: b \(\d+ of 200 rows\)"):
            create(session, model_type, hurt)
        create(session, model_type)
        with pytest.raises(errors.DataError, match=r"NULL or non-finite features: b \(\d+ of 200 rows\)"):
            session.sql(f"SELECT * FROM model_predict(m, 1, {hurt})").arrow()

    def test_constant_and_collinear_features(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        made = create(session, model_type, "SELECT a, b, 4.2 AS c, a + b AS d FROM points", "a, b, c, d")
        assert any("constant feature c" in warning for warning in made.warnings)
        rows = "SELECT a, b, 4.2 AS c, a + b AS d FROM points"
        found = (
            session.sql(f"SELECT anomaly_score FROM model_predict(m, 1, {rows})").arrow()["anomaly_score"].to_numpy()
        )
        assert np.all(np.isfinite(found))
        assert 0.5 < found.mean() < 2

    def test_empty_and_single_rows(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        with pytest.raises(errors.DataError, match="gives no rows: there is nothing to train on"):
            create(session, model_type, "SELECT * FROM points WHERE a > 99")
        create(session, model_type, "SELECT * FROM points LIMIT 1")
        found = session.sql("SELECT anomaly_score FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        assert set(found["anomaly_score"].to_pylist()) == {0.0}
        with pytest.raises(errors.DataError, match="gives no rows: there is nothing to evaluate m on"):
            session.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM points WHERE a > 99)")

    def test_quoted_names(self, session: hanse.Session, model_type: str) -> None:
        random = np.random.default_rng(12)
        session.register("points", pa.table({'a "b"': random.normal(size=50), "größe": random.normal(size=50)}))
        create(session, model_type, features='`a "b"`, `größe`')
        found = session.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        assert found.column_names == ['a "b"', "größe", "prediction", "anomaly_score"]

    def test_centroids_are_not_to_be_had(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        with pytest.raises(errors.BindError, match=f"needs a clustering, and model m is a {model_type}"):
            session.sql("SELECT * FROM model_centroids(m, 1)")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("MODEL_TYPE = 'mahalanobis', TRIM = 0.6", "TRIM = 0.6 .*: need a number from 0 to 0.5"),
        ("MODEL_TYPE = 'mahalanobis', SHRINKAGE = 'some'", "SHRINKAGE = 'some' .*: need 'auto' or 'none'"),
        ("MODEL_TYPE = 'mahalanobis', NUM_CLUSTERS = 2", "unknown option NUM_CLUSTERS of mahalanobis"),
        ("MODEL_TYPE = 'ecod', NUM_BINS = 2", "NUM_BINS = 2 .*: need a whole number from 4 to 1024"),
    ],
)
def test_options_that_do_not_fit(session: hanse.Session, option: str, message: str) -> None:
    points(session)
    with pytest.raises(errors.BindError, match=message):
        session.sql(f"CREATE MODEL m OPTIONS ({option}) AS SELECT * FROM points")


@pytest.mark.parametrize("kind", [Mahalanobis, Ecod])
@pytest.mark.parametrize("change", ["drop", "text", "short"])
def test_a_broken_model_is_refused(engine: Engine, kind: type[Any], change: str) -> None:
    data: dict[str, Any] = json.loads(json.dumps(trained(engine, kind(), correlated(50)).to_json()))
    assert isinstance(model_from_json(kind.model_type, data), MahalanobisModel | EcodModel)
    field = "mean" if kind is Mahalanobis else "distributions"
    if change == "drop":
        del data[field]
    else:
        data[field] = "many" if change == "text" else data[field][:1]
    with pytest.raises(ArtifactError, match=f"{kind.model_type} model: "):
        model_from_json(kind.model_type, data)


@every_type
class TestDetection:
    def test_each_way_of_saying_which(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        call = "SELECT is_anomaly, anomaly_score FROM detect_anomalies(m, 1, SELECT * FROM points, {})"
        few = session.sql(call.format("topk => 7")).fetchall()
        assert sum(flag for flag, _ in few) == 7
        shared = session.sql(call.format("contamination => 0.05")).fetchall()
        assert 8 <= sum(flag for flag, _ in shared) <= 12
        over = session.sql(call.format("threshold => 2.0")).fetchall()
        assert all(flag == (score > 2.0) for flag, score in over)

    def test_columns_stand_in_their_order(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        found = session.sql("SELECT * FROM detect_anomalies(m, 1, SELECT * FROM points)").arrow()
        added = ["prediction", "distance", "normalized_distance", "anomaly_score", "is_anomaly"]
        assert found.column_names == ["a", "b", *added]
        predicted = session.sql("SELECT anomaly_score FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        np.testing.assert_allclose(found["anomaly_score"].to_numpy(), predicted["anomaly_score"].to_numpy(), rtol=1e-9)

    def test_the_feature_that_is_off_is_named(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        found = session.sql(
            "SELECT feature_1, deviation_1, explanation FROM explain_anomalies(m, 1, "
            "SELECT 0.1 AS a, 40.0 AS b UNION ALL SELECT -9.0 AS a, 1.0 AS b, threshold => 1.5) ORDER BY feature_1"
        ).fetchall()
        assert [row[0] for row in found] == ["a", "b"]
        assert found[0][1] < -3
        assert "sd below" in found[0][2]
        assert found[1][1] > 3
        assert "sd above" in found[1][2]

    def test_constant_features_have_scores_of_nothing(self, session: hanse.Session, model_type: str) -> None:
        create(session, model_type, "SELECT 1.0 AS a, 2.0 AS b FROM range(20)")
        found = session.sql(
            "SELECT anomaly_score FROM detect_anomalies(m, 1, SELECT 5.0 AS a, 2.0 AS b, threshold => 1.0)"
        ).fetchall()
        assert found == [(0.0,)]

    def test_an_empty_query_gives_no_rows(self, session: hanse.Session, model_type: str) -> None:
        points(session)
        create(session, model_type)
        found = session.sql("SELECT * FROM detect_anomalies(m, 1, SELECT * FROM points WHERE a > 99)").arrow()
        assert found.num_rows == 0
        assert found.column_names[-1] == "is_anomaly"
