"""Laws of training that every model type keeps, however its rows lie among data holders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_data import Rows, features_of, holders, holders_of, predicted, scored, targets, watched
from scipy.special import expit

from hanse.engines.duckdb import DuckDB
from hanse.errors import DataError
from hanse.estimator import Observation, train
from hanse.models.catalog import ESTIMATORS, MODELS, model_from_json
from hanse.statistics import Statistics

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "bisecting_kmeans": (
        {},
        {"split_starts": 1},
        {"split_order": "size"},
        {"split_starts": 1, "split_order": "size"},
        {"weight_col": "w"},
    ),
    "kmeans": ({}, {"kmeans_init_method": "random"}, {"weight_col": "w", "seed": 3}),
    "mahalanobis": ({}, {"trim": 0.0}, {"shrinkage": "none", "trim": 0.25, "weight_col": "w"}),
    "ecod": ({}, {"num_bins": 8, "weight_col": "w"}),
    "logistic_reg": ({"reg_param": 0.1}, {}, {"reg_param": 0.1, "standardization": True, "weight_col": "w"}),
}
ESTIMATED = [
    kind(**({"num_clusters": 3} if kind.family == "clustering" else {}), **options)
    for kind in ESTIMATORS
    for options in VARIANTS[kind.model_type]
]
CLUSTERINGS = [estimator for estimator in ESTIMATED if estimator.family == "clustering"]
COSINE = [kind(num_clusters=3, distance_measure="cosine") for kind in ESTIMATORS if kind.family == "clustering"]

every_estimator = pytest.mark.parametrize("estimator", ESTIMATED + COSINE, ids=lambda x: _title(x))
every_clustering = pytest.mark.parametrize("estimator", CLUSTERINGS, ids=lambda x: _title(x))
every_distance = pytest.mark.parametrize("estimator", CLUSTERINGS + COSINE, ids=lambda x: _title(x))
every_regression = pytest.mark.parametrize(
    "estimator", [estimator for estimator in ESTIMATED if estimator.family == "classification"], ids=lambda x: _title(x)
)
DISTRIBUTIONS = [estimator for estimator in ESTIMATED if estimator.family == "distribution"]
every_distribution = pytest.mark.parametrize("estimator", DISTRIBUTIONS, ids=lambda x: _title(x))
few = settings(max_examples=6, deadline=None)


def _title(estimator: Any) -> str:
    given = [f"{f.name}={v}" for f in fields(estimator) if (v := getattr(estimator, f.name)) != f.default]
    return "-".join([estimator.model_type, *given])


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    opened = DuckDB(threads=1)
    yield opened
    opened.close()


@st.composite
def exact_rows(draw: st.DrawFn) -> tuple[Rows, Rows, list[int], int]:
    """Rows, weights and owners for which every sum is exact.

    Rows are small multiples of 1/4, as many as a power of two, and so is the sum of the weights: the centre is dyadic
    too, and no order of addition can round.
    """
    size = 2 ** draw(st.integers(2, 5))
    coordinates = st.integers(-64, 64)
    values = draw(st.lists(coordinates, min_size=2 * size, max_size=2 * size))
    rows = np.array(values, dtype=np.float64).reshape(size, 2) / 4
    weight = np.tile([1.0, 3.0], size // 2)
    count = draw(st.integers(1, 5))
    owner = draw(st.lists(st.integers(0, count - 1), min_size=size, max_size=size))
    return rows, weight, owner, count


@st.composite
def groups(draw: st.DrawFn) -> tuple[Rows, Rows, list[int], int]:
    """Rows about three centres, weights and owners; coordinates that do round."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(3, 80))
    centres = random.normal(size=(3, 2)) * draw(st.sampled_from([0.5, 5.0, 500.0])) + draw(st.sampled_from([0.0, 1e6]))
    rows = centres[random.integers(0, 3, size)] + random.normal(size=(size, 2))
    count = draw(st.integers(1, 5))
    owner = random.integers(0, count, size).tolist()
    if draw(st.booleans()):
        owner = [0, *[count - 1] * (size - 1)]  # one row in one silo, the rest in another, none between
    return rows, random.uniform(0.5, 2.0, size), owner, count


