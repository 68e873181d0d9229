"""Options of model types: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.errors import BindError, Position, UnsupportedError
from hanse.models.catalog import ESTIMATORS, KNOWN, estimator_of
from hanse.options import Given, build, describe

AT, VALUE_AT = Position(4, 30), Position(4, 45)


def made(key: str, value: Any, model_type: str = "bisecting_kmeans") -> Any:
    return estimator_of([Given("MODEL_TYPE", model_type), Given(key, value, AT, VALUE_AT)], Position(1, 1))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("NUM_CLUSTERS", 2, 2),
        ("NUM_CLUSTERS", 3.0, 3),
        ("MAX_ITER", 1, 1),
        ("MIN_DIVISIBLE_CLUSTER_SIZE", 0.01, 0.01),
        ("MIN_DIVISIBLE_CLUSTER_SIZE", 50, 50.0),
        ("DISTANCE_MEASURE", "Cosine", "cosine"),
        ("SEED", -5, -5),
        ("PREDICTION_COL", "Größe", "Größe"),
        ("WEIGHT_COL", None, None),
        ("SPLIT_ORDER", "SIZE", "size"),
        ("SPLIT_STARTS", "Auto", "auto"),
        ("SPLIT_STARTS", 4, 4),
    ],
)
def test_values_that_fit(key: str, value: Any, expected: Any) -> None:
    found = getattr(made(key, value), key.lower())
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "cure"),
    [
        ("NUM_CLUSTERS", 0, "need 2 or more"),
        ("NUM_CLUSTERS", 1, "need 2 or more"),
        ("NUM_CLUSTERS", -3, "need 2 or more"),
        ("NUM_CLUSTERS", 2.5, "need 2 or more"),
        ("NUM_CLUSTERS", "x", "need 2 or more"),
        ("NUM_CLUSTERS", True, "need 2 or more"),
        ("NUM_CLUSTERS", None, "need 2 or more"),
        ("NUM_CLUSTERS", float("nan"), "need 2 or more"),
        ("NUM_CLUSTERS", float("inf"), "need 2 or more"),
        ("NUM_CLUSTERS", (2, 3), "need 2 or more"),
        ("MAX_ITER", 0, "need 1 or more"),
        ("MIN_DIVISIBLE_CLUSTER_SIZE", 0, "need a number above 0"),
        ("MIN_DIVISIBLE_CLUSTER_SIZE", -0.5, "need a number above 0"),
        ("DISTANCE_MEASURE", "manhattan", "need 'euclidean' or 'cosine'"),
        ("DISTANCE_MEASURE", 2, "need 'euclidean' or 'cosine'"),
        ("SEED", 1.5, "need a whole number"),
        ("SEED", "two", "need a whole number"),
        ("PREDICTION_COL", "", "need a name in quotes"),
        ("PREDICTION_COL", 3, "need a name in quotes"),
        ("WEIGHT_COL", 3, "need a name in quotes"),
        ("SPLIT_ORDER", "random", "need 'inertia' or 'size'"),
        ("SPLIT_STARTS", 0, "need 1 or more or 'auto'"),
        ("SPLIT_STARTS", "many", "need 1 or more or 'auto'"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, cure: str) -> None:
    with pytest.raises(BindError) as raised:
        made(key, value)
    assert str(raised.value) == f"{key} = {value!r} at line 4, column 45: {cure}"


def test_tol_may_be_zero_and_not_less() -> None:
    assert made("TOL", 0, "kmeans").tol == 0.0
    with pytest.raises(BindError, match=r"TOL = -1 at line 4, column 45: need a number of 0 or more"):
        made("TOL", -1, "kmeans")


@pytest.mark.parametrize(
    ("key", "nearby"), [("NUM_CLUSTER", "NUM_CLUSTERS"), ("MAXITER", "MAX_ITER"), ("SPLIT_ODER", "SPLIT_ORDER")]
)
def test_unknown_options_name_the_nearest(key: str, nearby: str) -> None:
    with pytest.raises(BindError) as raised:
        made(key, 3)
    assert str(raised.value).startswith(f"unknown option {key} of bisecting_kmeans at line 4, column 30: did you mean")
    assert nearby in str(raised.value)


def test_an_option_far_from_all_lists_them() -> None:
    with pytest.raises(BindError, match=r"unknown option ZZZZ .*: valid: DISTANCE_MEASURE, .*NUM_CLUSTERS"):
        made("ZZZZ", 3)


def test_another_types_option_is_unknown() -> None:
    with pytest.raises(BindError, match="unknown option SPLIT_ORDER of kmeans"):
        made("SPLIT_ORDER", "size", "kmeans")


def test_the_type_is_asked_for() -> None:
    with pytest.raises(BindError) as raised:
        estimator_of([Given("NUM_CLUSTERS", 3)], Position(1, 1))
    assert str(raised.value) == (
        "no MODEL_TYPE at line 1, column 1: add OPTIONS (MODEL_TYPE = 'bisecting_kmeans', ...); "
        "types: bisecting_kmeans, ecod, kmeans, logistic_reg, mahalanobis"
    )


@pytest.mark.parametrize(("name", "nearby"), [("bisecting_k_means", "bisecting_kmeans"), ("k_means", "kmeans")])
def test_unknown_types_name_the_nearest(name: str, nearby: str) -> None:
    with pytest.raises(BindError) as raised:
        estimator_of([Given("MODEL_TYPE", name, AT, VALUE_AT)], None)
    assert str(raised.value).startswith(f"unknown MODEL_TYPE = '{name}' at line 4, column 45: did you mean")
    assert nearby in str(raised.value)


@pytest.mark.parametrize("value", [None, 3, True, ("kmeans",)])
def test_a_type_that_is_no_text_is_unknown(value: Any) -> None:
    with pytest.raises(BindError, match="unknown MODEL_TYPE"):
        estimator_of([Given("MODEL_TYPE", value, AT, VALUE_AT)], None)


@pytest.mark.parametrize("name", KNOWN)
def test_types_that_are_not_there_yet_say_so(name: str) -> None:
    with pytest.raises(UnsupportedError) as raised:
        estimator_of([Given("MODEL_TYPE", name.upper(), AT, VALUE_AT)], None)
    assert str(raised.value) == (
        f"MODEL_TYPE = '{name}' at line 4, column 45: Hanse knows this type and does not train it yet; "
        "it trains bisecting_kmeans, ecod, kmeans, logistic_reg, mahalanobis"
    )


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda k: k.model_type)
def test_every_option_has_a_default_that_fits_and_a_line_of_help(kind: type[Any]) -> None:
    for key, (default, text) in describe(kind).items():
        assert text
        assert getattr(build(kind, [Given(key, default)], kind.model_type), key.lower()) == default


def test_defaults_are_those_of_the_reference() -> None:
    made = {kind.model_type: kind() for kind in ESTIMATORS}
    bisecting, kmeans, logistic = (made[name] for name in ("bisecting_kmeans", "kmeans", "logistic_reg"))
    assert (bisecting.max_iter, bisecting.num_clusters, bisecting.distance_measure) == (20, 4, "euclidean")
    assert (bisecting.min_divisible_cluster_size, bisecting.prediction_col) == (1.0, "prediction")
    assert (bisecting.split_order, bisecting.split_starts, bisecting.weight_col) == ("inertia", "auto", None)
    assert (kmeans.max_iter, kmeans.num_clusters, kmeans.tol) == (20, 2, 1e-4)
    assert (kmeans.kmeans_init_method, kmeans.init_steps) == ("k-means||", 2)
    assert (logistic.max_iter, logistic.reg_param, logistic.elasticnetparam) == (100, 0.0, 0.0)
    assert (logistic.prediction_col, logistic.probability_col) == ("prediction", "probability")
