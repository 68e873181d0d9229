"""A sketch of scores turns a share into a threshold: against NumPy's sorted scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hanse import expressions as e
from hanse.anomalies.quantiles import ScoreQuantiles, histogram, quantiles_of
from hanse.engines.duckdb import DuckDB
from hanse.errors import ArtifactError


def sketch(scores: Any, weights: Any = None) -> ScoreQuantiles:
    engine = DuckDB(threads=1)
    columns = {"s": np.asarray(scores, dtype=np.float64)}
    if weights is not None:
        columns["weight"] = np.asarray(weights, dtype=np.float64)
    engine.register("scores", pa.table(columns))
    total = engine.observe("scores", histogram(e.column("s"), (), weighted=weights is not None))
    engine.close()
    return quantiles_of(total)


def flagged(scores: Any, contamination: float) -> int:
    return int((np.asarray(scores) > sketch(scores).threshold(contamination)).sum())


@pytest.mark.parametrize("contamination", [0.5, 0.3, 0.1, 0.02, 0.001, 0.0001])
@pytest.mark.parametrize("heavy", [False, True])
def test_a_share_of_many_rows(contamination: float, heavy: bool) -> None:
    random = np.random.default_rng(5)
    scores = np.abs(random.standard_t(2, 50_000) if heavy else random.normal(size=50_000))
    wanted = contamination * len(scores)
    assert flagged(scores, contamination) == pytest.approx(wanted, rel=0.02, abs=2)


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 40])
def test_few_rows_far_apart_are_exact(rows: int) -> None:
    scores = 1.5 ** np.arange(rows)
    for contamination in np.linspace(0.01, 0.5, 23):
        assert flagged(scores, float(contamination)) == int(contamination * rows * (1 + 1e-12))


def test_equal_scores_flag_nobody() -> None:
    for value in (0.0, 1.0, 7.25, 1e300):
        assert flagged([value] * 100, 0.5) == 0
    assert flagged([0.0] * 98 + [5.0, 5.0], 0.01) == 0
    assert flagged([0.0] * 98 + [5.0, 5.0], 0.02) == 2


def test_scores_beyond_the_scale() -> None:
    scores = [0.0, 1e-300, 1e-9, 1.0, 1e9, 1e200, float("inf")]
    assert flagged(scores, 0.15) == 1
    assert flagged(scores, 0.3) == 2


def test_weights_count() -> None:
    scores, weights = [1.0, 2.0, 4.0, 8.0], [96.0, 1.0, 1.0, 2.0]
    found = sketch(scores, weights)
    assert found.threshold(0.02) == 4.0
    assert found.threshold(0.03) == 2.0
    assert found.threshold(0.01) == 8.0
    assert sketch([1.0, 9.0], [1.0, 0.0]).threshold(0.5) == 1.0


def test_it_survives_json_and_holds_the_upper_half_only() -> None:
    found = sketch(np.linspace(1, 1000, 5000))
    assert len(found.least) < 130
    assert found.below == pytest.approx(2500, abs=200)
    back = ScoreQuantiles.from_json(found.to_json())
    assert back.threshold(0.123) == found.threshold(0.123)


@pytest.mark.parametrize(
    "change",
    [
        {"least": []},
        {"least": ["a"]},
        {"count": [0.0]},
        {"weight": [-1.0]},
        {"least": [3.0]},
        {"rows": None},
        {"below": "x"},
    ],
)
def test_a_broken_one_is_refused(change: dict[str, Any]) -> None:
    fine = {"least": [1.0], "greatest": [2.0], "count": [5.0], "weight": [5.0], "below": 3.0, "rows": 8}
    assert ScoreQuantiles.from_json(fine).rows == 8
    with pytest.raises(ArtifactError, match="score quantiles"):
        ScoreQuantiles.from_json({**fine, **change})
    with pytest.raises(ArtifactError, match="score quantiles"):
        ScoreQuantiles.from_json({k: v for k, v in fine.items() if k not in change})
