"""MODEL_TYPE logistic_reg: trained, asked and evaluated in SQL; scikit-learn gives the expected numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

import hanse
from hanse.errors import ArtifactError, BindError, DataError
from hanse.models.catalog import model_from_json

Rows = Any
MEASURES = ["auc_roc", "accuracy", "precision", "recall"]


def examples(rows: int = 600, seed: int = 1, features: int = 3) -> tuple[Rows, Rows]:
    """Heavy-tailed features and labels that they tell in part."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(rows, features)) ** 3
    odds = points @ np.array([0.5, -1.0, 0.2, 0.7])[:features] - 0.5
    return points, (random.uniform(size=rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)


def register(session: hanse.Session, points: Rows, labels: Rows, table: str = "people", **more: Any) -> None:
    columns = {f"x{i}": points[:, i] for i in range(points.shape[1])}
    session.register(table, pa.table({"id": np.arange(len(points)), **columns, "churned": labels, **more}))


def train(session: hanse.Session, name: str = "m", columns: str = "x0, x1, x2, churned", **options: Any) -> Any:
    given = {"MODEL_TYPE": "'logistic_reg'", "LABEL": "'churned'", **options}
    listed = ", ".join(f"{key} = {value}" for key, value in given.items())
    return session.sql(f"CREATE MODEL {name} OPTIONS ({listed}) AS SELECT {columns} FROM people")


def coefficients(session: hanse.Session, name: str = "m") -> tuple[Rows, float]:
    """As DESCRIBE MODEL shows them."""
    told = dict(session.sql(f"DESCRIBE MODEL {name}").fetchall())
    found = [float(v) for k, v in told.items() if k.startswith("coefficient ")]
    return np.array(found), float(told["intercept"])


def reference(points: Rows, labels: Rows, strength: float, weight: Rows | None = None) -> tuple[Rows, float]:
    rows = len(points) if weight is None else weight.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its line search, at the very end
        model = Reference(C=1 / (strength * rows) if strength else np.inf, solver="newton-cholesky", tol=1e-13)
        model.fit(points, labels, sample_weight=weight)
    return model.coef_[0], float(model.intercept_[0])


@pytest.mark.parametrize("strength", [0.0, 1e-3, 0.1, 10.0])
@pytest.mark.parametrize(("rows", "features"), [(60, 1), (600, 3), (3000, 4)])
def test_coefficients_are_those_of_scikit_learn(
    session: hanse.Session, strength: float, rows: int, features: int
) -> None:
    points, labels = examples(rows, rows, features)
    register(session, points, labels)
    train(session, columns=", ".join([*(f"x{i}" for i in range(features)), "churned"]), REG_PARAM=strength)
    found, intercept = coefficients(session)
    expected, other = reference(points, labels, strength)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert intercept == pytest.approx(other, abs=1e-8)


@pytest.mark.parametrize("option", ["REG_PARAM", "REGPARAM", "L2"])
def test_every_spelling_of_the_penalty(session: hanse.Session, option: str) -> None:
    points, labels = examples()
    register(session, points, labels)
    train(session, **{option: 0.5})
    np.testing.assert_allclose(coefficients(session)[0], reference(points, labels, 0.5)[0], atol=1e-8)


def test_standardization_penalises_coefficients_of_standardised_features(session: hanse.Session) -> None:
    points, labels = examples()
    register(session, points * [1.0, 100.0, 0.01], labels)
    train(session, REG_PARAM=0.1, STANDARDIZATION="true")
    expected, _ = reference(points / points.std(axis=0), labels, 0.1)
    found = coefficients(session)[0] * (points * [1.0, 100.0, 0.01]).std(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_weights_count_rows(session: hanse.Session) -> None:
    points, labels = examples()
    weight = np.random.default_rng(2).integers(0, 4, len(points)).astype(np.float64)
    register(session, points, labels, weight=weight)
    train(session, columns="x0, x1, x2, churned, weight", WEIGHT_COL="'weight'", REG_PARAM=0.01)
    np.testing.assert_allclose(coefficients(session)[0], reference(points, labels, 0.01, weight)[0], atol=1e-8)


@pytest.mark.parametrize(("shift", "scale"), [(1e6, 1.0), (-1e6, 1e-3), (0.0, 1e9), (3.0, 1e-9)])
def test_far_and_wide_features_lose_no_digits(session: hanse.Session, shift: float, scale: float) -> None:
    points, labels = examples()
    register(session, points * scale + shift, labels)
    train(session)
    kept = (points * scale + shift) - shift  # what is left of the digits
    np.testing.assert_allclose(coefficients(session)[0] * scale, reference(kept / scale, labels, 0)[0], rtol=1e-7)


def test_standard_scaler_and_predictions_by_the_transforms(session: hanse.Session) -> None:
    points, labels = examples()
    register(session, points, labels)
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x0, x1, x2)) a, standard_scaler(a, true, true) b) "
        "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned') AS SELECT x0, x1, x2, churned FROM people"
    )
    deviation = points.std(axis=0, ddof=1)
    np.testing.assert_allclose(coefficients(session)[0] / deviation, reference(points, labels, 0)[0], atol=1e-8)


