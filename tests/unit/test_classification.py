"""Score histograms: they add up, what a gate joins stays told apart where it can be, and their area is scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from hanse.engines.duckdb import DuckDB
from hanse.metrics.classification import (
    Histogram,
    area_under_curve,
    histogram_line,
    histogram_observation,
    score_edges,
    score_observation,
    whole_groups,
)


def scores(rows: int, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    odds = random.normal(-0.5, 1.2, rows)
    return odds, (random.uniform(size=rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)


def histogram(odds: Any, labels: Any, edges: list[float]) -> Any:
    engine = DuckDB(threads=1)
    engine.register("rows_", pa.table({"score": odds, "target": labels}))
    count = engine.observe("rows_", histogram_observation("score", "target", edges))["count"]
    engine.close()
    return count.reshape(2, -1)


def moments(odds: Any, labels: Any) -> tuple[Any, Any]:
    return tuple(np.array([f(odds[labels == k]) for k in (0, 1)]) for f in (np.mean, np.std))  # type: ignore[return-value]


def test_a_histogram_counts_rows_by_label_and_bin() -> None:
    odds = np.array([-2.0, -1.0, -0.5, 0.0, 1e-9, 1.0, 3.0])
    labels = np.array([0, 1, 0, 1, 1, 0, 1.0])
    assert histogram(odds, labels, [-1.0, 0.0, 1.0]).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_histograms_of_parts_add_up() -> None:
    odds, labels = scores(500)
    edges = score_edges(500.0, float(odds.sum()), float((odds**2).sum()))
    assert 0.0 in edges
    assert edges == sorted(edges)
    parts = [histogram(odds[part], labels[part], edges) for part in (slice(0, 80), slice(80, 500))]
    np.testing.assert_array_equal(sum(parts), histogram(odds, labels, edges))


def test_moments_of_scores_by_label_leave_extremes_out() -> None:
    engine = DuckDB(threads=1)
    engine.register("rows_", pa.table({"score": [1.0, -1e300, 3.0, 1e6], "target": [0.0, 0.0, 1.0, 1.0]}))
    found = engine.observe("rows_", score_observation("score", "target"))
    engine.close()
    assert found["count"].tolist() == [2, 2]
    assert found["sum"].tolist() == [1 - 20, 3 + 20]
    assert found["square"].tolist() == [1 + 400, 9 + 400]


def test_measures_of_a_whole_histogram_are_exact_but_for_ties() -> None:
    odds, labels = scores(5000)
    edges = score_edges(5000.0, float(odds.sum()), float((odds**2).sum()))
    count = histogram(odds, labels, edges)
    found = Histogram(count, edges, *moments(odds, labels), tuple(range(count.size))).metrics()
    assert found.auc_roc == pytest.approx(roc_auc_score(labels, odds), abs=0.003)
    assert found.accuracy == pytest.approx(np.mean((odds > 0) == labels))
    assert found.precision == pytest.approx(labels[odds > 0].mean())
    assert found.recall == pytest.approx((odds > 0)[labels == 1].mean())


def test_joined_cells_on_both_sides_of_the_threshold_hide_what_depends_on_it() -> None:
    edges = [-1.0, 0.0, 1.0]
    mean, deviation = np.array([-1.0, 1.0]), np.ones(2)
    count = np.array([[20.0, 15, 0, 0], [10, 0, 30, 10]])
    negatives = Histogram(count, edges, mean, deviation, (0, 1, 1, 1, 4, 5, 6, 7)).metrics()
    assert (negatives.accuracy, negatives.precision, negatives.recall) == (None, None, 0.8)
    positives = Histogram(count, edges, mean, deviation, (0, 1, 2, 3, 4, 6, 6, 7)).metrics()
    assert (positives.accuracy, positives.precision, positives.recall) == (None, None, None)
    assert positives.auc_roc is not None
    inside = Histogram(count, edges, mean, deviation, (1, 1, 2, 3, 4, 5, 6, 6)).metrics()
    assert (inside.accuracy, inside.precision, inside.recall) == ((35 + 40) / 85, 1.0, 0.8)


def test_cells_of_one_side_are_nearest() -> None:
    line = histogram_line([-1.0, 0.0, 1.0])
    for cell, near in ((0, 1), (2, 3), (4, 5), (6, 7)):
        others = [i for i in range(8) if i != cell]
        assert min(others, key=lambda i: abs(line[i] - line[cell])) == near


def test_empty_bins_beside_a_group_are_told_as_part_of_it() -> None:
    edges = [-2.0, -1.0, 0.0, 1.0]
    held = [False, True, True, False, True, *[True] * 5]
    assert whole_groups((0, 2, 2, 3, 4, *range(5, 10)), held, edges) == (2, 2, 2, 3, 4, 5, 6, 7, 8, 9)
    assert whole_groups(tuple(range(10)), held, edges) == tuple(range(10))


def test_equal_scores_count_half() -> None:
    assert area_under_curve(np.array([10.0]), np.array([5.0])) == 0.5
    assert area_under_curve(np.array([10.0, 0.0]), np.array([0.0, 5.0])) == 1.0
    odds, labels = scores(300)
    values = np.unique(odds.round(1))
    counts = [np.array([np.sum((odds.round(1) == v) & (labels == k)) for v in values], dtype=float) for k in (0, 1)]
    assert area_under_curve(*counts) == pytest.approx(roc_auc_score(labels, odds.round(1)))
