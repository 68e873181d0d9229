"""Agreement of two labelings, against scikit-learn, which sums the same formulas over the labels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from hanse.metrics.agreement import adjusted_mutual_information, adjusted_rand_index

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=60)


def table_of(a: list[int], b: list[int]) -> np.ndarray:
    return np.asarray(contingency_matrix(a, b), dtype=np.float64)


@settings(max_examples=150, deadline=None)
@given(labels)
def test_they_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    table = table_of(a, b)
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(a, b), abs=1e-9)
    assert adjusted_mutual_information(table) == pytest.approx(adjusted_mutual_info_score(a, b), abs=1e-7)


@pytest.mark.parametrize("sizes", [(50_000, 40_000, 300), (200_000, 7)])
def test_large_tables(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(3)
    a = np.repeat(np.arange(len(sizes)), sizes)
    b = np.where(random.random(len(a)) < 0.9, a, random.integers(0, 4, len(a)))
    table = table_of(a.tolist(), b.tolist())
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(a, b), abs=1e-10)
    assert adjusted_mutual_information(table) == pytest.approx(adjusted_mutual_info_score(a, b), abs=1e-8)


def test_empty_labels_do_not_count() -> None:
    table = np.array([[5.0, 0.0, 1.0], [0.0, 0.0, 4.0]])
    padded = np.zeros((4, 5))
    padded[1:3, 1:4] = table
    assert adjusted_mutual_information(padded) == adjusted_mutual_information(table)
    assert adjusted_rand_index(padded) == adjusted_rand_index(table)


def test_one_row_and_one_cluster_agree() -> None:
    for table in (np.array([[1.0]]), np.array([[9.0]])):
        assert adjusted_rand_index(table) == 1.0
        assert adjusted_mutual_information(table) == 1.0