@pytest.mark.parametrize("kind", ["BOOLEAN", "DOUBLE", "TINYINT", "DECIMAL(3, 1)"])
def test_labels_may_be_truth_values_or_any_numbers(session: hanse.Session, kind: str) -> None:
    points, labels = examples()
    register(session, points, labels)
    train(session, columns=f"x0, x1, x2, CAST(churned AS {kind}) AS churned")
    np.testing.assert_allclose(coefficients(session)[0], reference(points, labels, 0)[0], atol=1e-8)


# -- predictions ------------------------------------------------------------------------------


def test_predictions_are_those_of_scikit_learn(session: hanse.Session) -> None:
    points, labels = examples()
    register(session, points, labels)
    train(session)
    result = session.sql("SELECT * FROM model_predict(m, 1, SELECT id, x0, x1, x2, churned FROM people) ORDER BY id")
    assert result.columns == ["id", "x0", "x1", "x2", "churned", "prediction", "probability"]
    rows = result.arrow()
    assert [str(rows.schema.field(c).type) for c in ("prediction", "probability")] == ["int32", "double"]
    expected, intercept = reference(points, labels, 0)
    odds = points @ expected + intercept
    np.testing.assert_allclose(rows["probability"].to_numpy(), 1 / (1 + np.exp(-odds)), rtol=1e-8)
    np.testing.assert_array_equal(rows["prediction"].to_numpy(), odds > 0)


def test_columns_of_the_prediction_have_names_of_their_own(session: hanse.Session) -> None:
    register(session, *examples())
    train(session, PREDICTION_COL="'will \"go\"'", PROBABILITY_COL="'how likely'")
    result = session.sql("SELECT * FROM model_predict(m, 1, SELECT x0, x1, x2 FROM people)")
    assert result.columns[-2:] == ['will "go"', "how likely"]
    train(session, "n")
    with pytest.raises(BindError, match="has a column probability"):
        session.sql("SELECT * FROM model_predict(n, 1, SELECT x0, x1, x2, 1 AS probability FROM people)").fetchall()


def test_extreme_rows_have_probabilities_next_to_0_and_1(session: hanse.Session) -> None:
    register(session, *examples())
    train(session)
    far = "SELECT 1e300 AS x0, 0.0 AS x1, 0.0 AS x2 UNION ALL SELECT -1e300, 0, 0"
    rows = session.sql(f"SELECT prediction, probability FROM model_predict(m, 1, {far}) ORDER BY 1").fetchall()
    assert rows == [(0, pytest.approx(0, abs=1e-300)), (1, 1.0)]


def test_a_row_without_a_feature_is_counted(session: hanse.Session) -> None:
    register(session, *examples())
    session.sql(
        "CREATE MODEL m TRANSFORM (vector_assembler(array(x0, x1)) f) "
        "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned') AS SELECT * FROM people"
    )
    missing = "SELECT IF(id < 3, NULL, x0) AS x0, x1, churned FROM people"
    with pytest.raises(DataError, match=r"x0 \(3 of 600 rows\)"):
        session.sql(f"SELECT * FROM model_evaluate(m, 1, {missing})")
    with pytest.raises(DataError, match=r"x0 \(1 of 2 rows\)"):
        session.sql(
            "SELECT * FROM model_predict(m, 1, SELECT NULL::DOUBLE AS x0, 1.0 AS x1 UNION ALL SELECT 1, 1)"
        ).fetchall()