@every_clustering
@few
@given(data=exact_rows())
def test_exact_rows_give_the_same_model_however_they_are_held(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    names = features_of(rows)
    whole = train(estimator, names, holders(engine, rows, weight, [0] * len(rows), 1))
    parts = train(estimator, names, holders(engine, rows, weight, owner, count))
    assert parts.rounds == whole.rounds
    expected, found = whole.model.to_json(), parts.model.to_json()
    for model in (expected, found):  # distances to a mean of, say, three rows do round: compared below
        model["clusters"] = [{k: v for k, v in c.items() if k != "inertia"} for c in model["clusters"]]  # type: ignore[union-attr]  # a list of objects
    assert found == expected
    assert parts.numbers == pytest.approx(whole.numbers, rel=1e-12, abs=1e-9)


@every_distance
@few
@given(data=groups())
def test_the_inertia_is_the_same_however_rows_are_held(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    if estimator.distance_measure == "cosine":
        rows = rows - np.round(rows.mean(axis=0))  # far from zero all directions are one, to rounding
    names = features_of(rows)
    whole = train(estimator, names, holders(engine, rows, weight, [0] * len(rows), 1))
    parts = train(estimator, names, holders(engine, rows, weight, owner, count))
    nothing = 1e-20 * float((rows**2).sum())  # what is left where every row has a cluster of its own
    assert parts.numbers["inertia"] == pytest.approx(whole.numbers["inertia"], rel=1e-9, abs=nothing)
    assert parts.numbers["clusters"] == whole.numbers["clusters"]


@every_regression
@few
@given(data=groups())
def test_the_coefficients_are_the_same_however_rows_are_held(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    names = features_of(rows)
    whole = train(estimator, names, holders(engine, rows, weight, [0] * len(rows), 1))
    parts = train(estimator, names, holders(engine, rows, weight, owner, count))
    assert parts.numbers["loss"] == pytest.approx(whole.numbers["loss"], rel=1e-9, abs=1e-9)
    if estimator.reg_param or not whole.numbers["separated"]:
        expected, found = (numbers_of(t.model) * np.append(rows.std(axis=0), 1.0) for t in (whole, parts))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@every_regression
@few
@given(data=groups())
def test_the_gradient_is_zero_where_training_ends(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    trained = train(estimator, features_of(rows), holders(engine, rows, weight, owner, count))
    if trained.numbers["separated"]:
        return
    model: Any = trained.model
    given = weight if estimator.weight_col else np.ones(len(rows))
    centred, deviation = rows - model.origin, np.sqrt(np.cov(rows.T, aweights=given, ddof=0).diagonal())
    odds = centred @ model.coefficients + model.log_odds
    missed = (expit(odds) - targets(rows)) * given / given.sum()
    own = deviation**2 if estimator.standardization else 1.0
    gradient = centred.T @ missed + estimator.reg_param * own * model.coefficients
    assert missed.sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(gradient / deviation, 0, atol=1e-8)


@every_distribution
@few
@given(data=exact_rows())
def test_a_distribution_is_the_same_however_exact_rows_are_held(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    names = features_of(rows)
    whole = train(estimator, names, holders(engine, rows, weight, [0] * len(rows), 1))
    parts = train(estimator, names, holders(engine, rows, weight, owner, count))
    assert parts.rounds == whole.rounds
    expected, found = (scored(engine, t.model, rows) for t in (whole, parts))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_distribution
@few
@given(data=groups())
def test_scores_are_the_same_however_rows_are_held(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    names = features_of(rows)
    whole = train(estimator, names, holders(engine, rows, weight, [0] * len(rows), 1))
    parts = train(estimator, names, holders(engine, rows, weight, owner, count))
    expected, found = (scored(engine, t.model, rows) for t in (whole, parts))
    assert np.all(np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@every_distribution
def test_a_single_row_and_constant_rows_have_no_anomaly(engine: DuckDB, estimator: Any) -> None:
    for rows in (np.array([[3.0, 1e6]]), np.full((50, 2), 7.25)):
        model = train(estimator, features_of(rows), holders_of(engine, rows)).model
        assert scored(engine, model, rows).tolist() == [0.0] * len(rows)
        assert scored(engine, model, rows + 1.0).tolist() == [0.0] * len(rows)


def numbers_of(model: Any) -> Rows:
    """(d + 1,) coefficients, and log odds at the origin of the first model: the mean."""
    return np.append(model.coefficients, model.log_odds)


@every_distance
@few
@given(data=exact_rows())
def test_labels_reproduce_the_counts_and_fall_by_size(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows, weight, owner, count = data
    if estimator.distance_measure == "cosine":
        rows = rows + 100.25  # zero has no direction
    model = train(estimator, features_of(rows), holders(engine, rows, weight, owner, count)).model
    clusters = model.clusters  # type: ignore[attr-defined]  # both are clusterings
    labels = predicted(engine, model, rows)
    assert [c.count for c in clusters] == np.bincount(labels, minlength=len(clusters)).tolist()
    assert all(c.count > 0 for c in clusters)
    weights = [c.weight for c in clusters]
    assert weights == sorted(weights, reverse=True)
    given = weight if estimator.weight_col else np.ones(len(rows))
    np.testing.assert_allclose(weights, np.bincount(labels, given, len(clusters)), rtol=1e-12)


@every_clustering
def test_a_row_between_two_clusters_stays_where_it_was_counted(engine: DuckDB, estimator: Any) -> None:
    """3 is as far from the mean of the zeros as from the mean of 3 and 9, and either cluster may hold it."""
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    for seed in range(25):
        tried = replace(estimator, num_clusters=2, seed=seed, weight_col=None)
        model = train(tried, features_of(rows), holders_of(engine, rows)).model
        counts = [c.count for c in model.clusters]  # type: ignore[attr-defined]  # both are clusterings
        assert np.bincount(predicted(engine, model, rows)).tolist() == counts


@every_estimator
@few
@given(data=groups())
def test_a_model_read_back_from_json_predicts_the_same(engine: DuckDB, estimator: Any, data: Any) -> None:
    rows = data[0]
    model = train(replace(estimator, weight_col=None), features_of(rows), holders_of(engine, rows)).model
    again = model_from_json(model.model_type, json.loads(json.dumps(model.to_json())))
    assert again.to_json() == model.to_json()
    assert again.features == model.features == features_of(rows)
    np.testing.assert_array_equal(predicted(engine, again, rows), predicted(engine, model, rows))


@every_estimator
def test_training_again_gives_the_same_bits(engine: DuckDB, estimator: Any) -> None:
    rows = np.random.default_rng(3).normal(size=(500, 3)) ** 3 + 2.0
    weight = np.random.default_rng(4).uniform(0.5, 2.0, 500)
    parties = holders(engine, rows, weight, [0] * 500, 1)
    first, second = (train(estimator, features_of(rows), parties) for _ in range(2))
    assert first.model.to_json() == second.model.to_json()
    assert first.rounds == second.rounds


@every_estimator
def test_statistics_do_not_grow_with_the_rows(engine: DuckDB, estimator: Any) -> None:
    few_rows = np.random.default_rng(9).normal(size=(64, 2)) ** 3 + 2.0
    sizes: dict[int, list[int]] = {}
    for copies in (1, 64):
        rows = np.tile(few_rows, (copies, 1))
        seen: list[int] = []

        def note(observation: Observation, found: Statistics, seen: list[int] = seen) -> None:
            assert {name: found[name].shape for name in found} == {
                n: observation.shape(n) for n in observation.aggregates
            }
            seen.append(sum(array.size for array in found.values()))

        weight = np.ones(len(rows))
        parties = [watched(h, note) for h in holders(engine, rows, weight, [0] * len(rows), 1)]
        train(estimator, features_of(rows), parties)
        sizes[copies] = seen
    assert max(sizes[64]) == max(sizes[1])
    if estimator.model_type != "ecod":  # whose outermost bins are to hold a number of rows, not a share
        assert len(sizes[64]) == len(sizes[1])


@every_estimator
def test_holders_without_rows_change_nothing(engine: DuckDB, estimator: Any) -> None:
    rows = np.random.default_rng(5).normal(size=(64, 2)) + 5.0
    alone = train(estimator, features_of(rows), holders(engine, rows, np.ones(64), [0] * 64, 1))
    among = train(estimator, features_of(rows), holders(engine, rows, np.ones(64), [2] * 64, 4))
    assert among.model.to_json() == alone.model.to_json()


@every_estimator
def test_only_holders_without_rows_is_an_error(engine: DuckDB, estimator: Any) -> None:
    nothing = np.empty((0, 2))
    with pytest.raises(DataError, match="gives no rows"):
        train(estimator, features_of(nothing), holders(engine, nothing, np.empty(0), [], 3))


@every_estimator
def test_no_holder_is_an_error(estimator: Any) -> None:
    with pytest.raises(DataError, match="no data holder to train on: name at least one"):
        train(estimator, ("f0",), [])


@every_estimator
def test_progress_tells_rounds_and_numbers(engine: DuckDB, estimator: Any) -> None:
    rows = np.random.default_rng(5).normal(size=(64, 2)) + 5.0
    told: list[tuple[str, Any]] = []
    parties = holders(engine, rows, np.ones(64), [0] * 64, 1)
    done = train(estimator, features_of(rows), parties, lambda step, numbers: told.append((step, numbers)))
    assert [numbers["round"] for _, numbers in told] == list(range(1, done.rounds + 1))
    assert {step for step, _ in told} == {"training"}
    assert told[-1][1] == {"round": done.rounds, **done.numbers}
    assert done.numbers.get("clusters", 3) == 3


def test_every_model_type_has_a_model_and_laws() -> None:
    names = [kind.model_type for kind in ESTIMATORS]
    assert names == [kind.model_type for kind in MODELS]
    assert sorted(VARIANTS) == sorted(names)
