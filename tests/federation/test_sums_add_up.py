"""Sums that no rows can have: the coordinator leaves the silo out, and names it with the statistic and the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from lying_support import SIZES, Lie, league_of, lying_with, training

import hanse
from hanse import expressions as e
from hanse.errors import ShapeError
from hanse.estimator import Aggregate, Observation
from hanse.federation.checks import adds_up
from hanse.statistics import Statistics

LABELLED = "MODEL_TYPE = 'logistic_reg', LABEL = 'z', REG_PARAM = 0.1"
TYPES = {
    "bisecting_kmeans": "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2",
    "kmeans": "MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2",
    "cosine": "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2, DISTANCE_MEASURE = 'cosine'",
    "ecod": "MODEL_TYPE = 'ecod', NUM_BINS = 4",
    "mahalanobis": "MODEL_TYPE = 'mahalanobis'",
    "logistic_reg": LABELLED,
}


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hanse.Session]:
    with league_of(tmp_path_factory.mktemp("sums")) as session:
        yield session


def times(factor: float, *names: str, round_: int = 0) -> Lie:
    """Multiplies arrays, from the round on in which they came so often."""
    seen = 0

    def change(statistics: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        for name in names:
            if name in statistics and seen > round_:
                statistics[name] = (np.array(statistics[name]) * factor).tolist()

    return change


def put(name: str, value: Any) -> Lie:
    return lambda statistics: statistics.__setitem__(name, value)


def off_diagonal(statistics: dict[str, Any]) -> None:
    if "cross" in statistics:
        cross = np.array(statistics["cross"])
        cross[..., 1] = 1e6
        statistics["cross"] = cross.tolist()


def columns(options: str) -> str:
    return "x, y, z" if "LABEL" in options else "x, y"


@pytest.mark.parametrize("options", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("scaled", [False, True])
def test_honest_silos_pass(league: hanse.Session, options: str, scaled: bool) -> None:
    warnings = league.sql(training("rounds", scaled, options, columns(options), 3)).warnings
    assert not [w for w in warnings if "no part" in w or "quantiles" in w], warnings


ROUNDS: list[tuple[str, Lie, str]] = [
    ("bisecting_kmeans", times(50, "count"), r"statistic weight = 96: need its count"),
    ("bisecting_kmeans", times(50, "count", "weight", round_=1), r"adds up to 4800 rows, and in its moments it was 96"),
    ("bisecting_kmeans", times(0, "count", "weight", round_=1), r"adds up to 0 rows, and in its moments it was 96"),
    ("bisecting_kmeans", times(1000, "weight"), r"statistic weight = 96000: need its count"),
    ("bisecting_kmeans", times(-1, "square"), r"statistic square\[0\] = -[\d.]+: need 0 or more"),
    (
        "bisecting_kmeans",
        times(1e-3, "square"),
        r"square\[0\] = [\d.]+: need at least the square of the sum over count",
    ),
    ("bisecting_kmeans", times(1e3, "sum", round_=1), r"need at least the square of the sum over count"),
    ("bisecting_kmeans", times(1e60, "sum"), r"statistic sum\[\d\] = [\d.e+-]+: need numbers from -1e\+50 to 1e\+50"),
    ("bisecting_kmeans", times(-1, "cross"), r"statistic cross\[0\]\[0\] = -[\d.]+: need 0 or more"),
    ("bisecting_kmeans", off_diagonal, r"statistic cross\[0\]\[1\] = 1000000: need no more than the root"),
    ("kmeans", times(2, "count", "weight", round_=1), r"adds up to 192 rows"),
    ("kmeans", times(-1, "inertia"), r"statistic inertia\[0\] = -[\d.]+: need 0 or more"),
    ("ecod", times(-1, "square"), r"statistic square\[0\] = -[\d.]+: need 0 or more"),
    ("ecod", times(0, "count", "weight", round_=2), r"adds up to 0 rows"),
    ("ecod", times(0, "count", "weight", "sum", "square", round_=2), r"adds up to 0 rows, and in its moments"),
    ("mahalanobis", times(-1, "cross"), r"statistic cross\[0\] = -[\d.]+: need 0 or more"),
    ("mahalanobis", times(3, "count", "weight", round_=1), r"adds up to 288 rows"),
    ("logistic_reg", times(4, "positive"), r"statistic positive = 192: need at most its count"),
    ("logistic_reg", times(-1, "loss"), r"statistic loss = -[\d.]+: need 0 or more"),
    ("logistic_reg", times(-1, "hessian"), r"statistic hessian\[0\] = -[\d.]+: need 0 or more"),
]


@pytest.mark.parametrize(("model_type", "lie", "message"), ROUNDS)
def test_rounds(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch, model_type: str, lie: Lie, message: str
) -> None:
    lying_with(monkeypatch, "observe", lie)
    options = TYPES[model_type]
    left_out(league, training("rounds", False, options, columns(options)), message)
    told = dict(league.sql("DESCRIBE MODEL g").fetchall())
    assert int(told["rows"]) == sum(SIZES["honest"] + SIZES["other"])


def left_out(league: hanse.Session, statement: str, message: str) -> None:
    (warning,) = [w for w in league.sql(statement).warnings if "no part" in w]
    assert warning.startswith("silo liar took no part: ")
    assert re.search(message, warning), warning


def test_products_beside_sums() -> None:
    column = e.column("x")
    triangle = Aggregate((column,) * 3, (3,))
    asked = Observation({"count": Aggregate((e.integer(1),)), "sum": Aggregate((column,) * 2, (2,)), "cross": triangle})
    told: dict[str, Any] = {"count": 10.0, "sum": [10.0, 20.0], "cross": [10.0, 20.0, 40.0]}
    adds_up("a", Statistics(told), asked)
    with pytest.raises(
        ShapeError, match=r"silo a: statistic cross\[2\] = 39: need at least the square of the sum over"
    ):
        adds_up("a", Statistics({**told, "cross": [10.0, 19.0, 39.0]}), asked)
    with pytest.raises(ShapeError, match=r"silo a: statistic cross\[0\] = 10: need 0 for a cell without rows"):
        adds_up("a", Statistics({**told, "count": 0.0, "sum": [0.0, 0.0]}), asked)


def test_numbers_whose_squares_no_float_holds_are_no_lie() -> None:
    asked = Observation({name: Aggregate((e.column("x"),)) for name in ("count", "sum", "square")})
    adds_up("a", Statistics({"count": 100.0, "sum": 1e-160, "square": 0.0}), asked)


CLUSTERS: list[tuple[str, Lie, str]] = [
    ("article", put("mean", [[1 + i * 1e-3, 2.0] for i in range(20_000)]), r"holds 20000 clusters: need 3 at most"),
    ("article", put("mean", []), r"statistic mean holds no cluster: need one or more"),
    ("one_shot", put("sum", [[1.0, 2.0]] * 4), r"statistic sum holds 4 clusters: need 3 at most, as asked"),
    ("one_shot", lambda s: s.update(count=[], sum=[], square=[]), r"statistic sum holds no cluster: need one or more"),
    ("one_shot", times(-1, "square"), r"statistic square\[0\]\[0\] = -[\d.]+: need at least the square of the sum"),
]


@pytest.mark.parametrize(("strategy", "lie", "message"), CLUSTERS)
def test_local_clusters(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch, strategy: str, lie: Lie, message: str
) -> None:
    lying_with(monkeypatch, "summarize", lie)
    left_out(league, training(strategy, scaled=False), message)


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
def test_scores_count_the_rows_of_the_training(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    lying_with(monkeypatch, "evaluate", times(5, "count"), phase="scores")
    (warning,) = [w for w in league.sql(training(strategy)).warnings if "quantiles" in w]
    assert "liar: statistic count adds up to 480 rows, and in its moments it was 96: need as many" in warning


def test_a_comparison_counts_the_rows_of_the_training(league: hanse.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    league.sql(training())
    lying_with(monkeypatch, "compare", times(7, "contingency"))
    compared = league.sql("SELECT DISTINCT silo FROM federated_compare(g, 1) ORDER BY silo")
    assert compared.fetchall() == [("honest",), ("other",)]
    (warning,) = compared.warnings
    assert "statistic contingency adds up to 672 rows, and its clusters in training held 96: need as many" in warning


def test_a_comparison_may_count_others_where_the_data_have_changed(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    league.sql(training())
    lying_with(monkeypatch, "compare", times(7, "contingency"), fingerprint="of other rows")
    compared = league.sql("SELECT silo, sum(rows) FROM federated_compare(g, 1) GROUP BY silo ORDER BY silo")
    assert [row[0] for row in compared.fetchall()] == ["honest", "liar", "other"]
    assert compared.warnings == []