# -- data that have no unique or no finite optimum ----------------------------------------------


def test_collinear_and_constant_features_share_what_they_say(session: hanse.Session) -> None:
    points, labels = examples()
    twice = np.column_stack([points, points[:, 0] * 2 + 3, np.full(len(points), 0.1)])
    register(session, twice, labels)
    made = train(session, columns="x0, x1, x2, x3, x4, churned")
    assert any("constant feature x4" in w for w in made.warnings)
    found, _ = coefficients(session)
    expected, _ = reference(points, labels, 0)
    np.testing.assert_allclose(found[:3] + np.array([2 * found[3], 0, 0]), expected, atol=1e-7)
    assert found[4] == 0


def test_separated_labels_are_told_and_stay_finite(session: hanse.Session) -> None:
    points, _ = examples()
    register(session, points, (points[:, 0] > 0.1).astype(np.int64))
    made = train(session)
    assert [w for w in made.warnings if "tell the labels apart (nearly) without error" in w and "REG_PARAM" in w]
    assert np.all(np.isfinite(coefficients(session)[0]))
    (row,) = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM people)").fetchall()
    assert row == (1.0, 1.0, 1.0, 1.0)
    assert not train(session, "with_penalty", REG_PARAM=0.01).warnings


def test_labels_that_are_separated_but_for_some_rows_are_told_too(session: hanse.Session) -> None:
    points, labels = examples()
    steps = np.sign(points[:, :1].round())
    register(session, steps, np.where(steps[:, 0] == 0, labels, steps[:, 0] > 0).astype(np.int64))
    assert train(session, columns="x0, churned").warnings[0].startswith("the features tell the labels apart")


def test_an_outlier_is_no_separation(session: hanse.Session) -> None:
    points, labels = examples()
    points[0] = 1e8
    register(session, points, labels)
    assert not train(session).warnings


def test_too_few_steps_are_told(session: hanse.Session) -> None:
    register(session, *examples())
    (warning,) = train(session, MAX_ITER=2).warnings
    assert warning == "MAX_ITER = 2 steps did not suffice to converge: raise it"


def test_two_rows(session: hanse.Session) -> None:
    register(session, np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), np.array([0, 1]))
    train(session, REG_PARAM=1)
    expected, intercept = reference(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), np.array([0, 1]), 1)
    np.testing.assert_allclose(coefficients(session)[0], expected, atol=1e-8)
    assert coefficients(session)[1] == pytest.approx(intercept, abs=1e-8)


# -- errors -----------------------------------------------------------------------------------


def refused(session: hanse.Session, kind: type[Exception], message: str, **given: Any) -> None:
    before = session.sql("SHOW MODELS").fetchall()
    with pytest.raises(kind, match=message):
        train(session, **given)
    assert session.sql("SHOW MODELS").fetchall() == before


def test_labels_that_are_neither_0_nor_1_are_counted(session: hanse.Session) -> None:
    points, _ = examples(10)
    session.register("people", pa.table({"x0": points[:, 0], "churned": [0, 1, 2, 2, 2, None, 0, 1, -1, 0]}))
    message = r"LABEL = 'churned': 5 of 10 rows .* 0 and 1: 2 \(3 rows\), (NULL|-1) \(1 row\), (NULL|-1) \(1 row\)"
    refused(session, DataError, message, columns="x0, churned")


def test_a_label_that_is_no_number(session: hanse.Session) -> None:
    register(session, *examples(10))
    refused(
        session,
        BindError,
        r"LABEL = 'churned' is of type (VARCHAR|STRING) at line 1, column \d+: need 0 and 1 or truth values",
        columns="x0, 'yes' AS churned",
    )


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_only(session: hanse.Session, label: int) -> None:
    register(session, examples(10)[0], np.full(10, label))
    refused(session, DataError, rf"LABEL = 'churned': all 10 rows are {label}: need rows of both labels")


