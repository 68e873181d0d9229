"""What every clustering begins with: counts, sums and the spread of rows, checked."""

from __future__ import annotations

import numpy as np

from hanse.errors import DataError
from hanse.statistics import FloatArray, Statistics

__all__ = ["checked_counts", "covariance_of"]


def checked_counts(total: Statistics, num_clusters: int, weight_col: str | None) -> tuple[float, float]:
    """Rows and their weight, if they are enough to train on.

    Args:
        total: holds ``count`` () and ``weight`` ().
        num_clusters: how many clusters are wanted.
        weight_col: named in errors.

    Raises:
        DataError: there are no rows, fewer than clusters, or none with a weight.
    """
    count, weight = float(total["count"]), float(total["weight"])
    if count == 0:
        raise DataError("the SELECT gives no rows: there is nothing to train on")
    if weight <= 0:
        raise DataError(f"weight column {weight_col}: the weights sum to {weight:g}; need more than 0")
    if count < num_clusters:
        raise DataError(
            f"NUM_CLUSTERS = {num_clusters}: the SELECT gives {count:.0f} row{'s' if count != 1 else ''}; "
            "need at least as many rows as clusters"
        )
    return count, weight


def covariance_of(weight: float, sums: FloatArray, cross: FloatArray) -> FloatArray:
    """The covariance (d, d) of rows.

    Args:
        weight: of the rows.
        sums: (d,) weighted, about an origin near the rows.
        cross: (d (d + 1) / 2,) the upper triangle of the weighted sum of outer products, about the same origin.
    """
    d = len(sums)
    mean = sums / weight
    covariance = np.zeros((d, d))
    covariance[np.triu_indices(d)] = cross / weight
    return np.asarray(covariance + np.triu(covariance, 1).T - np.outer(mean, mean))