def test_no_rows(session: hanse.Session) -> None:
    register(session, *examples(10))
    with pytest.raises(DataError, match="the SELECT gives no rows"):
        session.sql(
            "CREATE MODEL m TRANSFORM (vector_assembler(array(x0)) f) "
            "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned') AS SELECT * FROM people WHERE id < 0"
        )


def test_options_that_do_not_fit(session: hanse.Session) -> None:
    register(session, *examples(10))
    with pytest.raises(BindError, match=r"no LABEL at line 1, column 1: add LABEL = 'column'"):
        session.sql("CREATE MODEL m OPTIONS (MODEL_TYPE = 'logistic_reg') AS SELECT x0, churned FROM people")
    refused(session, BindError, "LABEL = 'churnd' is not a column of the SELECT.*churned", LABEL="'churnd'")
    refused(session, BindError, "LABEL = 7", LABEL=7)
    refused(session, BindError, "ELASTICNETPARAM = 0.5 .*need 0: an L1 penalty is not there yet", ELASTICNETPARAM=0.5)
    refused(session, BindError, "REG_PARAM = -1 .*need a number of 0 or more", REG_PARAM=-1)
    refused(session, BindError, "unknown option NUM_CLUSTERS of logistic_reg", NUM_CLUSTERS=2)
    refused(
        session,
        BindError,
        "PREDICTION_COL and PROBABILITY_COL are both called p",
        PREDICTION_COL="'p'",
        PROBABILITY_COL="'p'",
    )
    refused(session, BindError, "WEIGHT_COL = 'w' is not a column", WEIGHT_COL="'w'")


def test_the_label_is_no_feature(session: hanse.Session) -> None:
    register(session, *examples(10))
    with pytest.raises(BindError, match=r"vector_assembler reads churned, which is the LABEL at line 1, column 27"):
        session.sql(
            "CREATE MODEL m TRANSFORM (vector_assembler(array(x0, CHURNED)) f) "
            "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned') AS SELECT * FROM people"
        )
    train(session, LABEL="'CHURNED'", REG_PARAM=1)
    assert json.loads(dict(session.sql("DESCRIBE MODEL m").fetchall())["features"]) == ["x0", "x1", "x2"]


def test_functions_of_clusterings(session: hanse.Session) -> None:
    register(session, *examples())
    train(session)
    with pytest.raises(BindError, match="model_centroids needs a clustering, and model m is a logistic_reg"):
        session.sql("SELECT * FROM model_centroids(m, 1)")


# -- evaluation -------------------------------------------------------------------------------


def measured(session: hanse.Session, query: str = "SELECT * FROM people", model: str = "m") -> dict[str, Any]:
    result = session.sql(f"SELECT * FROM model_evaluate({model}, 1, {query})")
    assert result.columns == MEASURES
    (row,) = result.arrow().to_pylist()
    return dict(row)


@pytest.mark.parametrize("digits", [None, 1, 0])
def test_measures_are_those_of_scikit_learn(session: hanse.Session, digits: int | None) -> None:
    points, labels = examples(2000, 5)
    if digits is not None:
        points = points.round(digits)  # many rows score the same
    register(session, points, labels)
    train(session)
    asked = session.sql("SELECT prediction, probability FROM model_predict(m, 1, SELECT * FROM people) ORDER BY id")
    predicted, probability = (np.array(column) for column in zip(*asked.fetchall(), strict=True))
    assert measured(session) == {
        "auc_roc": pytest.approx(roc_auc_score(labels, probability), abs=1e-12),
        "accuracy": pytest.approx(accuracy_score(labels, predicted), abs=1e-12),
        "precision": pytest.approx(precision_score(labels, predicted), abs=1e-12),
        "recall": pytest.approx(recall_score(labels, predicted), abs=1e-12),
    }


def test_measures_that_are_not_defined(session: hanse.Session) -> None:
    points, labels = examples()
    register(session, points, labels)
    train(session)
    nothing = measured(session, "SELECT * FROM people WHERE churned = 0")
    assert (nothing["auc_roc"], nothing["precision"], nothing["recall"]) == (None, 0.0, 0.0)
    assert measured(session, "SELECT 1e3 AS x1, 0.0 AS x0, 0.0 AS x2, true AS churned") == {
        "auc_roc": None,
        "accuracy": 0.0,
        "precision": 0.0,
        "recall": 0.0,
    }


def test_evaluation_asks_for_the_label(session: hanse.Session) -> None:
    register(session, *examples())
    train(session)
    for query, message in (
        ("SELECT x0, x1, x2 FROM people", "evaluating model m needs its label, column churned"),
        ("SELECT x0, x1, x2, 'no' AS churned FROM people", "label churned of model m is of type (VARCHAR|STRING)"),
        ("SELECT x0, x1, x2, churned + 1 AS churned FROM people", r"label of model m: \d+ of 600 .*: 2 \(\d+ rows\)"),
        ("SELECT * FROM people WHERE id < 0", "there is nothing to evaluate m on"),
    ):
        with pytest.raises((BindError, DataError), match=message):
            session.sql(f"SELECT * FROM model_evaluate(m, 1, {query})")


def test_evaluation_binds_by_position_beside_the_label(session: hanse.Session) -> None:
    register(session, *examples())
    train(session)
    found = session.sql("SELECT * FROM model_evaluate(m, 1, SELECT churned, x0 a, x1 b, x2 c FROM people)")
    assert "bound by position, a as x0, b as x1, c as x2" in found.warnings[0]
    assert found.arrow().to_pylist()[0] == pytest.approx(measured(session))


# -- the artifact -----------------------------------------------------------------------------


def test_export_and_import_predict_the_same(session: hanse.Session, tmp_path: Path) -> None:
    register(session, *examples())
    train(session)
    file = tmp_path / "m.json"
    session.sql(f"EXPORT MODEL m TO '{file}'")
    session.sql(f"IMPORT MODEL again FROM '{file}'")
    asked = "SELECT * FROM model_predict({}, 1, SELECT * FROM people) ORDER BY id"
    assert session.sql(asked.format("again")).arrow().equals(session.sql(asked.format("m")).arrow())
    assert measured(session, model="again") == measured(session)


GOOD: dict[str, Any] = {
    "features": ["a", "b"],
    "coefficients": [1.0, 2],
    "origin": [0.0, 0.5],
    "log_odds": -1.0,
    "label": "y",
    "prediction_col": "prediction",
    "probability_col": "probability",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coefficients": [1.0]}, "coefficients = .*need 2 finite numbers"),
        ({"coefficients": [1.0, float("nan")]}, "need 2 finite numbers"),
        ({"coefficients": [1.0, 10**400]}, "need 2 finite numbers"),
        ({"coefficients": [1.0, True]}, "need 2 finite numbers"),
        ({"coefficients": "ab"}, "need 2 finite numbers"),
        ({"origin": None}, "origin = None: need 2"),
        ({"log_odds": "1"}, "log_odds = "),
        ({"label": 3}, "label = 3"),
        ({"prediction_col": ""}, "prediction_col = ''"),
        ({"probability_col": "Prediction"}, "need two names"),
        ({"features": []}, "features = "),
        ({"features": ["a", 2]}, "features = "),
        ({"surplus": 1}, "surplus missing or unknown"),
    ],
)
def test_an_artifact_is_read_strictly(change: dict[str, Any], message: str) -> None:
    assert model_from_json("logistic_reg", GOOD).to_json() == {**GOOD, "coefficients": [1.0, 2.0]}
    with pytest.raises(ArtifactError, match=message):
        model_from_json("logistic_reg", {**GOOD, **change})


@pytest.mark.parametrize("field", GOOD)
def test_every_field_of_an_artifact_is_needed(field: str) -> None:
    with pytest.raises(ArtifactError, match=f"{field} missing or unknown"):
        model_from_json("logistic_reg", {k: v for k, v in GOOD.items() if k != field})
